"""Which published weights somebody means, and whether their numbers still hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelzoo.config import Config
from modelzoo.errors import RunError
from modelzoo.weights.registry import PublishedWeights, Scores

if TYPE_CHECKING:
    from modelzoo.training.evaluation import Evaluation

ACCURACY_TOLERANCE = 0.001  # of a published number that is measured again


def named_weights(config: Config, weights: str | Path | None) -> PublishedWeights | None:
    """Return the published weights of that name; None if it is that of a file or an address."""
    named = [entry for entry in config.weights if entry.name == weights]
    return named[0] if named else None


def published_scores(published: PublishedWeights | None, result: Evaluation) -> Scores | None:
    """Return the published scores of the same data and split as a measurement, if any."""
    if published is None:
        return None
    measured = (result.data.name, result.scores.split)
    same = measured == (published.scores.dataset, published.scores.split)
    return published.scores if same else None


def check_against_published(published: PublishedWeights, result: Evaluation) -> str:
    """Compare a measurement with the published numbers.

    Returns:
        What was compared, and found equal.

    Raises:
        RunError: a number differs by more than `ACCURACY_TOLERANCE`, or was measured on other data.
    """
    scores, found = published.scores, result.scores
    if published_scores(published, result) is None:
        raise RunError(
            f"--check: measured on {result.data.name} ({found.split}), but {published.name} is "
            f"published for {scores.dataset} ({scores.split}): there is nothing to compare with"
        )
    pairs = [("accuracy", found.accuracy, scores.accuracy)]
    if scores.top5_accuracy is not None:
        pairs.append(("top-5 accuracy", found.top_accuracy(5), scores.top5_accuracy))
    for name, measured, promised in pairs:
        if not abs(measured - promised) <= ACCURACY_TOLERANCE + 1e-9:
            raise RunError(
                f"--check: {name} {measured:.4f} on {scores.dataset} ({scores.split}), "
                f"published is {promised:.4f}: more than {ACCURACY_TOLERANCE} apart"
            )
    equal = [f"{name} equals the published {promised:.4f}" for name, _, promised in pairs]
    golden = "" if result.golden_difference is None else ", golden outputs equal"
    return f"{', '.join(equal)} (within {ACCURACY_TOLERANCE}){golden}"

"""Whether published numbers still hold: scores measured again, and golden outputs.

Golden outputs are what weights answer to a few images that any machine can make. They tell whether
file, reader, network and preprocessing still give what was measured, in a second and without a data
set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.config import Config
from modelzoo.config.published import Golden, PublishedWeights
from modelzoo.support.errors import RunError

if TYPE_CHECKING:
    from modelzoo.training.engine import Engine
    from modelzoo.training.evaluation import Evaluation

ACCURACY_TOLERANCE = 0.001  # of a published number that is measured again


def golden_images(seed: int, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return images of soft blobs: uint8, (count, *shape).

    NumPy promises that RandomState gives the same bits in every version, as it does not for
    `default_rng`. Blocks of 4x4 pixels let the convolutions see more than noise.
    """
    random = np.random.RandomState(seed)
    height, width = -(-shape[0] // 4), -(-shape[1] // 4)
    coarse = random.randint(0, 256, (count, height, width, *shape[2:]), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)[:, : shape[0], : shape[1]]


def answers(config: Config, engine: Engine, seed: int, count: int) -> np.ndarray:
    """Return the network's outputs for golden images: float64, (count, classes)."""
    return engine.predict(golden_images(seed, count, config.image_shape)).astype("float64")


def make_golden(config: Config, weights: Path, seed: int = 0, count: int = 2) -> Golden:
    """Return the golden outputs of a file of weights, to be written into the YAML."""
    from modelzoo.training.engine import start_engine
    from modelzoo.training.resolve import Source

    engine = start_engine(Source(config, weights, config.name))
    rows = answers(config, engine, seed, count).round(6)
    # Scores may be hundreds, and rounding moves them by so much more than probabilities.
    tolerance = 1e-4 if np.abs(rows).max() <= 1 else 0.01
    return Golden(seed=seed, outputs=rows.tolist(), tolerance=tolerance)


def check_golden(config: Config, engine: Engine, golden: Golden) -> float:
    """Return the largest difference from the golden outputs; a RunError, if it is too large."""
    wanted = np.asarray(golden.outputs)
    found = answers(config, engine, golden.seed, len(wanted))
    if found.shape != wanted.shape:
        raise RunError(f"{config.name}: answers {found.shape}, golden outputs are {wanted.shape}")
    difference = float(np.abs(found - wanted).max())
    if not difference <= golden.tolerance:
        raise RunError(
            f"{config.name}: answers differ from the golden outputs by {difference:.2g}, "
            f"more than {golden.tolerance:.2g}: this is not the network that was measured"
        )
    return difference


def check_against_published(published: PublishedWeights, result: Evaluation) -> str:
    """Compare a measurement with the published numbers; say which were found equal.

    Raises:
        RunError: a number differs by more than `ACCURACY_TOLERANCE`, or was measured on other data.
    """
    scores, found = published.scores, result.scores
    if (result.data.name, found.split) != (scores.dataset, scores.split):
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

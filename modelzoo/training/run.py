"""What a finished run is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.config import Config

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from modelzoo.data.pipeline import InputPipeline
    from modelzoo.training.evaluation import Scores


@dataclasses.dataclass
class Run:
    """A finished run.

    Attributes:
        folder: where its files are.
        config: the resolved configuration.
        model: the network with the weights of the best validation epoch, compiled for scoring.
        history: a row an epoch.
        metrics: what metrics.json holds.
        is_chief: False in all but the first of several workers, which write no files.
    """

    folder: Path
    config: Config
    model: keras.Model
    history: pd.DataFrame
    metrics: dict[str, Any]
    pipeline: InputPipeline
    scores: Scores
    is_chief: bool = True

    def evaluate(self, split: str = "test") -> dict[str, float]:
        """Return loss and accuracy on a split; the test set was scored once, when the run ended."""
        from modelzoo.training.evaluation import score

        scores = self.scores if split == "test" else score(self.model, self.pipeline, split)
        return {"loss": scores.loss, "accuracy": scores.accuracy}

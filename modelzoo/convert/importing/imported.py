"""What came out of an import, for JSON and for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.config import Config
from modelzoo.support.terminal import on_one_line

if TYPE_CHECKING:
    from modelzoo.training.evaluation import Scores


@dataclass
class Imported:
    """What came out of an import.

    Attributes:
        config: of the network, complete.
        arrays: the weights of its network, in order.
        equals: the packaged network that computes the same with these weights, "" if none does.
        rewritten: what was converted.
        layout, version: of the file.
        assumptions: what the file does not say, and why it was chosen so.
        tried: the ways that were tried on most validation images: label, accuracy, loss, images.
        ways: how many were tried in all.
        scaling, geometry: how pixels reach the network, in words; "" if not tried.
        dataset: that was used, "" if none.
        scores: on its test images, if a data set was named.
        warning: what is wrong with them, "" if nothing.
        yaml, weights: the files.
    """

    config: Config
    arrays: list[np.ndarray]
    equals: str = ""
    rewritten: list[str] = field(default_factory=list)
    layout: str = ""
    version: str = ""
    assumptions: list[str] = field(default_factory=list)
    tried: list[dict[str, Any]] = field(default_factory=list)
    ways: int = 0
    scaling: str = ""
    geometry: str = ""
    dataset: str = ""
    note: str = ""
    scores: Scores | None = None
    warning: str = ""
    yaml: Path = Path()
    weights: Path = Path()

    def summary(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        scores = self.scores
        return {
            "name": self.config.name,
            "config": str(self.yaml),
            "weights": str(self.weights),
            "layout": self.layout,
            "keras_version": self.version or None,
            "builder": self.config.model.builder,
            "equals": self.equals or None,
            "parameters": self.config.about.parameters,
            "input_shape": self.config.model.input_shape,
            "dataset": self.dataset or None,
            "scaling": self.scaling or None,
            "geometry": self.geometry or None,
            "preprocessing": self.config.data.preprocessing,
            "accuracy": scores.accuracy if scores else None,
            "loss": scores.loss if scores else None,
            "images": len(scores.labels) if scores else None,
            "note": self.note,
            "warning": self.warning,
            "assumptions": self.assumptions,
            "rewritten": self.rewritten,
            "tried": self.tried,
        }

    def facts(self) -> list[str]:
        """Return what was found, tried, assumed and rewritten, a line each."""
        facts = [f"Equals {self.equals}: the same outputs with the same weights"] * bool(
            self.equals
        )
        if self.scores:
            count = len(self.scores.labels)
            facts.append(
                f"Test accuracy {self.scores.accuracy:.4f}, loss {self.scores.loss:.4f} on the "
                f"{count:,} test images of {self.dataset}, scored once"
            )
        if self.note:
            facts.append(f"Note: {self.note}")
        if self.tried:
            count = self.tried[0]["images"]
            facts.append(
                f"Tried on {count:,} training images of {self.dataset} set aside; accuracy:"
            )
            facts += [f"  {each['accuracy']:.4f}  {each['label']}" for each in self.tried[:6]]
        facts += [f"Assumed: {each}" for each in self.assumptions]
        return [*facts, *(f"Rewritten: {each}" for each in self.rewritten)]

    def lines(self) -> list[str]:
        """Return the same in words, a line each."""
        version = f", Keras {self.version}" if self.version else ""
        about = self.config.about
        lines = [
            f"{self.config.name}: {self.layout}{version}; {about.parameters:,} parameters, "
            f"{len(self.config.network.layers) if self.config.network else 0} layers",
            *(f"  {fact}" for fact in self.facts()),
            f"configuration: {self.yaml}",
            f"weights: {self.weights}",
        ]
        return [on_one_line(line)[:300] for line in lines]

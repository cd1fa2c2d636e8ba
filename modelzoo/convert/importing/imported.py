"""An import: what the file holds, and what came of it, for JSON and for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.config import Config
from modelzoo.networks import Network
from modelzoo.support.terminal import on_one_line
from modelzoo.weights.reader import Arrays
from modelzoo.weights.stored import Stored

if TYPE_CHECKING:
    from modelzoo.convert.importing.pixels import Pixels
    from modelzoo.training.evaluation import Scores


@dataclass
class Imported:
    """An import.

    Attributes:
        stored: what the file holds.
        config: of the network, complete.
        network: that the file describes; None if it does not.
        arrays: the weights of its network.
        equals: the packaged network that computes the same with these weights, "" if none does.
        rewritten: what was converted.
        assumptions: what the file does not say, and why it was chosen so.
        tried: the ways that were tried on most validation images: label, accuracy, loss, images.
        pixels: how they reach the network best; None if not tried.
        dataset: that was used, "" if none.
        scores: on its test images, if a data set was named.
        warning: what is wrong with them, "" if nothing.
        yaml, weights: the files.
    """

    stored: Stored
    config: Config = field(init=False)
    network: Network | None = None
    arrays: Arrays = field(default_factory=list)
    equals: str = ""
    rewritten: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    tried: list[dict[str, Any]] = field(default_factory=list)
    pixels: Pixels | None = None
    dataset: str = ""
    note: str = ""
    scores: Scores | None = None
    warning: str = ""
    yaml: Path = Path()
    weights: Path = Path()

    def summary(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        scores, pixels = self.scores, self.pixels
        return {
            "name": self.config.name,
            "config": str(self.yaml),
            "weights": str(self.weights),
            "layout": self.stored.layout,
            "keras_version": self.stored.version or None,
            "builder": self.config.model.builder,
            "equals": self.equals or None,
            "parameters": self.config.about.parameters,
            "input_shape": self.config.model.input_shape,
            "dataset": self.dataset or None,
            "scaling": pixels and pixels.name,
            "geometry": pixels and pixels.geometry,
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
        facts = []
        if self.equals:
            facts.append(f"Equals {self.equals}: the same outputs with the same weights")
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

    @property
    def origin(self) -> str:
        """How the file was saved, and by which Keras."""
        version = self.stored.version
        return self.stored.layout + (f", Keras {version}" if version else "")

    def lines(self) -> list[str]:
        """Return the same in words, a line each."""
        layers = self.config.network.layers if self.config.network else ()
        lines = [
            f"{self.config.name}: {self.origin}; {self.config.about.parameters:,} parameters, "
            f"{len(layers)} layers",
            *(f"  {fact}" for fact in self.facts()),
            f"configuration: {self.yaml}",
            f"weights: {self.weights}",
        ]
        return [on_one_line(line)[:300] for line in lines]

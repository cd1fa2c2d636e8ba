"""What an import holds, and how it is told: the file's facts, what was tried, what is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from modelzoo.config import Config
from modelzoo.convert.importing.candidates import Pixels
from modelzoo.data.source import Dataset
from modelzoo.support.terminal import on_one_line
from modelzoo.weights.reader import Arrays
from modelzoo.weights.stored import Stored

if TYPE_CHECKING:
    from modelzoo.training.evaluation import Scores


class Score(NamedTuple):
    """What a candidate reached on how many images."""

    accuracy: float
    loss: float
    images: int


@dataclass
class Imported:
    """An import: what it starts from, what it chooses, what it measures, and what it writes."""

    stored: Stored  # what the file holds
    model: str | Path | None  # what was named for the rest
    overrides: Sequence[str]
    yaml: Path
    weights: Path
    config: Config  # that of `model`, or a LeNet-5's; at last that of the network
    arrays: Arrays = field(default_factory=list)  # of the network
    equals: str | None = None  # the packaged network that computes the same with these weights
    rewritten: list[str] = field(default_factory=list)  # what was converted
    assumptions: list[str] = field(default_factory=list)  # what the file does not say, and why
    data: Dataset | None = None  # that was used
    # The ways to prepare pixels that were left at last, the best first, if any were tried.
    tried: list[tuple[Pixels, Score]] = field(default_factory=list)
    scores: Scores | None = None  # on its test images
    warning: str = ""  # what is wrong with them

    @property
    def origin(self) -> str:
        """How the file was saved, and by which Keras."""
        version = self.stored.version
        return self.stored.layout + (f", Keras {version}" if version else "")

    @property
    def commands(self) -> list[str]:
        """What shows the network, scores it and trains it further."""
        model = f"--model {quote(str(self.yaml))} --weights {quote(str(self.weights))}"
        other = "" if self.data else " --dataset NAME"
        return [
            f"modelzoo info {quote(str(self.yaml))} --layers",
            f"python -m evaluate {model}{other}",
            f"python -m train {model}{other}",
        ]

    def summary(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        scores, data = self.scores, self.data
        pixels = self.tried[0][0] if self.tried else None
        return {
            "name": self.config.name,
            "config": str(self.yaml),
            "weights": str(self.weights),
            "layout": self.stored.layout,
            "keras_version": self.stored.version or None,
            "builder": self.config.model.builder,
            "equals": self.equals,
            "parameters": self.config.about.parameters,
            "input_shape": self.config.model.input_shape,
            "dataset": data and data.name,
            "scaling": pixels and pixels.name,
            "geometry": pixels and pixels.geometry,
            "preprocessing": self.config.data.preprocessing,
            "accuracy": scores and scores.accuracy,
            "top5_accuracy": scores and scores.top_accuracy(5),
            "loss": scores and scores.loss,
            "images": scores and len(scores.labels),
            "note": data.note if data else "",
            "warning": self.warning,
            "assumptions": self.assumptions,
            "rewritten": self.rewritten,
            "commands": self.commands,
            "tried": [
                {"label": str(pixels)} | {k: round(v, 4) for k, v in score._asdict().items()}
                for pixels, score in self.tried
            ],
        }

    def facts(self) -> list[str]:
        """Return what was found, tried, assumed and rewritten, a line each."""
        facts = []
        if self.equals:
            facts.append(f"Equals {self.equals}: the same outputs with the same weights")
        if self.data and self.scores:
            count, name = len(self.scores.labels), self.data.name
            facts.append(
                f"Test accuracy {self.scores.accuracy:.4f}, top-5 {self.scores.top_accuracy(5):.4f}"
                f", loss {self.scores.loss:.4f} on the {count:,} test images of {name}, scored once"
            )
            facts += [f"Note: {self.data.note}"] if self.data.note else []
            if self.tried:
                count = self.tried[0][1].images
                facts.append(f"Tried on {count:,} training images of {name} set aside; accuracy:")
            facts += [f"  {score.accuracy:.4f}  {pixels}" for pixels, score in self.tried[:6]]
        facts += [f"Assumed: {each}" for each in self.assumptions]
        return [*facts, *(f"Rewritten: {each}" for each in self.rewritten)]

    def lines(self) -> list[str]:
        """Return the same in words, a line each."""
        layers = self.config.network.layers if self.config.network else ()
        lines = [
            f"{self.config.name}: {self.origin}; {self.config.about.parameters:,} parameters, "
            f"{len(layers)} layers",
            *(f"  {fact}" for fact in self.facts()),
            f"configuration: {self.yaml}",
            f"weights: {self.weights}",
            *(f"  {command}" for command in self.commands),
        ]
        return [on_one_line(line)[:300] for line in lines]

"""What an import holds: what a file says, and what was chosen, measured and written for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.config import Config
from modelzoo.convert.importing.description import FLAT_BY_PIXEL, read_network
from modelzoo.data.source import Dataset
from modelzoo.networks import Network
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.terminal import on_one_line
from modelzoo.weights.reader import Arrays, arrays_for, in_pixel_order
from modelzoo.weights.stored import Stored

if TYPE_CHECKING:
    from modelzoo.convert.importing.search import Pixels, Score
    from modelzoo.training.evaluation import Scores

# How people name the architecture beside weights: {} is the name of the weights.
ARCHITECTURE_NAMES = ("{}", "{}_architecture", "model", "model_architecture", "architecture")
MAX_ARCHITECTURE_BYTES = 4_000_000
TURNED = "kernels: from (outputs, inputs, height, width) to (height, width, inputs, outputs)"
TURNED_AROUND = "saved with Theano: the kernels of the convolutions are turned around"


@dataclass
class Imported:
    """An import: what it starts from, what it chooses, what it measures, and what it writes."""

    stored: Stored  # what the file holds
    yaml: Path
    weights: Path
    config: Config  # what was named for the rest, or a LeNet-5's; at last that of the network
    network: Network | None = None  # that the file describes
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
            "loss": scores and scores.loss,
            "images": scores and len(scores.labels),
            "note": data.note if data else "",
            "warning": self.warning,
            "assumptions": self.assumptions,
            "rewritten": self.rewritten,
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
                f"Test accuracy {self.scores.accuracy:.4f}, loss {self.scores.loss:.4f} on the "
                f"{count:,} test images of {name}, scored once"
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
        ]
        return [on_one_line(line)[:300] for line in lines]

    def read(self, *, beside: bool, notify: Callable[[str], None]) -> None:
        """Take the network that the file describes, or an architecture `beside` the file."""
        stored = self.stored
        if not stored.layers:
            raise InputError(f"{stored.path}: holds no weights")
        if stored.is_torch:
            self.rewritten += [TURNED, FLAT_BY_PIXEL]
        elif stored.backend == "theano":
            self.rewritten.append(TURNED_AROUND)
        if stored.config is not None:
            self._describe(stored.config)
        elif beside and not stored.is_torch:
            self._describe_beside(notify)

    def _describe(self, text: str | bytes) -> None:
        """Set the network that a description in JSON gives, and the arrays of its layers."""
        stored = self.stored
        try:
            network, others, notes = read_network(text, stored)
        except RecursionError:
            problem = "model_config: is nested deep; no network is"
            raise InputError(f"{stored.path}: {problem}") from None
        except InputError as error:
            raise InputError(f"{stored.path}: {error}") from None
        arrays = arrays_for(network, replace(stored, layers=others))
        self.arrays = in_pixel_order(network, arrays) if FLAT_BY_PIXEL in notes else arrays
        self.network = network
        self.rewritten += notes

    def _describe_beside(self, notify: Callable[[str], None]) -> None:
        """Take the first architecture beside a file that fits it, if any does."""
        path = self.stored.path
        stem = re.sub(r"(\.weights)?\.\w+\Z", "", path.name)
        name = re.sub(r"(?i)[._-]?weights?([._-]?only)?\Z", "", stem)
        names = [f"{stem}.json", *(f"{each.format(name)}.json" for each in ARCHITECTURE_NAMES)]
        for beside in (path.with_name(each) for each in dict.fromkeys(names)):
            if not beside.is_file():
                continue
            try:
                if beside.stat().st_size > MAX_ARCHITECTURE_BYTES:
                    raise InputError(f"is larger than {MAX_ARCHITECTURE_BYTES:,} bytes")
                self._describe(beside.read_bytes())
            except (InputError, OSError) as error:
                reason = reason_of(error)
                notify(f"{beside}: is not used as the architecture of {path.name}: {reason}")
            else:
                self.assumptions.append(f"the network as {beside} describes it")
                return

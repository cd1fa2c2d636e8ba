"""An import: what a foreign file holds, the network that it describes, and what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.config import Config, list_models, load_config
from modelzoo.convert.importing.description import FLAT_BY_PIXEL, read_network
from modelzoo.networks import Network
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.terminal import on_one_line
from modelzoo.weights.reader import Arrays, arrays_for, in_pixel_order
from modelzoo.weights.stored import Stored, read_stored

if TYPE_CHECKING:
    from modelzoo.convert.importing.pixels import Pixels
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
    config: Config = field(init=False)  # of the network, complete
    network: Network | None = None  # that the file describes
    arrays: Arrays = field(default_factory=list)  # of the network
    equals: str = ""  # the packaged network that computes the same with these weights
    rewritten: list[str] = field(default_factory=list)  # what was converted
    assumptions: list[str] = field(default_factory=list)  # what the file does not say, and why
    # The ways to prepare pixels that were left at last: label, accuracy, loss, images.
    tried: list[dict[str, Any]] = field(default_factory=list)
    pixels: Pixels | None = None  # the best of them
    dataset: str = ""  # that was used
    note: str = ""  # of the data set
    scores: Scores | None = None  # on its test images
    warning: str = ""  # what is wrong with them
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


def look_at(path: Path, *, beside: bool, notify: Callable[[str], None]) -> Imported:
    """Return what a `.h5` or `.pth` file holds, or raise an InputError.

    With `beside`, an architecture is looked for beside a file that holds weights only.
    """
    found = Imported(read_stored(path))
    if not found.stored.layers:
        raise InputError(f"{path}: holds no weights")
    if found.stored.is_torch:
        found.rewritten += [TURNED, FLAT_BY_PIXEL]
    elif found.stored.backend == "theano":
        found.rewritten.append(TURNED_AROUND)
    if found.stored.config is not None:
        _describe(found, found.stored.config)
    elif beside and not found.stored.is_torch:
        _describe_beside(found, notify)
    return found


def packaged_network(stored: Stored) -> str | None:
    """Return the packaged network that has a state dict's maps and publishes one of its form."""
    kernels = [array for layer in stored.layers for array in layer.arrays if array.ndim == 4]
    for name in list_models() if stored.is_torch else ():
        config = load_config(name)
        published = any(entry.format == "torch" for entry in config.weights)
        if published and list(config.model.conv_maps) == [each.shape[-1] for each in kernels]:
            return name
    return None


def _describe(found: Imported, text: str) -> None:
    """Set the network that a description in JSON gives, and the arrays of its layers."""
    stored = found.stored
    try:
        network, others, notes = read_network(text, stored)
    except RecursionError:
        raise InputError(f"{stored.path}: model_config: is nested deep; no network is") from None
    except InputError as error:
        raise InputError(f"{stored.path}: {error}") from None
    arrays = arrays_for(network, replace(stored, layers=others))
    found.arrays = in_pixel_order(network, arrays) if FLAT_BY_PIXEL in notes else arrays
    found.network = network
    found.rewritten += notes


def _describe_beside(found: Imported, notify: Callable[[str], None]) -> None:
    """Take the first architecture beside a file that fits it, if any does."""
    path = found.stored.path
    stem = re.sub(r"(\.weights)?\.\w+\Z", "", path.name)
    name = re.sub(r"(?i)[._-]?weights?([._-]?only)?\Z", "", stem)
    names = [f"{stem}.json", *(f"{each.format(name)}.json" for each in ARCHITECTURE_NAMES)]
    for beside in (path.with_name(each) for each in dict.fromkeys(names)):
        if beside.is_file():
            try:
                _describe(found, _architecture(beside))
            except InputError as error:
                reason = reason_of(error)
                notify(f"{beside}: is not used as the architecture of {path.name}: {reason}")
            else:
                found.assumptions.append(f"the network as {beside} describes it")
                return


def _architecture(path: Path) -> str:
    """Return the JSON text of `model.to_json()`, also if it was written as JSON once more."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_ARCHITECTURE_BYTES + 1)
        if text.lstrip().startswith('"'):
            text = str(json.loads(text))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError("is not JSON") from None
    if len(text) > MAX_ARCHITECTURE_BYTES:
        raise InputError(f"is larger than {MAX_ARCHITECTURE_BYTES:,} bytes")
    return text

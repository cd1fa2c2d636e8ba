"""`modelzoo import`: a foreign file becomes a configuration and weights that run again."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.config import Config
from modelzoo.convert.importing.candidates import packaged_network
from modelzoo.convert.importing.description import FLAT_BY_PIXEL, read_network
from modelzoo.data.datasets import check_dataset_name
from modelzoo.data.source import Dataset
from modelzoo.networks import Network
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.files import sha256_of, write_text
from modelzoo.support.terminal import on_one_line
from modelzoo.support.version import __version__
from modelzoo.training.resolve import configure
from modelzoo.weights.hdf5 import check_signature
from modelzoo.weights.reader import Arrays, arrays_for, in_pixel_order
from modelzoo.weights.stored import Stored, read_stored

if TYPE_CHECKING:
    from modelzoo.convert.importing.search import Pixels, Score
    from modelzoo.training.evaluation import Scores

HEAD = "# Imported from "  # how a YAML of ours begins, which the next import may replace


def import_file(
    path: Path,
    *,
    out: Path = Path(),
    dataset: str | None = None,
    model: str | Path | None = None,
    overrides: Sequence[str] = (),
    notify: Callable[[str], None] = print,
) -> Imported:
    """Turn a foreign file into DIR/NAME.yaml and DIR/NAME.weights.h5.

    Args:
        path: a whole model or weights of Keras 2.0 to 3.x (`.h5`), or a state dict of PyTorch
            (`.pth`).
        out: the folder, made if it is missing.
        dataset: on whose validation images everything is tried that the file does not say, and on
            whose test images the outcome is scored, once.
        model: NAME, NAME/WEIGHTS, a YAML or the folder of a run: its configuration stands for what
            the file does not say.
        overrides: "SECTION.KEY=VALUE"; they win.
        notify: called with each notice.

    Raises:
        InputError: the file, the data set or the configuration cannot be used.
    """
    check_signature(path)
    stem = re.sub(r"(\.weights)?\.(h5|pth?)\Z", "", path.name)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._") or "imported"
    yaml, weights = out / f"{name}.yaml", out / f"{name}.weights.h5"
    _check_targets(path, yaml, weights)
    if dataset is not None:
        check_dataset_name(dataset)
    # What is wrong with the file is refused here, before a framework takes its seconds.
    stored = read_stored(path)
    model = model or packaged_network(stored)
    known = None if model is None else dataset
    config, _ = configure(model or "lenet5", dataset=known, overrides=overrides)
    found = Imported(stored, yaml, weights, config)
    found.read(beside=model is None, notify=notify)
    from modelzoo.training.device import start_framework

    device = start_framework(config.trainer.backend, "auto")
    with device.scope():
        from modelzoo.convert.importing.fitting import fit_file, score_once

        fit_file(found, model, dataset, overrides, notify)
        _write(found)
        if found.data is not None:
            score_once(found, found.data, notify)
            _write_yaml(found)
    return found


def _check_targets(path: Path, yaml: Path, weights: Path) -> None:
    """Refuse to replace what an import did not write."""
    if weights.exists() and weights.samefile(path):
        raise InputError(f"{path}: would be replaced by its own import; give another --out")
    ours = yaml.is_file() and yaml.read_bytes()[: len(HEAD)] == HEAD.encode()
    for target in (yaml, weights):
        if target.exists() and not ours:
            raise InputError(f"{target}: already exists; move it away, or give another --out")


def _write(found: Imported) -> None:
    from modelzoo.training.prepare import build_network
    from modelzoo.weights.reader import fill, save_weights

    network = build_network(found.config)
    fill(network, found.arrays)
    about = {
        "title": f"Imported from {on_one_line(found.stored.path.name)[:300]}",
        "year": None,
        "parameters": network.count_params(),
        "source": "",
    }
    found.config = found.config.with_values({"about": about}, "the import", asked=False)
    save_weights(network, found.weights)
    _write_yaml(found)


def _write_yaml(found: Imported) -> None:
    source = found.stored.path
    texts = [
        f"Imported from {source.name} ({found.origin}) by modelzoo {__version__}",
        f"SHA-256 of that file: {sha256_of(source)}",
        f"python -m evaluate --model {found.yaml} --weights {found.weights}",
        *([f"Warning: {found.warning}"] if found.warning else []),
        *found.facts(),
    ]
    lines: list[str] = []
    for text in (on_one_line(each)[:300] for each in texts):
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        lines += textwrap.wrap(text, 98, subsequent_indent=indent, break_on_hyphens=False)
    write_text(found.yaml, "".join(f"# {line}\n" for line in lines) + found.config.to_yaml())


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

"""Publish the run that is best on validation images: its weights' file and entry, and all results.

python scripts/publish_weights.py runs/RUN [runs/RUN...] alexnet/cifar10 --max-bytes 8000000

scripts/reproduce.py does this for the runs that it trains. What cards and tables say then:
python scripts/update_docs.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import yaml

import modelzoo
from compress_weights import compress
from kept_results import Result, add, best_of, results
from modelzoo.cli.printing import print_notice
from modelzoo.config import find_config, list_models, load_config
from modelzoo.config.published import NAME, PublishedWeights, Scores
from modelzoo.support.errors import InputError, RunError
from modelzoo.support.files import ordinary, write_bytes, write_text
from modelzoo.support.terminal import say

if TYPE_CHECKING:
    import keras

SHIPPED = Path(modelzoo.__file__).parent / "weights" / "files"


def publish(
    run: Path,
    model: str,
    name: str,
    *,
    max_bytes: int | None = None,
    folder: Path = SHIPPED,
    notify: Callable[[str], None] = print,
) -> PublishedWeights:
    """Write the best weights of a run as weights of a packaged network.

    The run's recipe may scale pixels in another way than the network's configuration: the
    difference is folded into the first convolution, so that a network has one kind of input.

    Args:
        run: folder of a finished run; its data set is the one that the scores are for.
        model: a packaged name; its network must be the run's.
        name: what `--weights` will take.
        max_bytes: compress to this size, see compress_weights.py.
        folder: where shipped files lie.
        notify: called with what is being done.

    Returns:
        The entry for the `weights:` list of the network's YAML. Its scores are measured with the
        file that was written, on the test set.

    Raises:
        InputError: the run is not finished, or its network is another one.
        RunError: `max_bytes` cannot be kept.
    """
    if model not in list_models() or not re.fullmatch(NAME, name):
        raise InputError(f"{model}/{name}: should be NETWORK/NAME, of a packaged network")
    try:
        metrics = json.loads(ordinary(run / "metrics.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{run}: is no finished run: {error}") from None
    trained, target = load_config(run), load_config(model, dataset=metrics["dataset"])
    same = ("input_shape", "num_classes")
    if any(getattr(trained.model, key) != getattr(target.model, key) for key in same):
        raise InputError(f"{run}: its network takes or tells apart other things than {model}")
    from modelzoo.api import evaluate
    from modelzoo.training.device import start_framework
    from modelzoo.training.engine import make_golden
    from modelzoo.training.prepare import build_network
    from modelzoo.weights.reader import load_weights

    start_framework(target.trainer.backend, "cpu")
    network = build_network(target)
    load_weights(network, run / "best.weights.h5")
    fold_scaling(network, trained.data.preprocessing, target.data.preprocessing)
    how = ""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "whole.weights.h5"
        network.save_weights(file)
        if max_bytes is not None:
            small = Path(temporary) / "small.weights.h5"
            done = compress(target, file, small, max_bytes=max_bytes, notify=notify)
            file, how = small, done.summary()
        scores = evaluate(target, file, device="cpu", notify=notify).scores
        golden = make_golden(target, file)
        content = file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    entry = PublishedWeights(
        name=name,
        sources=["package"],
        sha256=sha256,
        bytes=len(content),
        parameters=network.count_params(),
        scores=Scores(
            dataset=metrics["dataset"],
            accuracy=round(scores.accuracy, 4),
            loss=round(scores.loss, 5),
        ),
        recipe=Result(trained.name, run, metrics).recipe,
        licence="Apache-2.0",
        golden=golden,
        note=how,
    )
    write_bytes(folder / entry.file_of(model).file, content)
    return entry


def entry_text(entry: PublishedWeights) -> str:
    """Return an entry as it stands in a YAML."""
    values = msgspec.to_builtins(entry)
    values["scores"] = {key: value for key, value in values["scores"].items() if value is not None}
    usual = (None, "", False, "keras")
    kept = {key: value for key, value in values.items() if value not in usual}
    text: str = yaml.safe_dump([kept], sort_keys=False, width=1000, default_flow_style=None)
    return text


def fold_scaling(network: keras.Model, trained: Sequence[Any], wanted: Sequence[Any]) -> None:
    """Make a network that was trained on pixels scaled one way take pixels scaled another way.

    Args:
        network: changed in place; its first layer with weights should be a convolution.
        trained: `data.preprocessing` that it was trained with, a chain of Rescaling.
        wanted: the one that it should work with, too.

    Raises:
        InputError: they differ in more than a scaling, or the padding of the first convolution
            would have to change with the offset.
    """
    if list(trained) == list(wanted):
        return
    (scale, offset), (new_scale, new_offset) = _affine(trained), _affine(wanted)
    factor = scale / new_scale
    shift = offset - factor * new_offset
    first = next(layer for layer in network.layers if layer.weights)
    if getattr(first, "padding", "") != "valid" and shift:
        raise InputError(
            f"{first.name}: pads with zeros, which would be another grey after the change from "
            f"{list(trained)} to {list(wanted)}"
        )
    kernel, bias = (np.asarray(weight, "float64") for weight in first.weights)
    inputs = tuple(range(kernel.ndim - 1))
    first.set_weights([kernel * factor, bias + shift * kernel.sum(axis=inputs)])


def _affine(preprocessing: Sequence[Any]) -> tuple[float, float]:
    """Return the scale and offset of a chain of Rescaling layers."""
    scale, offset = 1.0, 0.0
    for spec in preprocessing:
        name = spec["class_name"] if isinstance(spec, dict) else spec
        values = (spec.get("config") or {}) if isinstance(spec, dict) else {}
        numbers = [values.get("scale", 1.0), values.get("offset", 0.0)]
        if name != "Rescaling" or not all(isinstance(number, int | float) for number in numbers):
            raise InputError(f"data.preprocessing: {spec!r} cannot be folded into a convolution")
        scale, offset = scale * numbers[0], offset * numbers[0] + numbers[1]
    return scale, offset


def put_entry(model: str, entry: PublishedWeights) -> None:
    """Write an entry into the YAML of a packaged network; the file of one in its place goes."""
    path, before = find_config(model), load_config(model).weights
    text = with_entry(path.read_text("utf-8"), [each.name for each in before], entry)
    others = [each for each in before if each.name != entry.name]
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        draft.write_text(text, "utf-8")
        if [each for each in load_config(draft).weights if each not in others] != [entry]:
            raise RunError(f"{path}: put this into its weights by hand:\n{entry_text(entry)}")
    write_text(path, text)
    for old in before:
        if old.name == entry.name and old.sha256 != entry.sha256:
            (SHIPPED / old.file_of(model).file).unlink(missing_ok=True)


def with_entry(text: str, names: Sequence[str], entry: PublishedWeights) -> str:
    """Return a YAML, whose last section has weights of these names, with this entry, too."""
    block = textwrap.indent(entry_text(entry), "  ")
    if not names:
        return f"{text.rstrip()}\n\nweights:\n{block}"
    head, *parts = re.split(r"^(?=  - name: )", text, flags=re.MULTILINE)
    if entry.name in names:
        parts[names.index(entry.name)] = block
    else:
        parts = [*parts, block]
    return head + "".join(parts)


def main() -> int:
    """Publish one run; return the exit code: 0, 1 (limits not kept), 2 (bad input)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("weights", help="NETWORK/NAME, such as alexnet/cifar10")
    parser.add_argument("--max-bytes", type=int, help="compress to this size")
    options = parser.parse_args()
    model, _, name = options.weights.partition("/")
    try:
        runs = {add(run): run for run in options.runs}
        best = best_of([each for each in results() if each.folder in runs])
        entry = publish(
            runs[best.folder], model, name, max_bytes=options.max_bytes, notify=print_notice
        )
        put_entry(model, entry)
    except (InputError, RunError) as error:
        say(error, file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(entry_text(entry), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A `.h5` file of Keras, and the architecture that may lie beside one that holds weights only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from modelzoo.errors import InputError
from modelzoo.importing.description import read_description
from modelzoo.importing.foreign import Foreign, check_chain
from modelzoo.importing.recognise import EPSILON, Plan, recognise
from modelzoo.importing.steps import Step, make_steps
from modelzoo.weights.hdf5 import CheckedFile, open_checked
from modelzoo.weights.layouts import Stored, find_layers, read_array

# How people name the architecture beside weights: {} is the name of the weights.
ARCHITECTURE_NAMES = ("{}", "{}_architecture", "model", "model_architecture", "architecture")
MAX_ARCHITECTURE_BYTES = 4_000_000


def look_at_keras(path: Path, *, beside: bool, notify: Callable[[str], None]) -> Foreign:
    """Return what a `.h5` file says.

    Args:
        path: of the file.
        beside: whether to look for an architecture beside a file that holds weights only.
        notify: called with each notice.

    Raises:
        InputError: the file cannot be read.
    """
    with open_checked(path) as checked:
        stored = find_layers(checked)
        if not stored.layers:
            raise InputError(f"{path}: holds no weights")
        plan, described_by = None, None
        if stored.config is not None:
            plan = _described(stored.config, path, checked, stored)
        elif beside:
            plan, described_by = _described_beside(checked, stored, notify)

    def skeleton() -> list[Step]:
        with open_checked(path) as again:
            return _skeleton(again, stored)

    return Foreign(
        path, stored.layout, skeleton, stored.version, stored.layer_names, plan, described_by
    )


def _described(text: str, source: Path, checked: CheckedFile, stored: Stored) -> Plan:
    """Return the plan of a network from its description as JSON, in the file or beside it."""
    layers, shape = read_description(text, source)
    notes: list[str] = []
    steps, picture = make_steps(layers, shape, checked, stored, notes)
    plan = recognise(steps, picture, checked.path)
    plan.notes[:0] = notes
    if stored.backend == "theano":
        plan.notes.append("saved with Theano: the kernels of the convolutions are turned around")
    return plan


def _described_beside(
    checked: CheckedFile, stored: Stored, notify: Callable[[str], None]
) -> tuple[Plan | None, Path | None]:
    """Return the plan by the first architecture beside the weights that fits them, and its path."""
    path = checked.path
    stem = re.sub(r"(\.weights)?\.\w+\Z", "", path.name)
    name = re.sub(r"(?i)[._-]?weights?([._-]?only)?\Z", "", stem)
    names = [f"{stem}.json", *(f"{each.format(name)}.json" for each in ARCHITECTURE_NAMES)]
    for beside in (path.with_name(each) for each in dict.fromkeys(names)):
        if beside.is_file():
            try:
                return _described(_architecture(beside), beside, checked, stored), beside
            except InputError as error:
                reason = str(error).splitlines()[0]
                notify(f"{beside}: is not used as the architecture of {path.name}: {reason}")
    return None, None


def _architecture(path: Path) -> str:
    """Return the JSON text of `model.to_json()`, also if it was written as JSON once more."""
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= MAX_ARCHITECTURE_BYTES else ""
        if text.lstrip().startswith('"'):
            text = str(json.loads(text))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError("is not JSON") from None
    if size > MAX_ARCHITECTURE_BYTES:
        raise InputError(f"is larger than {MAX_ARCHITECTURE_BYTES:,} bytes")
    return text


def _skeleton(checked: CheckedFile, stored: Stored) -> list[Step]:
    """Return the weighted layers as steps, their activations still to be found.

    Raises:
        InputError: arrays that are no convolution, dense layer or batch normalisation.
    """
    steps: list[Step] = []
    for layer in stored.layers:
        ranks = [len(shape) for shape in layer.shapes]
        name = layer.name or layer.key
        arrays = [read_array(checked, stored, facts).astype("float32") for facts in layer.arrays]
        if ranks in ([4, 1], [4], [2, 1], [2]):
            kernel = arrays[0]
            bias = arrays[1] if len(arrays) == 2 else np.zeros(kernel.shape[-1], "float32")
            if bias.shape != kernel.shape[-1:]:
                raise checked.refuse(name, f"has arrays of {layer.shapes}, which fit no layer")
            steps.append(Step("conv" if ranks[0] == 4 else "dense", name, {}, [kernel, bias]))
        elif ranks == [1, 1, 1, 1] and stored.in_order and len(set(layer.shapes)) == 1:
            steps.append(Step("norm", name, {"epsilon": EPSILON}, arrays))
        else:
            raise checked.refuse(
                name, f"has arrays of {str(layer.shapes)[:100]}, which tell no layer of ours"
            )
    check_chain(steps, checked.path)
    return steps

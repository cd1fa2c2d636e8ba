"""A `.h5` file of Keras, and the architecture that may lie beside one that holds weights only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from modelzoo.convert.importing.description import (
    ONLY_FOR_TRAINING,
    Described,
    is_channels_first,
    read_chain,
)
from modelzoo.convert.importing.foreign import (
    FLAT_BY_PIXEL,
    Foreign,
    Weighted,
    in_pixel_order,
    kind_of,
)
from modelzoo.convert.importing.keras_layers import keras_layers, named
from modelzoo.networks import Network
from modelzoo.networks.kinds import Flatten
from modelzoo.networks.layer import Layer
from modelzoo.support.errors import InputError
from modelzoo.weights.hdf5 import open_checked
from modelzoo.weights.layouts import find_layers, read_array

# How people name the architecture beside weights: {} is the name of the weights.
ARCHITECTURE_NAMES = ("{}", "{}_architecture", "model", "model_architecture", "architecture")
MAX_ARCHITECTURE_BYTES = 4_000_000
TURNED = "saved with Theano: the kernels of the convolutions are turned around"


def look_at_keras(path: Path, *, beside: bool, notify: Callable[[str], None]) -> Foreign:
    """Return what a `.h5` file holds.

    Args:
        path: of the file.
        beside: whether to look for an architecture beside a file that holds weights only.
        notify: called with each notice.

    Raises:
        InputError: the file cannot be read.
    """
    with open_checked(path) as checked:
        stored = find_layers(checked)
        weighted: list[Weighted] = []
        for layer in stored.layers:
            kind = kind_of(layer.shapes)
            if kind == "BatchNormalization" and not stored.in_order:
                kind = ""  # after which layer it comes is lost
            arrays = [read_array(checked, stored, each) for each in layer.arrays]
            arrays = [array.astype("float32", copy=False) for array in arrays]
            weighted.append(Weighted(kind, layer.name or layer.key, arrays))
    if not weighted:
        raise InputError(f"{path}: holds no weights")
    notes = [TURNED] * (stored.backend == "theano")
    foreign = Foreign(
        path, stored.layout, weighted, stored.version, stored.layer_names, notes=notes
    )
    if stored.config is not None:
        return _described(foreign, stored.config, path)
    return _described_beside(foreign, notify) if beside else foreign


def _described(foreign: Foreign, text: str, source: Path) -> Foreign:
    """Return a file with its network, from a description as JSON in `source`."""
    shape, chain = read_chain(text, source)
    first, notes = is_channels_first(chain), list(foreign.notes)
    layers: list[tuple[str, Layer]] = []
    flat, by_channel = False, False
    try:
        found = _stored_for(chain, foreign.weighted)
        for number, layer in enumerate(chain):
            if layer.kind in ONLY_FOR_TRAINING:
                notes.append(f"{layer.kind} ({layer.name}) is left out: it acts in training only")
                continue
            if layer.kind == "Normalization" and number in found:
                layer = _with_moments(layer, found.pop(number).arrays)
            if layer.kind == "Reshape" and len(layer.config.get("target_shape") or ()) == 1:
                layer = replace(layer, kind="Flatten")
            elif layer.kind == "Reshape":
                raise layer.refusal("Reshape is read only before the first layer, or to one row")
            made = keras_layers(layer, foreign.version, flat=flat, first=first)
            layers += [(layer.name, made[0]), *(("", each) for each in made[1:])] if made else []
            if layer.kind == "Flatten" and first and not flat:
                by_channel = layer.config.get("data_format") != "channels_first"
            flat = flat or layer.kind in ("Flatten", "GlobalAveragePooling2D")
        network = Network("imported", shape, named(layers))
        outputs = (shape, *network.shapes)[-1]
        if outputs[:-1] == (1, 1):
            notes.append("Flatten is added at the end: the file's network ends with 1x1 maps")
            network = Network("imported", shape, named([*layers, ("", Flatten())]))
        elif len(outputs) != 1:
            raise InputError(f"ends with maps of {outputs}, not with an output for each class")
        arrays = _arrays_of(network, list(found.values()))
    except InputError as error:
        raise InputError(f"{foreign.path}: {error}") from None
    if by_channel:
        arrays = in_pixel_order(network, arrays)
        notes.append(FLAT_BY_PIXEL)
    described_by = None if source == foreign.path else source
    return replace(foreign, network=network, arrays=arrays, notes=notes, described_by=described_by)


def _stored_for(chain: list[Described], stored: Sequence[Weighted]) -> dict[int, Weighted]:
    """Return the stored arrays by the place of their layer: by name where the names agree."""
    weighted = {
        number: layer.name
        for number, layer in enumerate(chain)
        if layer.kind in ("Conv2D", "Dense", "BatchNormalization")
        or (layer.kind == "Normalization" and layer.config.get("mean") is None)
    }
    if len(weighted) != len(stored):
        raise InputError(
            f"describes {len(weighted)} layers with weights, but holds arrays of "
            f"{len(stored)}; such a file cannot be trusted"
        )
    by_name = {each.name: each for each in stored}
    if set(weighted.values()) == set(by_name) and len(by_name) == len(weighted):
        return {number: by_name[name] for number, name in weighted.items()}
    return dict(zip(weighted, stored, strict=True))


def _with_moments(layer: Described, arrays: list[np.ndarray]) -> Described:
    """Return a Normalization with the mean and the variance that it has learnt."""
    if len(arrays) not in (2, 3) or any(array.size > 4 for array in arrays):
        raise layer.refusal("does not hold a mean and a variance for each colour")
    moments = {"mean": arrays[0].ravel().tolist(), "variance": arrays[1].ravel().tolist()}
    return replace(layer, config={**layer.config, **moments})


def _arrays_of(network: Network, found: Sequence[Weighted]) -> list[np.ndarray]:
    """Return the weights of a described network in its order, all of its shapes."""
    arrays: list[np.ndarray] = []
    weighted = [(layer, layer.weights(inputs)) for layer, inputs in network.with_inputs]
    for (layer, weights), each in zip([pair for pair in weighted if pair[1]], found, strict=True):
        shapes = [array.shape for array in each.arrays]
        if shapes != list(weights.values()):
            raise InputError(
                "does not hold the weights that it describes:\n"
                f"  layer {layer.name!r:.60} takes {list(weights.values())}, {each.name!r:.60} "
                f"holds {str(shapes)[:200]}"
            )
        arrays += each.arrays
        if "moving_variance" in weights and (arrays[-1] < 0).any():
            raise InputError(f"layer {layer.name!r:.80}: holds a variance below 0")
    return arrays


def _described_beside(foreign: Foreign, notify: Callable[[str], None]) -> Foreign:
    """Return a file with the network of the first architecture beside it that fits, if any."""
    path = foreign.path
    stem = re.sub(r"(\.weights)?\.\w+\Z", "", path.name)
    name = re.sub(r"(?i)[._-]?weights?([._-]?only)?\Z", "", stem)
    names = [f"{stem}.json", *(f"{each.format(name)}.json" for each in ARCHITECTURE_NAMES)]
    for beside in (path.with_name(each) for each in dict.fromkeys(names)):
        if beside.is_file():
            try:
                return _described(foreign, _architecture(beside), beside)
            except InputError as error:
                reason = str(error).splitlines()[0]
                notify(f"{beside}: is not used as the architecture of {path.name}: {reason}")
    return foreign


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

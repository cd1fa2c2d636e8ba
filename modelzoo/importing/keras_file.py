"""A `.h5` file of Keras, and the architecture that may lie beside one that holds weights only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from modelzoo.errors import InputError
from modelzoo.importing.description import (
    ONLY_FOR_TRAINING,
    Described,
    is_channels_first,
    read_chain,
)
from modelzoo.importing.foreign import (
    FLAT_BY_PIXEL,
    Foreign,
    Weighted,
    check_chain,
    in_pixel_order,
)
from modelzoo.importing.keras_layers import keras_layers, named
from modelzoo.networks import Network
from modelzoo.networks.kinds import Flatten
from modelzoo.networks.layer import Layer
from modelzoo.weights.hdf5 import CheckedFile, open_checked
from modelzoo.weights.layouts import Stored, StoredLayer, find_layers, read_array

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

    def weighted() -> list[Weighted]:
        with open_checked(path) as again:
            return _weighted(again, stored)

    with open_checked(path) as checked:
        stored = find_layers(checked)
        if not stored.layers:
            raise InputError(f"{path}: holds no weights")
        foreign = Foreign(path, stored.layout, weighted, stored.version, stored.layer_names)
        if stored.config is not None:
            return _described(foreign, stored.config, path, checked, stored)
        return _described_beside(foreign, checked, stored, notify) if beside else foreign


def _described(
    foreign: Foreign, text: str, source: Path, checked: CheckedFile, stored: Stored
) -> Foreign:
    """Return a file with its network, from a description as JSON in `source`."""
    shape, chain = read_chain(text, source)
    first = is_channels_first(chain)
    notes = [TURNED] if stored.backend == "theano" else []
    layers: list[tuple[str, Layer]] = []
    flat, by_channel = False, False
    try:
        found = _stored_for(chain, stored)
        for number, layer in enumerate(chain):
            if layer.kind in ONLY_FOR_TRAINING:
                notes.append(f"{layer.kind} ({layer.name}) is left out: it acts in training only")
                continue
            if layer.kind == "Normalization" and number in found:
                layer = _with_moments(layer, found.pop(number), checked, stored)
            if layer.kind == "Reshape" and len(layer.config.get("target_shape") or ()) == 1:
                layer = replace(layer, kind="Flatten")
            elif layer.kind == "Reshape":
                raise layer.refusal("Reshape is read only before the first layer, or to one row")
            made = keras_layers(layer, stored.version, flat=flat, first=first)
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
        arrays = _arrays_of(network, list(found.values()), checked, stored)
    except InputError as error:
        named_already = str(error).startswith(str(checked.path))
        raise error if named_already else InputError(f"{checked.path}: {error}") from None
    if by_channel:
        arrays = in_pixel_order(network, arrays)
        notes.append(FLAT_BY_PIXEL)
    described_by = None if source == checked.path else source
    return replace(foreign, network=network, arrays=arrays, notes=notes, described_by=described_by)


def _stored_for(chain: list[Described], stored: Stored) -> dict[int, StoredLayer]:
    """Return the stored arrays by the place of their layer: by name where the names agree."""
    weighted = {
        number: layer.name
        for number, layer in enumerate(chain)
        if layer.kind in ("Conv2D", "Dense", "BatchNormalization")
        or (layer.kind == "Normalization" and layer.config.get("mean") is None)
    }
    by_name = {each.name: each for each in stored.layers}
    if len(weighted) != len(stored.layers):
        raise InputError(
            f"describes {len(weighted)} layers with weights, but holds arrays of "
            f"{len(stored.layers)}; such a file cannot be trusted"
        )
    if set(weighted.values()) == set(by_name) and len(by_name) == len(weighted):
        return {number: by_name[name] for number, name in weighted.items()}
    return dict(zip(weighted, stored.layers, strict=True))


def _with_moments(
    layer: Described, found: StoredLayer, checked: CheckedFile, stored: Stored
) -> Described:
    """Return a Normalization with the mean and the variance that it has learnt."""
    if len(found.arrays) not in (2, 3) or any(np.prod(shape) > 4 for shape in found.shapes):
        raise layer.refusal("does not hold a mean and a variance for each colour")
    moments = [read_array(checked, stored, facts).ravel().tolist() for facts in found.arrays[:2]]
    values = dict(zip(("mean", "variance"), moments, strict=True))
    return replace(layer, config={**layer.config, **values})


def _arrays_of(
    network: Network, found: list[StoredLayer], checked: CheckedFile, stored: Stored
) -> list[np.ndarray]:
    """Return the weights of a described network in its order, all of its shapes."""
    arrays: list[np.ndarray] = []
    weighted = [(layer, layer.weights(inputs)) for layer, inputs in network.with_inputs]
    for (layer, weights), each in zip([pair for pair in weighted if pair[1]], found, strict=True):
        if each.shapes != list(weights.values()):
            raise InputError(
                "does not hold the weights that it describes:\n"
                f"  layer {layer.name!r:.60} takes {list(weights.values())}, {each.key!r:.60} "
                f"holds {str(each.shapes)[:200]}"
            )
        arrays += _read(each, checked, stored)
        if "moving_variance" in weights and (arrays[-1] < 0).any():
            raise InputError(f"layer {layer.name!r:.80}: holds a variance below 0")
    return arrays


def _read(layer: StoredLayer, checked: CheckedFile, stored: Stored) -> list[np.ndarray]:
    return [
        read_array(checked, stored, facts).astype("float32", copy=False) for facts in layer.arrays
    ]


def _described_beside(
    foreign: Foreign, checked: CheckedFile, stored: Stored, notify: Callable[[str], None]
) -> Foreign:
    """Return a file with the network of the first architecture beside it that fits, if any."""
    path = checked.path
    stem = re.sub(r"(\.weights)?\.\w+\Z", "", path.name)
    name = re.sub(r"(?i)[._-]?weights?([._-]?only)?\Z", "", stem)
    names = [f"{stem}.json", *(f"{each.format(name)}.json" for each in ARCHITECTURE_NAMES)]
    for beside in (path.with_name(each) for each in dict.fromkeys(names)):
        if beside.is_file():
            try:
                return _described(foreign, _architecture(beside), beside, checked, stored)
            except InputError as error:
                reason = str(error).splitlines()[0]
                notify(f"{beside}: is not used as the architecture of {path.name}: {reason}")
    return foreign


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


def _weighted(checked: CheckedFile, stored: Stored) -> list[Weighted]:
    """Return the layers with weights of a file that does not say which layers they are.

    Raises:
        InputError: arrays that are no convolution, dense layer or batch normalisation.
    """
    layers: list[Weighted] = []
    for layer in stored.layers:
        shapes, name = layer.shapes, layer.name or layer.key
        ranks = [len(shape) for shape in shapes]
        kind = ""
        if ranks in ([4, 1], [4], [2, 1], [2]) and shapes[-1][-1:] == shapes[0][-1:]:
            kind = "Conv2D" if ranks[0] == 4 else "Dense"
        elif ranks == [1, 1, 1, 1] and stored.in_order and len(set(shapes)) == 1:
            kind = "BatchNormalization"
        if not kind:
            raise checked.refuse(name, f"has arrays of {str(shapes)[:100]}, which fit no layer")
        layers.append(Weighted(kind, name, _read(layer, checked, stored)))
    check_chain(layers, checked.path)
    return layers

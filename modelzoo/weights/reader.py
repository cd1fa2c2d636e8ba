"""Load weights into a network: every array is placed and every weight is filled, or nothing is."""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modelzoo.networks import Network
from modelzoo.networks.layer import Shape
from modelzoo.support.errors import InputError
from modelzoo.support.files import replacing
from modelzoo.weights.stored import Stored, StoredLayer, read_stored

if TYPE_CHECKING:
    import keras

Arrays = list[list[np.ndarray]]  # of each layer that has weights, in the network's order


def load_weights(network: keras.Model, path: Path, *, new_head: bool = False) -> int | None:
    """Copy the arrays of a file into a network that our own code has built.

    The network is unchanged unless everything fits. With `new_head`, the last layer with weights
    may have another number of units than in the file: it keeps the weights that it has then, and
    the number in the file is returned.
    """
    arrays = arrays_for(network, read_stored(path), new_head=new_head)
    units = None
    for head in weighted_layers(network)[-1:]:
        if [array.shape for array in arrays[-1]] != _shapes(head):
            units = arrays[-1][-1].shape[-1]
            arrays[-1] = head.get_weights()
    fill(network, arrays)
    return units


def arrays_for(network: Network | keras.Model, stored: Stored, *, new_head: bool = False) -> Arrays:
    """Return the arrays of a file for each layer of a network that has weights.

    Layers are matched by name where the names agree, else by their order; shapes must be equal,
    but for the units of the last layer with `new_head`.
    """
    places = _places_of(network)
    arrays: Arrays = []
    for place, layer in itertools.zip_longest(places, _in_network_order(stored, places)):
        if place and layer:
            # Of a new head, the units may differ: the last dimension of each array.
            end = -1 if new_head and place is places[-1] and all(layer.shapes) else None
            if [each[:end] for each in place.shapes] == [each[:end] for each in layer.shapes]:
                arrays.append(layer.arrays)
                continue
        takes = f"{place.name} takes {_text(place.shapes)}" if place else "there is no place for it"
        holds = "the file has nothing for it"
        if layer:
            holds = f"{layer.label!r:.60} holds {_text(layer.shapes)}"
        parameters = sum(prod(shape) for each in places for shape in each.shapes)
        raise InputError(
            f"{stored.path}: does not hold the weights of {network.name} ({parameters:,} "
            f"parameters, {len(places)} layers with weights; the file has {len(stored.layers)}):\n"
            f"  {takes}; {holds}"
        )
    return in_pixel_order(network, arrays) if stored.is_torch else arrays


def in_pixel_order(network: Network | keras.Model, arrays: Arrays) -> Arrays:
    """Return weights as if maps had been flattened pixel by pixel, not channel by channel."""
    return [
        [_by_pixel(array, place) for array in each]
        for place, each in zip(_places_of(network), arrays, strict=True)
    ]


def fill(network: keras.Model, arrays: Arrays) -> None:
    for layer, each in zip(weighted_layers(network), arrays, strict=True):
        layer.set_weights(each)


def weighted_layers(network: keras.Model) -> list[Any]:
    """Return the layers that have weights, in order, nested networks taken apart."""
    return [layer for layer in _layers(network) if layer.weights]


class _Place(NamedTuple):
    """A layer of a network that takes weights."""

    name: str
    kind: str
    shapes: list[Shape]
    maps: Shape | None  # that were flattened into its inputs, if any were


def _places_of(network: Network | keras.Model) -> list[_Place]:
    facts: list[tuple[str, str, Shape, list[Shape]]] = []
    if isinstance(network, Network):
        for layer, inputs in network.with_inputs:
            facts.append((layer.name, layer.kind, inputs, list(layer.weights(inputs).values())))
    else:
        for built in _layers(network):
            taken = getattr(built, "input", None)  # a layer may have none, or several
            inputs = tuple(getattr(taken, "shape", ()))[1:]
            facts.append((built.name, type(built).__name__, inputs, _shapes(built)))
    places: list[_Place] = []
    maps: Shape | None = None
    for name, kind, inputs, shapes in facts:
        if kind == "Flatten" and len(inputs) == 3:
            maps = inputs
        if shapes:
            places.append(_Place(name, kind, shapes, maps))
        if kind == "Dense":
            maps = None
    return places


def _in_network_order(stored: Stored, places: list[_Place]) -> list[StoredLayer | None]:
    """Return the file's layers in the order of the network's, then those that are left over."""
    by_name = {layer.name: layer for layer in stored.layers}
    names = [place.name for place in places]
    if sorted(by_name) == sorted(names) and len(by_name) == len(stored.layers):
        return [by_name[name] for name in names]
    if not stored.sorted_by_kind:
        return list(stored.layers)
    # Keras 3 saves a layer under its class, numbered from the second on.
    by_key: dict[str, StoredLayer | None] = {layer.key: layer for layer in stored.layers}
    found: list[StoredLayer | None] = []
    counts: Counter[str] = Counter()
    for place in places:
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", place.kind))
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        found.append(by_key.pop(f"{name}_{counts[name]}" if counts[name] else name, None))
        counts[name] += 1
    return [*found, *by_key.values()]


def _by_pixel(array: np.ndarray, place: _Place) -> np.ndarray:
    is_bias = array.ndim == 1 and place.kind == "Dense"  # with a number for each unit
    if is_bias or not place.maps or array.shape[:1] != (prod(place.maps),):
        return array
    height, width, maps = place.maps
    by_channel = array.reshape(maps, height, width, -1)
    return by_channel.transpose(1, 2, 0, 3).reshape(array.shape)


def _layers(network: Any) -> list[Any]:
    layers: list[Any] = []
    for layer in network.layers:
        layers += _layers(layer) if hasattr(layer, "layers") else [layer]
    return layers


def _shapes(layer: Any) -> list[Shape]:
    return [tuple(weight.shape) for weight in layer.weights]


def _text(shapes: Sequence[Shape]) -> str:
    return ", ".join("x".join(map(str, shape)) or "()" for shape in shapes[:6])


PER_VARIABLE = 8_192  # bytes that HDF5 needs for a variable's name and place, at most


def save_weights(network: keras.Model, path: Path) -> None:
    """Write a `.weights.h5` of Keras 3."""
    variables = list(network.variables)
    optimizer = getattr(network, "optimizer", None)
    if optimizer is not None:  # Keras writes its memory too
        variables += optimizer.variables
    sizes = [prod(variable.shape) for variable in variables]
    with replacing(path) as temporary:
        _check_space(temporary, 4 * sum(sizes) + PER_VARIABLE * len(sizes))
        network.save_weights(temporary)


def _check_space(path: Path, size: int) -> None:
    """Raise OSError if the disk has not so much space: h5py would crash when the process ends."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:  # others: the file system cannot say
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise

"""Load weights into a network: every array is placed and every weight is filled, or nothing is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.config.sources import TORCH_SUFFIXES
from modelzoo.support.errors import InputError
from modelzoo.weights.from_torch import read_for
from modelzoo.weights.hdf5 import CheckedFile, open_checked
from modelzoo.weights.layouts import (
    Stored,
    StoredLayer,
    differ_in_units,
    find_layers,
    read_array,
)
from modelzoo.weights.state_dict import open_state_dict

if TYPE_CHECKING:
    import keras


def load_weights(network: keras.Model, path: Path, *, new_head: bool = False) -> int | None:
    """Copy the arrays of a `.h5` or `.pth` file into a network that our own code has built.

    Reads Keras 3 `.weights.h5`, legacy whole models (their description and optimizer state are left
    alone), legacy weights-only files of Keras 2.0 to 3.x, and state dicts of PyTorch (`.pth`).
    Layers are matched by name where the names agree, else by their order; shapes must be equal.
    Nothing in the file is executed or deserialised, and the network is unchanged unless everything
    fits.

    Args:
        network: built, with the shapes that the file should hold.
        path: of the file.
        new_head: the last layer with weights may have another number of units than in the file; it
            keeps the weights that it has, then.

    Returns:
        The units of that layer in the file if they were left there, else None.

    Raises:
        InputError: the file is not what it should be, or does not fit; both sides are shown.
    """
    wanted = weighted_layers(network)
    units = None
    if path.suffix in TORCH_SUFFIXES:
        with open_state_dict(path) as state:
            arrays = read_for(network, wanted, state, new_head=new_head)
        own = wanted[-1].get_weights()
        if new_head and arrays[-1].shape != own[-1].shape:
            units = arrays[-1].shape[-1]
            arrays[-len(own) :] = own
        assign_arrays(network, arrays, str(path))
        return units
    with open_checked(path) as checked:
        stored = find_layers(checked)
        pairs = _paired(checked, network, stored, wanted, new_head=new_head)
        if new_head and pairs[-1][1].shapes != _shapes(wanted[-1]):
            units = pairs.pop()[1].shapes[-1][-1]
        values = [
            (variable, read_array(checked, stored, facts))
            for layer, found in pairs
            for variable, facts in zip(layer.weights, found.arrays, strict=True)
        ]
    for variable, array in values:
        variable.assign(array.astype(str(variable.dtype), copy=False))
    return units


def check_whole(path: Path) -> None:
    """Raise an InputError if a file is cut off, or holds what no file of weights does."""
    with open_state_dict(path) if path.suffix in TORCH_SUFFIXES else open_checked(path):
        pass


def assign_arrays(network: keras.Model, arrays: Sequence[np.ndarray], where: str) -> None:
    """Fill the weights of a network, in its order, or raise an InputError that shows both sides."""
    variables = [v for layer in weighted_layers(network) for v in layer.weights]
    wanted = [tuple(variable.shape) for variable in variables]
    found = [array.shape for array in arrays]
    if wanted != found:
        pairs = list(zip(wanted, found, strict=False))
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
        name = variables[at].path if at < len(variables) else "nothing more"
        raise InputError(
            f"{where}: does not hold the weights of {network.name}:\n"
            f"  {name} {wanted[at] if at < len(wanted) else ''} meets "
            f"{found[at] if at < len(found) else 'nothing'} in the file"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array.astype(str(variable.dtype), copy=False))


def weighted_layers(network: Any) -> list[Any]:
    """Return the layers that have weights, in order, nested networks taken apart."""
    layers: list[Any] = []
    for layer in network.layers:
        if hasattr(layer, "layers"):
            layers += weighted_layers(layer)
        elif layer.weights:
            layers.append(layer)
    return layers


def _paired(
    checked: CheckedFile, network: Any, stored: Stored, wanted: list[Any], *, new_head: bool
) -> list[tuple[Any, StoredLayer]]:
    found = _in_network_order(stored, network, wanted)
    problem = ""
    for layer, match in zip(wanted, found, strict=False):
        shapes = _shapes(layer)
        other_head = new_head and layer is wanted[-1]
        if match is None:
            problem = f"  {layer.name} takes {_text(shapes)}; the file has nothing for it"
        elif match.shapes != shapes and not (other_head and differ_in_units(match.shapes, shapes)):
            name = match.name or match.key
            problem = f"  {layer.name} takes {_text(shapes)}; {name!r:.60} holds"
            problem += f" {_text(match.shapes)}"
        if problem:
            break
    if not problem and len(found) > len(wanted):
        extra = next(layer for layer in found[len(wanted) :] if layer is not None)
        problem = f"  {extra.name or extra.key!r:.60} {_text(extra.shapes)} has no place in it"
    elif not problem and len(found) < len(wanted):
        shapes = _shapes(wanted[len(found)])
        problem = f"  {wanted[len(found)].name} takes {_text(shapes)}; the file has nothing for it"
    if problem:
        raise InputError(
            f"{checked.path}: does not hold the weights of {network.name} "
            f"({network.count_params():,} parameters, {len(wanted)} layers with weights; "
            f"the file has {len(stored.layers)}):\n{problem}"
        )
    return [(a, b) for a, b in zip(wanted, found, strict=True) if b is not None]


def _in_network_order(stored: Stored, network: Any, wanted: list[Any]) -> list[StoredLayer | None]:
    """Return the file's layers in the order of the network's, then those that are left over."""
    by_name = {layer.name: layer for layer in stored.layers}
    names = [layer.name for layer in wanted]
    if set(by_name) == set(names) and len(by_name) == len(names) == len(stored.layers):
        return [by_name[name] for name in names]
    if stored.in_order:
        return list(stored.layers)
    keys = [_keras_key(network, layer) for layer in wanted]
    by_key = {layer.key: layer for layer in stored.layers}
    rest = [layer for layer in stored.layers if layer.key not in keys]
    return [by_key.get(key) for key in keys] + rest


def _keras_key(network: Any, wanted: Any) -> str:
    """Return the name that Keras 3 saves a layer under: its class, numbered from the second on."""
    same = [layer for layer in weighted_layers(network) if type(layer) is type(wanted)]
    number = next(index for index, layer in enumerate(same) if layer is wanted)
    name = re.sub(r"\W+", "", type(wanted).__name__)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
    return f"{name}_{number}" if number else name


def _shapes(layer: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _text(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) or "()" for shape in shapes[:6])

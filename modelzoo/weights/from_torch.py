"""Bring the tensors of a PyTorch network into the order and the layout of the same one in Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelzoo.support.errors import InputError
from modelzoo.weights.layouts import by_pixel, differ_in_units
from modelzoo.weights.state_dict import StateDict

Shape = tuple[int, ...]


def read_for(
    network: Any, layers: list[Any], state: StateDict, *, new_head: bool = False
) -> list[np.ndarray]:
    """Return the arrays of a state dict in the order of a network's weights.

    Modules are matched with layers by their order, and every shape must be equal: a convolution's
    (maps, inputs, height, width) becomes (height, width, inputs, maps), a dense layer's (units,
    inputs) becomes (inputs, units). The inputs of the first dense layer are reordered, since
    PyTorch flattens channel by channel and Keras pixel by pixel.

    Args:
        network: built by us.
        layers: its layers with weights, in order.
        state: the open file.
        new_head: the last layer may have another number of units in the file.

    Raises:
        InputError: a tensor has no place, or a layer no tensor; both sides are shown.
    """
    modules = modules_of(state)
    _check_shapes(network, layers, modules, state, new_head=new_head)
    arrays: list[np.ndarray] = []
    flattened = _flattened_shape(network)
    for module in modules:
        kernel = keras_kernel(state.read(f"{module}.weight"))
        if kernel.ndim == 2 and flattened:
            kernel, flattened = by_pixel(kernel, *flattened), None
        arrays += [kernel, state.read(f"{module}.bias")]
    return arrays


def classes_of(state: StateDict) -> int:
    """Return how many classes a state dict has: the units of its last layer."""
    name, tensor = list(state.tensors.items())[-1]
    if not tensor.shape:
        raise state.refuse(name, "is a single number, not an array of a layer")
    return tensor.shape[0]


def modules_of(state: StateDict) -> dict[str, dict[str, Shape]]:
    """Return {module: {"weight": shape, "bias": shape}}, in the order of the file."""
    modules: dict[str, dict[str, Shape]] = {}
    for name, tensor in state.tensors.items():
        module, _, kind = name.rpartition(".")
        if kind not in ("weight", "bias"):
            raise state.refuse(name, "is neither the weight nor the bias of a layer that we have")
        modules.setdefault(module, {})[kind] = tensor.shape
    return modules


def _check_shapes(
    network: Any,
    layers: list[Any],
    modules: dict[str, dict[str, Shape]],
    state: StateDict,
    *,
    new_head: bool,
) -> None:
    wanted = [(layer.name, [tuple(weight.shape) for weight in layer.weights]) for layer in layers]
    found = [
        (module, [_keras_shape(shapes.get("weight", ())), shapes.get("bias", ())])
        for module, shapes in modules.items()
    ]
    same = [a[1] == b[1] for a, b in zip(wanted, found, strict=False)]
    if new_head and len(wanted) == len(found):
        same[-1] = same[-1] or differ_in_units(wanted[-1][1], found[-1][1])
    if len(wanted) == len(found) and all(same):
        return
    first = same.index(False) if False in same else len(same)
    raise InputError(
        f"{state.path}: does not hold the weights of {network.name} "
        f"({network.count_params():,} parameters, {len(wanted)} layers with weights; "
        f"the file has {len(found)}):\n"
        f"  {_said(wanted, first, 'takes')}; {_said(found, first, 'holds')}, as Keras orders them"
    )


def _said(side: list[tuple[str, list[Shape]]], index: int, verb: str) -> str:
    if index >= len(side):
        return "the network has no place for it" if verb == "takes" else "the file has nothing more"
    name, shapes = side[index]
    return f"{name!r:.60} {verb} {', '.join('x'.join(map(str, s)) or '()' for s in shapes)}"


def _keras_shape(shape: Shape) -> Shape:
    return (*shape[2:], shape[1], shape[0]) if len(shape) in (2, 4) else shape


def keras_kernel(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel in Keras' layout: (height, width, inputs, maps), or (inputs, units)."""
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.transpose()


def _flattened_shape(network: Any) -> tuple[int, int, int] | None:
    """Return the (height, width, channels) that the network makes flat."""
    for layer in network.layers:
        if type(layer).__name__ == "Flatten":
            height, width, channels = layer.input.shape[1:]
            return height, width, channels
    return None

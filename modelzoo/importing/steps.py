"""The layers of a foreign network with their arrays, in one notation whatever Keras wrote them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from modelzoo.errors import InputError
from modelzoo.importing.description import (
    ONLY_FOR_TRAINING,
    Layer,
    activation_layer,
    activation_of,
)
from modelzoo.networks.kinds import slide
from modelzoo.weights.hdf5 import CheckedFile
from modelzoo.weights.layouts import Stored, StoredLayer, by_pixel, read_array

WEIGHTED = ("Conv2D", "Dense", "BatchNormalization", "Normalization")


@dataclass
class Step:
    """One operation on the picture.

    Attributes:
        kind: conv, dense, norm, pool, act, flatten, dropout, pad, rescale, normalize.
        name: of the layer in the file.
        settings: plain values: strides, padding, groups, activation; size, rate; ...
        arrays: conv and dense: kernel, bias; norm: gamma, beta, mean, variance, all float32.
    """

    kind: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    arrays: list[np.ndarray] = field(default_factory=list)


@dataclass
class Flow:
    """The shape that the picture has on its way; channels last, or flat."""

    shape: tuple[int, ...]
    channels_first: bool = False
    unflattened: tuple[int, int, int] | None = None  # rows of the next dense kernel run c, h, w


def make_steps(
    layers: list[Layer],
    shape: list[int] | None,
    checked: CheckedFile,
    stored: Stored,
    notes: list[str],
) -> tuple[list[Step], tuple[int, int, int]]:
    """Return the steps of a described network, and the (height, width, channels) that it takes.

    Raises:
        InputError: a setting that is not known, or arrays that do not fit the description.
    """
    path = checked.path
    if layers and layers[0].kind == "Reshape":  # rows of 784 numbers, made a picture first
        shape = list(layers[0].config.get("target_shape") or [])
        layers = layers[1:]
    if shape is None or len(shape) != 3:
        raise InputError(
            f"{path}: takes an input of shape {shape}; pictures of height, width and channels "
            "are what our networks take"
        )
    first = any(layer.config.get("data_format") == "channels_first" for layer in layers)
    height, width, channels = (shape[1], shape[2], shape[0]) if first else shape
    flow = Flow((height, width, channels), first)
    found = _stored_for(layers, stored, path)
    steps: list[Step] = []
    for layer in layers:
        step = _step(layer, found.get(id(layer)), flow, checked, stored, notes)
        if step is not None:
            steps.append(step)
    return steps, (height, width, channels)


def _stored_for(layers: list[Layer], stored: Stored, path: Path) -> dict[int, StoredLayer]:
    """Return the stored arrays of each layer: by name where the names agree, else by order."""
    weighted = [layer for layer in layers if layer.kind in WEIGHTED]
    by_name = {each.name: each for each in stored.layers}
    if len(weighted) != len(stored.layers):
        raise InputError(
            f"{path}: describes {len(weighted)} layers with weights, but holds arrays of "
            f"{len(stored.layers)}; such a file cannot be trusted"
        )
    if {layer.name for layer in weighted} == set(by_name) and len(by_name) == len(weighted):
        return {id(layer): by_name[layer.name] for layer in weighted}
    return {id(layer): each for layer, each in zip(weighted, stored.layers, strict=True)}


def _step(
    layer: Layer,
    found: StoredLayer | None,
    flow: Flow,
    checked: CheckedFile,
    stored: Stored,
    notes: list[str],
) -> Step | None:
    """Return one layer as a step, and move the flow on; None if it does nothing."""
    config, path, kind = layer.config, checked.path, layer.kind

    def read(*shapes: tuple[int, ...]) -> list[np.ndarray]:
        if found is None:
            raise _refusal(path, layer, "has no arrays in the file")
        if found.shapes != list(shapes):
            raise InputError(
                f"{path}: does not hold the weights that it describes:\n"
                f"  layer {layer.name!r:.60} takes {shapes}, {found.key!r:.60} holds "
                f"{str(found.shapes)[:200]}"
            )
        return [
            read_array(checked, stored, facts).astype("float32", copy=False)
            for facts in found.arrays
        ]

    flat = len(flow.shape) != 3
    if flat and kind in ("Conv2D", "MaxPooling2D", "AveragePooling2D", "ZeroPadding2D"):
        raise _refusal(path, layer, "comes after the picture was made flat")
    if kind == "Conv2D":
        return _convolution(layer, flow, path, read)
    if kind == "Dense":
        return _dense(layer, flow, path, read)
    if kind == "BatchNormalization":
        return _normalization(layer, flow, path, read)
    if kind in ("MaxPooling2D", "AveragePooling2D"):
        return _pooling(layer, flow, path)
    if kind == "ZeroPadding2D":
        return _zero_padding(layer, flow, path)
    if kind == "Flatten" or (kind == "Reshape" and len(config.get("target_shape") or ()) == 1):
        return _flatten(layer, flow)
    if kind == "Dropout":
        return Step("dropout", layer.name, {"rate": _number(config.get("rate"), path, layer)})
    if kind in ("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax"):
        return Step("act", layer.name, {"activation": activation_layer(layer, path)})
    if kind == "Rescaling":
        scale, offset = config.get("scale", 1.0), config.get("offset", 0.0)
        numbers = {"scale": _number(scale, path, layer), "offset": _number(offset, path, layer)}
        return Step("rescale", layer.name, numbers)
    if kind == "Normalization":
        return _standardisation(layer, found, checked, stored)
    if kind in ONLY_FOR_TRAINING:
        notes.append(f"{kind} ({layer.name}) is left out: it acts in training only")
        return None
    raise _refusal(path, layer, f"{kind} is not expected here")


def _pooling(layer: Layer, flow: Flow, path: Path) -> Step:
    config = layer.config
    size = _pair(config.get("pool_size", 2), path, layer)
    strides = size if config.get("strides") is None else _pair(config["strides"], path, layer)
    padding = _padding(config.get("padding", "valid"), path, layer)
    _slide(flow, size, strides, padding, flow.shape[2], path, layer)
    kind = "max" if layer.kind == "MaxPooling2D" else "average"
    settings = {"pooling": kind, "size": size, "strides": strides, "padding": padding}
    return Step("pool", layer.name, settings)


def _zero_padding(layer: Layer, flow: Flow, path: Path) -> Step:
    rows, columns = _padding_sizes(layer.config.get("padding", 1), path, layer)
    height, width, channels = flow.shape
    flow.shape = (height + sum(rows), width + sum(columns), channels)
    return Step("pad", layer.name, {"padding": [rows, columns]})


def _flatten(layer: Layer, flow: Flow) -> Step | None:
    if len(flow.shape) == 1:
        return None
    if flow.channels_first and layer.config.get("data_format") != "channels_first":
        flow.unflattened = (flow.shape[0], flow.shape[1], flow.shape[2])
    flow.shape = (int(np.prod(flow.shape)),)
    return Step("flatten", layer.name)


def _convolution(layer: Layer, flow: Flow, path: Path, read: Any) -> Step:
    config = layer.config
    size = _pair(config.get("kernel_size"), path, layer)
    strides = _pair(config.get("strides", 1), path, layer)
    groups, filters = config.get("groups", 1), config.get("filters")
    if _pair(config.get("dilation_rate", 1), path, layer) != (1, 1):
        raise _refusal(path, layer, "spreads its kernel (dilation_rate), which none of ours does")
    if not _is_count(groups) or not _is_count(filters) or flow.shape[2] % groups:
        raise _refusal(path, layer, f"cannot have {filters!r:.40} maps in {groups!r:.40} groups")
    padding = _padding(config.get("padding", "valid"), path, layer)
    bias = [(filters,)] if config.get("use_bias", True) else []
    arrays = read((*size, flow.shape[2] // groups, filters), *bias)
    _slide(flow, size, strides, padding, filters, path, layer)
    activation = activation_of(config.get("activation"), path, layer)
    settings = {"strides": strides, "padding": padding, "groups": groups, "activation": activation}
    return Step("conv", layer.name, settings, _with_bias(arrays, filters))


def _dense(layer: Layer, flow: Flow, path: Path, read: Any) -> Step:
    units = layer.config.get("units")
    if len(flow.shape) != 1:
        if flow.shape[:2] != (1, 1):
            raise _refusal(path, layer, "comes before a Flatten")
        flow.shape = flow.shape[2:]
    if not _is_count(units):
        raise _refusal(path, layer, f"cannot have {units!r:.40} units")
    bias = [(units,)] if layer.config.get("use_bias", True) else []
    arrays = _with_bias(read((flow.shape[0], units), *bias), units)
    if flow.unflattened:  # rows run channel by channel; ours run pixel by pixel
        arrays[0] = by_pixel(arrays[0], *flow.unflattened)
        flow.unflattened = None
    flow.shape = (units,)
    activation = activation_of(layer.config.get("activation"), path, layer)
    return Step("dense", layer.name, {"activation": activation}, arrays)


def _normalization(layer: Layer, flow: Flow, path: Path, read: Any) -> Step:
    config = layer.config
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    wanted = (1,) if flow.channels_first and len(flow.shape) == 3 else (-1, len(flow.shape))
    if axis not in wanted or flow.unflattened:
        raise _refusal(path, layer, f"normalises along axis {axis!r:.40}, not along the maps")
    count = flow.shape[-1]
    scale, center = config.get("scale", True), config.get("center", True)
    arrays = read(*[(count,)] * (2 + bool(scale) + bool(center)))
    gamma = arrays.pop(0) if scale else np.ones(count, "float32")
    beta = arrays.pop(0) if center else np.zeros(count, "float32")
    epsilon = _number(config.get("epsilon", 1e-3), path, layer)
    if epsilon <= 0 or (arrays[1] < 0).any():
        raise _refusal(path, layer, "holds a variance below 0")
    return Step("norm", layer.name, {"epsilon": epsilon}, [gamma, beta, *arrays])


def _standardisation(
    layer: Layer, found: StoredLayer | None, checked: CheckedFile, stored: Stored
) -> Step:
    if (
        found is None
        or len(found.arrays) not in (2, 3)
        or any(np.prod(s) > 4 for s in found.shapes)
    ):
        raise _refusal(checked.path, layer, "does not hold a mean and a variance for each colour")
    mean, variance = (read_array(checked, stored, facts) for facts in found.arrays[:2])
    settings = {"mean": mean.ravel().tolist(), "variance": variance.ravel().tolist()}
    return Step("normalize", layer.name, settings)


def _with_bias(arrays: list[np.ndarray], count: int) -> list[np.ndarray]:
    return arrays if len(arrays) == 2 else [*arrays, np.zeros(count, "float32")]


def _slide(
    flow: Flow,
    size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
    maps: int,
    path: Path,
    layer: Layer,
) -> None:
    where = f"{path}: layer {layer.name!r:.80}"
    try:
        height, width = slide((flow.shape[0], flow.shape[1]), size, strides, padding)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    flow.shape = (height, width, maps)


def _padding_sizes(value: Any, path: Path, layer: Layer) -> list[list[int]]:
    sides = [value, value] if isinstance(value, int) else value
    if isinstance(sides, list) and len(sides) == 2:
        both = [[side, side] if isinstance(side, int) else side for side in sides]
        if all(
            isinstance(side, list)
            and len(side) == 2
            and all(isinstance(n, int) and 0 <= n < 1000 for n in side)
            for side in both
        ):
            return both
    raise _refusal(path, layer, f"cannot pad by {value!r:.60}")


def _pair(value: Any, path: Path, layer: Layer) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else value
    if isinstance(pair, list | tuple) and len(pair) == 2 and all(_is_count(n) for n in pair):
        return pair[0], pair[1]
    raise _refusal(path, layer, f"cannot have a size of {value!r:.60}")


def _padding(value: Any, path: Path, layer: Layer) -> str:
    if value not in ("valid", "same"):
        raise _refusal(path, layer, f"has the padding {value!r:.60}; ours know valid and same")
    return str(value)


def _number(value: Any, path: Path, layer: Layer) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise _refusal(path, layer, f"{value!r:.60} should be a number")
    return float(value)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 24


def _refusal(path: Path, layer: Layer, problem: str) -> InputError:
    return InputError(f"{path}: layer {layer.name!r:.80}: {problem}")

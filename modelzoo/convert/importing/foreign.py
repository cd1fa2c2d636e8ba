"""What a foreign file holds, whatever saved it; the state dicts of PyTorch are read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from modelzoo.config import list_models, load_config
from modelzoo.networks import Network
from modelzoo.networks.layer import Shape
from modelzoo.weights.from_torch import classes_of, keras_kernel, modules_of
from modelzoo.weights.layouts import by_pixel
from modelzoo.weights.state_dict import StateDict, open_state_dict

FLAT_BY_PIXEL = "the first dense layer's inputs: from channel by channel to pixel by pixel"
TURNED = "kernels: from (outputs, inputs, height, width) to (height, width, inputs, outputs)"


@dataclass(frozen=True)
class Weighted:
    """A layer of which a file holds nothing but the weights.

    Attributes:
        kind: Conv2D, Dense or BatchNormalization; "" if no layer has such weights.
        name: of the layer.
        arrays: in Keras' order and layout, float32.
    """

    kind: str
    name: str
    arrays: list[np.ndarray]


@dataclass(frozen=True)
class Foreign:
    """A foreign file in which everything but the numbers has been checked.

    Attributes:
        path: of the file.
        layout, version: how it was saved, and by which Keras.
        weighted: its layers with weights, where it does not describe its network.
        layer_names: of all its layers in order, where the file says them.
        network: that the file, or an architecture beside it, describes.
        arrays: its weights, in the network's order.
        described_by: the file of that architecture; None if it is the file itself.
        is_torch: whether it is a state dict of PyTorch, which flattens maps channel by channel.
        classes: that a state dict has; None where those of a configuration have to fit.
        packaged: the packaged network that publishes a state dict of this form, None if none does.
        notes: what is converted.
    """

    path: Path
    layout: str
    weighted: Sequence[Weighted] = ()
    version: str = ""
    layer_names: Sequence[str] = ()
    network: Network | None = None
    arrays: list[np.ndarray] = field(default_factory=list)
    described_by: Path | None = None
    is_torch: bool = False
    classes: int | None = None
    packaged: str | None = None
    notes: list[str] = field(default_factory=list)


def look_at_torch(path: Path) -> Foreign:
    """Return what a `.pth` file says.

    Raises:
        InputError: the file cannot be read.
    """
    with open_state_dict(path) as state:
        layers: list[Weighted] = []
        for module, shapes in modules_of(state).items():
            arrays = [keras_kernel(state.read(f"{module}.{each}")) for each in sorted(shapes)[::-1]]
            layers.append(Weighted(kind_of([each.shape for each in arrays]), module, arrays))
        return Foreign(
            path,
            "PyTorch state dict",
            layers,
            is_torch=True,
            classes=classes_of(state),
            packaged=_packaged(state),
            notes=[TURNED, FLAT_BY_PIXEL],
        )


def _packaged(state: StateDict) -> str | None:
    """Return the packaged network that has the file's maps and publishes such a state dict."""
    found = [tensor.shape[0] for tensor in state.tensors.values() if len(tensor.shape) == 4]
    for name in list_models():
        config = load_config(name)
        published = any(entry.format == "torch" for entry in config.weights)
        if published and list(config.model.conv_maps) == found:
            return name
    return None


def kind_of(shapes: Sequence[Shape]) -> str:
    """Return the kind of layer whose weights have these shapes, "" if none has."""
    ranks = [len(shape) for shape in shapes]
    if ranks in ([4, 1], [4], [2, 1], [2]) and shapes[-1][-1] == shapes[0][-1]:
        return "Conv2D" if ranks[0] == 4 else "Dense"
    return "BatchNormalization" if ranks == [1] * 4 and len(set(shapes)) == 1 else ""


def in_pixel_order(network: Network, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the weights of a network that flattened its maps channel by channel.

    Args:
        network: whose `Flatten` runs pixel by pixel.
        arrays: its weights, in its order, as they were.
    """
    rest, ordered, flat = iter(arrays), [], None
    for layer, inputs in network.with_inputs:
        if layer.kind == "Flatten" and len(inputs) == 3:
            flat = inputs
        for _ in layer.weights(inputs):
            array = next(rest)
            if flat and inputs == (prod(flat),) and (array.ndim == 2 or layer.kind != "Dense"):
                array = by_pixel(array, *flat)
            ordered.append(array)
        if layer.kind == "Dense":
            flat = None
    return ordered

"""What a foreign file holds, whatever saved it: a network with its weights, or weights alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from modelzoo.errors import InputError
from modelzoo.networks import Network
from modelzoo.weights.layouts import by_pixel

FLAT_BY_PIXEL = "the first dense layer's inputs: from channel by channel to pixel by pixel"


@dataclass(frozen=True)
class Weighted:
    """A layer of which a file holds nothing but the weights.

    Attributes:
        kind: Conv2D, Dense or BatchNormalization.
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
        weighted: reads its layers with weights, for a file that does not describe its network.
        layer_names: of all its layers in order, where the file says them.
        network: that the file, or an architecture beside it, describes.
        arrays: its weights, in the network's order.
        described_by: the file of that architecture; None if it is the file itself.
        is_torch: whether it is a state dict of PyTorch, which flattens maps channel by channel.
        classes: that a state dict has; None where those of a configuration have to fit.
        packaged: the packaged network that publishes a state dict of this form, "" if none does.
        notes: what is converted.
    """

    path: Path
    layout: str
    weighted: Callable[[], list[Weighted]]
    version: str = ""
    layer_names: Sequence[str] = ()
    network: Network | None = None
    arrays: list[np.ndarray] = field(default_factory=list)
    described_by: Path | None = None
    is_torch: bool = False
    classes: int | None = None
    packaged: str = ""
    notes: list[str] = field(default_factory=list)


def check_chain(layers: Sequence[Weighted], path: Path) -> None:
    """Raise an InputError unless convolutions come before dense layers, of which there is one."""
    kinds = [layer.kind for layer in layers if layer.kind != "BatchNormalization"]
    if "Dense" not in kinds or kinds != sorted(kinds):  # "Conv2D" < "Dense"
        raise InputError(f"{path}: is no chain of convolutions and dense layers")


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

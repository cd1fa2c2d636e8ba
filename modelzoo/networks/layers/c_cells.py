"""C-cells of the Neocognitron: they tell that a feature is somewhere in their area."""

from typing import Any

import keras
import numpy as np
from keras import ops

from modelzoo.networks.layers.paper_layer import PaperLayer

Pads = int | tuple[tuple[int, int], tuple[int, int]]


@keras.saving.register_keras_serializable(package="modelzoo")
class CCells(PaperLayer):
    """C-planes: each blurs one S-plane, under the inhibition of the average over all planes.

    In each position n of a plane k, with u the inputs and v over an area around n:

        e(k) = sum of d(v) u(n + v, k)                    excitation
        h = mean of e over the planes                     output of the V-cell
        output = psi[(1 + e) / (1 + h) - 1],  psi[x] = x / (saturation + x) above 0, else 0

    d falls off as decay**|v|, |v| in cells, and is 1 in the middle of an odd area. Nothing is
    learned.

    Args:
        area: side of the square of S-cells that a cell is joined to.
        strides: distance of neighbouring cells' areas, from 1.
        padding: rows and columns of zeros around the inputs: n, or ((top, bottom), (left, right)).
        saturation: alpha, above 0.
        decay: of d, in (0, 1].

    Input shape: (batch, height, width, planes), float, not negative.

    Output shape: (batch, (height + padding - area) // strides + 1, width likewise, planes); 0 to
    below 1.

    Example:
        >>> CCells(5, strides=2, padding=4)(keras.ops.ones((1, 16, 16, 24))).shape
        TensorShape([1, 10, 10, 24])

    Reference:
        Fukushima (1980), equations 4-6.

    Deviations: the paper does not print d. psi is 0 below 0, also where the printed x / (alpha + x)
    becomes positive again, x < -alpha.
    """

    def __init__(
        self,
        area: int,
        *,
        strides: int = 1,
        padding: Pads = 0,
        saturation: float = 0.5,
        decay: float = 0.8,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.area, self.strides, self.padding = area, strides, both_sides(padding)
        self.saturation, self.decay = saturation, decay

    def call(self, inputs: Any) -> Any:
        """Return the outputs of the C-cells."""
        inputs = ops.pad(inputs, [(0, 0), *self.padding, (0, 0)])
        d = fall_off(self.area, self.decay)[:, :, np.newaxis, np.newaxis]
        d = ops.convert_to_tensor(np.repeat(d, inputs.shape[-1], axis=2), inputs.dtype)
        excitation = ops.depthwise_conv(
            inputs, d, strides=self.strides, padding="valid", data_format="channels_last"
        )
        # not ops.mean: on PyTorch it takes the mean of float64 in float32
        inhibition = ops.sum(excitation, axis=-1, keepdims=True) / excitation.shape[-1]
        # (1 + e) / (1 + h) - 1 in a form that keeps small outputs exact
        x = ops.relu((excitation - inhibition) / (1.0 + inhibition))
        return x / (self.saturation + x)


def fall_off(area: int, decay: float) -> np.ndarray:
    """Return (area, area): decay**|v|, with |v| the distance from the middle, in cells."""
    side = np.arange(area) - (area - 1) / 2
    return decay ** np.hypot(side[:, None], side)


def both_sides(padding: Any) -> Any:
    """Return ((top, bottom), (left, right)) from a number or from themselves, also as lists."""
    if isinstance(padding, int):
        return ((padding, padding), (padding, padding))
    return tuple(tuple(sides) for sides in padding)

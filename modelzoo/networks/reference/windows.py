"""What convolution and pooling share: the windows that slide over an image, and its border."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[Any]
Padding = Literal["valid", "same"] | int
Pair = int | tuple[int, int]


def floats(x: npt.ArrayLike) -> Array:
    """Return an array of floats: of the precision given, of float64 for integers."""
    array = np.asarray(x)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


def require_shape(array: Array, shape: tuple[int, ...], name: str) -> None:
    """Raise ValueError for another shape."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")


def output_size(size: int, window: int, stride: int = 1, padding: Padding = "valid") -> int:
    """Number of window positions along one axis.

    "valid": floor((size - window) / stride) + 1; input that no full window covers is ignored.
    "same": ceil(size / stride), whatever the window. A number p: as "valid", for size + 2 p.
    Raises ValueError where there is no position.
    Reference: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """
    if min(size, window, stride) < 1:
        raise ValueError(f"size {size}, window {window} and stride {stride} must be at least 1")
    if padding == "same":
        return -(-size // stride)
    if padding != "valid" and not (isinstance(padding, int) and padding >= 0):
        raise ValueError(f"padding must be 'valid', 'same' or a number from 0, not {padding!r}")
    padded = size + 2 * padding if isinstance(padding, int) else size
    if window > padded:
        raise ValueError(f"a window of {window} doesn't fit into {size} with padding {padding!r}")
    return (padded - window) // stride + 1


def padding_amounts(size: int, window: int, stride: int, padding: Padding) -> tuple[int, int]:
    """Rows to add (before, after) along one axis.

    "same" adds max((output - 1) * stride + window - size, 0) in all, which is window - 1 for
    stride 1. Half goes on each side; an odd row goes after, as in TensorFlow. A number adds so many
    rows on both sides.
    """
    output = output_size(size, window, stride, padding)
    if padding == "valid":
        return 0, 0
    if isinstance(padding, int):
        return padding, padding
    total = max((output - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


class Windows:
    """Every window over images, and the way back to the pixels.

    Attributes:
        values: (images, output height, output width, channels, window height, window width).
    """

    def __init__(
        self,
        x: Array,
        size: Pair,
        strides: Pair | None = None,  # None: windows side by side
        padding: Padding = "valid",
        fill: float = 0.0,
    ) -> None:
        if x.ndim != 4:
            raise ValueError(f"expected (images, height, width, channels), got shape {x.shape}")
        window = _pair(size, "window")
        self.strides = window if strides is None else _pair(strides, "strides")
        self.shape = x.shape
        self.margins = [
            padding_amounts(x.shape[axis + 1], window[axis], self.strides[axis], padding)
            for axis in (0, 1)
        ]
        padded = np.pad(x, ((0, 0), *self.margins, (0, 0)), constant_values=fill)
        down, across = self.strides
        self.values = sliding_window_view(padded, window, axis=(1, 2))[:, ::down, ::across]

    def add(self, d_windows: Array) -> Array:
        """Return the derivative by the images: a pixel gets the sum over the windows that saw it.

        d_windows: the derivative by `values`.
        """
        _, height, width, _, *window = d_windows.shape
        images, rows, columns, channels = self.shape
        (top, bottom), (left, right) = self.margins
        down, across = self.strides
        padded_shape = (images, rows + top + bottom, columns + left + right, channels)
        padded = np.zeros(padded_shape, d_windows.dtype)
        for i, j in np.ndindex(*window):
            row_slice = slice(i, i + (height - 1) * down + 1, down)
            column_slice = slice(j, j + (width - 1) * across + 1, across)
            padded[:, row_slice, column_slice] += d_windows[..., i, j]
        return padded[:, top : top + rows, left : left + columns]


def _pair(value: Pair, name: str) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int | np.integer) else value
    if min(height, width) < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return height, width

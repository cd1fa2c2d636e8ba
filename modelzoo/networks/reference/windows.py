"""Layers whose windows slide over images: convolution, pooling and subsampling."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from modelzoo.networks.layer import pair

Array = NDArray[Any]
Margin = tuple[int, int]  # rows before and after
Padding = Literal["valid", "same"] | int | Margin
Pair = int | tuple[int, int]


def floats(x: ArrayLike) -> Array:
    """Return an array of floats: of the precision given, of float64 for integers."""
    array = np.asarray(x)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


def require_shape(array: Array, shape: tuple[int, ...], name: str) -> None:
    """Raise ValueError for another shape."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")


def output_size(size: int, window: int, stride: int = 1, padding: Padding = "valid") -> int:
    """Number of window positions along one axis: floor((padded size - window) / stride) + 1.

    Input that no full window covers is ignored, but for "same": ceil(size / stride) positions,
    whatever the window. Raises ValueError where there is no position.
    Reference: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """
    if min(size, window, stride) < 1:
        raise ValueError(f"size {size}, window {window} and stride {stride} must be at least 1")
    padded = size + sum(padding_amounts(size, window, stride, padding))
    if window > padded:
        raise ValueError(f"a window of {window} doesn't fit into {size} with padding {padding!r}")
    return (padded - window) // stride + 1


def padding_amounts(size: int, window: int, stride: int, padding: Padding) -> Margin:
    """Rows to add (before, after) along one axis.

    "valid" adds none, a number so many on both sides, and (before, after) is returned as it is.
    "same" adds max((ceil(size / stride) - 1) * stride + window - size, 0) in all, which is
    window - 1 for stride 1. Half goes on each side; an odd row goes after, as in TensorFlow.
    """
    if padding == "same":
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        return total // 2, total - total // 2
    if padding == "valid":
        return 0, 0
    if isinstance(padding, str) or np.min(padding) < 0:
        raise ValueError(f"padding must be 'valid', 'same' or numbers from 0, not {padding!r}")
    return pair(padding)


def margins(
    sides: Sequence[int], window: Pair, strides: Pair, padding: Padding | Sequence[Padding]
) -> tuple[Margin, Margin]:
    """Rows to add (before, after) along both axes; the padding is that of both, or one of each."""
    each = (padding, padding) if isinstance(padding, str | int) else padding
    axes = zip(sides, pair(window), pair(strides), each, strict=True)
    rows, columns = (padding_amounts(*axis) for axis in axes)
    return rows, columns


class Windows:
    """Every window over images, and the way back to the pixels.

    `values`: (images, output height, output width, channels, window height, window width).
    """

    def __init__(
        self,
        x: ArrayLike,
        pool_size: Pair = 2,
        strides: Pair | None = None,  # None: windows side by side
        padding: Padding | Sequence[Padding] = "valid",
        *,
        fill: float = 0.0,
    ) -> None:
        x = floats(x)
        if x.ndim != 4:
            raise ValueError(f"expected (images, height, width, channels), got shape {x.shape}")
        self.window = pair(pool_size)
        self.strides = self.window if strides is None else pair(strides)
        self.shape = x.shape
        self.margins = margins(x.shape[1:3], self.window, self.strides, padding)
        self.values = self._over(np.pad(x, ((0, 0), *self.margins, (0, 0)), constant_values=fill))

    def add(self, d_windows: Array) -> Array:
        """Return the derivative by the images, from that by `values`.

        A pixel gets the sum over the windows that saw it.
        """
        padded = np.pad(np.zeros(self.shape, d_windows.dtype), ((0, 0), *self.margins, (0, 0)))
        values = self._over(padded)
        for place in np.ndindex(*self.window):
            values[(..., *place)] += d_windows[(..., *place)]
        (top, _), (left, _) = self.margins
        return padded[:, top : top + self.shape[1], left : left + self.shape[2]]

    def _over(self, padded: Array) -> Array:
        down, across = self.strides
        values = sliding_window_view(padded, self.window, axis=(1, 2), writeable=True)
        return values[:, ::down, ::across]


def conv2d(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike,
    strides: Pair = 1,
    padding: Padding | Sequence[Padding] = "valid",
    groups: int = 1,
    padding_value: float = 0.0,
) -> Array:
    """Cross-correlate images with a bank of kernels, and add a bias per filter.

    x (images, height, width, channels); kernel (kernel height, kernel width, channels / groups,
    filters); bias (filters,). Returns (images, output height, output width, filters).
    With groups, the g-th share of the filters sees only the g-th share of the channels, as the
    two GPUs of Krizhevsky et al. (2012) did in conv2, conv4 and conv5.
    Raises ValueError if groups divides channels or filters unevenly, or on mismatched shapes.
    Reference: LeCun et al. (1989). Deviations: the kernel isn't rotated by 180 degrees, which
    is what every framework calls convolution.
    """
    kernel = floats(kernel)
    windows = Windows(x, kernel.shape[:2], strides, padding, fill=padding_value)
    seen, grouped = _split(windows.values, kernel, groups)
    require_shape(np.asarray(bias), kernel.shape[3:], "bias")
    # n image, h row, w column, g group, c channel, i and j place in the kernel, f filter
    output = np.einsum("nhwgcij,ijcgf->nhwgf", seen, grouped, optimize=True)
    return output.reshape(*output.shape[:3], -1) + floats(bias)


def conv2d_gradient(
    x: ArrayLike,
    kernel: ArrayLike,
    upstream: ArrayLike,
    strides: Pair = 1,
    padding: Padding | Sequence[Padding] = "valid",
    groups: int = 1,
    padding_value: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `conv2d`."""
    kernel, up = floats(kernel), floats(upstream)
    windows = Windows(x, kernel.shape[:2], strides, padding, fill=padding_value)
    seen, grouped = _split(windows.values, kernel, groups)
    require_shape(up, (*seen.shape[:3], kernel.shape[3]), "upstream")
    grouped_up = up.reshape(*seen.shape[:4], -1)
    d_kernel = np.einsum("nhwgcij,nhwgf->ijcgf", seen, grouped_up, optimize=True)
    d_windows = np.einsum("nhwgf,ijcgf->nhwgcij", grouped_up, grouped, optimize=True)
    d_x = windows.add(d_windows.reshape(windows.values.shape))
    return d_x, d_kernel.reshape(kernel.shape), up.sum(axis=(0, 1, 2))


def _split(windows: Array, kernel: Array, groups: int) -> tuple[Array, Array]:
    """The windows as (n, h, w, g, c, i, j) and the kernel as (i, j, c, g, f)."""
    *places, channels, height, width = windows.shape
    *_, depth, filters = kernel.shape
    if kernel.ndim != 4 or groups < 1 or filters % groups or channels != depth * groups:
        raise ValueError(f"{groups} groups don't fit {channels} channels and {kernel.shape}")
    seen = windows.reshape(*places, groups, depth, height, width)
    return seen, kernel.reshape(height, width, depth, groups, filters // groups)


def convolve2d(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike, *options: Any, **named: Any
) -> Array:
    """Convolve as mathematics defines it: `conv2d` with each kernel rotated by 180 degrees.

    y[i, j] = sum of x[i + h - m, j + w - n] * kernel[m, n], for a kernel of h + 1 by w + 1. A
    network that learns its kernels loses nothing with `conv2d`: it learns them rotated.
    Reference: Goodfellow, Bengio, Courville (2016), section 9.1. Deviations: none.
    """
    return conv2d(x, np.flip(floats(kernel), (0, 1)), bias, *options, **named)


def convolve2d_gradient(
    x: ArrayLike, kernel: ArrayLike, upstream: ArrayLike, *options: Any, **named: Any
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `convolve2d`."""
    rotated = np.flip(floats(kernel), (0, 1))
    d_x, d_rotated, d_bias = conv2d_gradient(x, rotated, upstream, *options, **named)
    return d_x, np.flip(d_rotated, (0, 1)), d_bias


def connection_table_conv2d(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike, table: ArrayLike, *options: Any, **named: Any
) -> Array:
    """`conv2d` with a kernel that is zero where the table has zeros; the options are its own.

    Shapes and source are those of `modelzoo.networks.layers.ConnectionTableConv2D`; a bias of
    (output height, output width, output maps) is that of its `UnitBiasConv2D`.
    """
    full = laid_out(floats(kernel), table)
    return conv2d(x, full, np.zeros(full.shape[3], full.dtype), *options, **named) + floats(bias)


def connection_table_conv2d_gradient(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike,
    table: ArrayLike,
    upstream: ArrayLike,
    *options: Any,
    **named: Any,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `connection_table_conv2d`; the table is constant."""
    full, up = laid_out(floats(kernel), table), floats(upstream)
    d_x, d_full, _ = conv2d_gradient(x, full, up, *options, **named)
    outputs, inputs = np.nonzero(np.transpose(table))
    shared = tuple(range(up.ndim - np.ndim(bias)))  # the axes along which one bias serves all
    return d_x, d_full[..., inputs, outputs], up.sum(axis=shared)


def laid_out(kernel: Array, table: ArrayLike) -> Array:
    """Return all kernels, (i, j, inputs, outputs), of zeros where the table has no connection."""
    full = np.zeros((*kernel.shape[:2], *np.shape(table)), kernel.dtype)
    outputs, inputs = np.nonzero(np.transpose(table))
    full[..., inputs, outputs] = kernel
    return full


# Pooling. The options, by place or name, are those of `Windows`: pool_size, strides, padding.


def max_pool2d(x: ArrayLike, *window: Any, **named: Any) -> Array:
    """Largest value of each window. Padding never wins: it counts as minus infinity.

    Reference: Krizhevsky et al. (2012), section 3.4 (size 3, stride 2). Deviations: none.
    """
    windows = Windows(x, *window, fill=-np.inf, **named)
    return np.asarray(windows.values.max(axis=(-2, -1)))


def max_pool2d_gradient(x: ArrayLike, upstream: ArrayLike, *window: Any, **named: Any) -> Array:
    """Derivative d_x of `max_pool2d`; of equal maxima the first in row order receives it all."""
    windows, up = Windows(x, *window, fill=-np.inf, **named), floats(upstream)
    shape = windows.values.shape
    require_shape(up, shape[:4], "upstream")
    first = windows.values.reshape(*shape[:4], -1).argmax(axis=-1)
    chosen = np.arange(shape[-2] * shape[-1]) == first[..., np.newaxis]
    return windows.add((chosen * up[..., np.newaxis]).reshape(shape))


def min_pool2d(x: ArrayLike, *window: Any, **named: Any) -> Array:
    """Smallest value of each window; padding never wins."""
    return -max_pool2d(-floats(x), *window, **named)


def min_pool2d_gradient(x: ArrayLike, upstream: ArrayLike, *window: Any, **named: Any) -> Array:
    """Derivative d_x of `min_pool2d`; of equal minima the first in row order receives it all."""
    return max_pool2d_gradient(-floats(x), upstream, *window, **named)


def sum_pool2d(x: ArrayLike, *window: Any, **named: Any) -> Array:
    """Sum of each window; padding counts as 0."""
    return np.asarray(Windows(x, *window, **named).values.sum(axis=(-2, -1)))


def sum_pool2d_gradient(x: ArrayLike, upstream: ArrayLike, *window: Any, **named: Any) -> Array:
    """Derivative d_x of `sum_pool2d`; only the shape and type of x matter."""
    windows, up = Windows(x, *window, **named), floats(upstream)
    require_shape(up, windows.values.shape[:4], "upstream")
    return windows.add(np.broadcast_to(up[..., None, None], windows.values.shape))


def average_pool2d(x: ArrayLike, *window: Any, **named: Any) -> Array:
    """Mean of each window.

    A window that overhangs the border is divided by the number of its pixels that lie inside, as
    in TensorFlow; one that lies outside gives NaN.
    Reference: LeCun et al. (1998), section II.B, layer S2. Deviations: no trainable coefficient
    and bias per map, and no sigmoid after them; see `trainable_subsampling`.
    """
    inside = sum_pool2d(np.ones_like(floats(x)), *window, **named)
    return sum_pool2d(x, *window, **named) / inside


def average_pool2d_gradient(x: ArrayLike, upstream: ArrayLike, *window: Any, **named: Any) -> Array:
    """Derivative d_x of `average_pool2d`; only the shape and type of x matter."""
    inside = sum_pool2d(np.ones_like(floats(x)), *window, **named)
    return sum_pool2d_gradient(x, floats(upstream) / inside, *window, **named)


def l2_pool2d(x: ArrayLike, *window: Any, **named: Any) -> Array:
    """Euclidean norm of each window; padding counts as 0.

    Reference: Goodfellow, Bengio, Courville (2016), section 9.3. Deviations: none.
    """
    return np.asarray(np.sqrt(sum_pool2d(floats(x) ** 2, *window, **named)))


def l2_pool2d_gradient(x: ArrayLike, upstream: ArrayLike, *window: Any, **named: Any) -> Array:
    """Derivative d_x of `l2_pool2d`; of a window of zeros, where there is none, taken to be 0."""
    x, norms = floats(x), l2_pool2d(x, *window, **named)
    share = np.divide(upstream, norms, out=np.zeros_like(norms), where=norms > 0)
    return x * sum_pool2d_gradient(x, share, *window, **named)


def trainable_subsampling(
    x: ArrayLike, coefficient: ArrayLike, bias: ArrayLike, size: Pair = 2
) -> Array:
    """`modelzoo.networks.layers.TrainableSubsampling` of sums; coefficient and bias (channels,)."""
    return sum_pool2d(x, size) * floats(coefficient) + floats(bias)


def trainable_subsampling_gradient(
    x: ArrayLike, coefficient: ArrayLike, upstream: ArrayLike, size: Pair = 2
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_coefficient, d_bias) of `trainable_subsampling`."""
    up = floats(upstream)
    d_x = sum_pool2d_gradient(x, up * floats(coefficient), size)
    return d_x, (up * sum_pool2d(x, size)).sum(axis=(0, 1, 2)), up.sum(axis=(0, 1, 2))

"""Convolution: with one kernel a filter, in groups, or by a table of connections."""

import numpy as np
import numpy.typing as npt

from modelzoo.networks.reference.windows import Array, Padding, Pair, Windows, floats, require_shape


def conv2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
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
    windows = Windows(floats(x), kernel.shape[:2], strides, padding, padding_value)
    seen, grouped = _split(windows.values, kernel, groups)
    require_shape(np.asarray(bias), kernel.shape[3:], "bias")
    # n image, h row, w column, g group, c channel, i and j place in the kernel, f filter
    output = np.einsum("nhwgcij,ijcgf->nhwgf", seen, grouped, optimize=True)
    return output.reshape(*output.shape[:3], -1) + floats(bias)


def conv2d_gradient(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    upstream: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
    groups: int = 1,
    padding_value: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `conv2d`."""
    kernel, up = floats(kernel), floats(upstream)
    windows = Windows(floats(x), kernel.shape[:2], strides, padding, padding_value)
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
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
    groups: int = 1,
) -> Array:
    """Convolve as mathematics defines it: `conv2d` with each kernel rotated by 180 degrees.

    y[i, j] = sum of x[i + h - m, j + w - n] * kernel[m, n], for a kernel of h + 1 by w + 1. A
    network that learns its kernels loses nothing with `conv2d`: it learns them rotated.
    Reference: Goodfellow, Bengio, Courville (2016), section 9.1. Deviations: none.
    """
    return conv2d(x, np.flip(floats(kernel), (0, 1)), bias, strides, padding, groups)


def convolve2d_gradient(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    upstream: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `convolve2d`."""
    rotated = np.flip(floats(kernel), (0, 1))
    d_x, d_rotated, d_bias = conv2d_gradient(x, rotated, upstream, strides, padding, groups)
    return d_x, np.flip(d_rotated, (0, 1)), d_bias


def connection_table_conv2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike,
    table: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
    padding_value: float = 0.0,
) -> Array:
    """Cross-correlate each output map with those input maps that the table joins it to.

    x (images, height, width, input maps); table (input maps, output maps) of 0 and 1; kernel
    (kernel height, kernel width, connections), the connections of the first output map first;
    bias (output maps,), or (output height, output width, output maps) for a bias a unit.
    Reference: LeCun et al. (1998), table I; LeCun et al. (1989), H1 and H2. Deviations: as
    `conv2d`, of which this is the case of a kernel with zeros where the table has them.
    """
    full = _laid_out(floats(kernel), table)
    no_bias = np.zeros(full.shape[3], full.dtype)
    sums = conv2d(x, full, no_bias, strides, padding, padding_value=padding_value)
    return sums + floats(bias)


def connection_table_conv2d_gradient(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike,
    table: npt.ArrayLike,
    upstream: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
    padding_value: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `connection_table_conv2d`; the table is constant."""
    full, up = _laid_out(floats(kernel), table), floats(upstream)
    d_x, d_full, _ = conv2d_gradient(x, full, up, strides, padding, padding_value=padding_value)
    outputs, inputs = np.nonzero(np.transpose(table))
    shared = tuple(range(up.ndim - np.ndim(bias)))  # the axes along which one bias serves all
    return d_x, d_full[..., inputs, outputs], up.sum(axis=shared)


def _laid_out(kernel: Array, table: npt.ArrayLike) -> Array:
    """The kernels of all connections, zero where the table has none: (i, j, inputs, outputs)."""
    full = np.zeros((*kernel.shape[:2], *np.shape(table)), kernel.dtype)
    outputs, inputs = np.nonzero(np.transpose(table))
    full[..., inputs, outputs] = kernel
    return full

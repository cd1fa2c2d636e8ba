"""Pooling: the largest, smallest, mean, sum or norm of each window of each channel.

All take x (images, height, width, channels); strides default to pool_size.
"""

import numpy as np
import numpy.typing as npt

from modelzoo.networks.reference.windows import Array, Padding, Pair, Windows, floats, require_shape


def max_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Largest value of each window. Padding never wins: it counts as minus infinity.

    Reference: Krizhevsky et al. (2012), section 3.4 (size 3, stride 2). Deviations: none.
    """
    windows = Windows(floats(x), pool_size, strides, padding, -np.inf)
    return np.asarray(windows.values.max(axis=(-2, -1)))


def max_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `max_pool2d`; of equal maxima the first in row order receives it all."""
    windows = Windows(floats(x), pool_size, strides, padding, -np.inf)
    up, shape = floats(upstream), windows.values.shape
    require_shape(up, shape[:4], "upstream")
    first = windows.values.reshape(*shape[:4], -1).argmax(axis=-1)
    chosen = np.arange(shape[-2] * shape[-1]) == first[..., np.newaxis]
    return windows.add((chosen * up[..., np.newaxis]).reshape(shape))


def min_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Smallest value of each window; padding never wins."""
    return -max_pool2d(-floats(x), pool_size, strides, padding)


def min_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `min_pool2d`; of equal minima the first in row order receives it all."""
    return max_pool2d_gradient(-floats(x), upstream, pool_size, strides, padding)


def sum_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Sum of each window; padding counts as 0."""
    windows = Windows(floats(x), pool_size, strides, padding)
    return np.asarray(windows.values.sum(axis=(-2, -1)))


def sum_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `sum_pool2d`; only the shape and type of x matter."""
    windows, up = Windows(floats(x), pool_size, strides, padding), floats(upstream)
    require_shape(up, windows.values.shape[:4], "upstream")
    return windows.add(np.broadcast_to(up[..., None, None], windows.values.shape))


def average_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Mean of each window.

    A window that overhangs the border is divided by the number of its pixels that lie inside, as
    in TensorFlow; one that lies outside gives NaN.
    Reference: LeCun et al. (1998), section II.B, layer S2. Deviations: no trainable coefficient
    and bias per map, and no sigmoid after them; see `trainable_subsampling`.
    """
    inside = sum_pool2d(np.ones_like(floats(x)), pool_size, strides, padding)
    return sum_pool2d(x, pool_size, strides, padding) / inside


def average_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `average_pool2d`; only the shape and type of x matter."""
    inside = sum_pool2d(np.ones_like(floats(x)), pool_size, strides, padding)
    up = floats(upstream)
    require_shape(up, inside.shape, "upstream")
    return sum_pool2d_gradient(x, up / inside, pool_size, strides, padding)


def l2_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Euclidean norm of each window; padding counts as 0.

    Reference: Goodfellow, Bengio, Courville (2016), section 9.3. Deviations: none.
    """
    return np.asarray(np.sqrt(sum_pool2d(floats(x) ** 2, pool_size, strides, padding)))


def l2_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `l2_pool2d`; of a window of zeros, where there is none, taken to be 0."""
    x, norms = floats(x), l2_pool2d(x, pool_size, strides, padding)
    require_shape(floats(upstream), norms.shape, "upstream")
    share = np.divide(upstream, norms, out=np.zeros_like(norms), where=norms > 0)
    return x * sum_pool2d_gradient(x, share, pool_size, strides, padding)


def trainable_subsampling(
    x: npt.ArrayLike, coefficient: npt.ArrayLike, bias: npt.ArrayLike, size: Pair = 2
) -> Array:
    """Add the inputs of each window, multiply by the map's coefficient, add the map's bias.

    coefficient and bias (channels,). Windows do not overlap; rows and columns that no full window
    covers are ignored.
    Reference: LeCun et al. (1998), section II.B. Deviations: the squashing that follows is apart.
    """
    return sum_pool2d(x, size) * floats(coefficient) + floats(bias)


def trainable_subsampling_gradient(
    x: npt.ArrayLike, coefficient: npt.ArrayLike, upstream: npt.ArrayLike, size: Pair = 2
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_coefficient, d_bias) of `trainable_subsampling`."""
    up = floats(upstream)
    d_x = sum_pool2d_gradient(x, up * floats(coefficient), size)
    return d_x, (up * sum_pool2d(x, size)).sum(axis=(0, 1, 2)), up.sum(axis=(0, 1, 2))

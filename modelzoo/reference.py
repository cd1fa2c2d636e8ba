"""The layers of the classic convolutional networks in plain NumPy, forward and gradient.

The tests compare the Keras layers with these functions; a reader can check these against the
papers. Clarity comes before speed.

Conventions, which no function departs from unless it says so:

* Images are channels-last: (images, height, width, channels). Kernels are (kernel height, kernel
  width, input channels / groups, filters), as in Keras.
* Float arrays keep their precision; integers are computed in float64.
* For every layer `f` there is `f_gradient`. It takes the input of `f`, `upstream` (the derivative
  of a scalar loss by the output of `f`, in the shape of that output) and the options of `f`, and
  returns the derivative by each array that `f` takes, in their order and in their shapes.
* `padding` is "valid" or "same", as TensorFlow defines them, or a number of rows and columns on
  every side, as in PyTorch; see `padding_amounts`.
* Convolution and pooling raise ValueError for a wrong shape or option; dense, the activations and
  the normalisations follow NumPy's broadcasting.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[Any]
Padding = Literal["valid", "same"] | int
Pair = int | tuple[int, int]


def _floats(x: npt.ArrayLike) -> Array:
    array = np.asarray(x)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


def _pair(value: Pair, name: str) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int | np.integer) else value
    if min(height, width) < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return height, width


def _require_shape(array: Array, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")


# --- Windows: what convolution and pooling share ---------------------------------------------


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


def _cut_windows(
    x: Array, window: tuple[int, int], strides: tuple[int, int], padding: Padding, fill: float
) -> Array:
    """Every window over `x`: (images, output height, output width, channels, *window)."""
    if x.ndim != 4:
        raise ValueError(f"expected (images, height, width, channels), got shape {x.shape}")
    rows = padding_amounts(x.shape[1], window[0], strides[0], padding)
    columns = padding_amounts(x.shape[2], window[1], strides[1], padding)
    padded = np.pad(x, ((0, 0), rows, columns, (0, 0)), constant_values=fill)
    return sliding_window_view(padded, window, axis=(1, 2))[:, :: strides[0], :: strides[1]]


def _add_windows(
    windows: Array, shape: tuple[int, ...], strides: tuple[int, int], padding: Padding
) -> Array:
    """The gradient of `_cut_windows`: a pixel receives the sum over the windows that saw it."""
    _, height, width, _, *window = windows.shape
    (top, bottom), (left, right) = (
        padding_amounts(shape[axis + 1], window[axis], strides[axis], padding) for axis in (0, 1)
    )
    images, rows, columns, channels = shape
    padded_shape = (images, rows + top + bottom, columns + left + right, channels)
    padded = np.zeros(padded_shape, windows.dtype)
    for i, j in np.ndindex(*window):
        row_slice = slice(i, i + (height - 1) * strides[0] + 1, strides[0])
        column_slice = slice(j, j + (width - 1) * strides[1] + 1, strides[1])
        padded[:, row_slice, column_slice] += windows[..., i, j]
    return padded[:, top : top + rows, left : left + columns]


# --- Convolution ------------------------------------------------------------------------------


def conv2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
    groups: int = 1,
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
    windows, grouped_kernel, _ = _grouped(x, kernel, strides, padding, groups)
    filters = np.shape(kernel)[3]
    _require_shape(np.asarray(bias), (filters,), "bias")
    # n image, h row, w column, g group, c channel, i and j place in the kernel, f filter
    output = np.einsum("nhwgcij,ijcgf->nhwgf", windows, grouped_kernel, optimize=True)
    return output.reshape(*output.shape[:3], filters) + _floats(bias)


def conv2d_gradient(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    upstream: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `conv2d`."""
    windows, grouped_kernel, pair = _grouped(x, kernel, strides, padding, groups)
    images, height, width = windows.shape[:3]
    up, filters = _floats(upstream), np.shape(kernel)[3]
    _require_shape(up, (images, height, width, filters), "upstream")
    grouped_up = up.reshape(images, height, width, groups, -1)
    d_kernel = np.einsum("nhwgcij,nhwgf->ijcgf", windows, grouped_up, optimize=True)
    d_windows = np.einsum("nhwgf,ijcgf->nhwgcij", grouped_up, grouped_kernel, optimize=True)
    d_windows = d_windows.reshape(images, height, width, -1, *windows.shape[5:])
    d_x = _add_windows(d_windows, np.shape(x), pair, padding)
    return d_x, d_kernel.reshape(np.shape(kernel)), up.sum(axis=(0, 1, 2))


def _grouped(
    x: npt.ArrayLike, kernel: npt.ArrayLike, strides: Pair, padding: Padding, groups: int
) -> tuple[Array, Array, tuple[int, int]]:
    """Windows (n, h, w, g, c, i, j), kernel (i, j, c, g, f) and strides as a pair."""
    x, kernel, pair = _floats(x), _floats(kernel), _pair(strides, "strides")
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(f"x and kernel need 4 axes, got shapes {x.shape} and {kernel.shape}")
    *window, depth, filters = kernel.shape
    if groups < 1 or filters % groups or x.shape[3] != depth * groups:
        raise ValueError(
            f"{groups} groups don't fit {x.shape[3]} channels and a kernel {kernel.shape}"
        )
    windows = _cut_windows(x, (window[0], window[1]), pair, padding, fill=0.0)
    windows = windows.reshape(*windows.shape[:3], groups, depth, *window)
    return windows, kernel.reshape(*window, depth, groups, filters // groups), pair


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
    return conv2d(x, np.flip(_floats(kernel), (0, 1)), bias, strides, padding, groups)


def convolve2d_gradient(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    upstream: npt.ArrayLike,
    strides: Pair = 1,
    padding: Padding = "valid",
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `convolve2d`."""
    rotated = np.flip(_floats(kernel), (0, 1))
    d_x, d_rotated, d_bias = conv2d_gradient(x, rotated, upstream, strides, padding, groups)
    return d_x, np.flip(d_rotated, (0, 1)), d_bias


# --- Pooling ----------------------------------------------------------------------------------


def _pool_windows(
    x: Array, pool_size: Pair, strides: Pair | None, padding: Padding, fill: float
) -> tuple[Array, tuple[int, int]]:
    size = _pair(pool_size, "pool_size")
    pair = size if strides is None else _pair(strides, "strides")
    return _cut_windows(x, size, pair, padding, fill), pair


def max_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Largest value of each window of each channel; strides default to pool_size.

    x (images, height, width, channels). Padding never wins: it counts as minus infinity.
    Reference: Krizhevsky et al. (2012), section 3.4 (size 3, stride 2). Deviations: none.
    """
    windows, _ = _pool_windows(_floats(x), pool_size, strides, padding, -np.inf)
    return np.asarray(windows.max(axis=(-2, -1)))


def max_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `max_pool2d`; of equal maxima the first in row order receives it all."""
    windows, pair = _pool_windows(_floats(x), pool_size, strides, padding, -np.inf)
    up = _floats(upstream)
    _require_shape(up, windows.shape[:4], "upstream")
    first = windows.reshape(*windows.shape[:4], -1).argmax(axis=-1)
    chosen = np.arange(windows.shape[-2] * windows.shape[-1]) == first[..., np.newaxis]
    d_windows = (chosen * up[..., np.newaxis]).reshape(windows.shape)
    return _add_windows(d_windows, np.shape(x), pair, padding)


def average_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Mean of each window of each channel; strides default to pool_size.

    x (images, height, width, channels). A window that overhangs the border is divided by the
    number of its pixels that lie inside, as in TensorFlow; one that lies outside gives NaN.
    Reference: LeCun et al. (1998), section II.B, layer S2. Deviations: no trainable coefficient
    and bias per map, and no sigmoid after them.
    """
    x = _floats(x)
    windows, _ = _pool_windows(x, pool_size, strides, padding, 0.0)
    inside, _ = _pool_windows(np.ones_like(x), pool_size, strides, padding, 0.0)
    return windows.sum(axis=(-2, -1)) / inside.sum(axis=(-2, -1))


def average_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `average_pool2d`; only the shape and type of x matter."""
    inside, pair = _pool_windows(np.ones_like(_floats(x)), pool_size, strides, padding, 0.0)
    up = _floats(upstream)
    _require_shape(up, inside.shape[:4], "upstream")
    share = up / inside.sum(axis=(-2, -1))
    return _add_windows(inside * share[..., None, None], np.shape(x), pair, padding)


def min_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Smallest value of each window of each channel; padding never wins."""
    return -max_pool2d(-_floats(x), pool_size, strides, padding)


def min_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `min_pool2d`; of equal minima the first in row order receives it all."""
    return max_pool2d_gradient(-_floats(x), upstream, pool_size, strides, padding)


def sum_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Sum of each window of each channel; padding counts as 0."""
    windows, _ = _pool_windows(_floats(x), pool_size, strides, padding, 0.0)
    return np.asarray(windows.sum(axis=(-2, -1)))


def sum_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `sum_pool2d`; only the shape and type of x matter."""
    windows, pair = _pool_windows(np.ones_like(_floats(x)), pool_size, strides, padding, 0.0)
    up = _floats(upstream)
    _require_shape(up, windows.shape[:4], "upstream")
    spread = np.broadcast_to(up[..., None, None], windows.shape)
    return _add_windows(spread, np.shape(x), pair, padding)


def l2_pool2d(
    x: npt.ArrayLike, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> Array:
    """Euclidean norm of each window of each channel; padding counts as 0.

    Reference: Goodfellow, Bengio, Courville (2016), section 9.3. Deviations: none.
    """
    return np.asarray(np.sqrt(sum_pool2d(_floats(x) ** 2, pool_size, strides, padding)))


def l2_pool2d_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Derivative d_x of `l2_pool2d`; of a window of zeros, where there is none, taken to be 0."""
    x, norms = _floats(x), l2_pool2d(x, pool_size, strides, padding)
    _require_shape(_floats(upstream), norms.shape, "upstream")
    share = np.divide(upstream, norms, out=np.zeros_like(norms), where=norms > 0)
    return x * sum_pool2d_gradient(x, share, pool_size, strides, padding)


# --- Dense and flatten ------------------------------------------------------------------------


def flatten(x: npt.ArrayLike) -> Array:
    """(images, ...) to (images, features), row by row with the channel changing fastest."""
    x = _floats(x)
    return x.reshape(x.shape[0], -1)


def flatten_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `flatten`; only the shape of x matters."""
    return _floats(upstream).reshape(np.shape(x))


def dense(x: npt.ArrayLike, kernel: npt.ArrayLike, bias: npt.ArrayLike) -> Array:
    """Compute x @ kernel + bias, for x (images, inputs), kernel (inputs, units), bias (units,)."""
    return _floats(x) @ _floats(kernel) + _floats(bias)


def dense_gradient(
    x: npt.ArrayLike, kernel: npt.ArrayLike, upstream: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `dense`."""
    up = _floats(upstream)
    return up @ _floats(kernel).T, _floats(x).T @ up, up.sum(axis=0)


# --- Activations: any shape in, the same shape out ----------------------------------------------


def sigmoid(x: npt.ArrayLike) -> Array:
    """1 / (1 + exp(-x)), in [0, 1]; no overflow for any finite x."""
    return 0.5 * (1.0 + np.tanh(0.5 * _floats(x)))


def sigmoid_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `sigmoid`: at most a quarter of upstream."""
    y = sigmoid(x)
    return _floats(upstream) * y * (1.0 - y)


def tanh(x: npt.ArrayLike) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)), in [-1, 1]."""
    return np.asarray(np.tanh(_floats(x)))


def tanh_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `tanh`."""
    return _floats(upstream) * (1.0 - tanh(x) ** 2)


def scaled_tanh(x: npt.ArrayLike, amplitude: float = 1.7159, slope: float = 2.0 / 3.0) -> Array:
    """A tanh(S x), in [-A, A]; the defaults make f(1) = 1 and f(-1) = -1 to within 3e-5.

    Reference: LeCun et al. (1998), equation 6 and appendix A. Deviations: none.
    """
    return amplitude * tanh(slope * _floats(x))


def scaled_tanh_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    amplitude: float = 1.7159,
    slope: float = 2.0 / 3.0,
) -> Array:
    """Derivative d_x of `scaled_tanh`."""
    return amplitude * slope * tanh_gradient(slope * _floats(x), upstream)


def relu(x: npt.ArrayLike) -> Array:
    """max(x, 0). Reference: Krizhevsky et al. (2012), section 3.1."""
    return np.asarray(np.maximum(_floats(x), 0.0))


def relu_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `relu`; at 0, where there is none, it is taken to be 0."""
    return _floats(upstream) * (_floats(x) > 0)


def softmax(x: npt.ArrayLike) -> Array:
    """exp(x) / sum(exp(x)) along the last axis; no overflow for any finite x."""
    x = _floats(x)
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softmax_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `softmax`."""
    y, up = softmax(x), _floats(upstream)
    return y * (up - (up * y).sum(axis=-1, keepdims=True))


# --- Normalisation ------------------------------------------------------------------------------


def _sum_over_neighbours(x: Array, n: int) -> Array:
    """Sum of the n channels around each channel; fewer at the first and last channels."""
    if n < 1 or n % 2 == 0:
        raise ValueError(f"n must be odd and positive, not {n}")
    half = n // 2
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)])
    return sliding_window_view(padded, n, axis=-1).sum(axis=-1)


def local_response_normalization(
    x: npt.ArrayLike, k: float = 2.0, n: int = 5, alpha: float = 1e-4, beta: float = 0.75
) -> Array:
    """Divide x by (k + alpha * sum of x**2 over n neighbouring channels)**beta; channels last.

    n must be odd (ValueError); alpha isn't divided by n, as it is in Caffe and PyTorch.
    Reference: Krizhevsky et al. (2012), section 3.3. Deviations: none.
    """
    x = _floats(x)
    return x * (k + alpha * _sum_over_neighbours(x**2, n)) ** -beta


def local_response_normalization_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    k: float = 2.0,
    n: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> Array:
    """Derivative d_x of `local_response_normalization`."""
    x, up = _floats(x), _floats(upstream)
    scale = k + alpha * _sum_over_neighbours(x**2, n)
    from_neighbours = _sum_over_neighbours(up * x * scale ** (-beta - 1.0), n)
    return up * scale**-beta - 2.0 * alpha * beta * x * from_neighbours


def batch_normalization(
    x: npt.ArrayLike,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    mean: npt.ArrayLike | None = None,
    variance: npt.ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> Array:
    """Give gamma * (x - mean) / sqrt(variance + epsilon) + beta, per channel of the last axis.

    Training: leave mean and variance out; they are those of x over all axes but the last
    (the variance divided by the count). Inference: give the moving averages. One without the
    other raises ValueError. gamma, beta, mean and variance: (channels,).
    Reference: Ioffe & Szegedy (2015), algorithms 1 and 2. Deviations: none in training; what
    variance to give for inference is the caller's choice (the paper's is multiplied by m/(m-1)).
    """
    normalised, _ = _standardise(_floats(x), mean, variance, epsilon)
    return _floats(gamma) * normalised + _floats(beta)


def batch_normalization_gradient(
    x: npt.ArrayLike,
    gamma: npt.ArrayLike,
    upstream: npt.ArrayLike,
    mean: npt.ArrayLike | None = None,
    variance: npt.ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_gamma, d_beta) of `batch_normalization`; given statistics are constants.

    Without them the mean and variance depend on x, so one image's gradient depends on the others.
    """
    normalised, deviation = _standardise(_floats(x), mean, variance, epsilon)
    up, axes = _floats(upstream), tuple(range(normalised.ndim - 1))
    d_gamma, d_beta = (up * normalised).sum(axis=axes), up.sum(axis=axes)
    d_normalised = up * _floats(gamma)
    if mean is None:
        d_normalised = (
            d_normalised
            - d_normalised.mean(axis=axes)
            - normalised * (d_normalised * normalised).mean(axis=axes)
        )
    return d_normalised / deviation, d_gamma, d_beta


def _standardise(
    x: Array, mean: npt.ArrayLike | None, variance: npt.ArrayLike | None, epsilon: float
) -> tuple[Array, Array]:
    if (mean is None) != (variance is None):
        raise ValueError("give both mean and variance (inference) or neither (training)")
    axes = tuple(range(x.ndim - 1))
    centre = x.mean(axis=axes) if mean is None else _floats(mean)
    spread = x.var(axis=axes) if variance is None else _floats(variance)
    deviation = np.sqrt(spread + epsilon)
    return (x - centre) / deviation, deviation


# --- Loss -----------------------------------------------------------------------------------------


def one_hot(labels: npt.ArrayLike, classes: int) -> Array:
    """Integer labels in 0 .. classes-1, of any shape, to float64 rows with a single 1.

    Raises ValueError for a label outside that range.
    """
    labels = np.asarray(labels)
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, not 0 to {classes - 1}"
        )
    return (labels[..., np.newaxis] == np.arange(classes)).astype(np.float64)


def categorical_cross_entropy(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Mean over the images of -sum(targets * log(probabilities)); natural logarithm.

    Both (images, classes), rows summing to 1. Infinite where a target class has probability 0;
    Keras clips at 1e-7 instead.
    """
    p, t = _floats(probabilities), _floats(targets)
    _require_shape(t, p.shape, "targets")
    with np.errstate(divide="ignore"):
        terms = np.where(t > 0, t * np.log(np.where(t > 0, p, 1.0)), 0.0)
    return float(-terms.sum(axis=-1).mean())


def categorical_cross_entropy_gradient(
    probabilities: npt.ArrayLike, targets: npt.ArrayLike
) -> Array:
    """Derivative by the probabilities (the targets are constants); chain with `softmax_gradient`.

    Together, for targets that sum to 1, the two give (probabilities - targets) / images.
    """
    p, t = _floats(probabilities), _floats(targets)
    _require_shape(t, p.shape, "targets")
    return -np.divide(t, p, out=np.zeros_like(p), where=t > 0) / len(p)

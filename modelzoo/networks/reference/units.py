"""Units that see all features of an image, activations, normalisations and losses."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from modelzoo.networks.reference.windows import Array, floats, require_shape


def flatten(x: ArrayLike) -> Array:
    """(images, ...) to (images, features), row by row with the channel changing fastest."""
    x = floats(x)
    return x.reshape(x.shape[0], -1)


def flatten_gradient(x: ArrayLike, upstream: ArrayLike) -> Array:
    """Derivative d_x of `flatten`; only the shape of x matters."""
    return floats(upstream).reshape(np.shape(x))


def dense(x: ArrayLike, kernel: ArrayLike, bias: ArrayLike) -> Array:
    """Compute x @ kernel + bias, for x (images, inputs), kernel (inputs, units), bias (units,)."""
    return floats(x) @ floats(kernel) + floats(bias)


def dense_gradient(
    x: ArrayLike, kernel: ArrayLike, upstream: ArrayLike
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `dense`."""
    up = floats(upstream)
    return up @ floats(kernel).T, floats(x).T @ up, up.sum(axis=0)


def euclidean_rbf(x: ArrayLike, codes: ArrayLike) -> Array:
    """Squared distance of each image's features to the code of each class: (images, classes)."""
    differences = floats(x)[:, np.newaxis] - floats(codes)
    return np.asarray((differences**2).sum(axis=-1))


def euclidean_rbf_gradient(x: ArrayLike, codes: ArrayLike, upstream: ArrayLike) -> Array:
    """Derivative d_x of `euclidean_rbf`; the codes are constant."""
    differences = floats(x)[:, np.newaxis] - floats(codes)
    return 2.0 * (differences * floats(upstream)[..., np.newaxis]).sum(axis=1)


# Activations: any shape in, the same shape out.


def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x)), in [0, 1]; no overflow for any finite x."""
    return 0.5 * (1.0 + np.tanh(0.5 * floats(x)))


def sigmoid_gradient(x: ArrayLike, upstream: ArrayLike) -> Array:
    """Derivative d_x of `sigmoid`: at most a quarter of upstream."""
    y = sigmoid(x)
    return floats(upstream) * y * (1.0 - y)


def tanh(x: ArrayLike) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)), in [-1, 1]."""
    return np.asarray(np.tanh(floats(x)))


def tanh_gradient(x: ArrayLike, upstream: ArrayLike) -> Array:
    """Derivative d_x of `tanh`."""
    return floats(upstream) * (1.0 - tanh(x) ** 2)


def scaled_tanh(x: ArrayLike, amplitude: float = 1.7159, slope: float = 2.0 / 3.0) -> Array:
    """A tanh(S x), in [-A, A]."""
    return amplitude * tanh(slope * floats(x))


def scaled_tanh_gradient(
    x: ArrayLike, upstream: ArrayLike, amplitude: float = 1.7159, slope: float = 2.0 / 3.0
) -> Array:
    """Derivative d_x of `scaled_tanh`."""
    return amplitude * slope * tanh_gradient(slope * floats(x), upstream)


def relu(x: ArrayLike) -> Array:
    """max(x, 0). Reference: Krizhevsky et al. (2012), section 3.1."""
    return np.asarray(np.maximum(floats(x), 0.0))


def relu_gradient(x: ArrayLike, upstream: ArrayLike) -> Array:
    """Derivative d_x of `relu`; at 0, where there is none, it is taken to be 0."""
    return floats(upstream) * (floats(x) > 0)


def softmax(x: ArrayLike) -> Array:
    """exp(x) / sum(exp(x)) along the last axis; no overflow for any finite x."""
    x = floats(x)
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softmax_gradient(x: ArrayLike, upstream: ArrayLike) -> Array:
    """Derivative d_x of `softmax`."""
    y, up = softmax(x), floats(upstream)
    return y * (up - (up * y).sum(axis=-1, keepdims=True))


# Normalisation: across neighbouring channels, or over a batch.


def _sum_over_neighbours(x: Array, n: int) -> Array:
    if n < 1 or n % 2 == 0:
        raise ValueError(f"n must be odd and positive, not {n}")
    half = n // 2
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)])
    return sliding_window_view(padded, n, axis=-1).sum(axis=-1)


def local_response_normalization(
    x: ArrayLike, k: float = 2.0, n: int = 5, alpha: float = 1e-4, beta: float = 0.75
) -> Array:
    """Divide x by (k + alpha * sum of x**2 over n neighbouring channels)**beta, for an odd n."""
    x = floats(x)
    return x * (k + alpha * _sum_over_neighbours(x**2, n)) ** -beta


def local_response_normalization_gradient(
    x: ArrayLike,
    upstream: ArrayLike,
    k: float = 2.0,
    n: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> Array:
    """Derivative d_x of `local_response_normalization`."""
    x, up = floats(x), floats(upstream)
    scale = k + alpha * _sum_over_neighbours(x**2, n)
    from_neighbours = _sum_over_neighbours(up * x * scale ** (-beta - 1.0), n)
    return up * scale**-beta - 2.0 * alpha * beta * x * from_neighbours


def batch_normalization(
    x: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> Array:
    """Give gamma * (x - mean) / sqrt(variance + epsilon) + beta, per channel of the last axis.

    Training: leave mean and variance out; they are those of x over all axes but the last
    (the variance divided by the count). Inference: give the moving averages. One without the
    other raises ValueError. gamma, beta, mean and variance: (channels,).
    Reference: Ioffe & Szegedy (2015), algorithms 1 and 2. Deviations: none in training; what
    variance to give for inference is the caller's choice (the paper's is multiplied by m/(m-1)).
    """
    normalised, _ = _standardise(floats(x), mean, variance, epsilon)
    return floats(gamma) * normalised + floats(beta)


def batch_normalization_gradient(
    x: ArrayLike,
    gamma: ArrayLike,
    upstream: ArrayLike,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    epsilon: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_gamma, d_beta) of `batch_normalization`; given statistics are constants.

    Without them the mean and variance depend on x, so one image's gradient depends on the others.
    """
    normalised, deviation = _standardise(floats(x), mean, variance, epsilon)
    up, axes = floats(upstream), tuple(range(normalised.ndim - 1))
    d_gamma, d_beta = (up * normalised).sum(axis=axes), up.sum(axis=axes)
    d_normalised = up * floats(gamma)
    if mean is None:
        d_normalised = (
            d_normalised
            - d_normalised.mean(axis=axes)
            - normalised * (d_normalised * normalised).mean(axis=axes)
        )
    return d_normalised / deviation, d_gamma, d_beta


def _standardise(
    x: Array, mean: ArrayLike | None, variance: ArrayLike | None, epsilon: float
) -> tuple[Array, Array]:
    if (mean is None) != (variance is None):
        raise ValueError("give both mean and variance (inference) or neither (training)")
    axes = tuple(range(x.ndim - 1))
    centre = x.mean(axis=axes) if mean is None else floats(mean)
    spread = x.var(axis=axes) if variance is None else floats(variance)
    deviation = np.sqrt(spread + epsilon)
    return (x - centre) / deviation, deviation


# Losses: means over the images of a batch.


def categorical_cross_entropy(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """Mean over the images of -sum(targets * log(probabilities)); natural logarithm.

    Both (images, classes), rows summing to 1. Infinite where a target class has probability 0;
    Keras clips at 1e-7 instead.
    """
    p, t = floats(probabilities), floats(targets)
    require_shape(t, p.shape, "targets")
    with np.errstate(divide="ignore"):
        terms = np.where(t > 0, t * np.log(np.where(t > 0, p, 1.0)), 0.0)
    return float(-terms.sum(axis=-1).mean())


def categorical_cross_entropy_gradient(probabilities: ArrayLike, targets: ArrayLike) -> Array:
    """Derivative by the probabilities (the targets are constants); chain with `softmax_gradient`.

    Together, for targets that sum to 1, the two give (probabilities - targets) / images.
    """
    p, t = floats(probabilities), floats(targets)
    require_shape(t, p.shape, "targets")
    return -np.divide(t, p, out=np.zeros_like(p), where=t > 0) / len(p)


def map_criterion(penalties: ArrayLike, labels: ArrayLike, j: float) -> float:
    """Mean over the images of y_D + log(exp(-j) + sum of exp(-y_i)); no overflow.

    penalties y (images, classes), labels D (images,) from 0.
    """
    y = floats(penalties)
    right = y[np.arange(len(y)), np.asarray(labels)]
    return float((right + np.logaddexp(np.logaddexp.reduce(-y, axis=1), -j)).mean())


def map_criterion_gradient(penalties: ArrayLike, labels: ArrayLike, j: float) -> Array:
    """1 at the right class, less the probability of each class beside the rubbish class."""
    y = floats(penalties)
    total = np.logaddexp(np.logaddexp.reduce(-y, axis=1), -j)
    gradient = -np.exp(-y - total[:, np.newaxis])
    gradient[np.arange(len(y)), np.asarray(labels)] += 1.0
    return gradient / len(y)


def bipolar_mean_squared_error(outputs: ArrayLike, labels: ArrayLike) -> float:
    """Mean over images and units of (target - output)**2: +1 at the right class, -1 elsewhere.

    outputs (images, classes), labels (images,) from 0.
    """
    return float((_differences(outputs, labels) ** 2).mean())


def bipolar_mean_squared_error_gradient(outputs: ArrayLike, labels: ArrayLike) -> Array:
    """Derivative of `bipolar_mean_squared_error` by the outputs."""
    differences = _differences(outputs, labels)
    return 2.0 * differences / differences.size


def _differences(outputs: ArrayLike, labels: ArrayLike) -> Array:
    outputs = floats(outputs)
    right = np.asarray(labels)[:, np.newaxis] == np.arange(outputs.shape[1])
    return outputs - np.where(right, 1.0, -1.0)

"""Units that see all features of an image, and activation functions."""

import numpy as np
import numpy.typing as npt

from modelzoo.networks.reference.windows import Array, floats


def flatten(x: npt.ArrayLike) -> Array:
    """(images, ...) to (images, features), row by row with the channel changing fastest."""
    x = floats(x)
    return x.reshape(x.shape[0], -1)


def flatten_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `flatten`; only the shape of x matters."""
    return floats(upstream).reshape(np.shape(x))


def dense(x: npt.ArrayLike, kernel: npt.ArrayLike, bias: npt.ArrayLike) -> Array:
    """Compute x @ kernel + bias, for x (images, inputs), kernel (inputs, units), bias (units,)."""
    return floats(x) @ floats(kernel) + floats(bias)


def dense_gradient(
    x: npt.ArrayLike, kernel: npt.ArrayLike, upstream: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `dense`."""
    up = floats(upstream)
    return up @ floats(kernel).T, floats(x).T @ up, up.sum(axis=0)


def euclidean_rbf(x: npt.ArrayLike, codes: npt.ArrayLike) -> Array:
    """Squared distance of each image's features to the code of each class.

    x (images, features), codes (classes, features). Returns (images, classes), from 0.
    Reference: LeCun et al. (1998), equation 7. Deviations: none.
    """
    differences = floats(x)[:, np.newaxis] - floats(codes)
    return np.asarray((differences**2).sum(axis=-1))


def euclidean_rbf_gradient(
    x: npt.ArrayLike, codes: npt.ArrayLike, upstream: npt.ArrayLike
) -> Array:
    """Derivative d_x of `euclidean_rbf`; the codes are constant."""
    differences = floats(x)[:, np.newaxis] - floats(codes)
    return 2.0 * (differences * floats(upstream)[..., np.newaxis]).sum(axis=1)


# Activations: any shape in, the same shape out.


def sigmoid(x: npt.ArrayLike) -> Array:
    """1 / (1 + exp(-x)), in [0, 1]; no overflow for any finite x."""
    return 0.5 * (1.0 + np.tanh(0.5 * floats(x)))


def sigmoid_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `sigmoid`: at most a quarter of upstream."""
    y = sigmoid(x)
    return floats(upstream) * y * (1.0 - y)


def tanh(x: npt.ArrayLike) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)), in [-1, 1]."""
    return np.asarray(np.tanh(floats(x)))


def tanh_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `tanh`."""
    return floats(upstream) * (1.0 - tanh(x) ** 2)


def scaled_tanh(x: npt.ArrayLike, amplitude: float = 1.7159, slope: float = 2.0 / 3.0) -> Array:
    """A tanh(S x), in [-A, A]; the defaults make f(1) = 1 and f(-1) = -1 to within 3e-5.

    Reference: LeCun et al. (1998), equation 6 and appendix A. Deviations: none.
    """
    return amplitude * tanh(slope * floats(x))


def scaled_tanh_gradient(
    x: npt.ArrayLike,
    upstream: npt.ArrayLike,
    amplitude: float = 1.7159,
    slope: float = 2.0 / 3.0,
) -> Array:
    """Derivative d_x of `scaled_tanh`."""
    return amplitude * slope * tanh_gradient(slope * floats(x), upstream)


def relu(x: npt.ArrayLike) -> Array:
    """max(x, 0). Reference: Krizhevsky et al. (2012), section 3.1."""
    return np.asarray(np.maximum(floats(x), 0.0))


def relu_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `relu`; at 0, where there is none, it is taken to be 0."""
    return floats(upstream) * (floats(x) > 0)


def softmax(x: npt.ArrayLike) -> Array:
    """exp(x) / sum(exp(x)) along the last axis; no overflow for any finite x."""
    x = floats(x)
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softmax_gradient(x: npt.ArrayLike, upstream: npt.ArrayLike) -> Array:
    """Derivative d_x of `softmax`."""
    y, up = softmax(x), floats(upstream)
    return y * (up - (up * y).sum(axis=-1, keepdims=True))

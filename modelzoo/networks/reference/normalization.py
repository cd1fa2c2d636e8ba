"""Normalisation: across neighbouring channels, or over a batch."""

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from modelzoo.networks.reference.windows import Array, floats


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
    x = floats(x)
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
    x, up = floats(x), floats(upstream)
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
    normalised, _ = _standardise(floats(x), mean, variance, epsilon)
    return floats(gamma) * normalised + floats(beta)


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
    x: Array, mean: npt.ArrayLike | None, variance: npt.ArrayLike | None, epsilon: float
) -> tuple[Array, Array]:
    if (mean is None) != (variance is None):
        raise ValueError("give both mean and variance (inference) or neither (training)")
    axes = tuple(range(x.ndim - 1))
    centre = x.mean(axis=axes) if mean is None else floats(mean)
    spread = x.var(axis=axes) if variance is None else floats(variance)
    deviation = np.sqrt(spread + epsilon)
    return (x - centre) / deviation, deviation

"""Losses: means over the images of a batch."""

import numpy as np
import numpy.typing as npt

from modelzoo.networks.reference.windows import Array, floats, require_shape


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
    p, t = floats(probabilities), floats(targets)
    require_shape(t, p.shape, "targets")
    with np.errstate(divide="ignore"):
        terms = np.where(t > 0, t * np.log(np.where(t > 0, p, 1.0)), 0.0)
    return float(-terms.sum(axis=-1).mean())


def categorical_cross_entropy_gradient(
    probabilities: npt.ArrayLike, targets: npt.ArrayLike
) -> Array:
    """Derivative by the probabilities (the targets are constants); chain with `softmax_gradient`.

    Together, for targets that sum to 1, the two give (probabilities - targets) / images.
    """
    p, t = floats(probabilities), floats(targets)
    require_shape(t, p.shape, "targets")
    return -np.divide(t, p, out=np.zeros_like(p), where=t > 0) / len(p)


def map_criterion(penalties: npt.ArrayLike, labels: npt.ArrayLike, j: float) -> float:
    """Mean over the images of y_D + log(exp(-j) + sum of exp(-y_i)); no overflow.

    penalties y (images, classes), labels D (images,) from 0.
    Reference: LeCun et al. (1998), equation 9. Deviations: none.
    """
    y = floats(penalties)
    right = y[np.arange(len(y)), np.asarray(labels)]
    return float((right + np.logaddexp(np.logaddexp.reduce(-y, axis=1), -j)).mean())


def map_criterion_gradient(penalties: npt.ArrayLike, labels: npt.ArrayLike, j: float) -> Array:
    """Derivative of `map_criterion` by the penalties.

    1 at the right class, less the probability of each class beside the rubbish class.
    """
    y = floats(penalties)
    total = np.logaddexp(np.logaddexp.reduce(-y, axis=1), -j)
    gradient = -np.exp(-y - total[:, np.newaxis])
    gradient[np.arange(len(y)), np.asarray(labels)] += 1.0
    return gradient / len(y)


def bipolar_mean_squared_error(outputs: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean over images and units of (target - output)**2: +1 at the right class, -1 elsewhere.

    outputs (images, classes), labels (images,) from 0.
    Reference: LeCun et al. (1989). Deviations: none.
    """
    return float((_differences(outputs, labels) ** 2).mean())


def bipolar_mean_squared_error_gradient(outputs: npt.ArrayLike, labels: npt.ArrayLike) -> Array:
    """Derivative of `bipolar_mean_squared_error` by the outputs."""
    differences = _differences(outputs, labels)
    return 2.0 * differences / differences.size


def _differences(outputs: npt.ArrayLike, labels: npt.ArrayLike) -> Array:
    outputs = floats(outputs)
    right = np.asarray(labels)[:, np.newaxis] == np.arange(outputs.shape[1])
    return outputs - np.where(right, 1.0, -1.0)

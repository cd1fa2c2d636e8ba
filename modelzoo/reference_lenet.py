"""The layers and losses of the two original LeNets in plain NumPy, forward and gradient.

The conventions are those of `modelzoo.reference`: channels last, `f_gradient` for every `f`, float
arrays keep their precision. Clarity comes before speed.
"""

import numpy as np
import numpy.typing as npt

from modelzoo.reference import (
    Array,
    Padding,
    _floats,
    conv2d,
    conv2d_gradient,
    padding_amounts,
)


def trainable_subsampling(
    x: npt.ArrayLike, coefficient: npt.ArrayLike, bias: npt.ArrayLike, size: int = 2
) -> Array:
    """Add the inputs of each size x size window, multiply by the coefficient, add the bias.

    x (images, height, width, maps); coefficient and bias (maps,). Windows do not overlap; rows and
    columns that no full window covers are ignored.
    Reference: LeCun et al. (1998), section II.B. Deviations: the squashing that follows is apart.
    """
    return _window_sums(_floats(x), size) * _floats(coefficient) + _floats(bias)


def trainable_subsampling_gradient(
    x: npt.ArrayLike, coefficient: npt.ArrayLike, upstream: npt.ArrayLike, size: int = 2
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_coefficient, d_bias) of `trainable_subsampling`."""
    x, up = _floats(x), _floats(upstream)
    d_x = np.zeros_like(x)
    for row, column in np.ndindex(up.shape[1:3]):
        window = np.s_[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
        d_x[window] = (up[:, row, column] * _floats(coefficient))[:, np.newaxis, np.newaxis]
    d_coefficient = (up * _window_sums(x, size)).sum(axis=(0, 1, 2))
    return d_x, d_coefficient, up.sum(axis=(0, 1, 2))


def _window_sums(x: Array, size: int) -> Array:
    height, width = x.shape[1] // size, x.shape[2] // size
    sums = np.zeros((len(x), height, width, x.shape[3]), x.dtype)
    for row, column in np.ndindex(height, width):
        window = x[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
        sums[:, row, column] = window.sum(axis=(1, 2))
    return sums


def connection_table_conv2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike,
    table: npt.ArrayLike,
    strides: int = 1,
    padding: Padding = "valid",
    padding_value: float = 0.0,
) -> Array:
    """Cross-correlate each output map with those input maps that the table joins it to.

    x (images, height, width, input maps); table (input maps, output maps) of 0 and 1; kernel
    (kernel height, kernel width, connections), the connections of the first output map first;
    bias (output maps,), or (output height, output width, output maps) for a bias a unit.
    Reference: LeCun et al. (1998), table I; LeCun et al. (1989), H1 and H2. Deviations: as
    `modelzoo.reference.conv2d`.
    """
    x, kernel = _floats(x), _floats(kernel)
    padded, _ = _padded(x, kernel.shape, strides, padding, padding_value)
    outputs = [
        conv2d(padded[..., maps], kernel[..., part, np.newaxis], np.zeros(1, x.dtype), strides)
        for maps, part in _connections(table)
    ]
    return np.concatenate(outputs, axis=-1) + _floats(bias)


def connection_table_conv2d_gradient(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike,
    table: npt.ArrayLike,
    upstream: npt.ArrayLike,
    strides: int = 1,
    padding: Padding = "valid",
    padding_value: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_kernel, d_bias) of `connection_table_conv2d`; the table is constant."""
    x, kernel, up = _floats(x), _floats(kernel), _floats(upstream)
    padded, inside = _padded(x, kernel.shape, strides, padding, padding_value)
    d_padded, d_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    for output, (maps, part) in enumerate(_connections(table)):
        d_maps, d_part, _ = conv2d_gradient(
            padded[..., maps],
            kernel[..., part, np.newaxis],
            up[..., output, np.newaxis],
            strides,
        )
        d_padded[..., maps] += d_maps
        d_kernel[..., part] = d_part[..., 0]
    shared = tuple(range(up.ndim - np.ndim(bias)))  # the axes along which one bias serves all
    return d_padded[inside], d_kernel, up.sum(axis=shared)


def _connections(table: npt.ArrayLike) -> list[tuple[Array, slice]]:
    """For each output map: the numbers of its input maps, and where its kernels stand."""
    found, first = [], 0
    for column in np.asarray(table).T:
        maps = np.flatnonzero(column)
        found.append((maps, slice(first, first + len(maps))))
        first += len(maps)
    return found


def _padded(
    x: Array, window: tuple[int, ...], stride: int, padding: Padding, value: float
) -> tuple[Array, tuple[slice, ...]]:
    """Return x with its margins, and where x is in it."""
    before_after = [
        padding_amounts(x.shape[axis], window[axis - 1], stride, padding) for axis in (1, 2)
    ]
    padded = np.pad(x, [(0, 0), *before_after, (0, 0)], constant_values=value)
    (top, _), (left, _) = before_after
    return padded, np.s_[:, top : top + x.shape[1], left : left + x.shape[2]]


def euclidean_rbf(x: npt.ArrayLike, codes: npt.ArrayLike) -> Array:
    """Squared distance of each image's features to the code of each class.

    x (images, features), codes (classes, features). Returns (images, classes), from 0.
    Reference: LeCun et al. (1998), equation 7. Deviations: none.
    """
    differences = _floats(x)[:, np.newaxis] - _floats(codes)
    return np.asarray((differences**2).sum(axis=-1))


def euclidean_rbf_gradient(
    x: npt.ArrayLike, codes: npt.ArrayLike, upstream: npt.ArrayLike
) -> Array:
    """Derivative d_x of `euclidean_rbf`; the codes are constant."""
    differences = _floats(x)[:, np.newaxis] - _floats(codes)
    return 2.0 * (differences * _floats(upstream)[..., np.newaxis]).sum(axis=1)


def map_criterion(penalties: npt.ArrayLike, labels: npt.ArrayLike, j: float) -> float:
    """Mean over the images of y_D + log(exp(-j) + sum of exp(-y_i)); no overflow.

    penalties y (images, classes), labels D (images,) from 0.
    Reference: LeCun et al. (1998), equation 9. Deviations: none.
    """
    y = _floats(penalties)
    right = y[np.arange(len(y)), np.asarray(labels)]
    return float((right + np.logaddexp(np.logaddexp.reduce(-y, axis=1), -j)).mean())


def map_criterion_gradient(penalties: npt.ArrayLike, labels: npt.ArrayLike, j: float) -> Array:
    """Derivative of `map_criterion` by the penalties.

    1 at the right class, less the probability of each class beside the rubbish class.
    """
    y = _floats(penalties)
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
    outputs = _floats(outputs)
    right = np.asarray(labels)[:, np.newaxis] == np.arange(outputs.shape[1])
    return outputs - np.where(right, 1.0, -1.0)

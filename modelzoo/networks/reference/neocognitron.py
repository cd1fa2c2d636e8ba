"""The cells of the Neocognitron in plain NumPy: forward, gradient, and how S-cells learn.

The conventions are those of `modelzoo.networks.reference`. Equations and sections are those of
Fukushima (1980); symbols, shapes and deviations those of `modelzoo.networks.layers`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from modelzoo.networks.reference.windows import Array, Windows, conv2d, conv2d_gradient, floats


def fall_off(area: int, decay: float) -> Array:
    """Return (area, area): decay**|v|, with |v| the distance from the middle, in cells."""
    side = np.arange(area) - (area - 1) / 2
    return np.asarray(decay ** np.hypot(side[:, None], side))


def v_cell_weights(area: int, decay: float, planes: int) -> Array:
    """Return c, (area, area): it falls off, and sums to 1 over the area and the input planes."""
    weights = fall_off(area, decay)
    return weights / (weights.sum() * planes)


def s_cells(
    x: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    c: ArrayLike,
    selectivity: float,
    padding: Any = "valid",
) -> Array:
    """Outputs of S-planes: excitation over shunting inhibition, equations 1-3.

    a (area, area, input planes, planes); b (planes,); c (area, area), for each input plane.
    """
    above, below, _ = _s_sums(floats(x), a, b, c, selectivity, padding)
    return np.asarray(selectivity * np.maximum(above / below - 1, 0))


def s_cells_gradient(
    x: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    c: ArrayLike,
    upstream: ArrayLike,
    selectivity: float,
    padding: Any = "valid",
) -> tuple[Array, Array, Array]:
    """Derivatives (d_x, d_a, d_b) of `s_cells`; c is fixed.

    The V-cell's root has no derivative where its area is all zeros: it is taken to be 0.
    """
    x, a, b, kernel = floats(x), np.asarray(a), np.asarray(b), np.asarray(c)[:, :, None, None]
    above, below, inhibition = _s_sums(x, a, b, c, selectivity, padding)
    efficacy = 2 * selectivity / (1 + selectivity)
    up = np.asarray(upstream) * selectivity * (above > below)
    d_below = -up * above / below**2
    d_inhibition = (d_below * efficacy * b).sum(axis=-1, keepdims=True)
    d_energy = np.divide(
        d_inhibition, 2 * inhibition, out=np.zeros_like(inhibition), where=inhibition > 0
    )
    by_excitation, d_a, _ = conv2d_gradient(x, a, up / below, padding=padding)
    by_energy, _, _ = conv2d_gradient(_energy(x), kernel, d_energy, padding=padding)
    d_x = by_excitation + 2 * x * by_energy
    return d_x, d_a, (d_below * efficacy * inhibition).sum(axis=(0, 1, 2))


def representatives(outputs: ArrayLike, column: int) -> dict[int, tuple[int, int]]:
    """Choose which S-cells are reinforced, section 3: return {plane: (row, column)}.

    The largest of the outputs, (height, width, planes), in each S-column is a candidate. Of the
    candidates of a plane, the largest represents it. Columns lie at every position and overlap;
    one that is larger than the plane is cut to its size. Of equal outputs the first is taken.
    """
    outputs = graded(outputs)
    rows, columns = (min(column, side) for side in outputs.shape[:2])
    chosen: dict[int, tuple[int, int]] = {}
    for top in range(outputs.shape[0] - rows + 1):
        for left in range(outputs.shape[1] - columns + 1):
            inside = outputs[top : top + rows, left : left + columns]
            row, across, plane = (int(n) for n in np.unravel_index(inside.argmax(), inside.shape))
            if inside[row, across, plane] <= 0:
                continue
            place = (top + row, left + across)
            if plane not in chosen or outputs[(*place, plane)] > outputs[(*chosen[plane], plane)]:
                chosen[plane] = place
    return chosen


def graded(outputs: ArrayLike) -> Array:
    """Return the logarithm of outputs in whole steps of 1/2048, above 0; silent cells have 0."""
    outputs = np.asarray(outputs)
    logarithm = np.log(np.where(outputs > 0, outputs, 1))
    return np.where(outputs > 0, np.round(2048 * logarithm) + 2**18, 0)


def reinforce(
    image: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    c: ArrayLike,
    *,
    selectivity: float,
    reinforcement: float,
    column: int,
    padding: Any = "valid",
) -> tuple[Array, Array]:
    """Return a and b after one image, (height, width, input planes): equations 7 and 8."""
    a, b, c = np.array(a), np.array(b), np.asarray(c)
    images = np.asarray(image)[np.newaxis]
    windows = Windows(images, c.shape, 1, padding).values[0]
    outputs = s_cells(images, a, b, c, selectivity, padding)[0]
    for plane, (row, across) in representatives(outputs, column).items():
        seen = np.moveaxis(windows[row, across], 0, -1)  # area, area, input planes
        a[..., plane] += reinforcement * c[:, :, np.newaxis] * seen
        b[plane] += reinforcement / 2 * np.sqrt((c[:, :, np.newaxis] * seen**2).sum())
    return a, b


def c_cells(
    x: ArrayLike,
    d: ArrayLike,
    saturation: float = 0.5,
    stride: int = 1,
    padding: Any = "valid",
) -> Array:
    """Outputs of C-planes: blurred S-planes under lateral inhibition, equations 4-6."""
    _, above, below = _c_sums(floats(x), d, stride, padding)
    excess = np.maximum(above / below - 1, 0)
    return np.asarray(excess / (saturation + excess))


def c_cells_gradient(
    x: ArrayLike,
    d: ArrayLike,
    upstream: ArrayLike,
    saturation: float = 0.5,
    stride: int = 1,
    padding: Any = "valid",
) -> Array:
    """Derivative d_x of `c_cells`; d is fixed."""
    x = floats(x)
    kernel, above, below = _c_sums(x, d, stride, padding)
    excess = np.maximum(above / below - 1, 0)
    up = np.asarray(upstream) * saturation / (saturation + excess) ** 2 * (above > below)
    d_below = -(up * above / below**2).sum(axis=-1, keepdims=True)
    planes = x.shape[-1]
    d_excitation = up / below + d_below / planes
    return conv2d_gradient(x, kernel, d_excitation, stride, padding, planes)[0]


def _s_sums(
    x: Array, a: ArrayLike, b: ArrayLike, c: ArrayLike, selectivity: float, padding: Any
) -> tuple[Array, Array, Array]:
    """Return the terms above and below the line of equation 1, and the V-cells' outputs."""
    kernel, none = np.asarray(c)[:, :, None, None], np.zeros(np.shape(a)[-1])
    inhibition = np.sqrt(conv2d(_energy(x), kernel, np.zeros(1), padding=padding))
    efficacy = 2 * selectivity / (1 + selectivity) * np.asarray(b)
    return 1 + conv2d(x, a, none, padding=padding), 1 + efficacy * inhibition, inhibition


def _energy(x: Array) -> Array:
    return np.asarray((x**2).sum(axis=-1, keepdims=True))


def _c_sums(x: Array, d: ArrayLike, stride: int, padding: Any) -> tuple[Array, Array, Array]:
    """Return d for each plane by itself, and the terms above and below the line of equation 4."""
    planes = x.shape[-1]
    kernel = np.repeat(np.asarray(d)[:, :, None, None], planes, axis=3)
    excitation = conv2d(x, kernel, np.zeros(planes), stride, padding, planes)
    return kernel, 1 + excitation, 1 + excitation.mean(axis=-1, keepdims=True)

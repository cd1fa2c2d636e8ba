"""The Neocognitron's cells in NumPy: equations written out, gradients by finite differences."""

import numpy as np
import pytest
from test_reference import assert_gradients, by_differences, sample

from modelzoo.networks.reference import neocognitron as reference

PADS = ((1, 2), (0, 1))


def inputs(*shape: int, seed: int = 0) -> np.ndarray:
    """Return what cells put out: not negative, and one corner without any activity."""
    x = np.abs(sample(*shape, seed=seed))
    x[:, :3, :3] = 0.0
    return x


def test_an_s_cell_is_the_equation_of_the_paper():
    """Sums over planes and area, printed as in equations 1 to 3, for one cell."""
    x, a, b = inputs(1, 6, 5, 2), np.abs(sample(3, 3, 2, 4, seed=1)), np.abs(sample(4, seed=2))
    c, r = reference.fall_off(3, 0.7) / 40, 1.5
    row, column, plane = 2, 1, 3
    e = v2 = 0.0
    for i, j, k in np.ndindex(3, 3, 2):
        u = x[0, row + i, column + j, k]
        e += a[i, j, k, plane] * u
        v2 += c[i, j] * u**2
    expected = r * max((1 + e) / (1 + 2 * r / (1 + r) * b[plane] * v2**0.5) - 1, 0)
    outputs = reference.s_cells(x, a, b, c, r)
    assert outputs.shape == (1, 4, 3, 4)
    np.testing.assert_allclose(outputs[0, row, column, plane], expected)
    assert (outputs > 0).any() and (outputs == 0).any()


def test_a_c_cell_is_the_equation_of_the_paper():
    """Equations 4 to 6, for one cell; stride and zeros shift its area."""
    x, d, alpha = inputs(1, 6, 5, 3), reference.fall_off(3, 0.7), 0.5
    padded = np.pad(x, ((0, 0), *PADS, (0, 0)))
    sums = [(d * padded[0, 2:5, 2:5, k]).sum() for k in range(3)]
    outputs = reference.c_cells(x, d, alpha, 2, PADS)
    assert outputs.shape == (1, 4, 2, 3)
    for plane in range(3):
        excess = max((1 + sums[plane]) / (1 + np.mean(sums)) - 1, 0)
        np.testing.assert_allclose(outputs[0, 1, 1, plane], excess / (alpha + excess))


@pytest.mark.parametrize("pads", [reference.NO_PADS, PADS])
@pytest.mark.parametrize(("area", "selectivity"), [(3, 1.5), (2, 4.0)])
def test_gradients_of_s_cells(area, selectivity, pads):
    """Where an area is empty the V-cell has no derivative: finite differences start beside it."""
    x, b = inputs(1, 5, 4, 2) + 1e-3, np.abs(sample(3, seed=2))
    a = np.abs(sample(area, area, 2, 3, seed=1))
    c = reference.fall_off(area, 0.7) / 20

    def forward(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return reference.s_cells(x, a, b, c, selectivity, pads)

    upstream = sample(*forward(x, a, b).shape, seed=3)
    ours = reference.s_cells_gradient(x, a, b, c, upstream, selectivity, pads)
    assert_gradients(ours, by_differences(forward, upstream, x, a, b))


def test_gradient_of_an_empty_field():
    """0 / 0 in the root's derivative would spread NaN."""
    x, a, c = np.zeros((1, 4, 4, 1)), np.ones((3, 3, 1, 2)), np.ones((3, 3))
    with np.errstate(all="raise"):
        d_x, d_a, d_b = reference.s_cells_gradient(x, a, np.ones(2), c, np.ones((1, 2, 2, 2)), 1.5)
    # phi is at its corner, where e = 0 = b h: no output, and no derivative
    assert not d_x.any() and not d_a.any() and not d_b.any()


@pytest.mark.parametrize("pads", [reference.NO_PADS, PADS])
@pytest.mark.parametrize(("area", "stride"), [(3, 1), (2, 2), (3, 2)])
def test_gradient_of_c_cells(area, stride, pads):
    """Each plane inhibits all others at its position."""
    x, d = np.abs(sample(1, 6, 5, 3)), reference.fall_off(area, 0.7)

    def forward(x: np.ndarray) -> np.ndarray:
        return reference.c_cells(x, d, 0.5, stride, pads)

    upstream = sample(*forward(x).shape, seed=1)
    ours = reference.c_cells_gradient(x, d, upstream, 0.5, stride, pads)
    assert_gradients(ours, by_differences(forward, upstream, x))


def test_representatives_by_hand():
    """Two columns of 2x2 on a 2x3 layer of two planes, their largest cells in one plane."""
    outputs = np.zeros((2, 3, 2))
    outputs[0, 0, 1], outputs[1, 2, 1], outputs[0, 1, 0] = 5.0, 7.0, 6.0
    # The left column holds 5 (plane 1) and 6 (plane 0): plane 0. The right one 6 and 7: plane 1.
    assert reference.representatives(outputs, 2) == {0: (0, 1), 1: (1, 2)}
    # One column over all: only its largest cell.
    assert reference.representatives(outputs, 5) == {1: (1, 2)}
    assert reference.representatives(np.zeros((2, 2, 3)), 2) == {}


def test_a_learned_feature_is_answered_with_one():
    """After many presentations a cell gives r ((1 + 2 x) / (1 + 2 r x / (1 + r)) - 1), near 1."""
    picture = inputs(1, 5, 5, 2)[0]
    c, r = reference.fall_off(5, 0.9) / (2 * reference.fall_off(5, 0.9).sum()), 4.0
    a, b = np.full((5, 5, 2, 1), 1e-6), np.zeros(1)
    for _ in range(500):
        a, b = reference.reinforce(picture, a, b, c, selectivity=r, reinforcement=16.0, column=5)
    answer = reference.s_cells(picture[np.newaxis], a, b, c, r)
    np.testing.assert_allclose(answer, 1.0, atol=1e-2)
    # and scarcely to another, whose similarity is below r / (1 + r)
    other = picture[::-1, ::-1]
    weights = c[:, :, np.newaxis]
    similarity = (weights * other * picture).sum() / (weights * picture**2).sum()
    assert similarity < r / (1 + r) and not reference.s_cells(other[np.newaxis], a, b, c, r).any()

"""The NumPy layers of the LeNets and the Neocognitron: by hand, and against finite differences."""

import numpy as np
import pytest
from test_reference import assert_gradients, by_differences, sample

from modelzoo.networks import reference
from modelzoo.networks.reference import neocognitron as cells

TABLE = np.array([[1, 0, 1], [1, 1, 1]])
PADS = ((1, 2), (0, 1))


def test_subsampling_by_hand():
    """The paper adds the four inputs; a mean would be a quarter of it."""
    x = np.arange(12.0).reshape(1, 3, 4, 1)  # the third row has no window
    output = reference.trainable_subsampling(x, [0.5], [1.0])
    assert output.ravel().tolist() == [0.5 * (0 + 1 + 4 + 5) + 1, 0.5 * (2 + 3 + 6 + 7) + 1]


@pytest.mark.parametrize(("height", "width", "size"), [(4, 6, 2), (5, 7, 2), (7, 6, 3), (1, 1, 1)])
def test_subsampling_gradient(height, width, size):
    """A pixel outside all windows must get no gradient, all others their map's coefficient."""
    x, coefficient, bias = sample(2, height, width, 3), sample(3, seed=1), sample(3, seed=2)
    output = reference.trainable_subsampling(x, coefficient, bias, size)
    assert output.shape == (2, height // size, width // size, 3)
    upstream = sample(*output.shape, seed=3)
    forward = lambda *a: reference.trainable_subsampling(*a, size)  # noqa: E731
    ours = reference.trainable_subsampling_gradient(x, coefficient, upstream, size)
    assert_gradients(ours, by_differences(forward, upstream, x, coefficient, bias))


def test_a_map_sees_only_the_maps_of_its_column():
    x, kernel, bias = sample(2, 6, 5, 2), sample(3, 2, 5, seed=1), sample(3, seed=2)
    output = reference.connection_table_conv2d(x, kernel, bias, TABLE)
    for number, (maps, part) in enumerate([([0, 1], [0, 1]), ([1], [2]), ([0, 1], [3, 4])]):
        own = bias[number : number + 1]
        expected = reference.conv2d(x[..., maps], kernel[..., part, np.newaxis], own)
        np.testing.assert_allclose(output[..., number], expected[..., 0], atol=1e-12)


def test_the_border_is_background():
    """An image of background only is the same everywhere, also where the window hangs over."""
    x, kernel = np.full((1, 6, 6, 1), -1.0), sample(5, 5, 1)
    options = {"strides": 2, "padding": "same", "padding_value": -1.0}
    output = reference.connection_table_conv2d(x, kernel, np.zeros(1), [[1]], **options)
    assert output.shape == (1, 3, 3, 1)
    np.testing.assert_allclose(output, -kernel.sum())


@pytest.mark.parametrize(
    ("shape", "window", "options"),
    [
        ((2, 5, 6, 2), (3, 3), {}),
        ((1, 6, 5, 2), (2, 3), {"strides": 2}),
        ((1, 5, 4, 2), (3, 3), {"strides": 2, "padding": "same", "padding_value": -1.0}),
    ],
)
@pytest.mark.parametrize("per_unit", [False, True])
def test_connection_table_gradient(shape, window, options, per_unit):
    """A kernel of another connection, or the wrong axes of the bias, would get the gradient."""
    x, kernel = sample(*shape), sample(*window, int(TABLE.sum()), seed=1)
    plain = reference.connection_table_conv2d(x, kernel, np.zeros(3), TABLE, **options)
    bias = sample(*(plain.shape[1:] if per_unit else (3,)), seed=2)
    upstream = sample(*plain.shape, seed=3)
    forward = lambda *a: reference.connection_table_conv2d(*a, TABLE, **options)  # noqa: E731
    gradient = reference.connection_table_conv2d_gradient
    ours = gradient(x, kernel, bias, TABLE, upstream, **options)
    assert_gradients(ours, by_differences(forward, upstream, x, kernel, bias))


def test_rbf_by_hand_and_its_gradient():
    """A perfect match costs nothing, and each sign that is wrong costs 4."""
    codes = np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]])
    assert reference.euclidean_rbf([[1.0, -1.0, 1.0]], codes).tolist() == [[0.0, 8.0]]
    x, upstream = sample(4, 3), sample(4, 2, seed=1)
    assert_gradients(
        reference.euclidean_rbf_gradient(x, codes, upstream),
        by_differences(lambda a: reference.euclidean_rbf(a, codes), upstream, x),
    )


def test_map_criterion_is_the_paper_s_formula():
    """-log of the probability of the right class beside a rubbish class."""
    y, labels, j = 3.0 * np.abs(sample(5, 4)), np.array([0, 1, 2, 3, 3]), 2.0
    probabilities = np.exp(-y) / (np.exp(-j) + np.exp(-y).sum(axis=1, keepdims=True))
    logs = -np.log(probabilities[np.arange(5), labels])
    assert reference.map_criterion(y, labels, j) == pytest.approx(logs.mean(), rel=1e-12)
    assert_gradients(
        reference.map_criterion_gradient(y, labels, j),
        by_differences(lambda a: reference.map_criterion(a, labels, j), 1.0, y),
    )


def test_map_criterion_of_far_classes():
    """The penalties of an untrained network are near 84, where exp(-y) is nearly nothing."""
    y = np.array([[1000.0, 2000.0]])
    assert reference.map_criterion(y, [0], 10.0) == pytest.approx(1000 - 10)
    assert reference.map_criterion(np.array([[0.0, 500.0]]), [0], 600.0) < 1e-200


def test_bipolar_mean_squared_error():
    """The targets are +1 and -1, not the 1 and 0 of one-hot labels."""
    assert reference.bipolar_mean_squared_error([[1.0, -1.0]], [0]) == 0.0
    assert reference.bipolar_mean_squared_error([[1.0, -1.0]], [1]) == 4.0
    outputs, labels = sample(3, 4), np.array([0, 3, 1])
    assert_gradients(
        reference.bipolar_mean_squared_error_gradient(outputs, labels),
        by_differences(lambda a: reference.bipolar_mean_squared_error(a, labels), 1.0, outputs),
    )


def inputs(*shape: int, seed: int = 0) -> np.ndarray:
    """Return what cells put out: not negative, and one corner without any activity."""
    x = np.abs(sample(*shape, seed=seed))
    x[:, :3, :3] = 0.0
    return x


def test_an_s_cell_is_the_equation_of_the_paper():
    """Sums over planes and area, printed as in equations 1 to 3, for one cell."""
    x, a, b = inputs(1, 6, 5, 2), np.abs(sample(3, 3, 2, 4, seed=1)), np.abs(sample(4, seed=2))
    c, r = cells.fall_off(3, 0.7) / 40, 1.5
    row, column, plane = 2, 1, 3
    e = v2 = 0.0
    for i, j, k in np.ndindex(3, 3, 2):
        u = x[0, row + i, column + j, k]
        e += a[i, j, k, plane] * u
        v2 += c[i, j] * u**2
    expected = r * max((1 + e) / (1 + 2 * r / (1 + r) * b[plane] * v2**0.5) - 1, 0)
    outputs = cells.s_cells(x, a, b, c, r)
    assert outputs.shape == (1, 4, 3, 4)
    np.testing.assert_allclose(outputs[0, row, column, plane], expected)
    assert (outputs > 0).any() and (outputs == 0).any()


def test_a_c_cell_is_the_equation_of_the_paper():
    """Equations 4 to 6, for one cell; stride and zeros shift its area."""
    x, d, alpha = inputs(1, 6, 5, 3), cells.fall_off(3, 0.7), 0.5
    padded = np.pad(x, ((0, 0), *PADS, (0, 0)))
    sums = [(d * padded[0, 2:5, 2:5, k]).sum() for k in range(3)]
    outputs = cells.c_cells(x, d, alpha, 2, PADS)
    assert outputs.shape == (1, 4, 2, 3)
    for plane in range(3):
        excess = max((1 + sums[plane]) / (1 + np.mean(sums)) - 1, 0)
        np.testing.assert_allclose(outputs[0, 1, 1, plane], excess / (alpha + excess))


@pytest.mark.parametrize("pads", ["valid", PADS])
@pytest.mark.parametrize(("area", "selectivity"), [(3, 1.5), (2, 4.0)])
def test_gradients_of_s_cells(area, selectivity, pads):
    """Where an area is empty the V-cell has no derivative: finite differences start beside it."""
    x, b = inputs(1, 5, 4, 2) + 1e-3, np.abs(sample(3, seed=2))
    a = np.abs(sample(area, area, 2, 3, seed=1))
    c = cells.fall_off(area, 0.7) / 20

    def forward(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return cells.s_cells(x, a, b, c, selectivity, pads)

    upstream = sample(*forward(x, a, b).shape, seed=3)
    ours = cells.s_cells_gradient(x, a, b, c, upstream, selectivity, pads)
    assert_gradients(ours, by_differences(forward, upstream, x, a, b))


def test_gradient_of_an_empty_field():
    """0 / 0 in the root's derivative would spread NaN."""
    x, a, c = np.zeros((1, 4, 4, 1)), np.ones((3, 3, 1, 2)), np.ones((3, 3))
    with np.errstate(all="raise"):
        d_x, d_a, d_b = cells.s_cells_gradient(x, a, np.ones(2), c, np.ones((1, 2, 2, 2)), 1.5)
    # phi is at its corner, where e = 0 = b h: no output, and no derivative
    assert not d_x.any() and not d_a.any() and not d_b.any()


@pytest.mark.parametrize("pads", ["valid", PADS])
@pytest.mark.parametrize(("area", "stride"), [(3, 1), (2, 2), (3, 2)])
def test_gradient_of_c_cells(area, stride, pads):
    """Each plane inhibits all others at its position."""
    x, d = np.abs(sample(1, 6, 5, 3)), cells.fall_off(area, 0.7)

    def forward(x: np.ndarray) -> np.ndarray:
        return cells.c_cells(x, d, 0.5, stride, pads)

    upstream = sample(*forward(x).shape, seed=1)
    ours = cells.c_cells_gradient(x, d, upstream, 0.5, stride, pads)
    assert_gradients(ours, by_differences(forward, upstream, x))


def test_representatives_by_hand():
    """Two columns of 2x2 on a 2x3 layer of two planes, their largest cells in one plane."""
    outputs = np.zeros((2, 3, 2))
    outputs[0, 0, 1], outputs[1, 2, 1], outputs[0, 1, 0] = 5.0, 7.0, 6.0
    # The left column holds 5 (plane 1) and 6 (plane 0): plane 0. The right one 6 and 7: plane 1.
    assert cells.representatives(outputs, 2) == {0: (0, 1), 1: (1, 2)}
    # One column over all: only its largest cell.
    assert cells.representatives(outputs, 5) == {1: (1, 2)}
    assert cells.representatives(np.zeros((2, 2, 3)), 2) == {}


def test_a_learned_feature_is_answered_with_one():
    """After many presentations a cell gives r ((1 + 2 x) / (1 + 2 r x / (1 + r)) - 1), near 1."""
    picture = inputs(1, 5, 5, 2)[0]
    c, r = cells.fall_off(5, 0.9) / (2 * cells.fall_off(5, 0.9).sum()), 4.0
    a, b = np.full((5, 5, 2, 1), 1e-6), np.zeros(1)
    for _ in range(500):
        a, b = cells.reinforce(picture, a, b, c, selectivity=r, reinforcement=16.0, column=5)
    answer = cells.s_cells(picture[np.newaxis], a, b, c, r)
    np.testing.assert_allclose(answer, 1.0, atol=1e-2)
    # and scarcely to another, whose similarity is below r / (1 + r)
    other = picture[::-1, ::-1]
    weights = c[:, :, np.newaxis]
    similarity = (weights * other * picture).sum() / (weights * picture**2).sum()
    assert similarity < r / (1 + r) and not cells.s_cells(other[np.newaxis], a, b, c, r).any()

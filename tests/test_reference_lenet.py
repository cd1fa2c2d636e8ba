"""The NumPy layers of the original LeNets: by hand, and against finite differences."""

import numpy as np
import pytest
from test_reference import assert_gradients, by_differences, sample

from modelzoo.networks import reference

TABLE = np.array([[1, 0, 1], [1, 1, 1]])


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
    """Written out as printed; and -log of the probability beside a rubbish class."""
    y, labels, j = 3.0 * np.abs(sample(5, 4)), np.array([0, 1, 2, 3, 3]), 2.0
    expected = [
        y[p, d] + np.log(np.exp(-j) + sum(np.exp(-y[p, i]) for i in range(4)))
        for p, d in enumerate(labels)
    ]
    assert reference.map_criterion(y, labels, j) == pytest.approx(np.mean(expected), rel=1e-12)
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

"""The NumPy layers of the original LeNets: by hand, and against finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from modelzoo import reference
from modelzoo import reference_lenet as lenet

TABLE = np.array([[1, 0, 1], [1, 1, 1]])


def sample(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def by_differences(
    function: Callable[..., Any], upstream: Any, *inputs: np.ndarray
) -> list[np.ndarray]:
    """Derivatives of sum(function(inputs) * upstream) by central differences."""
    step, gradients = 1e-6, []
    for position, value in enumerate(inputs):
        gradient = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            sides = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                output = function(*inputs[:position], moved, *inputs[position + 1 :])
                sides.append(np.sum(np.asarray(output) * upstream))
            gradient[index] = (sides[0] - sides[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


def assert_gradients(ours: Any, others: list[np.ndarray]) -> None:
    for got, expected in zip(ours, others, strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-8)


def test_subsampling_by_hand():
    """The paper adds the four inputs; a mean would be a quarter of it."""
    x = np.arange(12.0).reshape(1, 3, 4, 1)  # the third row has no window
    output = lenet.trainable_subsampling(x, [0.5], [1.0])
    assert output.ravel().tolist() == [0.5 * (0 + 1 + 4 + 5) + 1, 0.5 * (2 + 3 + 6 + 7) + 1]


@pytest.mark.parametrize(("height", "width", "size"), [(4, 6, 2), (5, 7, 2), (7, 6, 3), (1, 1, 1)])
def test_subsampling_gradient(height, width, size):
    """A pixel outside all windows must get no gradient, all others their map's coefficient."""
    x, coefficient, bias = sample(2, height, width, 3), sample(3, seed=1), sample(3, seed=2)
    output = lenet.trainable_subsampling(x, coefficient, bias, size)
    assert output.shape == (2, height // size, width // size, 3)
    upstream = sample(*output.shape, seed=3)
    assert_gradients(
        lenet.trainable_subsampling_gradient(x, coefficient, upstream, size),
        by_differences(
            lambda *a: lenet.trainable_subsampling(*a, size),
            upstream,
            x,
            coefficient,
            bias,
        ),
    )


def test_a_table_of_ones_is_a_convolution():
    """The kernels stand output map by output map, each with its input maps in order."""
    x, kernel, bias = sample(2, 6, 5, 2), sample(3, 2, 2, 3, seed=1), sample(3, seed=2)
    listed = kernel.transpose(0, 1, 3, 2).reshape(3, 2, 6)
    output = lenet.connection_table_conv2d(x, listed, bias, np.ones((2, 3)))
    np.testing.assert_allclose(output, reference.conv2d(x, kernel, bias), atol=1e-12)


def test_the_border_is_background():
    """A picture of background only is the same everywhere, also where the window hangs over."""
    x, kernel = np.full((1, 6, 6, 1), -1.0), sample(5, 5, 1)
    options = {"strides": 2, "padding": "same", "padding_value": -1.0}
    output = lenet.connection_table_conv2d(x, kernel, np.zeros(1), [[1]], **options)
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
    plain = lenet.connection_table_conv2d(x, kernel, np.zeros(3), TABLE, **options)
    bias = sample(*(plain.shape[1:] if per_unit else (3,)), seed=2)
    upstream = sample(*plain.shape, seed=3)
    assert_gradients(
        lenet.connection_table_conv2d_gradient(x, kernel, bias, TABLE, upstream, **options),
        by_differences(
            lambda *a: lenet.connection_table_conv2d(*a, TABLE, **options),
            upstream,
            x,
            kernel,
            bias,
        ),
    )


def test_rbf_by_hand_and_its_gradient():
    """A perfect match costs nothing, and each sign that is wrong costs 4."""
    codes = np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]])
    assert lenet.euclidean_rbf([[1.0, -1.0, 1.0]], codes).tolist() == [[0.0, 8.0]]
    x, upstream = sample(4, 3), sample(4, 2, seed=1)
    assert_gradients(
        [lenet.euclidean_rbf_gradient(x, codes, upstream)],
        by_differences(lambda a: lenet.euclidean_rbf(a, codes), upstream, x),
    )


def test_map_criterion_is_the_paper_s_formula():
    """Written out as printed; and -log of the probability beside a rubbish class."""
    y, labels, j = 3.0 * np.abs(sample(5, 4)), np.array([0, 1, 2, 3, 3]), 2.0
    expected = [
        y[p, d] + np.log(np.exp(-j) + sum(np.exp(-y[p, i]) for i in range(4)))
        for p, d in enumerate(labels)
    ]
    assert lenet.map_criterion(y, labels, j) == pytest.approx(np.mean(expected), rel=1e-12)
    probabilities = np.exp(-y) / (np.exp(-j) + np.exp(-y).sum(axis=1, keepdims=True))
    logs = -np.log(probabilities[np.arange(5), labels])
    assert lenet.map_criterion(y, labels, j) == pytest.approx(logs.mean(), rel=1e-12)
    assert_gradients(
        [lenet.map_criterion_gradient(y, labels, j)],
        by_differences(lambda a: lenet.map_criterion(a, labels, j), 1.0, y),
    )


def test_map_criterion_of_far_classes():
    """The penalties of an untrained network are near 84, where exp(-y) is nearly nothing."""
    y = np.array([[1000.0, 2000.0]])
    assert lenet.map_criterion(y, [0], 10.0) == pytest.approx(1000 - 10)
    assert lenet.map_criterion(np.array([[0.0, 500.0]]), [0], 600.0) < 1e-200


def test_bipolar_mean_squared_error():
    """The targets are +1 and -1, not the 1 and 0 of one-hot labels."""
    assert lenet.bipolar_mean_squared_error([[1.0, -1.0]], [0]) == 0.0
    assert lenet.bipolar_mean_squared_error([[1.0, -1.0]], [1]) == 4.0
    outputs, labels = sample(3, 4), np.array([0, 3, 1])
    assert_gradients(
        [lenet.bipolar_mean_squared_error_gradient(outputs, labels)],
        by_differences(lambda a: lenet.bipolar_mean_squared_error(a, labels), 1.0, outputs),
    )

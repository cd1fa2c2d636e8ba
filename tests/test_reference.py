"""The NumPy layers against Keras and TensorFlow, their gradients against finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from modelzoo.networks import reference

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("compares with Keras on TensorFlow", allow_module_level=True)

Array = np.ndarray[Any, Any]


def sample(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def by_tensorflow(function: Callable[..., Any], upstream: Array, x: Array) -> Array:
    """Derivative of sum(function(x) * upstream), in float64."""
    x = tf.constant(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(function(x) * upstream)
    return tape.gradient(loss, x).numpy()


def by_differences(function: Callable[..., Any], upstream: Array, *inputs: Array) -> list[Array]:
    """Derivatives of sum(function(inputs) * upstream), by central differences."""
    step, gradients = 1e-6, []
    for position, value in enumerate(inputs):
        gradient = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            high, low = value.copy(), value.copy()
            high[index] += step
            low[index] -= step
            above = function(*inputs[:position], high, *inputs[position + 1 :])
            below = function(*inputs[:position], low, *inputs[position + 1 :])
            gradient[index] = np.sum((above - below) * upstream) / (2 * step)
        gradients.append(gradient)
    return gradients


def assert_gradients(ours: Any, theirs: list[Array]) -> None:
    mine = ours if isinstance(ours, tuple) else (ours,)
    for got, expected in zip(mine, theirs, strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


# height, width, kernel, strides, padding (a number: on both sides, as PyTorch), groups
CONVOLUTIONS = [
    (5, 6, (3, 3), (1, 1), "valid", 1),
    (6, 5, (2, 4), (1, 1), "same", 1),
    (7, 6, (3, 2), (2, 2), "same", 1),
    (8, 7, (2, 3), (3, 3), "same", 1),
    (5, 7, (1, 1), (3, 3), "same", 1),
    (7, 7, (1, 1), (2, 2), "valid", 1),
    (1, 1, (3, 3), (1, 1), "same", 1),
    (2, 2, (5, 5), (1, 1), "same", 1),
    (5, 5, (3, 3), (1, 1), "same", 2),
    (6, 5, (3, 2), (2, 2), "valid", 2),
    (4, 4, (2, 2), (1, 1), "valid", 4),
    (7, 6, (3, 3), (1, 1), 1, 1),
    (7, 6, (3, 2), (2, 2), 2, 1),
    (6, 9, (2, 4), (3, 3), 3, 2),
    (1, 2, (5, 5), (1, 1), 2, 1),
    (12, 11, (11, 11), (4, 4), 2, 1),  # as conv1 of torchvision's AlexNet
    (7, 8, (3, 2), (2, 3), "same", 1),
]


@pytest.mark.parametrize(("height", "width", "size", "strides", "padding", "groups"), CONVOLUTIONS)
def test_conv2d(height, width, size, strides, padding, groups):
    x, bias = sample(2, height, width, 4), sample(4, seed=2)
    kernel = sample(*size, 4 // groups, 4, seed=1)
    options = {"strides": strides, "padding": padding, "groups": groups}
    margin = 0 if isinstance(padding, str) else padding
    sides = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
    mode = padding.upper() if isinstance(padding, str) else "VALID"

    def in_tensorflow(x: Any, kernel: Any, bias: Any) -> Any:
        # TensorFlow has no grouped convolution on a CPU: one call a group.
        pairs = zip(tf.split(x, groups, axis=3), tf.split(kernel, groups, axis=3), strict=True)
        parts = [tf.nn.conv2d(tf.pad(one, sides), k, strides, mode) for one, k in pairs]
        return tf.concat(parts, axis=3) + bias

    output = reference.conv2d(x, kernel, bias, **options)
    np.testing.assert_allclose(output, in_tensorflow(x, kernel, bias), atol=1e-12)
    upstream = sample(*output.shape, seed=3)
    ours = reference.conv2d_gradient(x, kernel, upstream, **options)
    inputs = (upstream, x, kernel, bias)
    assert_gradients(ours, by_differences(lambda *a: reference.conv2d(*a, **options), *inputs))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (2, 3), (5, 4)])
@pytest.mark.parametrize(
    ("strides", "padding", "groups"), [(1, "valid", 1), ((2, 3), "same", 1), (2, 3, 2)]
)
def test_convolve2d(size, strides, padding, groups):
    """The sum as mathematics writes it: the indices of image and kernel run against each other."""
    x, bias = sample(1, 6, 7, 2), sample(2, seed=2)
    kernel = sample(*size, 2 // groups, 2, seed=1)
    options = {"strides": strides, "padding": padding, "groups": groups}
    output = reference.convolve2d(x, kernel, bias, **options)
    steps = strides if isinstance(strides, tuple) else (strides, strides)
    sides = [reference.padding_amounts(x.shape[i + 1], size[i], steps[i], padding) for i in (0, 1)]
    padded = np.pad(x, ((0, 0), *sides, (0, 0)))
    expected = np.zeros_like(output) + bias
    for i, j, f in np.ndindex(output.shape[1:]):
        for m, n, c in np.ndindex(kernel.shape[:3]):
            row, column = i * steps[0] + size[0] - 1 - m, j * steps[1] + size[1] - 1 - n
            channel = f * groups // 2 * kernel.shape[2] + c
            expected[0, i, j, f] += padded[0, row, column, channel] * kernel[m, n, c, f]
    np.testing.assert_allclose(output, expected, atol=1e-12)
    upstream = sample(*output.shape, seed=3)
    assert_gradients(
        reference.convolve2d_gradient(x, kernel, upstream, **options),
        by_differences(lambda *a: reference.convolve2d(*a, **options), upstream, x, kernel, bias),
    )


# height, width, pool size, strides, padding
POOLS = [
    (4, 6, (2, 2), None, "valid"),
    (5, 7, (2, 2), None, "valid"),
    (5, 7, (2, 2), None, "same"),
    (7, 6, (3, 3), (2, 2), "valid"),
    (5, 6, (2, 3), (1, 2), "same"),
    (5, 5, (2, 2), (3, 3), "same"),
    (1, 1, (3, 3), (2, 2), "same"),
    (2, 2, (3, 3), (2, 2), "same"),
]


def pooled_by_tensorflow(kind: str, x: Any, size: Any, strides: Any, padding: Any) -> Any:
    """Pool as TensorFlow does; what it lacks, after padding with what counts for nothing."""
    steps = strides or size
    if isinstance(padding, str) and kind in ("max", "average"):
        operation = {"max": tf.nn.max_pool2d, "average": tf.nn.avg_pool2d}[kind]
        return operation(x, size, steps, padding.upper())
    sides = [reference.padding_amounts(x.shape[i + 1], size[i], steps[i], padding) for i in (0, 1)]

    def pooled(values: Any, operation: Any, fill: float = 0.0) -> Any:
        padded = tf.pad(values, [[0, 0], *sides, [0, 0]], constant_values=fill)
        return operation(padded, size, steps, "VALID")

    mean, largest = tf.nn.avg_pool2d, tf.nn.max_pool2d
    area, smallest = size[0] * size[1], np.finfo(np.float64).min
    return {
        "max": lambda: pooled(x, largest, smallest),
        "min": lambda: -pooled(-x, largest, smallest),
        "sum": lambda: area * pooled(x, mean),
        "l2": lambda: tf.sqrt(area * pooled(x**2, mean)),
        "average": lambda: pooled(x, mean) / pooled(tf.ones_like(x), mean),
    }[kind]()


@pytest.mark.parametrize("kind", ["max", "average", "sum", "min", "l2"])
@pytest.mark.parametrize(
    ("height", "width", "size", "strides", "padding"),
    [*POOLS, (5, 6, (3, 2), (2, 2), 1), (4, 7, (3, 3), (1, 2), 2), (7, 7, (3, 3), (3, 3), 1)],
)
def test_pooling(kind, height, width, size, strides, padding):
    x = sample(2, height, width, 3) - 5.0  # all negative: a padded zero would win
    ours = getattr(reference, f"{kind}_pool2d")
    output = ours(x, size, strides, padding)
    expected = pooled_by_tensorflow(kind, tf.constant(x), size, strides, padding)
    np.testing.assert_allclose(output, expected, rtol=1e-12)
    upstream = sample(*output.shape, seed=1)
    assert_gradients(
        getattr(reference, f"{kind}_pool2d_gradient")(x, upstream, size, strides, padding),
        by_differences(lambda a: ours(a, size, strides, padding), upstream, x),
    )


def test_norm_of_zeros():
    """The norm has no derivative at 0; NaN would spread through the network."""
    x = np.zeros((1, 2, 2, 1))
    assert reference.l2_pool2d(x).item() == 0.0
    assert not reference.l2_pool2d_gradient(x, np.ones((1, 1, 1, 1))).any()


def test_max_pooling_ties():
    """Equal maxima are common after a ReLU: the gradient must arrive once, at the first."""
    x = np.zeros((1, 3, 4, 2))
    upstream = sample(1, 2, 2, 2)
    ours = reference.max_pool2d_gradient(x, upstream, 2, padding="same")
    theirs = by_tensorflow(lambda a: tf.nn.max_pool2d(a, 2, 2, "SAME"), upstream, x)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours.sum(), upstream.sum())
    np.testing.assert_array_equal(ours[:, ::2, ::2], upstream)


def test_dense_and_flatten():
    x, kernel, bias = sample(3, 2, 3, 2), sample(12, 5, seed=1), sample(5, seed=2)
    flat = reference.flatten(x)
    np.testing.assert_array_equal(flat, keras.layers.Flatten(dtype="float64")(x))
    layer = keras.layers.Dense(5)
    layer.build((None, 12))
    layer.set_weights([kernel, bias])
    output = reference.dense(flat, kernel, bias)
    np.testing.assert_allclose(output, layer(flat.astype("float32")), rtol=1e-4, atol=1e-5)
    upstream = sample(3, 5, seed=3)
    assert_gradients(
        reference.dense_gradient(flat, kernel, upstream),
        by_differences(reference.dense, upstream, flat, kernel, bias),
    )
    np.testing.assert_array_equal(reference.flatten_gradient(x, flat), x)


ACTIVATIONS = {
    "sigmoid": keras.ops.sigmoid,
    "tanh": keras.ops.tanh,
    "scaled_tanh": lambda x: 1.7159 * keras.ops.tanh(2.0 / 3.0 * x),
    "relu": keras.ops.relu,
    "softmax": keras.ops.softmax,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    ours, theirs = getattr(reference, name), ACTIVATIONS[name]
    x, upstream = 3.0 * sample(4, 5), sample(4, 5, seed=1)
    np.testing.assert_allclose(ours(x), theirs(tf.constant(x, tf.float32)), rtol=1e-4, atol=1e-5)
    assert_gradients(
        getattr(reference, f"{name}_gradient")(x, upstream),
        by_differences(ours, upstream, x),
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_of_huge_values(name):
    """An overflow would turn a confident prediction into NaN."""
    with np.errstate(over="raise", invalid="raise"):
        output = getattr(reference, name)(np.array([-1e4, 0.0, 1e4]))
    assert np.isfinite(output).all()
    with np.errstate(over="raise", invalid="raise"):
        assert reference.softmax(np.array([1000, 1000])).tolist() == [0.5, 0.5]


def test_relu_gradient_at_zero():
    """Zero pre-activations must get no gradient, as in TensorFlow."""
    expected = by_tensorflow(tf.nn.relu, np.ones(3), np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(reference.relu_gradient([-1, 0, 1], np.ones(3)), expected)


def test_scaled_tanh_at_one():
    """The paper chose A and S so that f(1) = 1 and f(-1) = -1."""
    np.testing.assert_allclose(reference.scaled_tanh([1.0, -1.0]), [1.0, -1.0], atol=3e-5)


@pytest.mark.parametrize("channels", [1, 3, 5, 8])
def test_local_response_normalization(channels):
    """Dividing alpha by n, or losing the edge channels, would be a different network."""
    x, upstream = 20.0 * sample(2, 2, 3, channels), sample(2, 2, 3, channels, seed=1)
    options = {"depth_radius": 2, "bias": 2, "alpha": 1e-4, "beta": 0.75}
    expected = tf.nn.local_response_normalization(tf.constant(x, tf.float32), **options)
    output = reference.local_response_normalization(x)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    ours = reference.local_response_normalization_gradient(x, upstream)
    assert_gradients(ours, by_differences(reference.local_response_normalization, upstream, x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 3, 3)])
def test_batch_normalization(training, shape):
    x, upstream = sample(*shape) * 2 + 1, sample(*shape, seed=1)
    gamma, beta, mean = sample(3, seed=2), sample(3, seed=3), sample(3, seed=4)
    variance = np.array([0.5, 1.0, 2.0])
    statistics = () if training else (mean, variance)
    layer = keras.layers.BatchNormalization(dtype="float64")
    layer.build((None, *shape[1:]))
    layer.set_weights([gamma, beta, mean, variance])
    output = reference.batch_normalization(x, gamma, beta, *statistics)
    np.testing.assert_allclose(output, layer(x, training=training), rtol=1e-5, atol=1e-6)
    assert_gradients(
        reference.batch_normalization_gradient(x, gamma, upstream, *statistics),
        by_differences(
            lambda *a: reference.batch_normalization(*a, *statistics), upstream, x, gamma, beta
        ),
    )


def test_cross_entropy():
    """The loss that every network here is trained with, and the gradient it starts from."""
    logits = sample(4, 5)
    labels = np.array([0, 4, 2, 2])
    targets = np.eye(5)[labels]
    probabilities = reference.softmax(logits)
    loss = reference.categorical_cross_entropy(probabilities, targets)
    expected = keras.losses.CategoricalCrossentropy()(targets, probabilities)
    assert loss == pytest.approx(float(expected), rel=1e-5)
    ours = reference.categorical_cross_entropy_gradient(probabilities, targets)

    def forward(p: Array) -> Array:
        return np.asarray(reference.categorical_cross_entropy(p, targets))

    assert_gradients(ours, by_differences(forward, np.ones(()), probabilities))
    by_logits = reference.softmax_gradient(logits, ours)
    np.testing.assert_allclose(by_logits, (probabilities - targets) / 4, atol=1e-12)


def test_cross_entropy_of_certainty():
    """0 log 0 counts as 0; a confident mistake costs infinity, not NaN."""
    assert reference.categorical_cross_entropy([[1.0, 0.0]], [[1.0, 0.0]]) == 0.0
    assert reference.categorical_cross_entropy([[1.0, 0.0]], [[0.0, 1.0]]) == np.inf


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_output_size(padding):
    for size in range(1, 9):
        for window in range(1, (size if padding == "valid" else 6) + 1):
            for stride in range(1, 5):
                x = tf.zeros((1, size, size, 1))
                shape = tf.nn.max_pool2d(x, window, stride, padding.upper()).shape
                ours = reference.output_size(size, window, stride, padding)
                assert ours == shape[1], (size, window, stride)
                ones = np.zeros((1, size, size, 1))
                assert reference.max_pool2d(ones, window, stride, padding).shape == shape


def test_precision_is_kept():
    x, kernel, bias = (
        a.astype("float32") for a in (sample(1, 4, 4, 2), sample(3, 3, 2, 2), sample(2))
    )
    assert reference.conv2d(x, kernel, bias).dtype == np.float32
    gradients = reference.conv2d_gradient(x, kernel, np.ones((1, 2, 2, 2), "float32"))
    assert {gradient.dtype for gradient in gradients} == {np.dtype("float32")}
    assert reference.max_pool2d(x).dtype == reference.average_pool2d(x).dtype == np.float32
    assert reference.l2_pool2d(x).dtype == reference.convolve2d(x, kernel, bias).dtype == np.float32
    assert reference.max_pool2d(np.ones((1, 2, 2, 1), np.uint8)).dtype == np.float64


ZEROS = np.zeros((1, 4, 4, 4))


@pytest.mark.parametrize(
    "call",
    [
        lambda: reference.output_size(2, 3),
        lambda: reference.output_size(0, 1),
        lambda: reference.output_size(5, 3, 1, "full"),
        lambda: reference.max_pool2d(np.zeros((4, 4, 1))),
        lambda: reference.max_pool2d_gradient(np.zeros((1, 4, 4, 1)), np.zeros((1, 3, 2, 1))),
        lambda: reference.conv2d(np.zeros((1, 4, 4, 3)), np.zeros((3, 3, 2, 4)), np.zeros(4)),
        lambda: reference.conv2d(np.zeros((1, 4, 4, 2)), np.zeros((3, 3, 2, 4)), np.zeros(1)),
        lambda: reference.conv2d(ZEROS, np.zeros((3, 3, 2, 3)), np.zeros(3), groups=2),
        lambda: reference.conv2d_gradient(ZEROS, np.zeros((3, 3, 4, 4)), ZEROS),
        lambda: reference.categorical_cross_entropy([[0.5, 0.5]], [0.0, 1.0]),
        lambda: reference.local_response_normalization(np.zeros((1, 4)), n=4),
        lambda: reference.batch_normalization(np.zeros((2, 1)), [1.0], [0.0], mean=[0.0]),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError):
        call()

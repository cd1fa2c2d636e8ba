"""Our layers and losses against plain NumPy, on whatever backend is set."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

from modelzoo.networks import keras_objects, reference
from modelzoo.networks.layers import (
    BipolarMeanSquaredError,
    ConnectionTableConv2D,
    EuclideanRBF,
    FanInUniform,
    LocalResponseNormalization,
    MAPCriterion,
    ScaledTanh,
    TrainableSubsampling,
    UnitBiasConv2D,
)
from modelzoo.support.errors import InputError

BACKEND = keras.backend.backend()
if BACKEND == "jax":
    import jax

TABLE = np.array([[1, 0, 1], [1, 1, 1]])
CODES = np.sign(np.random.default_rng(5).normal(size=(4, 7)))
SAME = {"strides": 2, "padding": "same", "padding_value": -1.0}
LAYERS = {
    "ScaledTanh": lambda: ScaledTanh(dtype="float64"),
    "TrainableSubsampling": lambda: TrainableSubsampling(dtype="float64"),
    "TrainableSubsampling of 3": lambda: TrainableSubsampling(3, dtype="float64"),
    "ConnectionTableConv2D": lambda: ConnectionTableConv2D(TABLE, (3, 2), dtype="float64"),
    "ConnectionTableConv2D, same": lambda: ConnectionTableConv2D(TABLE, 3, dtype="float64", **SAME),
    "UnitBiasConv2D": lambda: UnitBiasConv2D(TABLE, 3, dtype="float64"),
    "UnitBiasConv2D, same": lambda: UnitBiasConv2D(TABLE, 5, dtype="float64", **SAME),
    "EuclideanRBF": lambda: EuclideanRBF(CODES, dtype="float64"),
    "LocalResponseNormalization": lambda: LocalResponseNormalization(dtype="float64"),
    "LocalResponseNormalization of 3": lambda: LocalResponseNormalization(
        k=1.0, n=3, alpha=0.3, beta=0.6, dtype="float64"
    ),
}
SHAPES = [(2, 8, 8, 2), (1, 7, 5, 2)]  # of 1 image, and odd
CASES = [("float64", SHAPES[0]), ("float64", SHAPES[1]), ("float32", SHAPES[1])]
TOLERANCES = {  # forward and gradient; training uses float32
    "float64": ({"rtol": 1e-9, "atol": 1e-11}, {"rtol": 1e-9, "atol": 1e-11}),
    "float32": ({"rtol": 1e-5, "atol": 1e-5}, {"rtol": 1e-3, "atol": 1e-4}),
}
OWN_SHAPES = {
    "EuclideanRBF": CODES.shape[1:],
    "LocalResponseNormalization": (3, 4, 8),
    "LocalResponseNormalization of 3": (3, 4, 7),
}


def in_numpy(layer: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the reference, of (inputs, *weights), and its gradient, of (upstream, inputs, ...)."""
    if isinstance(layer, ScaledTanh):
        return reference.scaled_tanh, lambda up, x: (reference.scaled_tanh_gradient(x, up),)
    if isinstance(layer, TrainableSubsampling):
        size, gradient = layer.described.window, reference.trainable_subsampling_gradient
        forward = lambda *a: reference.trainable_subsampling(*a, size)  # noqa: E731
        return forward, lambda up, x, c, b: gradient(x, c, up, size)
    if isinstance(layer, EuclideanRBF):
        forward = lambda x: reference.euclidean_rbf(x, CODES)  # noqa: E731
        return forward, lambda up, x: (reference.euclidean_rbf_gradient(x, CODES, up),)
    if isinstance(layer, LocalResponseNormalization):
        settings = {name: getattr(layer, name) for name in ("k", "n", "alpha", "beta")}
        gradient = reference.local_response_normalization_gradient
        forward = partial(reference.local_response_normalization, **settings)
        return forward, lambda up, x: (gradient(x, up, **settings),)
    options = (layer.described.steps, layer.padding, 1, layer.padding_value)
    forward, gradient = (
        reference.connection_table_conv2d,
        reference.connection_table_conv2d_gradient,
    )
    return lambda *a: forward(*a, TABLE, *options), lambda up, *a: gradient(*a, TABLE, up, *options)


def run(function: Callable[..., Any], upstream: np.ndarray | None, *arrays: np.ndarray) -> Any:
    """Return (outputs, gradients) of a Keras function on this backend, in NumPy."""
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs = function(*tensors)
        up = tf.ones_like(outputs) if upstream is None else tf.cast(upstream, outputs.dtype)
        gradients = tape.gradient(outputs, tensors, up)
    elif BACKEND == "jax":
        outputs, backward = jax.vjp(function, *tensors)
        up = np.ones(outputs.shape) if upstream is None else upstream
        gradients = backward(jax.numpy.asarray(up, outputs.dtype))
    else:
        import torch

        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        outputs = function(*tensors)
        up = torch.ones_like(outputs) if upstream is None else torch.as_tensor(upstream).to(outputs)
        gradients = torch.autograd.grad(outputs, tensors, up)
    return keras.ops.convert_to_numpy(outputs), [keras.ops.convert_to_numpy(g) for g in gradients]


def built(name: str, shape: tuple[int, ...]) -> tuple[Any, np.ndarray, list[np.ndarray]]:
    layer = LAYERS[name]()
    shape = (shape[0], *OWN_SHAPES.get(name, shape[1:]))
    layer.build(shape)
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=tuple(weight.shape)) for weight in layer.weights]
    layer.set_weights(weights)
    return layer, generator.normal(size=shape), weights


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("dtype", "shape"), CASES)
def test_a_layer_agrees_with_numpy(name, dtype, shape):
    if BACKEND == "jax" and dtype == "float64":
        pytest.skip("JAX computes in float32 unless told before it starts")
    layer, x, weights = built(name, shape)
    layer = type(layer).from_config({**layer.get_config(), "dtype": dtype})
    layer.build(x.shape)
    x, *weights = (array.astype(dtype) for array in (x, *weights))
    in_numpy_forward, in_numpy_backward = in_numpy(layer)
    expected = in_numpy_forward(x, *weights)
    upstream = np.random.default_rng(1).normal(size=expected.shape).astype(dtype)
    call = lambda x, *w: layer.stateless_call(list(w), [], x)[0]  # noqa: E731
    outputs, gradients = run(call, upstream, x, *weights)
    forward, backward = TOLERANCES[dtype]
    np.testing.assert_allclose(outputs, expected, **forward)
    for got, wanted in zip(gradients, in_numpy_backward(upstream, x, *weights), strict=True):
        np.testing.assert_allclose(got, wanted, **backward)
    assert layer(keras.Input(batch_shape=x.shape, dtype=dtype)).shape == outputs.shape


@pytest.mark.parametrize(
    ("loss", "name", "options", "scale"),
    [
        (MAPCriterion(1.0), "map_criterion", (1.0,), -200),  # the paper's penalties are -scores
        (MAPCriterion(40.0), "map_criterion", (40.0,), -200),  # also where exp(-y) is nothing
        (BipolarMeanSquaredError(), "bipolar_mean_squared_error", (), 1),
    ],
)
def test_a_loss_agrees_with_numpy(loss, name, options, scale):
    outputs = scale * np.random.default_rng(0).random((6, 10), "float32")
    labels, sign = np.arange(6), np.sign(scale)
    value, (gradient,) = run(lambda y: loss(np.eye(10)[labels], y), None, outputs)
    expected = getattr(reference, name)(sign * outputs, labels, *options)
    assert float(value) == pytest.approx(expected)
    expected = sign * getattr(reference, f"{name}_gradient")(sign * outputs, labels, *options)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_saved_with_its_settings(name):
    layer, x, weights = built(name, SHAPES[0])
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    if weights:
        again.set_weights(weights)  # built already, as it was saved
    first, second = (keras.ops.convert_to_numpy(each(x)) for each in (layer, again))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("loss", [MAPCriterion(j=7.0), BipolarMeanSquaredError()])
def test_a_loss_is_saved_with_its_settings(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_the_mean_of_a_window_is_its_sum_over_its_size():
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 2))
    total, mean = (
        keras.ops.convert_to_numpy(TrainableSubsampling(2, reduction=reduction)(x))
        for reduction in ("sum", "mean")
    )
    np.testing.assert_allclose(total, 4 * mean, rtol=1e-6)


def test_initial_weights_are_within_the_paper_s_bounds():
    """2.4 over the inputs of a unit, for each kernel of C3 those of its own map."""
    values = keras.ops.convert_to_numpy(FanInUniform([75, 100, 150], seed=0)((5, 500, 3)))
    share = np.abs(values).max(axis=(0, 1)) * [75, 100, 150] / 2.4
    assert (share <= 1).all() and (share > 0.99).all()
    initializer = FanInUniform(25, seed=3)
    again = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    first, second = (keras.ops.convert_to_numpy(each((4, 4))) for each in (initializer, again))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConnectionTableConv2D([[1, 0]], 3),  # the second output map sees nothing
        lambda: ConnectionTableConv2D([[1, 2]], 3),
        lambda: ConnectionTableConv2D([[1]], 3).build((None, 8, 8, 2)),
        lambda: ConnectionTableConv2D([[1]], 3, padding="full"),
        lambda: EuclideanRBF([1, -1]).build((None, 2)),
        lambda: EuclideanRBF([[1, -1]]).build((None, 3)),
        lambda: MAPCriterion(j=0),
        lambda: LocalResponseNormalization(n=4),  # not centred on its channel
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_a_configuration_names_our_classes_as_those_of_keras():
    def loss(name: str, **config: Any) -> Any:
        return keras_objects.make("loss", {"class_name": name, "config": config}, "here")

    assert loss("MAPCriterion", j=3).j == 3
    assert isinstance(loss("BipolarMeanSquaredError"), BipolarMeanSquaredError)
    scaled = {"class_name": "ScaledTanh", "config": {"slope": 1}}
    assert keras_objects.make("layer", scaled, "here").slope == 1
    for name, config, message in (
        ("MAPCriterium", {}, "did you mean 'MAPCriterion'"),
        ("MAPCriterion", {"k": 1}, "no argument 'k'"),
        ("MAPCriterion", {"j": "ten"}, "should be a number"),
        ("MAPCriterion", {"j": -1}, "j: -1.0 should be above 0"),
        ("ScaledTanh", {}, "no loss 'ScaledTanh'"),
    ):
        with pytest.raises(InputError, match=message):
            loss(name, **config)

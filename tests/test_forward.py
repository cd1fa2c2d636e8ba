"""A network computed by NumPy alone answers as Keras does, layer by layer, and so its gradient."""

import random

import numpy as np
import pytest
from random_networks import DRAWN, PACKAGED, draw_weights, random_network

from modelzoo.config import load_config
from modelzoo.networks import Network
from modelzoo.networks.backward import input_gradient, is_differentiated
from modelzoo.networks.forward import ACTIVATIONS, Forward, is_computed
from modelzoo.networks.keras_objects import to_keras
from modelzoo.networks.network import read_layers
from modelzoo.weights.reader import weighted_layers

ODD = [  # settings that no packaged network has
    {"class_name": "Conv2D", "config": {"filters": 4, "kernel_size": [3, 2], "dilation_rate": 2}},
    {"class_name": "ZeroPadding2D", "config": {"padding": [[1, 0], [2, 1]]}},
    {"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}},
    {"class_name": "DepthwiseConv2D", "config": {"kernel_size": [3, 2], "depth_multiplier": 2,
                                                 "padding": "same", "activation": "tanh"}},
    {"class_name": "PReLU", "config": {"shared_axes": [1, 2]}},
    {"class_name": "SeparableConv2D", "config": {"filters": 4, "kernel_size": 2, "strides": 1,
                                                 "depth_multiplier": 3, "use_bias": False}},
    "PReLU",
    {"class_name": "MaxPooling2D", "config": {"pool_size": 3, "strides": 2, "padding": "same"}},
    {"class_name": "Conv2D", "config": {"filters": 6, "kernel_size": 2, "groups": 2,
                                        "strides": [2, 1], "padding": "same", "use_bias": False}},
    {"class_name": "AveragePooling2D", "config": {"pool_size": 2, "strides": 1, "padding": "same"}},
    {"class_name": "ELU", "config": {"alpha": 0.7}},
    {"class_name": "GlobalAveragePooling2D"},
    {"class_name": "Dense", "config": {"units": 5, "use_bias": False}},
    "Softmax",
]  # fmt: skip


def check(network: Network, seed: int, images: np.ndarray | None = None) -> None:
    """Compare the outputs of every layer with those of Keras, for random weights."""
    import keras

    from modelzoo.analysis import explain

    generator = np.random.default_rng(seed)
    model = to_keras(network)
    draw_weights(model, generator)
    if images is None:
        images = generator.random((3, *network.input_shape), dtype="float32")
    computed = Forward(network, [layer.get_weights() for layer in weighted_layers(model)])
    taps = keras.Model(model.input, [layer.output for layer in model.layers[1:]])
    outputs = taps(images, training=False)
    expected = outputs if isinstance(outputs, list | tuple) else [outputs]
    for (name, found), wanted in zip(computed.features(images), expected, strict=True):
        wanted = np.asarray(wanted)
        assert found.dtype == "float32" and found.shape == wanted.shape, name
        scale = max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(found, wanted, atol=1e-5 * scale, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(computed.predict(images), found, rtol=1e-5, atol=1e-6)
    if is_differentiated(network):
        upstream = generator.normal(0, 1, found.shape).astype("float32")
        _, wanted = explain.input_gradient(
            lambda given: keras.ops.sum(model(given, training=False) * upstream, axis=-1), images
        )
        scale = max(1.0, float(np.abs(wanted).max()))
        d_images = input_gradient(computed, images, upstream)
        assert d_images.shape == images.shape
        np.testing.assert_allclose(d_images, wanted, atol=1e-4 * scale, rtol=1e-3)


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_networks_answer_as_in_keras(name):
    network = load_config(name).network
    assert network is not None and is_computed(network) and is_differentiated(network)
    if network.parameters > 30_000_000:
        pytest.skip("large: hardening/test_networks.py")
    check(network, seed=0)


@pytest.mark.parametrize("builder", DRAWN)
def test_random_networks_answer_as_in_keras(builder):
    rng = random.Random(builder)
    for seed in range(6):
        network = random_network(builder, rng)
        if is_computed(network):
            check(network, seed)


def test_settings_that_no_packaged_network_has():
    network = Network("odd", (13, 11, 2), read_layers(ODD))
    assert is_differentiated(network)
    check(network, seed=1)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation_is_keras_own(name):
    import keras

    x = np.linspace(-6, 6, 61, dtype="float32").reshape(1, -1)
    wanted = np.asarray(keras.activations.get(name)(keras.ops.convert_to_tensor(x)))
    np.testing.assert_allclose(ACTIVATIONS[name](x), wanted, atol=1e-5)


def test_parts_of_a_batch_are_computed_side_by_side():
    network = load_config("lenet5").network
    generator = np.random.default_rng(0)
    arrays = [
        [generator.normal(0, 0.1, shape) for shape in layer.weights(inputs).values()]
        for layer, inputs in network.with_inputs
        if layer.weights(inputs)
    ]
    computed = Forward(network, arrays)
    images = generator.random((5 * computed.batch_size + 1, 28, 28, 1), dtype="float32")
    together = computed.predict(images)
    assert together.shape == (len(images), 10)
    np.testing.assert_allclose(together[-3:], computed.predict(images[-3:]), atol=1e-6)


def test_without_layers_images_pass():
    """Preprocessing may have none: pixels of 0 to 255 reach the network."""
    images = np.arange(8, dtype="uint8").reshape(2, 2, 2, 1)
    passed = Forward(Network("preprocessing", (2, 2, 1), ())).predict(images)
    assert passed.dtype == "float32" and np.array_equal(passed, images)

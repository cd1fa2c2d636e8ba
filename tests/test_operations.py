"""The operations of layers, by hand and against TensorFlow's own count."""

import math

import keras
import pytest
from keras import layers

import modelzoo
from modelzoo.config import list_models
from modelzoo.operations import operations, total_operations, training_operations


def test_operations_of_lenet5_by_hand():
    """A multiplication and an addition for each weight at each position, bias included."""
    network = modelzoo.build("lenet5")
    c1, c3 = 2 * 24 * 24 * 25 * 6, 2 * 8 * 8 * (25 * 6) * 16
    s2, s4 = 4 * 12 * 12 * 6, 4 * 4 * 4 * 16
    dense = 2 * (256 * 120 + 120 * 84 + 84 * 10)
    forward = c1 + s2 + c3 + s4 + dense
    assert total_operations(network) == forward == 567_760
    assert training_operations(network) == 3 * forward - c1 - (s2 + s4)


def test_groups_divide_the_work():
    """Two towers halve three convolutions of AlexNet; 724 million weights meet a value in all."""
    two, one = modelzoo.build("alexnet_2012"), modelzoo.build("alexnet_2012", groups=1)
    for name in ("conv2", "conv4", "conv5"):
        assert 2 * operations(two.get_layer(name)) == operations(one.get_layer(name))
    convolutions = [layer for layer in two.layers if layer.name.startswith(("conv", "fc"))]
    assert sum(operations(layer) for layer in convolutions) == 2 * 724_406_816


def test_operations_agree_with_tensorflow():
    """Matrix products, convolutions and poolings, as TensorFlow's profiler counts them."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("counts the operations of a TensorFlow graph")
    network = modelzoo.build("lenet5")
    function = tf.function(network, reduce_retracing=True).get_concrete_function(
        tf.TensorSpec((1, 28, 28, 1), tf.float32)
    )
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder.float_operation()
    options = {**options, "output": "none"}
    counted = profiler.profile(function.graph, options=options).total_float_ops
    biases = sum(math.prod(layer.output.shape[1:]) for layer in network.layers if layer.weights)
    softmax = 5 * 10
    assert counted == total_operations(network) + biases + softmax


@pytest.mark.slow
def test_every_packaged_network_is_counted():
    """No layer of ours is left out; what has its own learning rule has no backward pass."""
    for name in list_models():
        network = modelzoo.build(name)
        forward, training = total_operations(network), training_operations(network)
        assert forward > network.count_params(), name
        if name.startswith("neocognitron"):
            assert training is None
        else:
            assert 2 * forward < training < 3 * forward, name


def test_an_unknown_layer_has_no_number():
    """Rather than a wrong one."""
    inputs = keras.Input((8, 8, 3))
    network = keras.Model(inputs, layers.DepthwiseConv2D(3)(inputs))
    assert operations(network.layers[-1]) is None
    assert total_operations(network) is None and training_operations(network) is None

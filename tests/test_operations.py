"""The arithmetic of descriptions: by hand, against Keras, and against TensorFlow's own count."""

import math

import keras
import pytest

import modelzoo
from modelzoo.api import summary
from modelzoo.config import list_models, load_config
from modelzoo.networks import Network
from modelzoo.networks.network import sequential


def described(name: str, **arguments: object) -> Network:
    network = load_config(name).with_values({"model": arguments}, "the test").network
    assert network is not None
    return network


def test_operations_of_lenet5_by_hand():
    network = described("lenet5")
    c1, c3 = 2 * 24 * 24 * 25 * 6, 2 * 8 * 8 * (25 * 6) * 16
    s2, s4 = 4 * 12 * 12 * 6, 4 * 4 * 4 * 16
    dense = 2 * (256 * 120 + 120 * 84 + 84 * 10)
    forward = c1 + s2 + c3 + s4 + dense
    assert network.operations == forward == 567_760


@pytest.mark.parametrize(
    ("name", "connections"),
    [
        ("lenet_1989", [19_968, 38_592, 5_790, 310]),
        ("lenet1", [59_904, 2_880, 32_768, 960, 1_930]),
        ("lenet4", [81_536, 3_136, 3_136, 121_600, 2_000, 48_120, 1_210]),
        ("lenet5_1998", [122_304, 5_880, 151_600, 2_000, 48_120, 10_164, 840]),
    ],
)
def test_connections_are_those_of_the_papers(name, connections):
    """LeCun et al. print 64,660 in 1989, 98,442 in 1990, some 260,000 and 340,908 in 1998."""
    found = [row["connections"] for row in summary(name) if row["connections"]]
    assert found == connections
    totals = {"lenet_1989": 64_660, "lenet1": 98_442, "lenet4": 260_738, "lenet5_1998": 340_908}
    assert sum(found) == totals[name]


def test_groups_divide_the_work():
    """Two towers halve three convolutions of AlexNet; 724 million weights meet a value in all."""
    two, one = (
        {row["name"]: row["operations"] for row in described("alexnet_2012", groups=groups).rows()}
        for groups in ([1, 2, 1, 2, 2], 1)
    )
    for name in ("conv2", "conv4", "conv5"):
        assert 2 * two[name] == one[name]
    weighted = [count for name, count in two.items() if name.startswith(("conv", "fc"))]
    assert sum(weighted) == 2 * 724_406_816


def test_operations_agree_with_tensorflow():
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
    assert counted == described("lenet5").operations + biases + softmax


@pytest.mark.parametrize("name", list_models())
def test_every_packaged_network_is_counted(name):
    network = described(name)
    assert network.operations > network.parameters


def test_layers_of_an_unknown_kind_have_no_number():
    inputs = keras.Input((8, 8, 3))
    rows = summary(keras.Model(inputs, keras.layers.DepthwiseConv2D(3)(inputs)))
    assert rows[1]["output_shape"] == [6, 6, 3] and rows[1]["parameters"] == 30
    assert rows[1]["operations"] is None and rows[1]["connections"] is None


def test_windows_strides_and_padding_are_told():
    rows = {row["name"]: row for row in summary("alexnet")}
    told = ("kernel_size", "strides", "padding", "activation")
    assert [rows["conv1"][key] for key in told] == [[11, 11], [4, 4], "valid", "relu"]
    assert [rows["pool2"][key] for key in told] == [[3, 3], [2, 2], "same", None]
    assert [rows["fc8"][key] for key in told] == [None, None, None, "softmax"]
    cells = {row["name"]: row for row in summary("neocognitron")}
    assert [cells["UC1"][key] for key in told] == [[5, 5], [2, 2], [[4, 3], [4, 3]], None]


def test_pooling_moves_by_its_window_unless_told_otherwise():
    layers = [{"class_name": "MaxPooling2D", "config": {"pool_size": [3, 2]}}, "Flatten", "Dense"]
    network = sequential([9, 8, 1], layers, 4)
    assert network.shapes == ((3, 4, 1), (12,), (4,))
    assert network.rows()[1]["strides"] == [3, 2]

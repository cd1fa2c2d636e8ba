"""Descriptions of networks: what they say is what Keras builds, and what a YAML spells out."""

import json
import random
import sys

import keras
import msgspec
import numpy as np
import pytest
from random_networks import DRAWN, PACKAGED, check_against_keras, random_network

from modelzoo import cli
from modelzoo.config import list_models, load_config
from modelzoo.networks import BUILDERS, Network, reference
from modelzoo.networks.keras_objects import keras_layer, to_keras
from modelzoo.networks.kinds import KINDS
from modelzoo.networks.network import as_specs, read_layers, sequential
from modelzoo.support.errors import InputError
from modelzoo.training.prepare import build_network

REQUIRED = {  # arguments that a kind does not do without
    "Activation": {"activation": "relu"},
    "AveragePooling2D": {"pool_size": 2},
    "CCells": {"area": 3},
    "ConnectionTableConv2D": {"connection_table": [[1, 0], [1, 1]], "kernel_size": 3},
    "Conv2D": {"filters": 4, "kernel_size": 3},
    "Dense": {"units": 4},
    "DepthwiseConv2D": {"kernel_size": 3},
    "EuclideanRBF": {"codes": [[1, -1]]},
    "GaussianNoise": {"stddev": 0.1},
    "Normalization": {"mean": [0.5], "variance": [0.25]},
    "Rescaling": {"scale": 2.0},
    "SCells": {"planes": 4, "area": 3},
    "SeparableConv2D": {"filters": 4, "kernel_size": 3},
    "UnitBiasConv2D": {"connection_table": [[1, 1]], "kernel_size": 3},
    "AlphaDropout": {"rate": 0.5},
    "Dropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "SpatialDropout2D": {"rate": 0.5},
}


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_networks_are_what_keras_builds(name):
    config = load_config(name)
    if config.about.parameters > 30_000_000:
        small = {"conv_maps": [8, 12, 16, 16, 12], "dense_units": [24, 20]}
        config = config.with_values({"model": small}, "the test")
    network = config.network
    assert isinstance(network, Network)
    check_against_keras(network)


@pytest.mark.parametrize("builder", DRAWN)
def test_random_networks_are_what_keras_builds(builder):
    rng = random.Random(builder)
    for _ in range(10):
        check_against_keras(random_network(builder, rng))


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_those_of_the_layer(kind):
    values = {"name": "x", **REQUIRED.get(kind, {})}
    layer = keras_layer(msgspec.convert(values, KINDS[kind]))
    taken = layer.get_config()
    for field in msgspec.structs.fields(KINDS[kind]):
        if field.name in ("name", "dtype") or field.default is msgspec.NODEFAULT:
            continue
        assert field.name in taken, f"{kind} has no {field.name}"
        default = taken[field.name]
        if field.name.endswith(("initializer", "regularizer", "activation")):
            assert field.default is None  # the layer's own
        elif field.default != default:  # n for (n, n); of strides, None for the window's size
            size = taken["pool_size"] if field.default is None else field.default
            np.testing.assert_array_equal(*np.broadcast_arrays(size, default))


LAYERS = [
    {"class_name": "Conv2D", "config": {"filters": 3, "kernel_size": 3, "activation": "relu"}},
    {"class_name": "MaxPooling2D", "config": {"name": "pool"}},
    "Flatten",
    {"class_name": "Dense", "config": {"activation": "softmax"}},
]


def test_a_sequential_network_computes_what_its_layers_say():
    network = sequential([9, 9, 2], LAYERS, 4)
    assert [layer.name for layer in network.layers] == ["conv2d", "pool", "flatten", "dense"]
    assert network.shapes == ((7, 7, 3), (3, 3, 3), (27,), (4,))
    keras.utils.set_random_seed(0)
    model = to_keras(network)
    images = np.random.default_rng(0).random((2, 9, 9, 2), "float32")
    kernel, bias, weights, biases = model.get_weights()
    maps = np.maximum(reference.conv2d(images, kernel, bias), 0)
    pooled = reference.max_pool2d(maps, 2)
    scores = reference.dense(reference.flatten(pooled), weights, biases)
    np.testing.assert_allclose(model(images), reference.softmax(scores), atol=1e-6)


def test_a_description_survives_its_yaml_form():
    for name in list_models():
        network = load_config(name).network
        specs = json.loads(json.dumps(as_specs(network.layers)))
        about = (network.name, network.input_shape)
        assert Network(*about, read_layers(specs), network.organizing_steps) == network


def test_two_builders_can_describe_one_network():
    network = load_config("lenet5").network
    specs = as_specs(network.layers)
    for number, spec in enumerate(specs):
        spec["config"]["name"] = f"layer{number}"
    assert sequential([28, 28, 1], specs).computes_like(network)
    specs[0]["config"]["activation"] = "relu"
    assert not sequential([28, 28, 1], specs).computes_like(network)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["Flaten", "Dense"], "layers.0: unknown layer 'Flaten'; did you mean 'Flatten'"),
        (["Lambda", "Dense"], "layers.0: unknown layer 'Lambda'"),
        ([{"class_name": "Dense", "config": {"unit": 3}}], "unknown argument 'unit'.*'units'"),
        ([{"class_name": "Conv2D", "config": {"filters": 3}}, "Dense"], "kernel_size is missing"),
        ([{"class_name": "Dropout", "config": {"rate": 1}}, "Dense"], "rate: expected float < 1"),
        ([{"class_name": "Dense", "config": {"units": 7}}], "end with 9x9x7 outputs, but num_c"),
        (["Flatten", "MaxPooling2D", "Dense"], "max_pooling2d: takes maps .* 162 units reach it"),
        ([{"class_name": "Dense", "module": "os"}], "should be {class_name"),
        (["Dense"], "end with 9x9x10 outputs"),
        ([], "end with 9x9x2 outputs"),
        ([{"class_name": "ReLU", "config": {"name": "a"}}] * 2, "two layers are called 'a'"),
    ],
)
def test_wrong_layers_are_named(layers, message):
    with pytest.raises(InputError, match=message):
        sequential([9, 9, 2], layers)


IMMENSE_PADDED = {"conv_maps": [6], "pool_size": 10**9, "pool_padding": "same"}
DEEP = {"conv_maps": [1] * 250, "kernel_size": 1, "pooling": "none"}
MANY_CODES = {"num_classes": 10**9, "codes": "random"}
LARGE_KERNELS = {"kernel_size": [11, 5, 900, 900, 900], "conv_padding": "same", "groups": 1}


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        ("lenet5", {"dense_units": [10**7]}, "parameters; at most 134,217,728 are computed"),
        ("lenet5", {"conv_maps": [6, 10**8]}, "at most"),
        ("lenet5", {"num_classes": 2_000_000}, "at most 134,217,728 are computed"),
        ("lenet5", {"input_shape": [10**5, 10**5, 1]}, "input_shape: 10,000,000,000 values"),
        ("lenet5", DEEP, "254 layers; at most 200"),
        ("lenet5", IMMENSE_PADDED, "S2: more than 10"),
        ("alexnet", LARGE_KERNELS, "operations for each image; at most"),
        ("lenet5_1998", MANY_CODES, "84,000,000,000 parameters"),
        ("lenet_1989", {"input_shape": [4, 4, 10**9]}, "input_shape: 16,000,000,000 values"),
        ("neocognitron", {"s_area": 10**6}, "US1: padding"),
        ("neocognitron", {"planes": 100_000}, "at most"),
    ],
)
def test_immense_networks_are_refused(builder, arguments, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(InputError, match=message):
        BUILDERS[builder](**arguments)


def test_a_network_is_called_by_its_own_name():
    assert BUILDERS["lenet5"](pool_activation="tanh").name == "lenet5"


OWN = """\
model:
  builder: sequential
  input_shape: [28, 28, 1]
  num_classes: 10
  layers:
    - {class_name: Conv2D, config: {filters: 4, kernel_size: 5, activation: tanh}}
    - MaxPooling2D
    - Flatten
    - {class_name: Dense, config: {activation: softmax}}
data: {dataset: mnist5k}
compile:
  optimizer: {class_name: SGD, config: {learning_rate: 0.1}}
  loss: sparse_categorical_crossentropy
fit: {epochs: 1}
"""


def test_a_yaml_spells_out_a_network(tmp_path, capsys):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert cli.main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == 104 + 5770 and facts["builder"] == "sequential"
    assert build_network(load_config(path)).count_params() == 104 + 5770
    assert cli.main(["draw", "architecture", str(path), "--out", str(tmp_path)]) == 0
    wrong = ["info", str(path), "--set", "model.layers.0.config.filtres=8"]
    assert cli.main(wrong) == 2
    assert "did you mean 'filters'" in capsys.readouterr().err

"""The networks: exact tables, every published form of LeNet-5, and what any network must do."""

import contextlib
import functools
import io
import json
import re
from typing import Any

import keras
import numpy as np
import pytest
from msgspec.structs import asdict
from random_networks import PACKAGED

from modelzoo import cli
from modelzoo.api import build
from modelzoo.config import list_models, load_config
from modelzoo.config.sections import read_section
from modelzoo.networks import keras_objects, reference
from modelzoo.networks.keras_objects import make
from modelzoo.support.errors import InputError
from modelzoo.training.evaluation import unit_of


def rows(table: str) -> list[tuple[str, list[int], int]]:
    """Read "name, shape, parameters; ...", the layers in their order."""
    cells = (row.split() for row in table.split(";"))
    return [(name, list(map(int, shape.split("x"))), int(n)) for name, shape, n in cells]


LENET5 = rows("""
    C1 24x24x6 156; S2 12x12x6 0; C3 8x8x16 2416; S4 4x4x16 0; flatten 256 0; F5 120 30840;
    F6 84 10164; output 10 850
""")
LENET5_1998 = rows("""
    C1 28x28x6 156; C1_activation 28x28x6 0; S2 14x14x6 12; S2_activation 14x14x6 0;
    C3 10x10x16 1516; C3_activation 10x10x16 0; S4 5x5x16 32; S4_activation 5x5x16 0;
    C5 1x1x120 48120; C5_activation 1x1x120 0; flatten 120 0; F6 84 10164; F6_activation 84 0;
    output 10 0; score 10 0
""")
LENET_1989 = rows("""
    H1 8x8x12 1068; H1_activation 8x8x12 0; H2 4x4x12 2592; H2_activation 4x4x12 0;
    flatten 192 0; H3 30 5790; H3_activation 30 0; output 10 310; output_activation 10 0
""")
# LeCun et al. (1990): 2,578 parameters. Of LeNet-4, 120 units see all 400 values of S4.
LENET1 = rows("""
    H1 24x24x4 104; H1_activation 24x24x4 0; H2 12x12x4 8; H2_activation 12x12x4 0;
    H3 8x8x12 512; H3_activation 8x8x12 0; H4 4x4x12 24; H4_activation 4x4x12 0;
    flatten 192 0; output 10 1930; output_activation 10 0
""")
LENET4 = rows("""
    C1 28x28x4 104; C1_activation 28x28x4 0; S2_average 14x14x4 0; S2 14x14x8 16;
    S2_activation 14x14x8 0; C3 10x10x16 1216; C3_activation 10x10x16 0; S4 5x5x16 32;
    S4_activation 5x5x16 0; flatten 400 0; F5 120 48120; F5_activation 120 0; output 10 1210;
    output_activation 10 0
""")
SIMARD_2003 = rows("""
    C1 13x13x5 130; C1_activation 13x13x5 0; C2 5x5x50 6300; C2_activation 5x5x50 0;
    flatten 1250 0; F3 100 125100; F3_activation 100 0; output 10 1010
""")
ALEXNET = rows("""
    conv1 6x6x96 34944; norm1 6x6x96 384; pool1 2x2x96 0; conv2 2x2x256 614656;
    norm2 2x2x256 1024; pool2 1x1x256 0; conv3 1x1x384 885120; conv4 1x1x384 1327488;
    conv5 1x1x384 1327488; pool5 1x1x384 0; flatten 384 0; fc6 4096 1576960; drop6 4096 0;
    fc7 4096 16781312; drop7 4096 0; fc8 10 40970
""")
# Figure 2 of Krizhevsky et al. (2012), with what the text puts between its layers: a map of conv2
# sees 48 of 96, one of conv4 and conv5 192 of 384.
ALEXNET_2012 = rows("""
    conv1 55x55x96 34944; norm1 55x55x96 0; pool1 27x27x96 0; conv2 27x27x256 307456;
    norm2 27x27x256 0; pool2 13x13x256 0; conv3 13x13x384 885120; conv4 13x13x384 663936;
    conv5 13x13x256 442624; pool5 6x6x256 0; flatten 9216 0; fc6 4096 37752832; drop6 4096 0;
    fc7 4096 16781312; drop7 4096 0; fc8 1000 4097000
""")
ONE_TOWER = {"conv2": 614656, "conv4": 1327488, "conv5": 884992}
ALEXNET_2012_SINGLE = [(name, shape, ONE_TOWER.get(name, n)) for name, shape, n in ALEXNET_2012]
# The modules of torchvision.models.alexnet; its adaptive pooling from 6x6 to 6x6 does nothing.
ALEXNET_OWT = rows("""
    pad1 228x228x3 0; conv1 55x55x64 23296; pool1 27x27x64 0; conv2 27x27x192 307392;
    pool2 13x13x192 0; conv3 13x13x384 663936; conv4 13x13x256 884992; conv5 13x13x256 590080;
    pool5 6x6x256 0; flatten 9216 0; drop5 9216 0; fc6 4096 37752832; drop6 4096 0;
    fc7 4096 16781312; fc8 1000 4097000
""")
TABLES = {
    "lenet5": (LENET5, 44_426, 0),
    "lenet5_1998": (LENET5_1998, 60_000, 0),
    "lenet_1989": (LENET_1989, 9_760, 0),
    "lenet1": (LENET1, 2_578, 0),
    "lenet4": (LENET4, 50_698, 0),
    "simard_2003": (SIMARD_2003, 132_540, 0),
    "alexnet": (ALEXNET, 22_590_346, 704),
    "alexnet_2012": (ALEXNET_2012, 60_965_224, 0),
    "alexnet_2012_single": (ALEXNET_2012_SINGLE, 62_378_344, 0),
    "alexnet_owt": (ALEXNET_OWT, 61_100_840, 0),
}
LARGE = 30_000_000  # parameters from which a network is tested in full once, and else in small
SMALL = {"conv_maps": [8, 12, 16, 16, 12], "dense_units": [24, 20], "num_classes": 10}


@functools.cache
def facts(name: str) -> dict[str, Any]:
    """What `modelzoo info` prints of a network in full size, which is built once and not kept."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert cli.main(["info", name, "--json"]) == 0
    return json.loads(printed.getvalue())


def small(name: str) -> keras.Model:
    """Build a network, with fewer maps and units if it is a large one; all else as in its YAML."""
    is_large = (load_config(name).about.parameters or 0) > LARGE
    return build(name, **SMALL) if is_large else build(name)


@pytest.mark.parametrize("name", TABLES)
def test_layers_are_those_of_the_paper_or_document(name):
    table, total, fixed = TABLES[name]
    found = facts(name)
    layers = [(row["name"], row["output_shape"], row["parameters"]) for row in found["layers"][1:]]
    assert layers == table
    assert found["parameters"] == sum(row[2] for row in table) == total
    assert total - found["trainable_parameters"] == fixed


def test_lenet5_activations_are_those_of_the_document():
    """Shapes alone don't tell tanh from sigmoid."""
    model = build("lenet5")
    names = ["C1", "C3", "F5", "F6", "output"]
    activations = [model.get_layer(name).activation.__name__ for name in names]
    assert activations == ["tanh", "tanh", "sigmoid", "sigmoid", "softmax"]
    assert isinstance(model.get_layer("S2"), keras.layers.AveragePooling2D)


def test_alexnet_defaults_are_the_paper_s():
    """The YAML states what the builder does by itself, but for the weight decay of the recipe."""
    stated = load_config("alexnet_2012").builder_arguments
    defaults = asdict(read_section("model", {"builder": "alexnet"}, str))
    assert stated.pop("kernel_regularizer") == {"class_name": "L2", "config": {"l2": 0.00025}}
    assert {key: defaults[key] for key in stated} == stated


def test_alexnet_starts_as_in_the_paper():
    """Gaussian weights of 0.01, and biases of 1 where ReLUs should get positive inputs."""
    keras.utils.set_random_seed(0)
    sizes = {"conv_maps": [32, 64, 64, 64, 64], "dense_units": [64, 64]}
    model = build("alexnet_2012", input_shape=[67, 67, 3], **sizes)
    layers = [layer for layer in model.layers if layer.weights]
    kernels = [np.asarray(layer.kernel) for layer in layers]
    for kernel in kernels:
        assert kernel.std() == pytest.approx(0.01, rel=0.05)
        assert abs(kernel.mean()) < 5 * 0.01 / kernel.size**0.5
    ones = [layer.name for layer in layers if (np.asarray(layer.bias) == 1).all()]
    zeros = [layer.name for layer in layers if (np.asarray(layer.bias) == 0).all()]
    assert ones == ["conv2", "conv4", "conv5", "fc6", "fc7"]
    assert zeros == ["conv1", "conv3", "fc8"]
    # Layers of one shape must not begin with the same numbers.
    assert kernels[3].shape == kernels[4].shape and not np.array_equal(kernels[3], kernels[4])


def test_weight_decay_follows_the_paper_s_rule():
    """V <- 0.9 v - 0.0005 lr w - lr gradient, w <- w + v: the decay passes through the momentum."""
    recipe = load_config("alexnet_2012")
    penalty = keras_objects.make("regularizer", recipe.model.kernel_regularizer, "")
    optimizer = keras_objects.make("optimizer", recipe.compile.optimizer, "")
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_regularizer=penalty)]
    )
    model.compile(optimizer, "mse")
    w = np.array([[0.5], [-2.0], [3.0]])
    model.set_weights([w])
    x, y, v = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 1.0]]), np.array([[1.0], [-1.0]]), 0.0
    for _ in range(5):
        gradient = 2 * x.T @ (x @ w - y) / len(x)
        v = 0.9 * v - 0.0005 * 0.01 * w - 0.01 * gradient
        w = w + v
        model.train_on_batch(x, y)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-6)


def test_padding_by_a_number_is_symmetric():
    """PyTorch pads both sides alike; `same` pads an odd rest, as of a stride of 2, after."""
    arguments = {
        "input_shape": [16, 16, 2], "num_classes": 2, "conv_maps": [4], "dense_units": [],
        "conv_activation": "linear", "kernel_size": 5, "strides": 2, "pooling": "none",
    }  # fmt: skip
    images = np.random.default_rng(0).random((1, 16, 16, 2), "float32")
    model = build("lenet5", **arguments, conv_padding=2)
    convolution = next(layer for layer in model.layers if layer.weights)
    found = keras.Model(model.input, convolution.output)(images)
    expected = reference.conv2d(images, *convolution.get_weights(), strides=2, padding=2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    same = build("lenet5", **arguments, conv_padding="same")
    same.set_weights(model.get_weights())
    assert not np.allclose(same(images), model(images))


@pytest.mark.parametrize(
    ("arguments", "total"),
    [
        # A third convolution of 120 maps, as in the paper, on 32x32.
        (
            {"input_shape": [32, 32, 1], "conv_maps": [6, 16, 120], "dense_units": [84],
             "pooling": ["average", "average", "none"]},
            61_706,
        ),
        # First convolution padded, max pooling, ReLU.
        (
            {"conv_padding": ["same", "valid"], "conv_activation": "relu", "pooling": "max",
             "dense_activation": "relu"},
            61_706,
        ),
        # Colour, another number of classes, rectangular kernels, dropout, overlapping pooling.
        (
            {"input_shape": [40, 32, 3], "num_classes": 43, "kernel_size": [[5, 3], [3, 3]],
             "pool_size": 3, "pool_strides": 2, "dropout": [0.5, 0.0]},
            82_295,
        ),
        # The smallest: no hidden dense layer, one convolution.
        ({"conv_maps": [4], "dense_units": []}, 4 * 26 + 12 * 12 * 4 * 10 + 10),
    ],
)  # fmt: skip
def test_lenet5_expresses_published_variants(arguments, total):
    model = build("lenet5", **arguments)
    images = np.zeros((1, *model.input_shape[1:]), "float32")
    assert model(images).shape == (1, arguments.get("num_classes", 10))
    assert model.count_params() == total


@pytest.mark.parametrize("name", list_models())
def test_facts_in_the_yaml_are_true(name):
    """Its number of parameters; and deviations name both sides."""
    about = load_config(name).about
    assert facts(name)["parameters"] == about.parameters
    for deviation in about.deviations:
        assert re.fullmatch("(paper|torchvision[^:]*): .+; ours: .+", deviation), deviation


@pytest.mark.parametrize("name", PACKAGED)
class TestEveryModel:
    """What holds for any network of the zoo."""

    def test_output_is_a_distribution_or_a_score_for_any_batch(self, name):
        """A softmax sums to 1, and an image is answered the same alone and among others."""
        model = small(name)
        images = np.random.default_rng(0).random((3, *model.input_shape[1:]), "float32")
        three, one = np.asarray(model(images)), np.asarray(model(images[:1]))
        classes = model.output_shape[-1]
        assert three.shape == (3, classes) and np.allclose(three[0], one[0], rtol=1e-5, atol=1e-5)
        last = load_config(name).network.layers[-1]
        if last.kind == "Softmax" or getattr(last, "activation", None) == "softmax":
            assert np.allclose(three.sum(axis=1), 1, atol=1e-5)
        else:
            assert unit_of(three) == "score"

    def test_saved_weights_and_models_give_the_same_outputs(self, name, tmp_path):
        first, second = small(name), small(name)
        images = np.random.default_rng(0).random((2, *first.input_shape[1:]), "float32")
        first.save_weights(tmp_path / "a.weights.h5")
        first.save(tmp_path / "a.keras")
        assert not np.array_equal(first(images), second(images))
        second.load_weights(tmp_path / "a.weights.h5")
        for again in (second, keras.models.load_model(tmp_path / "a.keras")):
            assert np.array_equal(first(images), again(images))

    @pytest.mark.slow
    def test_training_lowers_the_loss(self, name):
        """Gradients reach every layer, and a few steps on one batch fit it better."""
        keras.utils.set_random_seed(0)
        model = small(name)
        images = np.random.default_rng(0).random((8, *model.input_shape[1:]), "float32")
        config, labels = load_config(name), np.arange(8) % model.output_shape[-1]
        if config.data.label_mode == "categorical":
            labels = np.eye(model.output_shape[-1], dtype="float32")[labels]
        loss = make("loss", config.compile.loss, "compile.loss")
        model.compile(keras.optimizers.Adam(1e-3), loss)
        before = [np.array(weight) for weight in model.trainable_weights]
        losses = model.fit(images, labels, epochs=6, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        for old, new in zip(before, model.trainable_weights, strict=True):
            assert not np.array_equal(old, new)


NORMAL = {"class_name": "RandomNormal", "config": {"std": 1}}
L2 = {"class_name": "L2", "module": "os"}


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        ("lenet5", {"input_shape": [8, 8, 1]}, "C3: its 5x5 window is larger than"),
        ("lenet5", {"conv_padding": "sam"}, "conv_padding"),
        ("lenet5", {"dropout": 1.0}, "model.dropout: expected float < 1.0"),
        ("lenet5_1998", {"input_shape": [28, 28, 1]}, "C5: its 5x5 window is larger than"),
        ("lenet5_1998", {"connection_table": [[1, 0], [1]]}, "connection_table: .* one length"),
        ("lenet5_1998", {"connection_table": [[1, 2]]}, "table.0.1: expected int <= 1: 2"),
        ("lenet5_1998", {"connection_table": [[1, 0], [1, 0]]}, "column 1 has no 1"),
        ("lenet5_1998", {"num_classes": 26}, "choose codes: random"),
        ("lenet5_1998", {"codes": "letters"}, "codes: unknown 'letters'"),
        ("lenet_1989", {"connection_table": [[1, 1], [0, 0]]}, "row 1 has no 1"),
        ("alexnet", {"groups": 5}, "groups: 5 groups divide neither"),
        ("alexnet", {"pool_size": [1, 2, 3]}, "pool_size: 3 values for 5 layers"),
        ("alexnet_2012", {"bias_initializer": "One"}, "no initializer 'One'.*did you mean 'Ones'"),
        ("alexnet_2012", {"kernel_initializer": NORMAL}, "no argument 'std'; .* 'stddev'"),
        ("alexnet_2012", {"kernel_regularizer": L2}, r"should be \{class_name: NAME, config"),
        ("lenet5", {"conv_padding": 1.5}, "conv_padding"),
    ],
)
def test_wrong_arguments_are_named(builder, arguments, message):
    with pytest.raises(InputError, match=message):
        build(builder, **arguments)

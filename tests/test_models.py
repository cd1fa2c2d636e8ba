"""The networks: exact tables, every published form of LeNet-5, and what any network must do."""

import keras
import numpy as np
import pytest

from modelzoo.config import list_models, load_config
from modelzoo.errors import InputError
from modelzoo.keras_objects import make
from modelzoo.models import BUILDERS
from modelzoo.training.evaluation import are_probabilities
from modelzoo.zoo import build, describe

LENET5 = [
    ("C1", [24, 24, 6], 156),
    ("S2", [12, 12, 6], 0),
    ("C3", [8, 8, 16], 2416),
    ("S4", [4, 4, 16], 0),
    ("flatten", [256], 0),
    ("F5", [120], 30840),
    ("F6", [84], 10164),
    ("output", [10], 850),
]
LENET5_1998 = [
    ("C1", [28, 28, 6], 156),
    ("C1_activation", [28, 28, 6], 0),
    ("S2", [14, 14, 6], 12),
    ("S2_activation", [14, 14, 6], 0),
    ("C3", [10, 10, 16], 1516),
    ("C3_activation", [10, 10, 16], 0),
    ("S4", [5, 5, 16], 32),
    ("S4_activation", [5, 5, 16], 0),
    ("C5", [1, 1, 120], 48120),
    ("C5_activation", [1, 1, 120], 0),
    ("flatten", [120], 0),
    ("F6", [84], 10164),
    ("F6_activation", [84], 0),
    ("output", [10], 0),
    ("score", [10], 0),
]
LENET_1989 = [
    ("H1", [8, 8, 12], 1068),
    ("H1_activation", [8, 8, 12], 0),
    ("H2", [4, 4, 12], 2592),
    ("H2_activation", [4, 4, 12], 0),
    ("flatten", [192], 0),
    ("H3", [30], 5790),
    ("H3_activation", [30], 0),
    ("output", [10], 310),
    ("output_activation", [10], 0),
]
ALEXNET = [
    ("conv1", [6, 6, 96], 34944),
    ("norm1", [6, 6, 96], 384),
    ("pool1", [2, 2, 96], 0),
    ("conv2", [2, 2, 256], 614656),
    ("norm2", [2, 2, 256], 1024),
    ("pool2", [1, 1, 256], 0),
    ("conv3", [1, 1, 384], 885120),
    ("conv4", [1, 1, 384], 1327488),
    ("conv5", [1, 1, 384], 1327488),
    ("pool5", [1, 1, 384], 0),
    ("flatten", [384], 0),
    ("fc6", [4096], 1576960),
    ("drop6", [4096], 0),
    ("fc7", [4096], 16781312),
    ("drop7", [4096], 0),
    ("fc8", [10], 40970),
]


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("name", "table", "total", "fixed"),
    [
        ("lenet5", LENET5, 44_426, 0),
        ("lenet5_1998", LENET5_1998, 60_000, 0),
        ("lenet_1989", LENET_1989, 9_760, 0),
        ("alexnet", ALEXNET, 22_590_346, 704),
    ],
)
def test_layers_are_those_of_the_document(name, table, total, fixed):
    """A layer, shape or parameter differs from the printed summary or from the paper."""
    model = build(name)
    rows = [(row["name"], row["output_shape"], row["parameters"]) for row in describe(model)[1:]]
    assert rows == table
    assert model.count_params() == total and total - trainable(model) == fixed


def test_lenet5_activations_are_those_of_the_document():
    """Shapes alone don't tell tanh from sigmoid."""
    model = build("lenet5")
    names = ["C1", "C3", "F5", "F6", "output"]
    activations = [model.get_layer(name).activation.__name__ for name in names]
    assert activations == ["tanh", "tanh", "sigmoid", "sigmoid", "softmax"]
    assert isinstance(model.get_layer("S2"), keras.layers.AveragePooling2D)


@pytest.mark.parametrize(("groups", "total"), [((1, 2, 1, 2, 2), 60_965_224), (1, 62_378_344)])
def test_alexnet_defaults_have_the_parameters_of_2012(groups, total):
    """The paper's network with two towers, and the same with one."""
    assert BUILDERS["alexnet"](groups=groups).count_params() == total


@pytest.mark.parametrize(
    ("arguments", "total"),
    [
        # A third convolution of 120 maps, as in the paper, on 32x32.
        (
            {
                "input_shape": [32, 32, 1],
                "conv_maps": [6, 16, 120],
                "pooling": ["average", "average", "none"],
                "dense_units": [84],
                "dense_activation": "tanh",
            },
            61_706,
        ),
        # First convolution padded, max pooling, ReLU.
        (
            {
                "conv_padding": ["same", "valid"],
                "conv_activation": "relu",
                "pooling": "max",
                "dense_activation": "relu",
            },
            61_706,
        ),
        # No activations at all.
        ({"conv_activation": "linear", "dense_activation": "linear"}, 44_426),
        # The paper's 32x32 input.
        ({"input_shape": [32, 32, 1], "dense_activation": "tanh"}, 61_706),
        # Colour, another number of classes, rectangular kernels, dropout, overlapping pooling.
        (
            {
                "input_shape": [40, 32, 3],
                "num_classes": 43,
                "kernel_size": [[5, 3], [3, 3]],
                "pool_size": 3,
                "pool_strides": 2,
                "dropout": [0.5, 0.0],
            },
            None,
        ),
        # The smallest: no hidden dense layer, one convolution.
        ({"conv_maps": [4], "dense_units": []}, 4 * 26 + 12 * 12 * 4 * 10 + 10),
    ],
)
def test_lenet5_expresses_published_variants(arguments, total):
    """What people publish under the name LeNet-5 can be written in YAML alone."""
    model = build("lenet5", **arguments)
    shape = model.input_shape[1:]
    assert model(np.zeros((1, *shape), "float32")).shape == (1, arguments.get("num_classes", 10))
    assert total is None or model.count_params() == total


@pytest.mark.parametrize("name", list_models())
class TestEveryModel:
    """What holds for any network of the zoo."""

    def test_facts_in_the_yaml_are_true(self, name):
        """`list` shows the parameter count from the YAML, without building the network."""
        assert build(name).count_params() == load_config(name)["about"]["parameters"]

    def test_output_is_a_distribution_or_a_score_for_any_batch(self, name):
        """A softmax sums to 1, and a picture is answered the same alone and among others."""
        model = build(name)
        images = np.random.default_rng(0).random((3, *model.input_shape[1:]), "float32")
        three, one = np.asarray(model(images)), np.asarray(model(images[:1]))
        assert three.shape == (3, 10) and np.allclose(three[0], one[0], rtol=1e-5, atol=1e-5)
        if load_config(name)["model"].get("output_activation") == "softmax":
            assert np.allclose(three.sum(axis=1), 1, atol=1e-5)
        else:
            assert not are_probabilities(three)

    def test_saved_weights_give_the_same_outputs(self, name, tmp_path):
        """Saving and loading loses nothing."""
        first, second = build(name), build(name)
        images = np.random.default_rng(0).random((2, *first.input_shape[1:]), "float32")
        first.save_weights(tmp_path / "a.weights.h5")
        assert not np.array_equal(first(images), second(images))
        second.load_weights(tmp_path / "a.weights.h5")
        assert np.array_equal(first(images), second(images))

    def test_saved_model_opens_again(self, name, tmp_path):
        """`model.keras` of a run, custom layers included."""
        model = build(name)
        images = np.random.default_rng(0).random((2, *model.input_shape[1:]), "float32")
        model.save(tmp_path / "a.keras")
        again = keras.models.load_model(tmp_path / "a.keras")
        assert np.array_equal(model(images), again(images))

    def test_training_lowers_the_loss(self, name):
        """Gradients reach every layer, and a few steps on one batch fit it better."""
        keras.utils.set_random_seed(0)
        model = build(name)
        images = np.random.default_rng(0).random((8, *model.input_shape[1:]), "float32")
        labels = np.eye(10, dtype="float32")[np.arange(8) % 10]
        loss = make("loss", load_config(name)["compile"]["loss"], "compile.loss")
        model.compile(keras.optimizers.Adam(1e-3), loss)
        before = [np.array(weight) for weight in model.trainable_weights]
        losses = model.fit(images, labels, epochs=6, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        changed = [
            not np.array_equal(old, new)
            for old, new in zip(before, model.trainable_weights, strict=True)
        ]
        assert all(changed)


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        ("lenet5", {"input_shape": [8, 8, 1]}, "convolution 2: its 5x5 window is larger than"),
        ("lenet5", {"kernel_size": [5, 5, 5]}, "kernel_size: 3 values for 2 layers"),
        ("lenet5", {"conv_padding": "sam"}, "conv_padding"),
        ("lenet5", {"dropout": 1.0}, "dropout: 1.0 should be"),
        ("lenet5", {"num_classes": 0}, "num_classes: 0 should be"),
        ("lenet5", {"conv_maps": [6, True]}, "conv_maps"),
        ("lenet5", {"input_shape": [28, 28]}, "input_shape: .* should be"),
        ("lenet5_1998", {"input_shape": [28, 28, 1]}, "C5: its 5x5 window is larger than"),
        ("lenet5_1998", {"connection_table": [[1, 0], [1]]}, "connection_table: .* one length"),
        ("lenet5_1998", {"connection_table": [[1, 2]]}, "nothing but 0 and 1"),
        ("lenet5_1998", {"connection_table": [[1, 0], [1, 0]]}, "column 1 has no 1"),
        ("lenet5_1998", {"num_classes": 26}, "choose codes: random"),
        ("lenet5_1998", {"codes": "letters"}, "codes: unknown 'letters'"),
        ("lenet_1989", {"hidden_units": 0}, "hidden_units: 0 should be"),
        ("lenet_1989", {"connection_table": [[1, 1], [0, 0]]}, "row 1 has no 1"),
        ("alexnet", {"groups": 5}, "groups: 5 groups divide neither"),
        ("alexnet", {"pool_size": [1, 2, 3]}, "pool_size: 3 values for 5 layers"),
    ],
)
def test_wrong_arguments_are_named(builder, arguments, message):
    """The message of a wrong argument says which one, before any layer is made."""
    with pytest.raises(InputError, match=message):
        build(builder, **arguments)

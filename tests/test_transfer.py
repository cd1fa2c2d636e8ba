"""Training that starts from weights: what is copied, what is new, what stays frozen."""

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import InputError, cli
from modelzoo.config import load_config
from modelzoo.data.datasets import load_dataset
from modelzoo.training.fine_tuning import find_start, freeze, head_of, load_start

CLASSES = {3: "three", 5: "five", 8: "eight"}


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> str:
    """A folder of PNG files: 100 threes, fives and eights each to train on, 100 to test."""
    folder = tmp_path_factory.mktemp("digits")
    data = load_dataset("mnist5k")
    splits = {"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)}
    for split, (images, labels) in splits.items():
        for label, name in CLASSES.items():
            (folder / split / name).mkdir(parents=True)
            for number, image in enumerate(images[labels == label][:100]):
                Image.fromarray(image[..., 0]).save(folder / split / name / f"{number}.png")
    return f"folder:{folder}"


def weights_of(network) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_head_of_other_classes_is_new_and_all_else_is_copied(capfd):
    """It keeps what it was initialised with; the message says so."""
    network = modelzoo.build("lenet5", num_classes=5)
    before = weights_of(network)
    start = find_start(load_config("lenet5", overrides=["trainer.weights=mnist"]))
    message = load_start(network, start, 5)
    assert message.endswith("\noutput: 10 -> 5 classes, newly initialised")
    expected = weights_of(modelzoo.load("lenet5", "mnist"))
    after = weights_of(network)
    assert_same(after.pop("output"), before["output"])
    for name, weights in after.items():
        assert_same(weights, expected[name])


def test_a_head_of_the_same_classes_is_copied():
    """Nothing is newly initialised, and nothing is said of it."""
    network = modelzoo.build("lenet5")
    start = find_start(load_config("lenet5", overrides=["trainer.weights=mnist"]))
    assert "anew" not in load_start(network, start, 10)
    expected = weights_of(modelzoo.load("lenet5", "mnist"))
    for name, weights in weights_of(network).items():
        assert_same(weights, expected[name])


def test_weights_of_pytorch_get_a_new_head_too(tmp_path):
    """A state dict, whose tensors are matched by their order."""
    torch = pytest.importorskip("torch")
    shapes = {"c": (4, 1, 3, 3), "f": (7, 4 * 26 * 26)}
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.rand(shape)
        state[f"{name}.bias"] = torch.rand(shape[0])
    torch.save(state, tmp_path / "start.pth")
    import keras

    inputs = keras.Input((28, 28, 1))
    maps = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, name="c")(inputs))
    network = keras.Model(inputs, keras.layers.Dense(3, name="f")(maps), name="small")
    before = weights_of(network)
    config = load_config("lenet5", overrides=[f"trainer.weights={tmp_path / 'start.pth'}"])
    assert "f: 7 -> 3 classes" in load_start(network, find_start(config), 3)
    np.testing.assert_array_equal(
        network.get_layer("c").get_weights()[0], state["c.weight"].permute(2, 3, 1, 0).numpy()
    )
    assert_same(network.get_layer("f").get_weights(), before["f"])


@pytest.mark.parametrize(
    ("name", "head"),
    [("lenet5", "output"), ("lenet_1989", "output"), ("alexnet_cifar10", "fc8")],
)
def test_the_head_is_the_last_layer_with_a_unit_a_class(name, head):
    """Activations may follow it."""
    assert head_of(modelzoo.build(name), 10).name == head


def test_a_network_may_have_no_head():
    """The RBF units of LeNet-5 have fixed codes, and F6 has 84 units for any classes."""
    assert head_of(modelzoo.build("lenet5_1998"), 10) is None


def test_patterns_name_layers_to_freeze():
    """Names, names with *, and all but the head; more than one."""
    network = modelzoo.build("lenet5")
    assert freeze(network, "C*", 10) == ["C1", "C3"]
    assert freeze(network, ["F5", "C1"], 10) == ["C1", "F5"]
    assert freeze(network, "all-but-head", 10) == ["C1", "C3", "F5", "F6"]
    assert freeze(network, [], 10) == []
    assert len(network.trainable_variables) == 10  # the last call counts


# Refused before anything is trained, and nothing is left: (options, words of the message).

BAD = {
    "weights of another network": (
        ["--weights", "lenet_1989/mnist16"],
        ["mnist16-", "the weights of lenet5", "takes"],
    ),
    "weights of a network with more layers": (
        ["--weights", "alexnet_cifar10/cifar10"],
        ["C1 takes 5x5x1x6, 6", "holds"],
    ),
    "another kernel": (
        ["--weights", "mnist", "--set", "model.kernel_size=3"],
        ["C1 takes 3x3x1x6"],
    ),
    "another hash": (["--weights", "mnist", "--sha256", "0" * 64], ["SHA-256", "0000"]),
    "a hash of nothing": (["--sha256", "0" * 64], ["--sha256", "--weights"]),
    "freezing an unknown layer": (
        ["--set", "trainer.freeze=C2"],
        ["trainer.freeze", "'C2'", "there are: C1, C3"],
    ),
    "freezing a pooling": (["--set", "trainer.freeze=[S2]"], ["no layer with weights", "'S2'"]),
    "freezing everything": (["--set", "trainer.freeze='*'"], ["nothing is left to be trained"]),
}


@pytest.mark.parametrize("case", BAD, ids=lambda name: name.replace(" ", "-"))
def test_bad_input_is_refused(case, digits, tmp_path, monkeypatch, capfd):
    """Exit code 2, and no folder."""
    monkeypatch.chdir(tmp_path)
    options, words = BAD[case]
    command = ["train", "--model", "lenet5", "--dataset", digits, "--device", "cpu", "--out", "run"]
    assert cli.main([*command, "--set", "data.validation_split=0", *options]) == 2
    said = capfd.readouterr().err
    assert all(word in said for word in words), said
    assert "Traceback" not in said and list(tmp_path.iterdir()) == []


def test_all_but_head_needs_a_head():
    """Else it would freeze everything."""
    with pytest.raises(InputError, match=r"all-but-head would leave; name the layers"):
        freeze(modelzoo.build("lenet5_1998"), "all-but-head", 10)

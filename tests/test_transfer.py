"""Training that starts from weights: what is copied, what is new, what stays frozen."""

import numpy as np
import pytest

import modelzoo
from modelzoo import InputError
from modelzoo.config import load_config
from modelzoo.training.prepare import find_start
from modelzoo.training.session import freeze, head_of, load_start


def started(network, weights, classes: int) -> str:
    """Start a network from weights; return what is said of it."""
    asked = [f"trainer.weights={weights}", f"model.num_classes={classes}"]
    config, path = find_start(load_config("lenet5", overrides=asked))
    return load_start(network, path, config)


def weights_of(network) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_head_of_other_classes_is_new_and_all_else_is_copied():
    network = modelzoo.build("lenet5", num_classes=5)
    before = weights_of(network)
    message = started(network, "mnist", 5)
    assert message.endswith("\noutput: 10 -> 5 classes, newly initialised")
    expected = weights_of(modelzoo.load("lenet5", "mnist"))
    after = weights_of(network)
    assert_same(after.pop("output"), before["output"])
    for name, weights in after.items():
        assert_same(weights, expected[name])


def test_a_head_of_the_same_classes_is_copied():
    network = modelzoo.build("lenet5")
    assert "newly" not in started(network, "mnist", 10)
    expected = weights_of(modelzoo.load("lenet5", "mnist"))
    for name, weights in weights_of(network).items():
        assert_same(weights, expected[name])


def test_weights_of_pytorch_get_a_new_head_too(tmp_path):
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
    assert "f: 7 -> 3 classes" in started(network, tmp_path / "start.pth", 3)
    np.testing.assert_array_equal(
        network.get_layer("c").get_weights()[0], state["c.weight"].permute(2, 3, 1, 0).numpy()
    )
    assert_same(network.get_layer("f").get_weights(), before["f"])


def test_the_head_is_the_last_layer_with_a_unit_a_class():
    for name, head in (("lenet5", "output"), ("lenet_1989", "output"), ("alexnet_cifar10", "fc8")):
        assert head_of(modelzoo.build(name), 10).name == head
    without = modelzoo.build("lenet5_1998")
    assert head_of(without, 10) is None
    with pytest.raises(InputError, match=r"all-but-head would leave; name the layers"):
        freeze(without, "all-but-head", 10)


def test_patterns_name_layers_to_freeze():
    network = modelzoo.build("lenet5")
    assert freeze(network, "C*", 10) == ["C1", "C3"]
    assert freeze(network, ["F5", "C1"], 10) == ["C1", "F5"]
    assert freeze(network, "all-but-head", 10) == ["C1", "C3", "F5", "F6"]
    assert freeze(network, [], 10) == []
    assert len(network.trainable_variables) == 10  # the last call counts

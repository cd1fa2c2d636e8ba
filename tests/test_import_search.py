"""What a foreign file does not say is found on a data set, or a warning says that it was not."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from torch_files import save_state_dict

from modelzoo import cli
from modelzoo.config import load_config

MNIST_PIXELS = "(x / 255 - 0.1307) / 0.3081"
SIZES = ["--set", "model.conv_maps=[4, 8]", "--set", "model.dense_units=[24]"]
SCALES = {"0..1": (1 / 255, 0.0), MNIST_PIXELS: (1 / (255 * 0.3081), -0.1307 / 0.3081)}


class Teacher:
    """A network that has labelled the data set `taught`, so that it is right about every image."""

    def __init__(self, folder: Path, activations: tuple[str, str, str], pixels: str) -> None:
        import keras

        keras.utils.set_random_seed(1)
        make = keras.layers
        first, second, third = activations
        self.network = keras.Sequential(
            [keras.Input((28, 28, 1)), make.Conv2D(4, 5, activation=first), make.MaxPooling2D(2),
             make.Conv2D(8, 5, activation=second), make.MaxPooling2D(2), make.Flatten(),
             make.Dense(24, activation=third), make.Dense(10, activation="softmax")]
        )  # fmt: skip
        generator = np.random.default_rng(0)
        coarse = generator.integers(0, 256, (1600, 7, 7), np.uint8)
        images = coarse.repeat(4, axis=1).repeat(4, axis=2)
        scale, offset = SCALES[pixels]
        inputs = images[..., None].astype("float32") * np.float32(scale) + np.float32(offset)
        self._spread(inputs)
        labels = self.network.predict(inputs, verbose=0).argmax(axis=1).astype("uint8")
        folder.mkdir(exist_ok=True)
        np.savez(
            folder / "taught.npz",
            x_train=images[:1200], y_train=labels[:1200],
            x_test=images[1200:], y_test=labels[1200:],
        )  # fmt: skip

    def _spread(self, inputs: Any) -> None:
        """Scale each layer so that its sums vary as far as an activation bends, and classes too."""
        values = inputs
        for layer in self.network.layers:
            if layer.weights:
                kernel, bias = layer.get_weights()
                activation, layer.activation = layer.activation, lambda sums: sums
                sums = np.asarray(layer(values))
                axes = tuple(range(sums.ndim - 1))
                wanted = 8 if layer is self.network.layers[-1] else 2
                factor = wanted / sums.std(axis=axes)
                layer.set_weights([kernel * factor, bias - sums.mean(axis=axes) * factor])
                layer.activation = activation
            values = np.asarray(layer(values))

    def save_torch(self, path: Path) -> Path:
        """Save as PyTorch saves the same network."""
        arrays: dict[str, np.ndarray] = {}
        flat = True
        for layer in self.network.layers:
            if not layer.weights:
                continue
            kernel, bias = layer.get_weights()
            if kernel.ndim == 4:
                kernel = kernel.transpose(3, 2, 0, 1)
            elif flat:  # PyTorch makes maps flat channel by channel
                kernel = kernel.reshape(4, 4, 8, -1).transpose(3, 2, 0, 1).reshape(24, 128)
                flat = False
            else:
                kernel = kernel.T
            arrays |= {f"{layer.name}.weight": kernel, f"{layer.name}.bias": bias}
        return save_state_dict(path, arrays)


def save_weights_only(network: Any, path: Path) -> Path:
    """Save as `save_weights` of Keras 2 does."""
    network.save(path)
    with h5py.File(path, "r+") as file:
        for name in file["model_weights"]:
            file.move(f"model_weights/{name}", name)
        file.attrs.update(file["model_weights"].attrs)
        del file["model_weights"], file.attrs["model_config"]
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def layers_of(config: str) -> tuple[list[str], list[str]]:
    network = load_config(config).network
    assert network is not None
    weighted = [layer for layer in network.layers if hasattr(layer, "activation")]
    return [layer.kind for layer in network.layers], [layer.activation for layer in weighted]


def imported(capfd: pytest.CaptureFixture[str], *command: str) -> tuple[dict[str, Any], str]:
    """Import on `taught`; return the JSON, and what was printed beside it."""
    arguments = ["import", *command, "--dataset", "taught", "--out", "out", "--json"]
    assert cli.main(arguments) == 0
    said = capfd.readouterr()
    return json.loads(said.out), said.err


def test_the_pixels_of_a_state_dict_are_found(here, capfd):
    path = Teacher(here / "data", ("relu", "relu", "relu"), MNIST_PIXELS).save_torch(here / "x.pth")
    settings = ["conv_activation=relu", "dense_activation=relu", "pooling=max"]
    named = ["--model", "lenet5", *SIZES, *(a for s in settings for a in ("--set", f"model.{s}"))]
    found, said = imported(capfd, str(path), *named)
    assert (found["accuracy"], found["scaling"], found["warning"]) == (1, MNIST_PIXELS, "")
    assert "chance" not in said
    (layer,) = load_config(found["config"]).data.preprocessing
    assert layer["class_name"] == "Rescaling"
    assert tuple(layer["config"].values()) == pytest.approx(SCALES[MNIST_PIXELS])
    again = ["evaluate", "--model", found["config"], "--weights", found["weights"], "--json"]
    assert cli.main(again) == 0
    assert json.loads(capfd.readouterr().out)["accuracy"] == 1
    found, _ = imported(capfd, str(path), *named, "--set", "data.preprocessing=[]")
    assert (found["preprocessing"], found["scaling"]) == ([], None)
    assert found["accuracy"] < 1


@pytest.mark.slow
def test_the_network_of_a_state_dict_is_found(here, capfd):
    path = Teacher(here / "data", ("tanh", "tanh", "relu"), MNIST_PIXELS).save_torch(here / "x.pth")
    found, _ = imported(capfd, str(path))
    kinds, activations = layers_of(found["config"])
    assert (activations, "MaxPooling2D" in kinds) == (["tanh", "tanh", "relu", "softmax"], True)
    assert (found["scaling"], found["accuracy"]) == (MNIST_PIXELS, 1)
    assert any("channel by channel" in each for each in found["rewritten"])


@pytest.mark.parametrize("form", ["pth", "h5"])
def test_a_network_that_fits_nowhere_is_reported(form, here, capfd):
    teacher = Teacher(here / "data", ("tanh", "tanh", "tanh"), "0..1")
    labels = dict(np.load(here / "data" / "taught.npz"))
    generator = np.random.default_rng(5)
    labels |= {key: generator.permutation(labels[key]) for key in ("y_train", "y_test")}
    np.savez(here / "data" / "taught.npz", **labels)
    if form == "pth":
        path = teacher.save_torch(here / "x.pth")
    else:
        path = save_weights_only(teacher.network, here / "x.h5")
    named = ["--model", "lenet5", *SIZES, "--set", "model.pooling=max"]
    found, said = imported(capfd, str(path), *named)
    assert f"accuracy {found['accuracy']:.4f} on taught is close to chance" in found["warning"]
    assert "no usual way to prepare pixels fits" in found["warning"]
    assert [line for line in said.splitlines() if "chance" in line] == [found["warning"]]
    assert "# Warning: accuracy" in Path(found["config"]).read_text()


@pytest.mark.parametrize(
    "activations",
    [
        ("sigmoid", "linear", "sigmoid"),
        pytest.param(("linear", "tanh", "sigmoid"), marks=pytest.mark.slow),
    ],
)
def test_an_activation_of_each_layer_is_found(activations, here, capfd):
    teacher = Teacher(here / "data", activations, "0..1")
    path = save_weights_only(teacher.network, here / "x.h5")
    found, _ = imported(capfd, str(path))
    assert layers_of(found["config"])[1] == [*activations, "softmax"]
    assert (found["scaling"], found["accuracy"]) == ("0..1", 1)


@pytest.mark.parametrize(
    ("weights", "architecture"),
    [("x.h5", "x.json"), ("x_weights_only.h5", "x.json"), ("x.weights.h5", "x.json"),
     ("weights.best.h5", "model.json"), ("model_weights.h5", "model.json")],
)  # fmt: skip
def test_the_architecture_beside_weights_is_used(weights, architecture, here, capfd):
    import keras

    make = keras.layers
    network = keras.Sequential(
        [keras.Input((12, 12, 1)), make.Conv2D(3, 3, activation="softsign"), make.Flatten(),
         make.Dense(5, activation="hard_sigmoid"), make.Dense(4, activation="softmax")]
    )  # fmt: skip
    if weights == "x.weights.h5":
        network.save_weights(weights)
    else:
        save_weights_only(network, Path(weights))
    text = network.to_json()
    Path(architecture).write_text(json.dumps(text) if architecture == "model.json" else text)
    assert cli.main(["import", weights, "--out", "out"]) == 0
    said = capfd.readouterr().out
    assert f"the network as {architecture} describes it" in said
    stem = weights.removesuffix(".h5").removesuffix(".weights")
    assert layers_of(f"out/{stem}.yaml")[1] == ["softsign", "hard_sigmoid", "softmax"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("\xff\xfe", "is not JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested"),
        (" " * 4_000_001, "larger than 4,000,000 bytes"),
        ('{"format": "layers-model"}', "not a layer"),
        (None, "does not hold"),
        ("Lambda", "Lambda"),
    ],
)
def test_an_architecture_that_does_not_fit_is_not_used(text, reason, here, capfd):
    import keras

    make = keras.layers

    def network(units: int) -> Any:
        return keras.Sequential([keras.Input((6, 6, 1)), make.Flatten(), make.Dense(units)])

    if text is None:
        text = network(3).to_json()
    elif text == "Lambda":
        text = network(4).to_json().replace('"Flatten"', '"Lambda"')
    Path("model.json").write_text(text, encoding="latin-1")
    network(4).save_weights("x.weights.h5")
    settings = ["--set", "model.conv_activation=tanh", "--set", "model.dense_activation=tanh"]
    cli.main(["import", "x.weights.h5", "--out", "out", *settings])
    said = [line for line in capfd.readouterr().err.splitlines() if "model.json" in line]
    assert len(said) == 1
    assert "is not used as the architecture of x.weights.h5" in said[0] and reason in said[0]

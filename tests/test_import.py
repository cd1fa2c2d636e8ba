"""An imported file computes what it computed before, and says what had to be assumed."""

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers as k

from modelzoo import cli
from modelzoo.api import build, load, preprocess
from modelzoo.config import load_config
from modelzoo.config.sections import entry_shape
from modelzoo.convert.importing.import_file import Imported, import_file
from modelzoo.support.errors import InputError

# The same outputs


def sequential(shape: tuple[int, ...], *parts: Any) -> Any:
    """Return a Sequential network in which no weight has its default."""
    network = keras.Sequential([keras.Input(shape), *parts])
    generator = np.random.default_rng(3)
    for weight in network.weights:
        low = 0.3 if "variance" in weight.path or "gamma" in weight.path else -0.3
        weight.assign(generator.uniform(low, 0.5, weight.shape).astype("float32"))
    return network


def plain() -> Any:
    return sequential(
        (28, 28, 1), k.Conv2D(6, 5, activation="tanh"), k.AveragePooling2D(2),
        k.Conv2D(16, 5, activation="tanh"), k.AveragePooling2D(2), k.Flatten(),
        k.Dense(20, activation="relu"), k.Dense(10, activation="softmax"),
    )  # fmt: skip


def functional() -> Any:
    """Return a network with a dropout, activations as layers and inputs of its own naming."""
    inputs = x = keras.Input((28, 28, 1), name="in")
    for layer in (
        k.ZeroPadding2D(2), k.Conv2D(6, 5, name="C1"), k.ReLU(), k.Dropout(0.2),
        k.MaxPooling2D(3, strides=2, padding="same"), k.Conv2D(8, (3, 5), strides=2, name="C3"),
        k.Activation("relu"), k.Flatten(), k.Dense(12, name="F"), k.Activation("sigmoid"),
        k.Dropout(0.5), k.Dense(10), k.Softmax(),
    ):  # fmt: skip
        x = layer(x)
    return keras.Model(inputs, x)


def nested() -> Any:
    inner = keras.Sequential(
        [keras.Input((28, 28, 1)), k.Conv2D(4, 5, activation="relu"), k.BatchNormalization(),
         k.MaxPooling2D(), k.Flatten()]
    )  # fmt: skip
    return sequential((28, 28, 1), inner, k.Dense(9, activation="tanh"), k.Dense(10))


NETWORKS: dict[str, Any] = {
    "plain": plain,
    "same, no bias": lambda: sequential(
        (16, 12, 3), k.Conv2D(6, 5, padding="same", use_bias=False, activation="relu"),
        k.MaxPooling2D(), k.Flatten(), k.Dense(5, activation="relu"),
    ),
    "groups": lambda: sequential(
        (16, 16, 3), k.Conv2D(4, 3), k.Conv2D(8, 3, groups=2, activation="elu"),
        k.Flatten(), k.Dense(5, activation="softmax"),
    ),
    "activations after pooling": lambda: sequential(
        (16, 16, 1), k.Conv2D(4, 3), k.MaxPooling2D(), k.Activation("tanh"), k.Conv2D(5, 3),
        k.AveragePooling2D(2), k.Activation("tanh"), k.Flatten(), k.Dense(5),
    ),
    "rescaling within": lambda: sequential(
        (16, 16, 1), k.Rescaling(1 / 255, offset=-0.5), k.Conv2D(4, 3), k.Flatten(), k.Dense(5),
    ),
    "no convolution": lambda: sequential(
        (8, 8, 1), k.Flatten(), k.Dense(7, activation="relu"), k.Dense(4),
    ),
    "dilation": lambda: sequential(
        (16, 16, 1), k.Conv2D(4, 3, dilation_rate=2, activation="tanh"), k.Flatten(), k.Dense(5),
    ),
    "leaky": lambda: sequential(
        (16, 16, 1), k.Conv2D(4, 3), k.LeakyReLU(0.1), k.AveragePooling2D(2, strides=1),
        k.GlobalAveragePooling2D(), k.Dense(5, activation=k.LeakyReLU(0.3)),
    ),
    "standardised within": lambda: sequential(
        (16, 16, 2), k.Normalization(mean=[100.0, 90.0], variance=[900.0, 400.0]),
        k.ZeroPadding2D(((1, 2), (0, 3))), k.Conv2D(4, 3), k.Flatten(), k.Dense(5),
    ),
    "by map": lambda: sequential(
        (12, 12, 3), k.DepthwiseConv2D(3, depth_multiplier=2), k.PReLU(shared_axes=[1, 2]),
        k.SeparableConv2D(5, 3, padding="same", activation="relu"), k.BatchNormalization(),
        k.PReLU(), k.GlobalAveragePooling2D(), k.Dense(5), k.ELU(0.3),
    ),
    "in another order for a while": lambda: sequential(
        (8, 6, 1), k.Permute((2, 1, 3)), k.ReLU(), k.Permute((2, 1, 3)), k.Conv2D(2, 3),
        k.Reshape((6, 4, 2)), k.Reshape((-1,)), k.Dense(4),
    ),
    "channels first, then last": lambda: sequential(
        (2, 8, 6), k.Permute((2, 3, 1)), k.Conv2D(3, 3), k.Flatten(), k.Dense(4),
    ),
    "a row": lambda: sequential((64,), k.Dense(7, activation="relu"), k.Dense(4)),
    "a row of colours": lambda: sequential((108,), k.Rescaling(0.1), k.Dense(4)),
    "rows, rescaled": lambda: sequential(
        (9, 11), k.Rescaling(0.1), k.Reshape((9, 11, 1)), k.Conv2D(2, 3), k.Flatten(), k.Dense(4),
    ),
    "ending in 1x1 maps": lambda: sequential(
        (6, 6, 1), k.Conv2D(4, 6, activation="tanh"), k.Dense(3),
    ),
    "two numbers a side": lambda: sequential(
        (9, 11), k.Flatten(), k.Dense(7, activation="relu"), k.Dense(4),
    ),
    "rows of numbers": lambda: sequential(
        (64,), k.Reshape((8, 8, 1)), k.Conv2D(3, 3), k.Flatten(), k.Dense(4),
    ),
    "normalised": lambda: sequential(
        (12, 12, 3), k.BatchNormalization(), k.Conv2D(4, 3, use_bias=False),
        k.BatchNormalization(scale=False), k.Activation("relu"), k.MaxPooling2D(),
        k.BatchNormalization(center=False), k.Flatten(), k.BatchNormalization(epsilon=0.01),
        k.Dense(8, activation="tanh"), k.BatchNormalization(), k.Dropout(0.3), k.Dense(6),
    ),
    "functional": functional,
    "nested": nested,
}  # fmt: skip


def as_keras_2(path: Path, version: str) -> None:
    """Rewrite a legacy file of Keras 3 as Keras 2 wrote it: names, shapes and types."""
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"].replace('"batch_shape"', '"batch_input_shape"')
        config = json.loads(text)

        def simple(value: Any) -> Any:
            if isinstance(value, dict):
                if value.get("class_name") == "DTypePolicy":
                    return "float32"
                return {k: simple(v) for k, v in value.items() if k not in ("module", "ragged")}
            return [simple(each) for each in value] if isinstance(value, list) else value

        config = simple(config)
        if version < "2.2.3" and config["class_name"] == "Sequential":
            config["config"] = config["config"]["layers"]
        file.attrs["model_config"] = json.dumps(config)
        root = file["model_weights"]
        for holder in (file, root):
            holder.attrs["keras_version"] = version.encode()
        root.attrs["layer_names"] = np.array(list(root.attrs["layer_names"]), "S")
        for name in list(root):
            group = root[name]
            weights = [str(each) for each in group.attrs["weight_names"]]
            if not weights:
                continue
            arrays = {each: group[each][()] for each in weights}
            for child in list(group):
                del group[child]
            renamed = [f"{'/'.join(each.split('/')[-2:])}:0" for each in weights]
            group.attrs["weight_names"] = np.array(renamed, "S")
            for old, new in zip(weights, renamed, strict=True):
                group[new] = arrays[old]


def outputs_after_import(path: Path, pictures: np.ndarray, *overrides: str) -> np.ndarray:
    """Import a file and return what the outcome computes for raw images."""
    plain_pixels = "data.preprocessing=[]"
    found = import_file(path, out=path.parent / "out", overrides=[plain_pixels, *overrides])
    network = load(found.yaml, found.weights)
    return np.asarray(network(preprocess(found.yaml, pictures)))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("version", [".keras", "3", "2.3.1", "2.2.2"])
def test_it_computes_the_same(name, version, tmp_path):
    network = NETWORKS[name]()
    path = tmp_path / ("old.keras" if version == ".keras" else "old.h5")
    network.save(path)
    if version.startswith("2"):
        as_keras_2(path, version)
    shape = (3, *network.input_shape[1:])
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    wanted = np.asarray(network(pictures.astype("float32")))
    if name == "ending in 1x1 maps":
        wanted = wanted[:, 0, 0]
    if name in ("rows of numbers", "a row", "a row of colours"):
        pictures = pictures.reshape(3, 6, 6, 3) if "colours" in name else pictures.reshape(3, 8, 8)
    elif name == "channels first, then last":
        pictures = pictures.transpose(0, 2, 3, 1)
    found = outputs_after_import(path, pictures)
    assert np.allclose(found, wanted, rtol=0, atol=1e-6 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("equals", ["lenet5", None])
def test_a_network_of_the_package_is_recognised(equals, tmp_path, capfd):
    path = tmp_path / "old.h5"
    network = sequential((8, 8, 1), k.Flatten(), k.Dense(3))
    if equals:
        network = sequential(
            (28, 28, 1), k.Conv2D(6, 5), k.Activation("tanh"), k.AveragePooling2D(2, strides=2),
            k.Conv2D(16, (5, 5), activation="tanh"), k.AveragePooling2D((2, 2)), k.Dropout(0.3),
            k.Flatten(), k.Dense(120, activation="sigmoid"), k.Dense(84, activation="sigmoid"),
            k.Dense(10), k.Softmax(),
        )  # fmt: skip
    network.save(path)
    assert cli.main(["import", str(path), "--out", str(tmp_path / "out")]) == 0
    said = capfd.readouterr().out
    found = import_file(path, out=tmp_path / "out")
    assert found.summary()["equals"] == equals
    assert ("Equals lenet5" in said) == (equals is not None)
    assert ("# Equals lenet5" in found.yaml.read_text()) == (equals is not None)


def test_a_channels_first_file_computes_the_same(tmp_path):
    network = sequential(
        (8, 6, 2), k.Conv2D(3, 3), k.BatchNormalization(), k.ReLU(), k.MaxPooling2D(),
        k.Flatten(), k.BatchNormalization(), k.Dense(7, activation="tanh"), k.Dense(4),
    )  # fmt: skip
    path = tmp_path / "old.h5"
    network.save(path)
    order = np.arange(18).reshape(3, 2, 3).transpose(2, 0, 1).ravel()  # channel by channel
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"].replace('"channels_last"', '"channels_first"')
        text = text.replace("[null, 8, 6, 2]", "[null, 2, 8, 6]")
        config = json.loads(text)
        norm, flatten = config["config"]["layers"][2], config["config"]["layers"][5]
        norm["config"]["axis"], flatten["config"]["data_format"] = 1, "channels_last"
        file.attrs["model_config"] = json.dumps(config)
        names: list[str] = []
        file["model_weights"].visit(names.append)
        for name in names:
            array = file["model_weights"][name]
            if isinstance(array, h5py.Dataset) and array.shape[:1] == (18,):
                array[...] = array[()][order]
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 2), np.uint8)
    wanted = np.asarray(network(pictures.astype("float32")))
    found = outputs_after_import(path, pictures)
    assert np.allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


def test_hard_sigmoid_of_keras_2_keeps_its_slope(tmp_path):
    """0.2 x + 0.5, cut at 0 and 1; that of Keras 3 rises by 1/6."""
    network = sequential((4, 4, 1), k.Flatten(), k.Dense(9, activation="hard_sigmoid"), k.Dense(3))
    network.save(tmp_path / "old.h5")
    as_keras_2(tmp_path / "old.h5", "2.3.1")
    pictures = np.random.default_rng(0).integers(0, 4, (5, 4, 4, 1), np.uint8)
    kernel, bias, last, last_bias = network.get_weights()
    hidden = np.clip(0.2 * (pictures.reshape(5, 16) @ kernel + bias) + 0.5, 0, 1)
    found = outputs_after_import(tmp_path / "old.h5", pictures)
    assert np.allclose(found, hidden @ last + last_bias, atol=1e-6)


def test_an_imported_network_is_used_like_any_other(tmp_path, monkeypatch, bars, capfd):
    monkeypatch.chdir(tmp_path)
    plain().save("old.h5")
    assert cli.main(["import", "old.h5", "--out", "out"]) == 0
    yaml, weights = "out/old.yaml", "out/old.weights.h5"
    train = ["train", "--model", yaml, "--dataset", "bars", "--epochs", "1", "--out", "run"]
    assert cli.main([*train, "--weights", weights]) == 0
    assert cli.main(["evaluate", "--model", "run"]) == 0
    assert cli.main(["draw", "architecture", yaml, "--out", "drawn"]) == 0
    assert list(Path("drawn").iterdir())


# Refused by name


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: k.Conv2DTranspose(3, 3), "'conv2d_transpose': is a 'Conv2DTranspose'"),
        (lambda: k.Permute((2, 1, 3)), "supported: pairs"),
        (lambda: k.Reshape((7, 28, 4)), "supported: to one row"),
        (lambda: k.Softmax(axis=1), "axis"),
        (lambda: k.BatchNormalization(axis=1), "axis"),
        (lambda: k.GlobalAveragePooling2D(keepdims=True), "keepdims"),
    ],
)
def test_what_no_network_of_ours_has_is_named(make, word, tmp_path):
    network = sequential((16, 16, 1), k.Conv2D(4, 3), make(), k.Flatten(), k.Dense(5))
    network.save(tmp_path / "old.h5")
    with pytest.raises(InputError, match=word):
        import_file(tmp_path / "old.h5", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_branches_are_refused(tmp_path):
    inputs = keras.Input((8, 8, 1))
    left, right = k.Conv2D(3, 3)(inputs), k.Conv2D(3, 3, name="right")(inputs)
    outputs = k.Dense(2)(k.Flatten()(k.Add()([left, right])))
    keras.Model(inputs, outputs).save(tmp_path / "old.h5")
    with pytest.raises(InputError, match=r"'Add'|branch"):
        import_file(tmp_path / "old.h5", out=tmp_path / "out")


def test_a_file_that_is_there_is_kept(tmp_path):
    """What an import has written may be replaced, what a person wrote may not."""
    plain().save(tmp_path / "old.h5")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.yaml").write_text("base: lenet5\n")
    with pytest.raises(InputError, match="already exists"):
        import_file(tmp_path / "old.h5", out=tmp_path / "out")
    (tmp_path / "out" / "old.yaml").unlink()
    for _ in range(2):
        import_file(tmp_path / "old.h5", out=tmp_path / "out")
    plain().save_weights(tmp_path / "new.weights.h5")
    with pytest.raises(InputError, match="replaced by its own import"):
        import_file(tmp_path / "new.weights.h5", out=tmp_path)


# What the file does not say


def network_of(found: Imported) -> tuple[Any, ...]:
    network = load_config(found.yaml).network
    assert network is not None
    return network.layers


def test_weights_alone_need_something_that_decides(tmp_path):
    network = build("lenet5")
    network.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(InputError, match="--dataset"):
        import_file(tmp_path / "w.weights.h5", out=tmp_path / "out")
    found = import_file(tmp_path / "w.weights.h5", out=tmp_path / "out", model="lenet5")
    assert any("lenet5" in each for each in found.assumptions)
    said = ["model.conv_activation=relu", "model.dense_activation=relu", "model.pooling=max"]
    found = import_file(tmp_path / "w.weights.h5", out=tmp_path / "out", overrides=said)
    written = [(layer.kind, getattr(layer, "activation", None)) for layer in network_of(found)]
    assert written[:2] == [("Conv2D", "relu"), ("MaxPooling2D", None)]
    assert written[-3:-1] == [("Dense", "relu")] * 2
    assert found.config.model.input_shape == [28, 28, 1]


@pytest.mark.parametrize("reference", ["lenet5/mnist", "own.yaml", "run"])
def test_model_takes_the_grammar_of_every_command(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = build("lenet5")
    network.save_weights("w.weights.h5")
    Path("own.yaml").write_text("base: lenet5\nmodel: {pooling: average}\n")
    Path("run").mkdir()
    Path("run/config.yaml").write_text("base: lenet5\n")
    found = import_file(Path("w.weights.h5"), out=Path("out"), model=reference)
    images = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    ours = load(found.yaml, found.weights)
    assert np.allclose(np.asarray(ours(images)), np.asarray(network(images)), rtol=0, atol=1e-6)


def test_an_imported_neocognitron_still_organizes_itself(tmp_path):
    """A list of layers does not say for how many batches; its builder does."""
    network = build("neocognitron", organizing_steps=7)
    network.save_weights(tmp_path / "w.weights.h5")
    found = import_file(
        tmp_path / "w.weights.h5", out=tmp_path / "out", model="neocognitron",
        overrides=["model.organizing_steps=7"],
    )  # fmt: skip
    written = load_config(found.yaml).network
    assert written is not None and written.organizing_steps == 7
    assert found.lines()[0].endswith(f"{len(written.layers)} layers")
    images = np.random.default_rng(0).random((3, 16, 16, 1), np.float32)
    ours = load(found.yaml, found.weights)
    assert np.allclose(np.asarray(ours(images)), np.asarray(network(images)), rtol=0, atol=1e-6)


# Images smaller than the input


@pytest.mark.parametrize(
    ("layers_before", "shape"),
    [
        ([], (32, 32, 1)),
        ([{"class_name": "ZeroPadding2D", "config": {"padding": 2}}], (28, 28, 1)),
        ([{"class_name": "ZeroPadding2D", "config": {"padding": [[1, 2], [3, 4]]}}], (29, 25, 1)),
        (["ZeroPadding2D", {"class_name": "Rescaling", "config": {"scale": 2}}], (30, 30, 1)),
        ([{"class_name": "Cropping2D", "config": {"cropping": [1, 2]}}], (34, 36, 1)),
    ],
)
def test_pictures_enter_at_the_size_that_leaves_as_the_input(layers_before, shape):
    assert entry_shape((32, 32, 1), layers_before) == shape


def test_padding_leaves_something():
    with pytest.raises(InputError, match=r"data\.preprocessing\.0"):
        entry_shape((8, 8, 1), [{"class_name": "ZeroPadding2D", "config": {"padding": 4}}])

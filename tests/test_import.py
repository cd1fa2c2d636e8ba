"""An imported file computes what it computed before, and says what had to be assumed."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from modelzoo import cli
from modelzoo.api import load, preprocess
from modelzoo.config import load_config
from modelzoo.config.sections import entry_shape
from modelzoo.convert.importing.import_file import Imported, import_file
from modelzoo.support.errors import InputError

# The same outputs


def layers() -> Any:
    """Return Keras' layers."""
    import keras

    return keras.layers


def sequential(shape: tuple[int, ...], *parts: Any) -> Any:
    """Return a Sequential network in which no weight has its default."""
    import keras

    network = keras.Sequential([keras.Input(shape), *parts])
    generator = np.random.default_rng(3)
    for weight in network.weights:
        low = 0.3 if "variance" in weight.path or "gamma" in weight.path else -0.3
        weight.assign(generator.uniform(low, 0.5, weight.shape).astype("float32"))
    return network


def plain(shape: tuple[int, ...] = (28, 28, 1), **changes: Any) -> Any:
    """Return a LeNet with some arguments of its own."""
    make = layers()
    conv = {"activation": "tanh", **changes.get("conv", {})}
    return sequential(
        shape,
        make.Conv2D(6, 5, **conv),
        changes.get("pool", make.AveragePooling2D)(2),
        make.Conv2D(16, 5, **conv),
        changes.get("pool", make.AveragePooling2D)(2),
        make.Flatten(),
        make.Dense(changes.get("units", 20), activation="relu"),
        make.Dense(10, activation=changes.get("output", "softmax")),
    )


def with_batch_normalization(where: str) -> Any:
    """Return a network whose batch normalisation stands at a place of its own."""
    make = layers()
    norm = make.BatchNormalization
    parts: dict[str, list[Any]] = {
        "before the activation": [
            make.Conv2D(4, 3, use_bias=False), norm(), make.Activation("relu"),
            make.MaxPooling2D(), make.Flatten(),
        ],
        "after the activation": [
            make.Conv2D(4, 3, activation="relu"), norm(epsilon=0.01), make.MaxPooling2D(),
            make.Flatten(),
        ],
        "after average pooling": [
            make.Conv2D(4, 3, activation="relu"), make.AveragePooling2D(2), norm(scale=False),
            make.Conv2D(5, 3, activation="relu", padding="same"), make.Flatten(),
        ],
        "after max pooling": [
            make.Conv2D(4, 3, activation="relu"), make.MaxPooling2D(), norm(center=False),
            make.Conv2D(5, 3, activation="relu"), make.Flatten(),
        ],
        "after flattening": [make.Conv2D(4, 3, activation="tanh"), make.Flatten(), norm()],
        "between dense layers": [
            make.Flatten(), make.Dense(8, activation="tanh"), norm(), make.Dropout(0.3),
        ],
        "first": [norm(), make.Conv2D(4, 3, activation="tanh"), make.Flatten()],
    }  # fmt: skip
    return sequential((12, 12, 3), *parts[where], make.Dense(6, activation="softmax"))


def functional() -> Any:
    """Return a network with a dropout, activations as layers and inputs of its own naming."""
    import keras

    make = layers()
    inputs = keras.Input((28, 28, 1), name="in")
    x = make.ZeroPadding2D(2)(inputs)
    x = make.Conv2D(6, 5, name="C1")(x)
    x = make.ReLU()(x)
    x = make.Dropout(0.2)(x)
    x = make.MaxPooling2D(3, strides=2, padding="same")(x)
    x = make.Conv2D(8, (3, 5), strides=2, name="C3")(x)
    x = make.Activation("relu")(x)
    x = make.Flatten()(x)
    x = make.Dense(12, name="F")(x)
    x = make.Activation("sigmoid")(x)
    x = make.Dropout(0.5)(x)
    x = make.Dense(10)(x)
    return keras.Model(inputs, make.Softmax()(x))


def nested() -> Any:
    """Return a network within a network."""
    import keras

    make = layers()
    inner = keras.Sequential(
        [keras.Input((28, 28, 1)), make.Conv2D(4, 5, activation="relu"), make.BatchNormalization(),
         make.MaxPooling2D(), make.Flatten()]
    )  # fmt: skip
    return sequential((28, 28, 1), inner, make.Dense(9, activation="tanh"), make.Dense(10))


NETWORKS: dict[str, Any] = {
    "average": plain,
    "max, same": lambda: plain(conv={"padding": "same", "activation": "relu"},
                               pool=layers().MaxPooling2D),
    "colour, 32x32": lambda: plain((32, 32, 3)),
    "wider": lambda: plain(units=500),
    "relu at the output": lambda: plain(output="relu"),
    "no activation at the output": lambda: plain(output=None),
    "no bias": lambda: plain(conv={"use_bias": False}),
    "groups": lambda: sequential(
        (16, 16, 3), layers().Conv2D(4, 3), layers().Conv2D(8, 3, groups=2, activation="elu"),
        layers().Flatten(), layers().Dense(5, activation="softmax"),
    ),
    "activation after max pooling": lambda: sequential(
        (16, 16, 1), layers().Conv2D(4, 3), layers().MaxPooling2D(), layers().Activation("tanh"),
        layers().Flatten(), layers().Dense(5, activation="softmax"),
    ),
    "activation after average pooling": lambda: sequential(
        (16, 16, 1), layers().Conv2D(4, 3), layers().AveragePooling2D(2),
        layers().Activation("tanh"), layers().Conv2D(5, 3, activation="tanh"), layers().Flatten(),
        layers().Dense(5, activation="softmax"),
    ),
    "rescaling within": lambda: sequential(
        (16, 16, 1), layers().Rescaling(1 / 255, offset=-0.5), layers().Conv2D(4, 3),
        layers().Flatten(), layers().Dense(5, activation="softmax"),
    ),
    "no convolution": lambda: sequential(
        (8, 8, 1), layers().Flatten(), layers().Dense(7, activation="relu"), layers().Dense(4),
    ),
    "dilation": lambda: sequential(
        (16, 16, 1), layers().Conv2D(4, 3, dilation_rate=2, activation="tanh"),
        layers().Flatten(), layers().Dense(5),
    ),
    "leaky": lambda: sequential(
        (16, 16, 1), layers().Conv2D(4, 3), layers().LeakyReLU(0.1),
        layers().AveragePooling2D(2, strides=1), layers().GlobalAveragePooling2D(),
        layers().Dense(5, activation=layers().LeakyReLU(0.3)),
    ),
    "standardised within": lambda: sequential(
        (16, 16, 2), layers().Normalization(mean=[100.0, 90.0], variance=[900.0, 400.0]),
        layers().ZeroPadding2D(((1, 2), (0, 3))), layers().Conv2D(4, 3), layers().Flatten(),
        layers().Dense(5, activation="softmax"),
    ),
    "ending in 1x1 maps": lambda: sequential(
        (6, 6, 1), layers().Conv2D(4, 6, activation="tanh"), layers().Dense(3),
    ),
    "two numbers a side": lambda: sequential(
        (9, 11), layers().Flatten(), layers().Dense(7, activation="relu"), layers().Dense(4),
    ),
    "rows of numbers": lambda: sequential(
        (64,), layers().Reshape((8, 8, 1)), layers().Conv2D(3, 3), layers().Flatten(),
        layers().Dense(4),
    ),
    "functional": functional,
    "nested": nested,
    **{
        f"normalised {place}": lambda place=place: with_batch_normalization(place)
        for place in ("before the activation", "after the activation", "after average pooling",
                      "after max pooling", "after flattening", "between dense layers", "first")
    },
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
    """Import a file and return what the outcome computes for raw pictures."""
    plain_pixels = "data.preprocessing=[]"
    found = import_file(path, out=path.parent / "out", overrides=[plain_pixels, *overrides])
    network = load(found.yaml, found.weights)
    return np.asarray(network(preprocess(found.yaml, pictures)))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("version", ["3", "2.3.1", "2.2.2"])
def test_it_computes_the_same(name: str, version: str, tmp_path: Path) -> None:
    """Layer by layer as the file describes it, whichever Keras saved it."""
    network = NETWORKS[name]()
    network.save(tmp_path / "old.h5")
    if version != "3":
        as_keras_2(tmp_path / "old.h5", version)
    shape = (3, *network.input_shape[1:])
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    wanted = np.asarray(network(pictures.astype("float32")))
    if name == "ending in 1x1 maps":
        wanted = wanted[:, 0, 0]
    pictures = pictures.reshape(3, 8, 8) if name == "rows of numbers" else pictures
    found = outputs_after_import(tmp_path / "old.h5", pictures)
    assert np.allclose(found, wanted, rtol=0, atol=1e-6 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("equals", ["lenet5", None])
def test_a_network_of_the_package_is_recognised(
    equals: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By what it computes, whatever its layers are called; one line, one key, one comment."""
    path = tmp_path / "old.h5"
    if equals is None:
        sequential((8, 8, 1), layers().Flatten(), layers().Dense(3)).save(path)
    else:
        make = layers()
        sequential(
            (28, 28, 1),
            make.Conv2D(6, 5),
            make.Activation("tanh"),
            make.AveragePooling2D(2, strides=2),
            make.Conv2D(16, (5, 5), activation="tanh"),
            make.AveragePooling2D((2, 2)),
            make.Dropout(0.3),
            make.Flatten(),
            make.Dense(120, activation="sigmoid"),
            make.Dense(84, activation="sigmoid"),
            make.Dense(10),
            make.Softmax(),
        ).save(path)
    assert cli.main(["import", str(path), "--out", str(tmp_path / "out")]) == 0
    said = capfd.readouterr().out
    found = import_file(path, out=tmp_path / "out")
    assert found.summary()["equals"] == equals
    assert ("Equals lenet5" in said) == (equals is not None)
    assert ("# Equals lenet5" in found.yaml.read_text()) == (equals is not None)


def test_a_channels_first_file_computes_the_same(tmp_path: Path) -> None:
    """Kernels stay, the first dense kernel is reordered; batch normalisation on the way, too."""
    make = layers()
    network = sequential(
        (8, 6, 2), make.Conv2D(3, 3), make.BatchNormalization(), make.ReLU(), make.MaxPooling2D(),
        make.Flatten(), make.BatchNormalization(), make.Dense(7, activation="tanh"), make.Dense(4),
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


def test_hard_sigmoid_of_keras_2_keeps_its_slope(tmp_path: Path) -> None:
    """0.2 x + 0.5, cut at 0 and 1; that of Keras 3 rises by 1/6."""
    make = layers()
    network = sequential(
        (4, 4, 1), make.Flatten(), make.Dense(9, activation="hard_sigmoid"), make.Dense(3)
    )
    network.save(tmp_path / "old.h5")
    as_keras_2(tmp_path / "old.h5", "2.3.1")
    pictures = np.random.default_rng(0).integers(0, 4, (5, 4, 4, 1), np.uint8)
    kernel, bias, last, last_bias = network.get_weights()
    hidden = np.clip(0.2 * (pictures.reshape(5, 16) @ kernel + bias) + 0.5, 0, 1)
    found = outputs_after_import(tmp_path / "old.h5", pictures)
    assert np.allclose(found, hidden @ last + last_bias, atol=1e-6)


def test_an_imported_network_is_used_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bars: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Trained for an epoch, exported, drawn, evaluated; the run loads again."""
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
        (lambda k: k.SeparableConv2D(3, 3), "SeparableConv2D"),
        (lambda k: k.Softmax(axis=1), "axis"),
        (lambda k: k.BatchNormalization(axis=1), "axis"),
        (lambda k: k.GlobalAveragePooling2D(keepdims=True), "keepdims"),
    ],
)
def test_what_no_network_of_ours_has_is_named(make: Any, word: str, tmp_path: Path) -> None:
    """The layer that stands in the way."""
    network = sequential(
        (16, 16, 1), layers().Conv2D(4, 3), make(layers()), layers().Flatten(), layers().Dense(5)
    )
    network.save(tmp_path / "old.h5")
    with pytest.raises(InputError, match=word):
        import_file(tmp_path / "old.h5", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_branches_are_refused(tmp_path: Path) -> None:
    """A network that is no chain."""
    import keras

    inputs = keras.Input((8, 8, 1))
    left, right = layers().Conv2D(3, 3)(inputs), layers().Conv2D(3, 3, name="right")(inputs)
    outputs = layers().Dense(2)(layers().Flatten()(layers().Add()([left, right])))
    keras.Model(inputs, outputs).save(tmp_path / "old.h5")
    with pytest.raises(InputError, match=r"'Add'|branch"):
        import_file(tmp_path / "old.h5", out=tmp_path / "out")


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
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
    """Return the layers that an import has written."""
    network = load_config(found.yaml).network
    assert network is not None
    return network.layers


def test_weights_alone_need_something_that_decides(tmp_path: Path) -> None:
    """Without a data set, a model or settings, nothing is guessed."""
    from modelzoo.api import build

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
def test_model_takes_the_grammar_of_every_command(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NAME/WEIGHTS, a YAML and the folder of a run name a configuration, as NAME does."""
    from modelzoo.api import build

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


def test_an_imported_neocognitron_still_organizes_itself(tmp_path: Path) -> None:
    """A list of layers does not say for how many batches; its builder does."""
    from modelzoo.api import build

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


# Pictures smaller than the input


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
def test_pictures_enter_at_the_size_that_leaves_as_the_input(
    layers_before: list[Any], shape: tuple[int, ...]
) -> None:
    """Padding makes them larger, cropping smaller."""
    assert entry_shape((32, 32, 1), layers_before) == shape


def test_padding_leaves_something() -> None:
    """More padding than pixels is said."""
    with pytest.raises(InputError, match=r"data\.preprocessing\.0"):
        entry_shape((8, 8, 1), [{"class_name": "ZeroPadding2D", "config": {"padding": 4}}])

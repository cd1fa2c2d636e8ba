"""The reader fills a network whole, from every layout of Keras, or leaves it alone."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from modelzoo.api import build, load
from modelzoo.support.errors import InputError
from modelzoo.weights.reader import load_weights

SMALL = {"dense_units": [48, 32], "conv_maps": [16, 24, 32, 32, 32]}


@pytest.fixture(scope="module")
def lenet():
    import keras

    keras.utils.set_random_seed(5)
    return build("lenet5")


@pytest.fixture(scope="module")
def alexnet():
    """The plan of configs/alexnet.yaml with small dense layers, and no weight at its default."""
    network = build("alexnet", **SMALL)
    generator = np.random.default_rng(2)
    for weight in network.weights:
        weight.assign(generator.uniform(0.1, 1, weight.shape).astype("float32"))
    return network


def same(network: Any, other: Any) -> bool:
    pairs = zip(network.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def write_legacy(
    path: Path,
    network: Any,
    *,
    version: str = "2.3.0",
    whole: bool = True,
    names: str = "{layer}/{weight}:0",
    layer_names: list[str] | None = None,
    optimizer: bool = False,
    split: bool = False,
    **storage: Any,
) -> None:
    """Write a network as Keras 2 did, with h5py alone."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        if whole:
            file.attrs["model_config"] = "{}"
            file.attrs["training_config"] = "{}"
        root.attrs["backend"], root.attrs["keras_version"] = b"tensorflow", version.encode()
        found = layer_names or [layer.name for layer in network.layers]
        if split:
            for number, part in enumerate(np.array_split(found, 3)):
                root.attrs[f"layer_names{number}"] = np.array(part, "S")
        else:
            root.attrs["layer_names"] = np.array(found, "S")
        for name, layer in zip(found, network.layers, strict=True):
            group = root.create_group(name)
            weights = [names.format(layer=name, weight=weight.name) for weight in layer.weights]
            group.attrs["weight_names"] = np.array(weights, "S") if weights else []
            for each, weight in zip(weights, layer.weights, strict=True):
                group.create_dataset(each, data=np.asarray(weight), **storage)
        if optimizer:
            state = file.create_group("optimizer_weights")
            state.attrs["weight_names"] = [b"Adadelta/iter:0"]
            state["Adadelta/iter:0"] = np.int64(78_150)
            for number, weight in enumerate(network.trainable_weights):
                state[f"Adadelta/{number}/accum_grad:0"] = np.zeros(weight.shape, "float32")


LAYOUTS: dict[str, dict[str, Any]] = {
    "whole": {"version": "2.3.1"},
    "with optimizer": {"version": "2.3.0", "optimizer": True},
    "weights only": {"version": "2.2.4-tf", "whole": False},
    "Keras 2.0": {"version": "2.0.8", "names": "{layer}_1/{weight}:0"},
    "Keras 3": {"version": "3.3.3", "names": "sequential/{layer}/{weight}"},
    "split names": {"split": True},
    "compressed": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"compression": "lzf"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("which", ["lenet", "alexnet"])
def test_legacy_layouts(layout, which, tmp_path, request):
    network = request.getfixturevalue(which)
    write_legacy(tmp_path / "old.h5", network, **LAYOUTS[layout])
    other = build_like(network)
    load_weights(other, tmp_path / "old.h5")
    assert same(network, other)


def build_like(network: Any) -> Any:
    return build("lenet5") if network.name == "lenet5" else build("alexnet", **SMALL)


def test_layers_with_other_names_are_matched_in_order(lenet, tmp_path):
    names = [f"layer_{index}" for index in range(len(lenet.layers))]
    write_legacy(tmp_path / "old.h5", lenet, layer_names=names)
    assert same(lenet, load("lenet5", tmp_path / "old.h5"))


@pytest.mark.parametrize("name", ["new.weights.h5", "new.h5"])
@pytest.mark.parametrize("which", ["lenet", "alexnet"])
def test_what_keras_3_writes(name, which, tmp_path, request):
    network = request.getfixturevalue(which)
    network.compile("adam", "categorical_crossentropy")
    save = network.save_weights if name.endswith(".weights.h5") else network.save
    save(tmp_path / name)
    other = build_like(network)
    load_weights(other, tmp_path / name)
    assert same(network, other)


def test_half_precision_is_widened(lenet, tmp_path):
    lenet.save_weights(tmp_path / "half.weights.h5")
    with h5py.File(tmp_path / "half.weights.h5", "r+") as file:
        for path in [f"layers/{name}/vars/{n}" for name in ("conv2d", "dense") for n in (0, 1)]:
            values = file[path][()].astype("float16")
            del file[path]
            file[path] = values
    other = load("lenet5", tmp_path / "half.weights.h5")
    for half, whole in zip(other.get_weights(), lenet.get_weights(), strict=True):
        assert half.dtype == np.float32
        assert np.allclose(half, whole, atol=1e-3)


def test_the_arrays_of_a_layer_that_keras_would_skip(lenet, tmp_path):
    lenet.save_weights(tmp_path / "less.weights.h5")
    with h5py.File(tmp_path / "less.weights.h5", "r+") as file:
        del file["layers/dense_1/vars/0"], file["layers/dense_1/vars/1"]
    other = build("lenet5")
    before = other.get_weights()
    with pytest.raises(InputError, match=r"F6 takes 120x84, 84; the file has nothing for it"):
        load_weights(other, tmp_path / "less.weights.h5")
    assert all(map(np.array_equal, before, other.get_weights()))


@pytest.mark.parametrize("name", ["more.weights.h5", "more.h5"])
def test_a_layer_too_many_is_refused(name, tmp_path):
    import keras

    network = build("lenet5")
    outputs = keras.layers.Dense(3, name="more")(network.output)
    deeper = keras.Model(network.input, outputs)
    (deeper.save_weights if "weights" in name else deeper.save)(tmp_path / name)
    with pytest.raises(InputError, match="6"):
        load("lenet5", tmp_path / name)


def test_both_sides_of_a_misfit_are_shown(alexnet, lenet, tmp_path):
    write_legacy(tmp_path / "old.h5", build("lenet5", dense_units=[120, 85]))
    with pytest.raises(InputError, match="F6 takes 120x84, 84; 'F6' holds 120x85, 85"):
        load("lenet5", tmp_path / "old.h5")


def test_nothing_is_assigned_before_everything_is_checked(lenet, tmp_path):
    """NaN in the last array leaves the first layer as it was."""
    write_legacy(tmp_path / "old.h5", lenet)
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        file["model_weights/output/output/bias:0"][0] = np.nan
    other = build("lenet5")
    before = other.get_weights()
    with pytest.raises(InputError, match="NaN"):
        load_weights(other, tmp_path / "old.h5")
    assert all(map(np.array_equal, before, other.get_weights()))


def test_random_states_are_left_alone(tmp_path):
    network = build("lenet5", dropout=0.5)
    network.save_weights(tmp_path / "seed.weights.h5")
    with h5py.File(tmp_path / "seed.weights.h5", "r+") as file:
        file["layers/dropout/seed_generator/vars/0"] = np.array([1, 2], "uint32")
    assert same(network, load("lenet5", tmp_path / "seed.weights.h5"))


def test_kernels_of_theano_are_turned_around(lenet, tmp_path):
    write_legacy(tmp_path / "old.h5", lenet)
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        file["model_weights"].attrs["backend"] = b"theano"
    other = load("lenet5", tmp_path / "old.h5")
    assert np.array_equal(other.get_weights()[0], lenet.get_weights()[0][::-1, ::-1])

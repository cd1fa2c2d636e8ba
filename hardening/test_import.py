"""A published file of weights is imported as the network that it was, by search on real images."""

import contextlib
import functools
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hardening.bars import draw_bars
from modelzoo import cli
from modelzoo.api import evaluate, load
from modelzoo.convert.importing.import_file import Imported, import_file
from modelzoo.networks import reference
from modelzoo.weights.state_dict import open_state_dict

FILES = Path(__file__).parents[2] / "shared" / "cases" / "import"
LEGACY = FILES.parents[1] / "legacy_h5"
RELU, TANH, SIGMOID = reference.relu, reference.tanh, reference.sigmoid
# On a few images that are all right, relu is surer of larger pixels: the first is of 0..1.
# File, activations, pooling, whether maps were flattened channel by channel, accuracy, input.
SEARCHED = [
    (FILES / "channels_first_weights_only.h5", [RELU] * 3, "max", True, 0.9907, 28, 1 / 255),
    (LEGACY / "lenet_keras2.2.4_weights_only.h5", [TANH] * 4, "average", False, 0.9875, 32, 1),
    (FILES / "lenet_keras2.0.3_weights_only.h5", [SIGMOID, SIGMOID, np.asarray, SIGMOID], "max",
     False, 0.9869, 32, 1 / 255),
    (FILES / "lenet5_checkpoint.pth", [RELU] * 4, "max", True, 0.9871, 28, 1 / 255),
]  # fmt: skip


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], dict[str, Any]]:
    """Return what imports a published file and scores it on MNIST, once, and returns its JSON."""
    if not (Path(os.environ.get("MODELZOO_DATA", "/nowhere")) / "mnist.npz").is_file():
        pytest.skip("MNIST is not in $MODELZOO_DATA")

    @functools.cache
    def run(path: Path) -> dict[str, Any]:
        if not path.is_file():
            pytest.skip("the published files are not here")
        folder, out = tmp_path_factory.mktemp("imported"), io.StringIO()
        shutil.copy(path, folder)  # alone: no architecture lies beside it
        command = ["import", str(folder / path.name), "--dataset", "mnist", "--json"]
        with contextlib.redirect_stdout(out):
            assert cli.main([*command, "--out", str(folder / "out")]) == 0
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    return run


def arrays_of(path: Path) -> list[np.ndarray]:
    """Return kernels and biases in Keras' layout, read without the importer."""
    if path.suffix == ".pth":
        with open_state_dict(path) as state:
            arrays = [state.read(name) for name in state.tensors]
        return [each.transpose(2, 3, 1, 0) if each.ndim == 4 else each.T for each in arrays]
    with h5py.File(path) as file:
        groups = [file[os.fsdecode(name)] for name in file.attrs["layer_names"]]
        return [g[os.fsdecode(name)][()] for g in groups for name in g.attrs["weight_names"]]


@pytest.mark.parametrize("case", SEARCHED, ids=lambda case: case[0].stem)
def test_a_network_found_by_search_computes_what_numpy_does(
    case: tuple[Any, ...], imported: Callable[[Path], dict[str, Any]]
) -> None:
    """The file's own arrays in the formulas of `modelzoo.networks.reference`, to 1e-6."""
    path, activations, pooling, by_channel, accuracy, size, scale = case
    found = imported(path)
    assert found["accuracy"] == pytest.approx(accuracy, abs=5e-5)
    margin = (size - 28) // 2
    with np.load(Path(os.environ["MODELZOO_DATA"]) / "mnist.npz") as data:
        pixels = np.pad(data["x_test"][:64], ((0, 0), (margin, margin), (margin, margin)))
    images = pixels[..., np.newaxis].astype("float32") * np.float32(scale)
    pool = getattr(reference, f"{pooling}_pool2d")
    arrays, values, rest = arrays_of(path), images.astype("float64"), iter(activations)
    for number, (kernel, bias) in enumerate(zip(arrays[::2], arrays[1::2], strict=True)):
        if kernel.ndim == 4:
            values = next(rest)(reference.conv2d(values, kernel, bias))
            values = pool(values) if number < 2 else values
            continue
        if values.ndim == 4:
            values = reference.flatten(values.transpose(0, 3, 1, 2) if by_channel else values)
        values = next(rest, reference.softmax)(reference.dense(values, kernel, bias))
    outputs = np.asarray(load(found["config"], found["weights"])(images))
    assert np.allclose(outputs, values, rtol=0, atol=1e-6)


CASES = {  # file: its accuracy in Keras or PyTorch, and top-5 accuracy where it is special
    "lenet5_keras3.10.keras": (0.9748, None),
    "lenet_relu_max.pth": (0.9813, None),
    "lenet5_tanh_average.pth": (0.9862, None),
    "lenet_keras2.0.3_weights_only.h5": (0.9869, None),
    "dense_28x28_keras3.14.h5": (0.9602, None),
    "channels_first_weights_only.h5": (0.9907, None),
    "dead_relu_output_keras2.2.4.h5": (0.1033, 0.5),
}


@pytest.mark.parametrize("name", CASES)
def test_a_published_file_reaches_its_accuracy(
    name: str, imported: Callable[[Path], dict[str, Any]]
) -> None:
    """Whatever has to be found for it: scaling, padding, activations, pooling."""
    found = imported(FILES / name)
    accuracy, top_5 = CASES[name]
    assert found["accuracy"] == pytest.approx(accuracy, abs=0.0003)
    assert bool(found["warning"]) == (accuracy < 0.5)
    if top_5 is not None:
        assert found["top5_accuracy"] == pytest.approx(top_5, abs=0.05)


OPENED = [  # by Keras
    "lenet5_keras3.10.keras", "gtsrb_lenet_keras3.11.keras", "dense_28x28_keras3.14.h5",
    "gtsrb_lenet_leakyrelu_keras2.12.h5",
]  # fmt: skip


@pytest.mark.parametrize("name", OPENED)
def test_a_published_file_computes_as_in_keras(name: str, tmp_path: Path) -> None:
    """The outputs for 32 random images, to 1e-5."""
    import keras

    if not (FILES / name).is_file():
        pytest.skip("the published files are not here")
    theirs = keras.models.load_model(FILES / name, compile=False)  # a file that we know
    images = np.random.default_rng(0).random((32, *theirs.input_shape[1:]), np.float32)
    found = import_file(FILES / name, out=tmp_path, notify=lambda message: None)
    ours = load(found.yaml, found.weights)(images if images.ndim == 4 else images[..., None])
    assert np.allclose(np.asarray(ours), np.asarray(theirs(images)), rtol=0, atol=1e-5)


PUBLISHED = {  # file: test accuracy, scaling, padding
    "lenet_keras2.2.4_weights_only.h5": (0.9875, "0..255", "padded by 2 to 32x32"),
    "lenet_keras2.3.1_relu_max_same.h5": (0.9784, "0..255", "as they are"),
    "lenet_keras2.7_linear.h5": (0.9102, "0..1", "as they are"),
    "lenet_keras3.3.3_tanh.h5": (0.9868, "0..1", "padded by 2 to 32x32"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files(
    name: str, imported: Callable[[Path], dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """Real files of other people reach what they reached, with the scaling found by the tool."""
    found = imported(LEGACY / name)
    accuracy, scaling, geometry = PUBLISHED[name]
    assert found["accuracy"] == pytest.approx(accuracy, abs=0.0005)
    assert (found["scaling"], found["geometry"]) == (scaling, geometry)
    again = ["evaluate", "--model", found["config"], "--weights", found["weights"], "--json"]
    assert cli.main(again) == 0
    assert json.loads(capfd.readouterr().out)["accuracy"] == found["accuracy"]


def trained(path: Path, size: int, scale: float, offset: float, *, weights_only: bool) -> None:
    """Train a network on the bars, its pixels scaled and padded in a way, and save it."""
    import keras

    keras.utils.set_random_seed(0)
    make = keras.layers
    network = keras.Sequential(
        [keras.Input((size, size, 1)), make.Conv2D(4, 5, activation="tanh"),
         make.MaxPooling2D(), make.Conv2D(8, 5, activation="tanh"), make.MaxPooling2D(),
         make.Flatten(), make.Dense(24, activation="relu"), make.Dense(10, activation="softmax")]
    )  # fmt: skip
    images, labels = draw_bars(200, 0)
    margin = (size - 28) // 2
    pixels = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))[..., None]
    pixels = pixels.astype("float32") * scale + offset
    network.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    network.fit(pixels, labels, epochs=12, batch_size=20, verbose=0)
    network.save(path)
    if weights_only:
        with h5py.File(path, "r+") as whole, h5py.File(path.with_name("w.h5"), "w") as file:
            for key, value in whole["model_weights"].attrs.items():
                file.attrs[key] = value
            for key in whole["model_weights"]:
                whole["model_weights"].copy(key, file)
        path.with_name("w.h5").replace(path)


@pytest.mark.parametrize(
    ("size", "scale", "offset", "scaling"),
    [(28, 1 / 255, 0.0, "0..1"), (32, 1 / 127.5, -1.0, "-1..1"), (32, 1 / 255, 0.0, "0..1")],
)
@pytest.mark.parametrize("weights_only", [False, True], ids=["whole", "weights-only"])
def test_scaling_and_padding_are_found(
    size: int, scale: float, offset: float, scaling: str, weights_only: bool,
    bars: Path, tmp_path: Path,
) -> None:  # fmt: skip
    """On validation images; activations and pooling, too, where there are weights only."""
    trained(tmp_path / "old.h5", size, scale, offset, weights_only=weights_only)
    found: Imported = import_file(
        tmp_path / "old.h5", out=tmp_path / "out", dataset="bars", notify=lambda message: None
    )
    assert found.scores is not None
    assert found.scores.accuracy > 0.9
    # These images are dark at their edges: padding before and after scaling score alike.
    assert found.tried
    assert found.tried[0][0].geometry.startswith(
        "as they are" if size == 28 else "padded by 2 to 32x32"
    )
    if not weights_only:
        assert found.tried[0][0].name == scaling
    again = evaluate(found.config, found.weights)
    assert again.scores.accuracy == found.scores.accuracy
    text = found.yaml.read_text()
    assert text.startswith("# Imported from old.h5")
    assert all(line.startswith("# ") for line in text.split("name:")[0].splitlines())
    assert "Assumed: pixels" in text
    assert "Test accuracy" in text

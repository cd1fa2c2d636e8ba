"""A published file of weights is imported as the network that it was, by search on real images."""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from modelzoo import cli
from modelzoo.api import load
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
@pytest.mark.skipif(
    not (Path(os.environ.get("MODELZOO_DATA", "/nowhere")) / "mnist.npz").exists(),
    reason="MNIST is not here",
)
def test_a_network_found_by_search_computes_what_numpy_does(
    case: tuple[Any, ...], tmp_path: Path, capsys: Any
) -> None:
    """The file's own arrays in the formulas of `modelzoo.networks.reference`, to 1e-6."""
    path, activations, pooling, by_channel, accuracy, size, scale = case
    if not path.is_file():
        pytest.skip("the published files are not here")
    copy = tmp_path / path.name  # no architecture lies beside it
    copy.write_bytes(path.read_bytes())
    command = ["import", str(copy), "--dataset", "mnist", "--out", str(tmp_path / "out"), "--json"]
    assert cli.main(command) == 0
    found = json.loads(capsys.readouterr().out)
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

"""`.keras`, `.safetensors` and Caffe's `.npy`: read as what they compute, or refused by name."""

import resource
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from other_files import SMALL, caffe, described, keras_entries, safetensors, write_zip

from modelzoo import cli
from modelzoo.api import load, preprocess
from modelzoo.config import load_config
from modelzoo.convert.importing.candidates import packaged_network
from modelzoo.convert.importing.import_file import import_file
from modelzoo.networks import reference
from modelzoo.weights.stored import Stored, StoredLayer, read_stored


def drawn(*shape: int, scale: float = 0.2) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, scale, shape).astype("f4")


@pytest.fixture(autouse=True)
def here(home, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


# Safetensors

TORCH = {  # as torch saves it, sorted by name: normalisations stand before what they follow
    "bn1.weight": drawn(4) + 1, "bn1.bias": drawn(4), "bn1.running_mean": drawn(4),
    "bn1.running_var": np.abs(drawn(4)) + 0.5, "bn1.num_batches_tracked": np.array(7),
    "conv1.weight": drawn(4, 1, 5, 5), "conv10.weight": drawn(6, 8, 5, 5),
    "conv10.bias": drawn(6), "conv2.weight": drawn(8, 4, 5, 5), "conv2.bias": drawn(8),
    "fc.weight": drawn(10, 96), "fc.bias": drawn(10),
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_are_a_chain_in_order(prefix):
    Path("x.safetensors").write_bytes(safetensors({prefix + k: v for k, v in TORCH.items()}))
    stored = read_stored(Path("x.safetensors"))
    assert [layer.label for layer in stored.layers] == ["conv1", "bn1", "conv2", "conv10", "fc"]
    conv, norm, *_, dense = stored.layers
    assert np.array_equal(conv.arrays[0], TORCH["conv1.weight"].transpose(2, 3, 1, 0))
    names = ("weight", "bias", "running_mean", "running_var")
    assert all(map(np.array_equal, norm.arrays, (TORCH[f"bn1.{name}"] for name in names)))
    assert np.array_equal(dense.arrays[0], TORCH["fc.weight"].T)


def test_safetensors_compute_as_in_pytorch():
    """Two convolutions, a normalisation and a dense layer, whose inputs are channel by channel."""
    arrays = {k: v for k, v in TORCH.items() if not k.startswith(("conv10", "fc"))}
    arrays |= {"fc.weight": drawn(10, 8 * 4 * 4), "fc.bias": drawn(10)}
    Path("x.safetensors").write_bytes(safetensors(arrays))
    chosen = ["model.conv_activation=relu", "model.dense_activation=relu", "model.pooling=max"]
    found = import_file(
        Path("x.safetensors"), out=Path("out"), overrides=[*chosen, "data.preprocessing=[]"]
    )
    images = np.random.default_rng(0).integers(0, 255, (3, 28, 28, 1), np.uint8)
    x = reference.conv2d(images, arrays["conv1.weight"].transpose(2, 3, 1, 0), np.zeros(4))
    gamma, beta, mean, variance = (arrays[f"bn1.{name}"] for name in
                                   ("weight", "bias", "running_mean", "running_var"))  # fmt: skip
    x = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta  # PyTorch's epsilon
    x = reference.max_pool2d(reference.relu(x))
    x = reference.conv2d(x, arrays["conv2.weight"].transpose(2, 3, 1, 0), arrays["conv2.bias"])
    x = reference.max_pool2d(reference.relu(x)).transpose(0, 3, 1, 2).reshape(3, -1)
    x = reference.softmax(x @ arrays["fc.weight"].T + arrays["fc.bias"])
    ours = np.asarray(load(found.yaml, found.weights)(preprocess(found.yaml, images)))
    np.testing.assert_allclose(ours, x, rtol=0, atol=1e-5)


def test_half_precision_is_read():
    numbers = np.array([1.0, -2.5, 0.15625], "f4")
    halves = (numbers.view("<u4") >> 16).astype("<u2").view("<i2")  # bfloat16
    content = safetensors({"a.weight": halves[None]}).replace(b"I16", b"BF16")
    header = len(content) - 6 - 8
    Path("x.safetensors").write_bytes(header.to_bytes(8, "little") + content[8:])
    (layer,) = read_stored(Path("x.safetensors")).layers
    assert layer.arrays[0].ravel().tolist() == numbers.tolist()


# AlexNet of Caffe

SIZES: dict[str, Any] = {
    "input_shape": [67, 67, 3], "num_classes": 4, "conv_maps": [4, 6, 8, 8, 6],
    "dense_units": [12, 10],
}  # fmt: skip
SHAPES = {
    "conv1": (11, 11, 3, 4), "conv2": (5, 5, 2, 6), "conv3": (3, 3, 6, 8), "conv4": (3, 3, 4, 8),
    "conv5": (3, 3, 4, 6), "fc6": (6, 12), "fc7": (12, 10), "fc8": (10, 5),
}  # fmt: skip


def alexnet_of_caffe(bgr: np.ndarray, layers: dict[str, list[np.ndarray]]) -> np.ndarray:
    """Return the outputs for what the network takes: blue, green and red without their means."""

    def conv(x: np.ndarray, name: str, groups: int, **options: Any) -> np.ndarray:
        return reference.relu(reference.conv2d(x, *layers[name], groups=groups, **options))

    def normed(x: np.ndarray) -> np.ndarray:  # local_size 5, alpha 0.0001, beta 0.75
        return reference.local_response_normalization(x, 1.0, 5, 0.0001 / 5, 0.75)

    x = reference.max_pool2d(normed(conv(bgr, "conv1", 1, strides=4)), 3, 2)
    x = reference.max_pool2d(normed(conv(x, "conv2", 2, padding=2)), 3, 2)
    x = conv(conv(x, "conv3", 1, padding=1), "conv4", 2, padding=1)
    x = reference.max_pool2d(conv(x, "conv5", 2, padding=1), 3, 2)
    x = x.reshape(len(x), -1)
    for name in ("fc6", "fc7"):
        x = reference.relu(reference.dense(x, *layers[name]))
    return reference.softmax(reference.dense(x, *layers["fc8"]))


def test_alexnet_of_caffe_computes_as_there():
    layers = {name: [drawn(*s), drawn(s[-1])] for name, s in SHAPES.items()}
    shuffled = {name: layers[name] for name in ("fc8", "conv5", *SHAPES) if name in layers}
    Path("small_alexnet.npy").write_bytes(caffe(shuffled))
    crop = {"class_name": "CenterCrop", "config": {"height": 67, "width": 67}}
    data = {"image_size": 70, "preprocessing": [crop], "augmentation": []}
    small = {"base": "alexnet_2012", "model": SIZES, "data": data}
    Path("small.yaml").write_text(yaml.safe_dump(small))
    found = import_file(Path("small_alexnet.npy"), out=Path("out"), model="small.yaml")
    written = load_config(found.yaml)
    assert written.data.preprocessing[0] == crop and written.data.dataset == "imagenet"
    assert [text.partition(":")[0] for text in found.rewritten] == [
        "the first kernel", "response normalisation",
    ]  # fmt: skip
    images = np.random.default_rng(0).integers(0, 255, (3, 67, 67, 3), np.uint8)
    bgr = images[..., ::-1] - np.array([104.00698793, 116.66876762, 122.67891434])
    ours = np.asarray(load(found.yaml, found.weights)(preprocess(found.yaml, images)))
    np.testing.assert_allclose(ours, alexnet_of_caffe(bgr, layers), rtol=0, atol=1e-5)


def test_its_kernels_are_recognised():
    """Without --model: no other network for ImageNet has two groups."""
    network = load_config("alexnet_2012").network
    assert network is not None
    layers = [
        StoredLayer(layer.name, layer.name, [np.broadcast_to(np.float32(0), shape)
                                             for shape in layer.weights(inputs).values()])
        for layer, inputs in network.with_inputs if layer.weights(inputs)
    ]  # fmt: skip
    assert packaged_network(Stored(Path("x"), "Caffe arrays", layers)) == "alexnet_2012"
    assert packaged_network(Stored(Path("x"), "PyTorch state dict", layers)) is None


# Refused

LAMBDA = [*SMALL[:2], described("Lambda", name="code", function="x"), *SMALL[2:]]
TANH = [*SMALL[:1], described("Conv2D", name="c", filters=2, kernel_size=[3, 3], activation="mine")]
CAUSAL = [*SMALL[:1], described("Conv2D", name="c", filters=2, kernel_size=3, padding="causal")]
OTHER_FILES = {
    "x.tflite": (b"\x1c\0\0\0TFL3" + bytes(90), "TensorFlow Lite"),
    "x.onnx": (b"\x08\x07\x12\x07pytorch", "ONNX"),
    "x.pb": (b"\x0a\x10" + bytes(50), "graph of TensorFlow"),
    "x.caffemodel": (b"\x0a\x07AlexNet", "a network of Caffe"),
    "x.h5": (b"\x93NUMPY\1\0", "an array of NumPy"),
    "x.keras": (b"\x93NUMPY\1\0", "not a .keras archive: it is an array of NumPy"),
    "y.keras": (b"PK\x03\x04" + bytes(100), "damaged"),
    "x.npy": (b"\x93NUMPY\1\0v\0{'descr': '<f4', 'shape': (3,), }", "is an array of NumPy, no"),
    "y.npy": (caffe({"a": [drawn(2, 2)]}).replace(b"U\x01a", b"K\x01"), "no dictionary of layers"),
    "z.npy": (caffe({"a": [drawn(2, 2)] * 5}), "'a': is no list of a kernel and a bias"),
    "n.npy": (caffe({"a": [drawn(2, 2) + np.nan]}), "'a': 4 of 4 numbers are NaN"),
    "x.safetensors": (bytes(20), "is not a .safetensors file"),
    "y.safetensors": (b"\xff" * 7 + b"\0{", "a header of 72,057,594,037,927,935"),
    "o.safetensors": (
        safetensors(TORCH, **{"fc.bias": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}}),
        "overlaps",
    ),
    "i.safetensors": (safetensors({"a.weight": np.zeros((2, 2), "i4")}), "'a.weight': holds I32"),
    "t.safetensors": (safetensors(TORCH) + b"x", "describes"),
    "c.safetensors": (safetensors(TORCH)[:-1], "describes"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_another_file_is_named_for_what_it_is(name, refuses):
    content, words = OTHER_FILES[name]
    Path(name).write_bytes(content)
    refuses(f"import {name} --out out", name, words)


def test_a_saved_model_is_named(refuses):
    Path("saved").mkdir()
    Path("saved/saved_model.pb").write_bytes(b"x")
    refuses("import saved --out out", "is a SavedModel", ".keras")


BOMB = {"config.json": bytes(300_000_000)}
ARCHIVES: dict[str, tuple[dict[str, bytes], int, str]] = {
    "a Lambda": (keras_entries(LAMBDA), zipfile.ZIP_STORED, "'code': is a 'Lambda'"),
    "a padding of its own": (keras_entries(CAUSAL), zipfile.ZIP_STORED, "supported: valid, same"),
    "an activation of its own": (keras_entries(TANH), zipfile.ZIP_STORED, "'mine' is no activ"),
    "a name above": ({**keras_entries(), "../x": b"x"}, zipfile.ZIP_STORED, "'../x': would lie"),
    "an absolute name": ({**keras_entries(), "/x": b"x"}, zipfile.ZIP_STORED, "'/x': would lie"),
    "a bomb": ({**keras_entries(), **BOMB}, zipfile.ZIP_DEFLATED, "when it is unpacked"),
    "no weights": ({"config.json": b"{}"}, zipfile.ZIP_STORED, "it has no model.weights.h5"),
    "several parts": (
        {"config.json": b"{}", "model.weights.json": b""}, zipfile.ZIP_STORED, "in several parts"
    ),
    "other weights": (
        {**keras_entries(), "model.weights.h5": b"x" * 99}, zipfile.ZIP_STORED, "is damaged"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", ARCHIVES)
def test_a_hostile_archive_is_refused(fault, refuses):
    """Nothing is unpacked, above all not 300 MB."""
    entries, how, words = ARCHIVES[fault]
    path = write_zip(Path("x.keras"), entries, how)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuses(f"import {path} --out out", words)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 200_000


def test_the_archive_without_a_fault_is_read():
    path = write_zip(Path("x.keras"), keras_entries(), zipfile.ZIP_DEFLATED)
    assert cli.main(["import", str(path), "--out", "out"]) == 0
    weights = read_stored(path).layers[0].arrays[0]
    network = load("out/x.yaml", "out/x.weights.h5")
    assert np.array_equal(network.layers[1].get_weights()[0], weights)
    other = load("out/x.yaml", path)  # the archive is a file of weights, too
    assert all(map(np.array_equal, network.get_weights(), other.get_weights()))

"""Files that lie, leave their place or want to run code are refused, quickly and by name."""

import json
import resource
import socket
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from modelzoo import cli
from modelzoo.networks.network import MOST
from modelzoo.support.errors import InputError
from modelzoo.weights.stored import read_stored

MEMORY = 200_000_000
SHAPES = {  # of LeNet-5
    "conv2d": [(5, 5, 1, 6), (6,)],
    "conv2d_1": [(5, 5, 6, 16), (16,)],
    "dense": [(256, 120), (120,)],
    "dense_1": [(120, 84), (84,)],
    "dense_2": [(84, 10), (10,)],
}
CONV, CONV_SHAPE = "conv2d/conv2d/kernel:0", (5, 5, 1, 6)
DENSE, TERABYTE = "dense/dense/kernel:0", (256, 1_000_000_000)


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


LENET = [
    layer("Conv2D", "conv2d", batch_input_shape=[None, 28, 28, 1], filters=6,
          kernel_size=[5, 5], activation="tanh"),
    layer("AveragePooling2D", "pool1", pool_size=[2, 2]),
    layer("Conv2D", "conv2d_1", filters=16, kernel_size=[5, 5], activation="tanh"),
    layer("AveragePooling2D", "pool2", pool_size=[2, 2]),
    layer("Flatten", "flatten"),
    layer("Dense", "dense", units=120, activation="sigmoid"),
    layer("Dense", "dense_1", units=84, activation="sigmoid"),
    layer("Dense", "dense_2", units=10, activation="softmax"),
]  # fmt: skip


def described(layers: Any) -> str:
    config = {"name": "sequential", "layers": layers}
    return json.dumps({"class_name": "Sequential", "config": config})


def changed(number: int, **config: Any) -> str:
    """Return the description of LeNet-5 with a layer whose configuration differs."""
    layers = list(LENET)
    layers[number] = {**LENET[number], "config": LENET[number]["config"] | config}
    return described(layers)


def write_right(path: Path) -> h5py.File:
    """Write a legacy whole model without a fault, and return it open."""
    generator = np.random.default_rng(0)
    file = h5py.File(path, "w")
    file.attrs["model_config"] = described(LENET)
    root = file.create_group("model_weights")
    root.attrs["layer_names"] = [name.encode() for name in SHAPES]
    root.attrs["keras_version"], root.attrs["backend"] = "2.7.0", "tensorflow"
    for name, shapes in SHAPES.items():
        group = root.create_group(name)
        names = [f"{name}/kernel:0", f"{name}/bias:0"]
        group.attrs["weight_names"] = [each.encode() for each in names]
        for each, shape in zip(names, shapes, strict=True):
            group[each] = generator.normal(0, 0.05, shape).astype("float32")
    return file


# One fault each in a file that is right: what is replaced, by what, and words of the message.

LAMBDA = layer("Lambda", "evil", function=["4wEAAAAAAAAAAAAAAAQAAAA=", None, None])
NESTED = {"class_name": "Sequential", "config": {"layers": [layer("Lambda", "evil")]}}
OWNED = layer("Lambda", "\x1b]0;owned\x07\n\n\n\n\n\n\nok")
DESCRIPTIONS: dict[str, tuple[Any, ...]] = {
    "code in a Lambda": (described([*LENET, LAMBDA]), "'evil'", "Lambda", "code"),
    "Lambda in a nested network": (described([*LENET, NESTED]), "'evil'", "Lambda"),
    "unknown activation": (
        changed(0, activation={"class_name": "function", "config": "os.system"}),
        "os.system",
    ),
    "60 MB": ("x" * 60_000_000, "too large"),
    "pickle": ("cos\nsystem\n(S'touch ran'\ntR.", "model_config", "JSON"),
    # Looking for the end of the text from each of its quotes takes hours.
    "unclosed text": ('"' + '\\"' * 2_000_000, "model_config", "JSON"),
    "deep": ('{"class_name": ' + "[" * 100_000 + "]" * 100_000 + "}", "model_config", "deep"),
    "long number": (described(LENET).replace("[5, 5]", f"[{'9' * 1_000_000}, 5]"), "model_config"),
    "absurd units": (changed(5, units=10**15), "dense", "units"),
    "number": (3.14, "model_config", "text"),
    "no layers": (described([1, None, "Dense", {"class_name": ["Dense"]}]), "model_config"),
    "layer left out": (described([*LENET[:6], LENET[7]]), "4 layers", "5"),
    "escape sequences": (described([*LENET, OWNED]), "Lambda"),
}
ARRAYS: dict[str, tuple[Any, ...]] = {  # a dictionary: arguments of `create_dataset`
    "external link": (CONV, h5py.ExternalLink("/etc/passwd", "/x"), "not followed", "kernel:0"),
    "soft link": (
        CONV,
        h5py.SoftLink("/model_weights/dense/dense/bias:0"),
        "not followed",
        CONV[-8:],
    ),
    "external storage": (
        CONV,
        {"shape": CONV_SHAPE, "external": [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]},
        "another file",
    ),
    "terabyte": (DENSE, {"shape": TERABYTE}, "256x1000000000", "0 bytes"),
    "terabyte in chunks": (
        DENSE,
        {"shape": TERABYTE, "chunks": (16, 1024), "compression": 1},
        "256x1000000000",
    ),
    "other shape": (DENSE, np.zeros((257, 120), "float32"), "dense", "257"),
    "integers": (CONV, np.zeros(CONV_SHAPE, "int64"), "int64", "float32"),
    "records": (CONV, np.zeros(CONV_SHAPE, [("a", "f4"), ("b", "i4")]), "kernel:0", "not plain"),
    "pointers": (CONV, {"shape": CONV_SHAPE, "dtype": h5py.ref_dtype}, "kernel:0", "not plain"),
    "left over": ("conv2d/conv2d/more:0", np.zeros(3, "float32"), "more:0"),
    "named type": ("conv2d/kind", np.dtype("f8"), "damaged"),
}
NAMES: dict[str, tuple[str, list[bytes], str]] = {  # of a layer's weights, or of the layers
    "points nowhere": ("conv2d", [b"conv2d/kernel:0", b"conv2d/no:0"], "no:0"),
    "points up": ("conv2d", [b"../dense/dense/kernel:0", b"conv2d/bias:0"], "../dense"),
    "given twice": ("conv2d", [b"conv2d/bias:0", b"conv2d/bias:0"], "twice"),
    "no such layer": (
        "/model_weights",
        [b"conv2d", b"conv2d_7", b"dense", b"dense_1", b"dense_2"],
        "conv2d_7",
    ),
}


def cyclic_groups(file: h5py.File, root: h5py.Group) -> None:
    root["conv2d/again"] = root


def virtual_array(file: h5py.File, root: h5py.Group) -> None:
    layout = h5py.VirtualLayout(CONV_SHAPE, "float32")
    layout[...] = h5py.VirtualSource("other.h5", "x", CONV_SHAPE)
    del root[CONV]
    root.create_virtual_dataset(CONV, layout)


def missing_chunks(file: h5py.File, root: h5py.Group) -> None:
    del root[DENSE]
    root.create_dataset(DENSE, (256, 120), "float32", chunks=(64, 120))[:64] = 1


def gzip_bomb(file: h5py.File, root: h5py.Group) -> None:
    """A part that inflates to 300 MB, not to its size."""
    del root[DENSE]
    made = root.create_dataset(DENSE, (256, 120), "float32", chunks=(256, 120), compression=9)
    packer = zlib.compressobj(9)
    block = bytes(1_000_000)
    packed = b"".join(packer.compress(block) for _ in range(300)) + packer.flush()
    made.id.write_direct_chunk((0, 0), packed[:120_000])


def not_a_number(file: h5py.File, root: h5py.Group) -> None:
    root[CONV][0, 0, 0, :2] = np.nan, np.inf


def unknown_filter(file: h5py.File, root: h5py.Group) -> None:
    """A filter that HDF5 would look for in a plugin."""
    del root[CONV]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(CONV_SHAPE)
    plist.set_filter(32_000 + 15, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple(CONV_SHAPE)
    kind = h5py.h5t.NATIVE_FLOAT
    h5py.h5d.create(root["conv2d/conv2d"].id, b"kernel:0", kind, space, plist)


def many_groups(file: h5py.File, root: h5py.Group) -> None:
    for number in range(100_000):
        h5py.h5g.create(root.id, b"%d" % number)


def repeated_text(file: h5py.File, root: h5py.Group) -> None:
    names = np.array(["x" * 8_000_000] * 22, dtype=object)
    root.attrs.create("layer_names", names, dtype=h5py.string_dtype())


def no_names(file: h5py.File, root: h5py.Group) -> None:
    del root.attrs["layer_names"]


FAULTS: dict[Any, tuple[str, ...]] = {
    cyclic_groups: ("circle",),
    virtual_array: ("virtual",),
    missing_chunks: (DENSE,),
    gzip_bomb: ("inflate",),
    not_a_number: ("NaN or infinite", "2 of 150"),
    unknown_filter: ("filters [32015]",),
    many_groups: ("5,000",),
    repeated_text: ("layer_names", "too large"),
    no_names: ("layout",),
}
HOSTILE = [*DESCRIPTIONS, *ARRAYS, *NAMES, *FAULTS]


def write_hostile(path: Path, fault: Any) -> tuple[str, ...]:
    """Write a file with a fault, and return the words of the message."""
    with write_right(path) as file:
        root = file["model_weights"]
        if fault in DESCRIPTIONS:
            file.attrs["model_config"], *words = DESCRIPTIONS[fault]
        elif fault in ARRAYS:
            name, value, *words = ARRAYS[fault]
            if name in root:
                del root[name]
            if isinstance(value, dict):
                root.create_dataset(name, **{"dtype": "float32", **value})
            else:
                root[name] = value
        elif fault in NAMES:
            group, names, *words = NAMES[fault]
            key = "weight_names" if group == "conv2d" else "layer_names"
            root[group].attrs[key] = names
        else:
            fault(file, root)
            words = FAULTS[fault]
    return (path.name, *words)


CONTENTS: dict[str, tuple[bytes, str]] = {
    "html": (b"<!DOCTYPE html><html>Quota exceeded</html>", "web page"),
    "zip": (b"PK\x03\x04" + bytes(100), "zip"),
    "pickle": (b"\x80\x04cos\nsystem\n(S'touch ran'\ntR.", "pickle"),
    "empty": (b"", "empty"),
    "text": (b"weights, honestly", "not an HDF5 file"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "gzip"),
    "signature-only": (b"\x89HDF\r\n\x1a\n", "damaged"),
    "noise": (b"\x89HDF\r\n\x1a\n" + np.random.default_rng(0).bytes(5000), ""),
}


@pytest.fixture(scope="module", autouse=True)
def started():
    """Start the framework, whose memory and seconds are no file's fault."""
    from modelzoo.api import build
    from modelzoo.training.device import start_framework

    start_framework("tensorflow", "cpu")
    build("lenet5")


@pytest.fixture
def refused(refuses, tmp_path, monkeypatch):
    """Return a function that checks how a command is refused: without a network or much memory."""

    def connect(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    def run(command: str, *words: str) -> None:
        memory = peak_memory()
        refuses(command, *words)
        assert peak_memory() - memory < MEMORY

    monkeypatch.setattr(socket.socket, "connect", connect)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return run


def peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def test_the_file_without_a_fault_is_read(tmp_path):
    write_right(tmp_path / "right.h5").close()
    layers = read_stored(tmp_path / "right.h5").layers
    assert {layer.name: layer.shapes for layer in layers} == SHAPES
    assert cli.main(["import", str(tmp_path / "right.h5"), "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize("fault", HOSTILE, ids=lambda each: getattr(each, "__name__", each))
def test_a_hostile_file_is_not_imported(fault, tmp_path, refused):
    words = write_hostile(tmp_path / "hostile.h5", fault)
    refused(f"import {tmp_path}/hostile.h5", *words)


@pytest.mark.parametrize("fault", ["external link", gzip_bomb, not_a_number, "left over"])
def test_a_hostile_file_is_not_loaded(fault, tmp_path, refused):
    words = write_hostile(tmp_path / "hostile.h5", fault)
    Image.new("L", (28, 28), 255).save(tmp_path / "one.png")
    refused(f"predict --model lenet5 --weights {tmp_path}/hostile.h5 {tmp_path}/one.png", *words)


def test_more_numbers_than_a_network_has_are_not_read(tmp_path, monkeypatch):
    """Compressed, a small file holds gigabytes."""
    write_right(tmp_path / "right.h5").close()
    monkeypatch.setitem(MOST, "parameters", 1000)
    with pytest.raises(InputError, match="more than 1,000 numbers"):
        read_stored(tmp_path / "right.h5")


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("command", ["import", "evaluate --model lenet5 --weights"])
def test_what_is_no_hdf5_is_named(kind, command, tmp_path, refused):
    content, word = CONTENTS[kind]
    (tmp_path / "download.h5").write_bytes(content)
    refused(f"{command} {tmp_path}/download.h5", "download.h5", word)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(share, tmp_path, refused):
    write_right(tmp_path / "cut.h5").close()
    whole = (tmp_path / "cut.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: int(len(whole) * share)])
    refused(f"import {tmp_path}/cut.h5", "cut.h5")

"""Weights in .safetensors, .keras and Caffe's .npy, written by hand so that they can lie."""

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def safetensors(arrays: Mapping[str, np.ndarray], **changed: Any) -> bytes:
    """Return the content of a file, the header sorted by name as the library writes it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, array in sorted(arrays.items()):
        kind = {"f": "F", "i": "I"}[array.dtype.kind] + str(8 * array.dtype.itemsize)
        offsets = [len(content), len(content) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        content += array.tobytes()
    text = json.dumps(header | changed).encode()
    return struct.pack("<Q", len(text)) + text + content


def caffe(layers: Mapping[str, Sequence[np.ndarray]]) -> bytes:
    """Return {layer: [kernel, bias]} as NumPy saved it under Python 2."""

    def text(value: bytes) -> bytes:
        if len(value) < 256:
            return b"U" + bytes([len(value)]) + value
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def array(kind: bytes, shape: Sequence[int], content: bytes) -> bytes:
        made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        dtype = b"cnumpy\ndtype\n" + text(kind) + b"K\x00K\x01\x87R(K\x03"
        dtype += text(b"|" if kind == b"O8" else b"<") + b"NNNJ\xff\xff\xff\xff" * 1
        dtype += b"J\xff\xff\xff\xffK\x00tb"
        sides = b"(" + b"".join(map(number, shape)) + b"t"
        return made + b"(K\x01" + sides + dtype + b"\x89" + content + b"tb"

    parts = []
    for name, arrays in layers.items():
        held = [array(b"f4", a.shape, text(a.astype("<f4").tobytes())) for a in arrays]
        parts.append(text(name.encode()) + b"](" + b"".join(held) + b"e")
    described = array(b"O8", (), b"](}(" + b"".join(parts) + b"ue")
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        + b"\x80\x02" + described + b"."
    )  # fmt: skip


def described(kind: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


SMALL = [
    described("InputLayer", batch_shape=[None, 6, 6, 1], name="in"),
    described("Conv2D", name="conv2d", filters=2, kernel_size=[3, 3], activation="relu"),
    described("Flatten", name="flatten"),
    described("Dense", name="dense", units=3, activation="softmax"),
]


def keras_entries(layers: Sequence[Any] = SMALL) -> dict[str, bytes]:
    """Return what a `.keras` archive holds of a network with the weights of `SMALL`."""
    generator = np.random.default_rng(0)
    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        for name, shape in {"conv2d": (3, 3, 1, 2), "dense": (32, 3)}.items():
            file[f"layers/{name}/vars/0"] = generator.normal(size=shape).astype("f4")
            file[f"layers/{name}/vars/1"] = generator.normal(size=shape[-1:]).astype("f4")
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    return {
        "metadata.json": b'{"keras_version": "3.11.0"}',
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": target.getvalue(),
    }


def write_zip(path: Path, entries: Mapping[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path

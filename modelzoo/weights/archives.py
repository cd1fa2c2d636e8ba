"""Open files of weights that are neither HDF5 nor pickled by PyTorch, and not trusted either.

* `.keras`: a zip archive of Keras 2.12 to 3.x, with `config.json` and `model.weights.h5`
* `.safetensors`: the length of a header, the header in JSON, then numbers and nothing else
* `.npy` of Caffe's networks: NumPy's header, then a pickle of {layer: [kernel, bias]}
"""

import contextlib
import json
import mmap
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import numpy as np

from modelzoo.networks.network import MOST
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.pickles import read_pickle
from modelzoo.weights.hdf5 import (
    MAX_TEXT_BYTES,
    SIGNATURE,
    UNUSED,
    CheckedFile,
    OpenFile,
    check_signature,
    open_checked,
)

DAMAGE = (
    zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError,
    struct.error, zlib.error, msgspec.MsgspecError,
)  # fmt: skip
WEIGHTS, DESCRIPTION, METADATA = "model.weights.h5", "config.json", "metadata.json"
MAX_EXPANSION = 20  # bytes inside for each byte outside, of an archive with more than 16 MB inside
MAX_BYTES = 9 * MOST["parameters"]  # of numbers in float64, and what stands beside them


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path}: is damaged: {reason_of(error)}\nFetch it again") from None


@contextlib.contextmanager
def open_keras(path: Path) -> Iterator[CheckedFile]:
    """Open the weights in a `.keras` file, with the description that lies beside them.

    Keras 2 wrote HDF5 under that name, too. Nothing is unpacked: what is read is read in memory.
    """
    check_signature(path)
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) == SIGNATURE:
            with open_checked(path) as checked:
                yield checked
            return
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        _check_names(OpenFile(path), archive)
        description = archive.read(DESCRIPTION)
        metadata = archive.read(METADATA) if METADATA in archive.namelist() else b"{}"
        found = json.loads(metadata)
        version = found.get("keras_version") if isinstance(found, dict) else None
        content = archive.read(WEIGHTS)
    with open_checked(path, content) as checked:
        checked.description = description.decode("utf-8", "replace")
        checked.version = version if isinstance(version, str) else ""
        yield checked


def _check_names(opened: OpenFile, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that Keras has not written, or that is larger inside than files are."""
    entries = archive.infolist()
    names = Counter(entry.filename for entry in entries)
    for name, count in names.items():
        if re.search(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^\w:", name):
            raise opened.refuse(name, "would lie outside of the archive; Keras writes no such name")
        if count > 1:
            raise opened.refuse(name, "is in the archive twice")
    if missing := {WEIGHTS, DESCRIPTION} - set(names):
        what = "with weights in several parts, which are not read"
        if "model.weights.json" not in names:
            what = f"but not one that Keras has saved: it has no {min(missing)}"
        raise opened.refuse("", f"is a zip archive, {what}")
    size, whole = sum(entry.file_size for entry in entries), opened.path.stat().st_size
    if size > max(MAX_EXPANSION * whole, 1 << 24) or size > 3 * MAX_BYTES:  # Adam's memory is twice
        raise opened.refuse("", f"has {whole:,} bytes, and {size:,} when it is unpacked")
    for entry in entries:
        if entry.flag_bits & 1:
            raise opened.refuse(entry.filename, "is encrypted, as Keras never does")
        if entry.filename in (DESCRIPTION, METADATA) and entry.file_size > MAX_TEXT_BYTES:
            raise opened.refuse(entry.filename, f"has {entry.file_size:,} bytes; no network has")


Whole = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]


class Tensor(msgspec.Struct, frozen=True):
    """What the header of a `.safetensors` file says of one tensor."""

    dtype: str
    shape: tuple[Whole, ...]
    data_offsets: tuple[Whole, Whole]


@dataclass
class SafeTensors(OpenFile):
    """An open `.safetensors` file whose tensors fill it without gaps."""

    file: BinaryIO
    start: int = 0  # of the numbers
    tensors: dict[str, Tensor] = field(default_factory=dict)  # in the order of the file

    SIZES = {"F16": 2, "F32": 4, "F64": 8, "BF16": 2}

    def read(self, name: str) -> np.ndarray:
        """Return a tensor as an array in float32."""
        tensor = self.tensors[name]
        begin, end = tensor.data_offsets
        self.file.seek(self.start + begin)
        content = self.file.read(end - begin)
        if tensor.dtype == "BF16":  # the upper half of a float32
            numbers = (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
        else:
            numbers = np.frombuffer(content, f"<f{self.SIZES[tensor.dtype]}")
        return self.as_weights(name, numbers.reshape(tensor.shape))


@contextlib.contextmanager
def open_safetensors(path: Path) -> Iterator[SafeTensors]:
    """Open a `.safetensors` file for reading, with everything but its numbers checked."""
    check_signature(path)
    with _damage_named(path), path.open("rb") as file:
        opened = SafeTensors(path, file)
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        opened.start = 8 + length
        if length > min(MAX_TEXT_BYTES, size - 8):
            raise opened.refuse("", f"has {size:,} bytes, but a header of {length:,}")
        header = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
        header.pop("__metadata__", None)
        at = 0
        found = {name: msgspec.json.decode(raw, type=Tensor) for name, raw in header.items()}
        for name, tensor in sorted(found.items(), key=lambda each: each[1].data_offsets):
            if name.endswith(UNUSED):
                del found[name]
            elif tensor.dtype not in opened.SIZES:
                raise opened.refuse(
                    name, f"holds {tensor.dtype}; weights are {', '.join(opened.SIZES)}"
                )
            begin, end = tensor.data_offsets
            each = opened.SIZES.get(tensor.dtype, 0)
            if begin != at or end < begin or (each and end - begin != prod(tensor.shape) * each):
                raise opened.refuse(name, "has other numbers than its shape needs, or overlaps")
            at = end
        if opened.start + at != size or at > MAX_BYTES or not found:
            raise opened.refuse("", f"has {size:,} bytes, and describes {opened.start + at:,}")
        opened.tensors = found
        yield opened


@dataclass
class CaffeArrays(OpenFile):
    """The arrays of each layer, its kernel in Keras' layout first."""

    layers: dict[str, list[np.ndarray]] = field(default_factory=dict)


@contextlib.contextmanager
def open_caffe(path: Path) -> Iterator[CaffeArrays]:
    """Read a network of Caffe that was converted to {layer: [kernel, bias]} and saved by NumPy."""
    check_signature(path)
    opened = CaffeArrays(path)
    with _damage_named(path), path.open("rb") as file:
        if path.stat().st_size > MAX_BYTES:
            raise opened.refuse("", f"has more than {MAX_BYTES:,} bytes; no network has")
        version = file.read(8)[6:7]
        length = int.from_bytes(file.read(2 if version == b"\1" else 4), "little")
        header = file.read(min(length, MAX_TEXT_BYTES))
        if not re.search(rb"'descr': *'\|O'", header) or not re.search(rb"'shape': *\(\)", header):
            raise opened.refuse("", f"is an array of NumPy, no network: {header[:80]!r}")
        # What follows is a pickle, which is not unpickled.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            content.seek(file.tell())
            try:
                found = read_pickle(content)
            except InputError as error:
                raise opened.refuse("", str(error)) from None
    opened.layers = dict(_layers_of(opened, found))
    yield opened


def _layers_of(opened: OpenFile, found: Any) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield the name and the arrays of each layer, as networks number their layers."""
    found = found.item() if isinstance(found, np.ndarray) and found.size == 1 else found
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found):
        raise opened.refuse("", "holds no dictionary of layers, as bvlc_alexnet.npy does")
    for name in sorted(found, key=numbered):
        arrays = found[name]
        if isinstance(arrays, dict):
            arrays = [arrays[key] for key in ("weights", "biases") if key in arrays]
        if not isinstance(arrays, list) or not 0 < len(arrays) < 5:
            raise opened.refuse(name, "is no list of a kernel and a bias")
        for array in arrays:
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.size:
                raise opened.refuse(name, "holds what is no array of numbers")
        yield name, [opened.as_weights(name, array) for array in arrays]


def numbered(name: str) -> list[tuple[int, str]]:
    """Return what sorts names with numbers in them: "conv2" before "conv10"."""
    parts = re.findall(r"\d{1,9}|\D+", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]

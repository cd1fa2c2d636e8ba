"""Read a state dict of PyTorch that is not trusted, without PyTorch and without unpickling.

Since PyTorch 1.6 a `.pth` file is a zip archive without compression: `data.pkl` describes the
tensors, `data/0`, `data/1`, ... hold their numbers. `support.pickles` reads the pickle: nothing in
it is looked up, imported or called. `torch.load` with `weights_only=True` calls what is on its
list, ran the code of hostile files before PyTorch 2.6 (CVE-2025-32434) and let them corrupt memory
before 2.10 (CVE-2026-24747).
"""

import contextlib
import math
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.pickles import Name, read_pickle
from modelzoo.weights.hdf5 import UNUSED, OpenFile, check_signature

MAX_PICKLE = 4_000_000  # bytes; that of a network with 1,000 tensors takes some 150 kB
# Other numbers, such as the counters of an optimizer, are described, but never read.
DTYPES = {"torch FloatStorage": "<f4", "torch HalfStorage": "<f2", "torch DoubleStorage": "<f8"}
# What checkpoints call the state dict of the network, beside that of the optimizer.
STATE_KEYS = ("model_state_dict", "state_dict", "model_state", "model", "net", "weights")
KINDS = (  # of numbers
    "Float", "Half", "Double", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool",
    "ComplexFloat", "ComplexDouble", "QInt8", "QUInt8", "QInt32", "Untyped",
)  # fmt: skip

ADVICE = "\nSave the state_dict() of a model, not the model"


@dataclass(frozen=True)
class Storage:
    """An entry `data/KEY` of the archive: so many numbers of one type, in a row."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage: where it begins, its shape, and the steps between its numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass
class StateDict(OpenFile):
    """An open file in which everything but the numbers themselves has been looked at."""

    archive: zipfile.ZipFile
    folder: str = ""
    tensors: dict[str, Tensor] = field(default_factory=dict)  # in the order of the file

    def read(self, name: str) -> np.ndarray:
        """Return a tensor as an array in float32."""
        tensor = self.tensors[name]
        content = self.archive.read(f"{self.folder}/data/{tensor.storage.key}")
        numbers = np.frombuffer(content, DTYPES[tensor.storage.kind])[tensor.offset :]
        steps = [step * numbers.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(numbers, tensor.shape, steps, writeable=False)
        return self.as_weights(name, np.array(view))  # its own, writable


@contextlib.contextmanager
def open_state_dict(path: Path) -> Iterator[StateDict]:
    """Open a `.pth` file for reading, with everything but its numbers checked."""
    check_signature(path)
    try:
        with zipfile.ZipFile(path) as archive:
            state = StateDict(path, archive)
            _check_archive(state)
            _check_tensors(state, _described(state))
            yield state
    except InputError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, struct.error) as error:
        raise InputError(f"{path}: is damaged: {reason_of(error)}\nFetch it again") from None


def _check_archive(state: StateDict) -> None:
    """Refuse an archive that is no state dict's, or larger inside than outside."""
    entries = state.archive.infolist()
    names = {entry.filename for entry in entries}
    folders = {name.partition("/")[0] for name in names}
    state.folder = min(folders, default="")
    if len(folders) != 1 or f"{state.folder}/data.pkl" not in names:
        raise state.refuse("", "is a zip archive, but not one that PyTorch has saved")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise state.refuse(entry.filename, "is compressed or encrypted, as PyTorch never does")
    size, whole = sum(entry.file_size for entry in entries), state.path.stat().st_size
    if size > whole:
        raise state.refuse("", f"says that it holds {size:,} bytes, and has {whole:,}")
    order = f"{state.folder}/byteorder"
    if order in names and state.archive.read(order) != b"little":
        raise state.refuse("byteorder", "is not little: save it on another machine")


def _described(state: StateDict) -> Any:
    """Follow the instructions of `data.pkl`; return what they describe."""
    entry = state.archive.getinfo(f"{state.folder}/data.pkl")
    if entry.file_size > MAX_PICKLE:
        raise state.refuse("data.pkl", f"has {entry.file_size:,} bytes; no network's is so long")
    try:
        return read_pickle(state.archive.read(entry), CALLS, _storage, ADVICE)
    except InputError as error:
        raise state.refuse("data.pkl", str(error)) from None


def _storage(said: Any) -> Storage:
    """Return a storage from ("storage", type, key, device, count)."""
    kind, dtype, key, _, count = said
    known = isinstance(dtype, Name) and dtype.endswith("Storage")
    if kind != "storage" or not known or not isinstance(key, str) or not _is_count(count):
        raise InputError("is damaged: it names numbers in an unknown way")
    return Storage(key, dtype, count)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if (
        not isinstance(storage, Storage)
        or not _is_count(offset)
        or not all(isinstance(each, tuple) and len(each) <= 8 for each in (shape, strides))
        or not all(_is_count(number) for number in (*shape, *strides))
    ):
        raise InputError("is damaged: it makes a tensor in an unknown way")
    last = sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    size = math.prod(shape)
    if size < 1 or size > storage.count or offset + last >= storage.count:
        raise InputError("has a tensor that is empty, or larger than its numbers")
    return Tensor(storage, offset, shape, strides)


# What the names in a state dict stand for: those of storages stand beside, and are never called.
CALLS = {
    "collections OrderedDict": dict,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    **dict.fromkeys(f"torch {kind}Storage" for kind in KINDS),
}


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**40


def _check_tensors(state: StateDict, found: Any) -> None:
    """Take the tensors over, once each has the numbers in the archive that it should have."""
    if not isinstance(found, dict) or not found:
        raise state.refuse("", "holds no state dict: a dictionary of tensors by name")
    found = next((found[key] for key in STATE_KEYS if _has_tensors(found.get(key))), found)
    sizes = {entry.filename: entry.file_size for entry in state.archive.infolist()}
    for name, tensor in found.items():
        if isinstance(name, str) and name.endswith(UNUSED):
            continue
        if not isinstance(tensor, Tensor) or not isinstance(name, str):
            raise state.refuse(
                str(name),
                "is no tensor\nSave the state_dict() of a model; beside other things, it is read "
                f"if its name is one of {', '.join(STATE_KEYS)}",
            )
        storage = tensor.storage
        if storage.kind not in DTYPES:
            kind = storage.kind.replace(" ", ".")
            raise state.refuse(name, f"is a {kind}; weights are float16, float32 or float64")
        stored = sizes.get(f"{state.folder}/data/{storage.key}")
        if stored != storage.count * np.dtype(DTYPES[storage.kind]).itemsize:
            there = "none" if stored is None else f"{stored:,} bytes"
            raise state.refuse(name, f"should have {storage.count:,} numbers, there are {there}")
    state.tensors = {name: found[name] for name in found if not name.endswith(UNUSED)}


def _has_tensors(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(each, Tensor) for each in value.values())

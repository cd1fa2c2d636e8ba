"""Open an HDF5 file that is not trusted: everything is checked before any array is read.

Only plain arrays of numbers are let through, and of the attributes only texts are read. Links that
leave the file or run in circles, virtual and external arrays, references, compound and
variable-length types, filters that HDF5 would look for in a plugin, and sizes that the file cannot
hold are refused by name.
"""

import contextlib
import io
import mmap
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.networks.network import MOST
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.files import ordinary

SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
# What h5py raises where a file is not what it says.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, zlib.error)
UNUSED = ".num_batches_tracked"  # of PyTorch's normalisations: no output depends on it
MAX_OBJECTS = 5_000  # groups and arrays; a large network with optimizer state has a few hundred
MAX_TEXT_BYTES = 8_000_000  # of one attribute; the description of a network takes some 50 kB
MAX_CHUNKS = 10_000
MAX_EXPANSION = 200  # bytes out of one compressed byte, of an array above 1 MB
NATURES = (
    (ZIP, "a zip archive, as .keras and .npz files are"),
    (SIGNATURE, "an HDF5 file, as .h5 files are"),
    (b"\x93NUMPY", "an array of NumPy, as .npy files are"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for"),
    (b"\x1f\x8b", "compressed with gzip; decompress it first"),
    *((bytes([128, n]), "a Python pickle, which is never opened") for n in range(2, 6)),
)
BY_SUFFIX = {  # what has no signature of its own
    ".caffemodel": "a network of Caffe; convert it with Caffe's own tools",
    ".ckpt": "a checkpoint of TensorFlow or PyTorch",
    ".mlmodel": "a network of Core ML",
    ".onnx": "a network in ONNX; it can be run with ONNX Runtime, not trained",
    ".pb": "a graph of TensorFlow, as SavedModels have",
    ".tflite": "a network of TensorFlow Lite, whose weights may be rounded",
}
WAYS_OUT = "Weights are read from .h5, .keras, .safetensors, and state dicts of PyTorch (.pth)"
# What files begin with, and are, by their suffix; all others are HDF5.
FORMATS: dict[str, tuple[tuple[bytes, ...], str]] = {
    ".keras": ((ZIP, SIGNATURE), "a .keras archive"),
    ".npy": ((b"\x93NUMPY",), "an array of NumPy"),
    ".pt": ((ZIP,), "a state dict of PyTorch 1.6 or later"),
    ".pth": ((ZIP,), "a state dict of PyTorch 1.6 or later"),
    ".safetensors": ((b"",), "a .safetensors file"),
}


@dataclass
class OpenFile:
    """An open file that is not trusted."""

    path: Path

    def refuse(self, where: str, problem: str) -> InputError:
        """Return the error that names the file, the place in it and the problem."""
        place = f" {where!r:.120}:" if where else ""
        return InputError(f"{self.path}:{place} {problem}")

    def as_weights(self, where: str, array: np.ndarray) -> np.ndarray:
        """Return an array in float32, or raise an InputError if a number is NaN or infinite."""
        with np.errstate(over="ignore"):  # too large for float32 is infinite
            array = array.astype("float32", copy=False)
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            raise self.refuse(where, f"{bad:,} of {array.size:,} numbers are NaN or infinite")
        return array


@dataclass
class CheckedFile(OpenFile):
    """An open HDF5 file in which every object has been looked at."""

    size: int
    file: Any
    arrays: list[str] = field(default_factory=list)  # paths without a leading slash
    groups: set[str] = field(default_factory=set)  # likewise; "" is the root
    numbers: int = 0  # that have been read
    content: bytes | None = None  # of a file within another
    description: str | None = None  # of the network, and the version of Keras that wrote it,
    version: str = ""  # where these do not stand in the file itself

    def has_attribute(self, group: str, name: str) -> bool:
        return name in self.file[f"/{group}"].attrs

    def texts(self, group: str, name: str) -> list[str]:
        """Return an attribute that is a text or a list of texts, as a list."""
        from h5py import h5t

        attribute = self.file[f"/{group}"].attrs.get_id(name)
        kind, where = attribute.get_type(), f"{group}@{name}"
        count = int(np.prod(attribute.shape, dtype=object)) if attribute.shape else 1
        if attribute.shape is None or count == 0:
            return []
        if kind.get_class() != h5t.STRING:
            raise self.refuse(where, "should be text")
        # Texts of variable length lie elsewhere in the file, and many can point at the same one.
        each = self._largest_heap if kind.is_variable_str() else kind.get_size()
        size = count * each
        if size > 20 * MAX_TEXT_BYTES or (count == 1 and size > MAX_TEXT_BYTES):
            raise self.refuse(where, f"is too large for its purpose, up to {size:,} bytes of text")
        value = self.file[f"/{group}"].attrs[name]
        values = value.ravel().tolist() if isinstance(value, np.ndarray) else [value]
        return [each.decode("utf-8") if isinstance(each, bytes) else str(each) for each in values]

    def text(self, group: str, name: str) -> str | None:
        """Return an attribute that is one text, or None if the group does not carry it."""
        found = self.texts(group, name) if self.has_attribute(group, name) else []
        return found[0] if found else None

    def read(self, path: str) -> np.ndarray:
        """Return an array in float32."""
        dataset = self.file[f"/{path}"]
        kind = dataset.dtype.name
        if kind not in ("float16", "float32", "float64"):
            raise self.refuse(path, f"holds {kind}; weights are float16, float32 or float64")
        self.numbers += int(dataset.size)
        if self.numbers > (most := MOST["parameters"]):
            raise self.refuse(path, f"more than {most:,} numbers; no network has them")
        self._check_chunks(path, dataset)
        return self.as_weights(path, np.asarray(dataset[()]))

    @cached_property
    def _largest_heap(self) -> int:
        """The size of the largest heap collection, which no text in the file can exceed."""
        with contextlib.ExitStack() as stack:
            content: Any = self.content
            if content is None:
                file = stack.enter_context(self.path.open("rb"))
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                stack.enter_context(content)
            heaps = re.finditer(rb"(?s)GCOL(?=.{4}(.{8}))", content)
            sizes = (int.from_bytes(heap[1], "little") for heap in heaps)
            return min(max(sizes, default=0) or self.size, self.size)

    def _check_chunks(self, path: str, dataset: Any) -> None:
        """Check that every part is there and inflates to no more than its size."""
        if dataset.chunks is None:
            return
        each = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
        addresses: list[Any] = []
        dataset.id.chunk_iter(addresses.append)
        counts = [-(-n // m) for n, m in zip(dataset.shape, dataset.chunks, strict=True)]
        if len(addresses) != int(np.prod(counts, dtype=object)):
            raise self.refuse(path, "parts of it were never written; the file is not complete")
        for chunk in addresses:
            if chunk.size > each + each // 8 + 4096:
                raise self.refuse(path, f"a part takes {chunk.size:,} bytes for {each:,}")
            if dataset.compression == "gzip" and not chunk.filter_mask:
                _, raw = dataset.id.read_direct_chunk(chunk.chunk_offset)
                if len(zlib.decompressobj().decompress(raw, each + 1)) != each:
                    raise self.refuse(path, f"a part does not inflate to its {each:,} bytes")


def check_signature(path: Path) -> None:
    """Raise an InputError that names what a file is, unless it begins as its suffix promises.

    Cheap: asked before h5py is imported.
    """
    ordinary(path)
    signatures, wanted = FORMATS.get(path.suffix, ((SIGNATURE,), "an HDF5 file"))
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except IsADirectoryError:
        problem = "is a folder without best.weights.h5; give a .h5 file"
        if (path / "saved_model.pb").exists():
            problem = f"is a SavedModel, a folder of TensorFlow\n{WAYS_OUT}"
        raise InputError(f"{path}: {problem}") from None
    except (OSError, ValueError) as error:  # the second: no file can have this name
        raise InputError(f"{path}: cannot be read: {reason_of(error)}") from None
    if start.startswith(signatures) and not (path.suffix == ".safetensors" and start[8:9] != b"{"):
        return
    if not start:
        raise InputError(f"{path}: is empty; fetch or copy it again")
    nature = next((text for magic, text in NATURES if start.startswith(magic)), "")
    if not nature and start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<?")):
        nature = "a web page; the download went wrong"
    nature = nature or BY_SUFFIX.get(".tflite" if start[4:8] == b"TFL3" else path.suffix, "")
    advice = WAYS_OUT
    if signatures == (ZIP,):
        advice = "Save an older one again: torch.save(torch.load(OLD, weights_only=True), NEW)"
    is_what = f": it is {nature}" if nature else ""
    raise InputError(f"{path}: is not {wanted}{is_what}\n{advice}")


@contextlib.contextmanager
def open_checked(path: Path, content: bytes | None = None) -> Iterator[CheckedFile]:
    """Open an HDF5 file for reading, with every object in it checked.

    With `content`, the file at `path` is an archive that holds it.
    """
    if content is None:
        check_signature(path)
    import h5py

    size = path.stat().st_size if content is None else len(content)
    place = path if content is None else io.BytesIO(content)
    try:
        with h5py.File(place, "r", locking="best-effort") as file:
            checked = CheckedFile(path, size, file, content=content)
            _walk(checked)
            yield checked
    except InputError:
        raise
    except DAMAGE as error:
        reason = "no HDF5" if isinstance(error, TypeError) else reason_of(error)
        what = "is cut off" if "truncated" in reason else "is damaged"
        raise InputError(f"{path}: {what}: {reason}\nFetch or copy it again") from None


def _walk(checked: CheckedFile) -> None:
    """Look at every object and link without reading an array."""
    import h5py

    seen: set[Any] = set()
    waiting: list[tuple[str, Any]] = [("", checked.file["/"])]
    objects, stored = 0, 0
    while waiting:
        path, item = waiting.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise checked.refuse(path, "is linked twice, or its groups run in a circle")
        seen.add(address)
        if isinstance(item, h5py.Dataset):
            _check_array(checked, path, item)
            checked.arrays.append(path)
            stored += item.id.get_storage_size()
            continue
        checked.groups.add(path)
        objects += len(item)
        if objects > MAX_OBJECTS:
            raise checked.refuse(path, f"more than {MAX_OBJECTS:,} objects; weights need far fewer")
        for name in item:
            below = f"{path}/{name}" if path else name
            if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                raise checked.refuse(below, "is a link to another place, which is not followed")
            waiting.append((below, item[name]))
    if stored > checked.size:
        raise checked.refuse("", f"says that it holds {stored:,} bytes, and has {checked.size:,}")


def _check_array(checked: CheckedFile, path: str, dataset: Any) -> None:
    """Check what the file says of an array, above all that the file can hold its size."""
    from h5py import h5z

    if dataset.dtype.kind not in "fiu":
        raise checked.refuse(path, f"holds {dataset.dtype!s:.80}, not plain numbers")
    properties = dataset.id.get_create_plist()
    if dataset.is_virtual:
        raise checked.refuse(path, "is a virtual array: its numbers would come from other files")
    if properties.get_external_count():
        raise checked.refuse(path, "keeps its numbers in another file, which is not opened")
    filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    usual = (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_LZF, h5z.FILTER_FLETCHER32)
    both = {h5z.FILTER_DEFLATE, h5z.FILTER_LZF} <= set(filters)
    if both or filters != [each for each in usual if each in filters]:
        raise checked.refuse(path, f"is stored with the filters {filters}, which Keras never uses")
    size = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
    stored, expansion = dataset.id.get_storage_size(), 1
    if dataset.chunks is not None:  # gzip reaches 1032, with nothing but zeros
        expansion = 1100 if size <= 1 << 20 else MAX_EXPANSION
        each = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize
        if each > max(2 * size, 1 << 16) or dataset.id.get_num_chunks() > MAX_CHUNKS:
            raise checked.refuse(path, f"is stored in parts of an absurd size, {each:,} bytes each")
    if size > expansion * stored:
        shape = "x".join(map(str, dataset.shape)) or "one number"
        raise checked.refuse(
            path,
            f"claims to be {shape} ({size:,} bytes), but only {stored:,} bytes of it are stored",
        )

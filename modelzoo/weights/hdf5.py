"""Open an HDF5 file that is not trusted: everything is checked before any array is read.

Only plain arrays of numbers are let through, and of the attributes only texts are read. Links that
leave the file or run in circles, virtual and external arrays, references, compound and
variable-length types, filters that HDF5 would look for in a plugin, and sizes that the file cannot
hold are refused by name.
"""

import contextlib
import mmap
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.config.published import TORCH_SUFFIXES
from modelzoo.networks.network import MOST
from modelzoo.support.errors import InputError, reason_of

SIGNATURE = b"\x89HDF\r\n\x1a\n"
TORCH_SIGNATURE = b"PK\x03\x04"  # a zip archive
FLOATS = ("float16", "float32", "float64")
MAX_OBJECTS = 5_000  # groups and arrays; a large network with optimizer state has a few hundred
MAX_DEPTH = 20
MAX_TEXT_BYTES = 8_000_000  # of one attribute; the description of a network takes some 50 kB
MAX_CHUNKS = 10_000
MAX_EXPANSION = 200  # bytes out of one compressed byte, of an array above 1 MB
NATURES = (
    (b"PK\x03\x04", "a zip archive, as .keras and .npz files are"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for"),
    (b"\x1f\x8b", "compressed with gzip; decompress it first"),
    (b"\x93NUMPY", "a NumPy array"),
    *((bytes([128, n]), "a Python pickle, which is never opened") for n in range(2, 6)),
)


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

    def has_attribute(self, group: str, name: str) -> bool:
        """Whether a group carries an attribute."""
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
        if not self.has_attribute(group, name):
            return None
        found = self.texts(group, name)
        if len(found) != 1:
            raise self.refuse(f"{group}@{name}", f"holds {len(found)} texts, not one")
        return found[0]

    def read(self, path: str) -> np.ndarray:
        """Return an array in float32."""
        dataset = self.file[f"/{path}"]
        if dataset.dtype.name not in FLOATS:
            floats = ", ".join(FLOATS)
            raise self.refuse(path, f"holds {dataset.dtype.name} numbers; weights are {floats}")
        self.numbers += int(dataset.size)
        if self.numbers > (most := MOST["parameters"]):
            raise self.refuse(path, f"more than {most:,} numbers; no network has them")
        self._check_chunks(path, dataset)
        try:
            return self.as_weights(path, np.asarray(dataset[()]))
        except (OSError, RuntimeError) as error:
            raise self.refuse(path, f"cannot be read: {reason_of(error)}") from None

    @cached_property
    def _largest_heap(self) -> int:
        """The size of the largest heap collection, which no text in the file can exceed."""
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            heaps = re.finditer(rb"(?s)GCOL(?=.{4}(.{8}))", content)
            sizes = (int.from_bytes(heap[1], "little") for heap in heaps)
            return min(max(sizes, default=0) or self.size, self.size)

    def _check_chunks(self, path: str, dataset: Any) -> None:
        """Check that every part is there and inflates to no more than its size."""
        if dataset.chunks is None:
            return
        compressed = dataset.compression == "gzip"
        each = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
        addresses: list[Any] = []
        dataset.id.chunk_iter(addresses.append)
        counts = [-(-n // m) for n, m in zip(dataset.shape, dataset.chunks, strict=True)]
        if len(addresses) != int(np.prod(counts, dtype=object)):
            raise self.refuse(path, "parts of it were never written; the file is not complete")
        for chunk in addresses:
            if chunk.size > each + each // 8 + 4096:
                raise self.refuse(path, f"a part takes {chunk.size:,} bytes for {each:,}")
            if not compressed or chunk.filter_mask:
                continue
            _, raw = dataset.id.read_direct_chunk(chunk.chunk_offset)
            if dataset.fletcher32:
                raw = raw[:-4]
            try:
                inflated = zlib.decompressobj().decompress(raw, each + 1)
            except zlib.error:
                raise self.refuse(path, "its compressed numbers are damaged") from None
            if len(inflated) != each:
                raise self.refuse(path, f"a part does not inflate to its {each:,} bytes")


def check_signature(path: Path) -> None:
    """Raise an InputError that names what a file is, unless it begins as HDF5 does.

    A `.pth` file should begin as the zip archives do that PyTorch saves. Cheap: asked before h5py
    is imported.
    """
    try:
        mode, start = path.stat().st_mode, b""
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                start = file.read(512)
    except (OSError, ValueError) as error:  # the second: no file can have this name
        raise InputError(f"{path}: cannot be read: {reason_of(error)}") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a folder without best.weights.h5; give a .h5 file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is not an ordinary file")
    torch = path.suffix in TORCH_SUFFIXES
    if start.startswith(TORCH_SIGNATURE if torch else SIGNATURE):
        return
    if not start:
        raise InputError(f"{path}: is empty; fetch or copy it again")
    nature = next((text for magic, text in NATURES if start.startswith(magic)), "")
    if not nature and start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<?")):
        nature = "a web page; the download went wrong"
    wanted = "an HDF5 file"
    advice = "Weights are read from .h5 files, and from the .pth files of PyTorch"
    if torch:
        wanted = "a state dict of PyTorch 1.6 or later"
        advice = "Save an older one again: torch.save(torch.load(OLD, weights_only=True), NEW)"
    is_what = f": it is {nature}" if nature else ""
    raise InputError(f"{path}: is not {wanted}{is_what}\n{advice}")


@contextlib.contextmanager
def open_checked(path: Path) -> Iterator[CheckedFile]:
    """Open an HDF5 file for reading, with every object in it checked.

    Raises:
        InputError: it is not a whole HDF5 file, or holds what a file of weights never does.
    """
    check_signature(path)
    import h5py

    try:
        file = h5py.File(path, "r", locking="best-effort")
    except (OSError, RuntimeError, ValueError) as error:
        reason = reason_of(error)
        what = "is cut off" if "truncated" in reason else "is damaged"
        raise InputError(f"{path}: {what}: {reason}\nFetch or copy it again") from None
    with file:
        checked = CheckedFile(path, path.stat().st_size, file)
        try:
            _walk(checked)
            yield checked
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: is damaged: {reason_of(error)}") from None


def _walk(checked: CheckedFile) -> None:
    """Look at every object and link, breadth first, without reading an array."""
    import h5py

    seen: set[Any] = set()
    waiting: list[tuple[str, int, Any]] = [("", 0, checked.file["/"])]
    objects, stored = 0, 0
    while waiting:
        path, depth, item = waiting.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise checked.refuse(path, "is linked twice, or its groups run in a circle")
        seen.add(address)
        if isinstance(item, h5py.Datatype):
            raise checked.refuse(path, "is a named type; weights need none")
        if isinstance(item, h5py.Dataset):
            stored += _check_array(checked, path, item)
            continue
        checked.groups.add(path)
        if depth == MAX_DEPTH:
            raise checked.refuse(path, f"is nested more than {MAX_DEPTH} deep")
        objects += len(item)
        if objects > MAX_OBJECTS:
            raise checked.refuse(path, f"more than {MAX_OBJECTS:,} objects; weights need far fewer")
        for name in item:
            below = f"{path}/{name}" if path else name
            link = item.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = {h5py.SoftLink: "a soft link", h5py.ExternalLink: "a link to another file"}
                raise checked.refuse(
                    below, f"is {kind.get(type(link), 'an unknown link')}, which is not followed"
                )
            waiting.append((below, depth + 1, item[name]))
    if stored > checked.size:
        raise checked.refuse("", f"says that it holds {stored:,} bytes, and has {checked.size:,}")


def _check_array(checked: CheckedFile, path: str, dataset: Any) -> int:
    """Check what the file says of an array; return the bytes that it takes in the file."""
    from h5py import h5d, h5t, h5z

    kind = dataset.id.get_type()
    if kind.get_class() not in (h5t.FLOAT, h5t.INTEGER):
        names = {
            h5t.REFERENCE: "references",
            h5t.COMPOUND: "compound values",
            h5t.VLEN: "values of variable length",
            h5t.STRING: "text",
        }
        what = names.get(kind.get_class(), "something else")
        raise checked.refuse(path, f"holds {what}, not numbers")
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5d.VIRTUAL or dataset.is_virtual:
        raise checked.refuse(path, "is a virtual array: its numbers would come from other files")
    if properties.get_external_count():
        raise checked.refuse(path, "keeps its numbers in another file, which is not opened")
    filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    usual = (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_LZF, h5z.FILTER_FLETCHER32)
    for number in filters:
        if number not in usual:
            raise checked.refuse(path, f"is stored with the unknown filter {number}")
    both = {h5z.FILTER_DEFLATE, h5z.FILTER_LZF} <= set(filters)
    if both or filters != [each for each in usual if each in filters]:
        raise checked.refuse(path, f"is stored with the filters {filters}, in an unusual order")
    if dataset.shape is None:
        raise checked.refuse(path, "has no shape")
    _check_size(checked, path, dataset)
    checked.arrays.append(path)
    return int(dataset.id.get_storage_size())


def _check_size(checked: CheckedFile, path: str, dataset: Any) -> None:
    """Refuse a size that the file cannot hold."""
    size = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    shape = "x".join(map(str, dataset.shape)) or "one number"
    most = stored if dataset.chunks is None else stored * MAX_EXPANSION
    if dataset.chunks is not None and size <= 1 << 20:
        most = stored * 1100  # gzip reaches 1032, with nothing but zeros
    if size > most or stored > checked.size:
        raise checked.refuse(
            path,
            f"claims to be {shape} ({size:,} bytes), but only {stored:,} bytes of it are stored",
        )
    if dataset.chunks is not None:
        each = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize
        if each > max(2 * size, 1 << 16) or dataset.id.get_num_chunks() > MAX_CHUNKS:
            raise checked.refuse(path, f"is stored in parts of an absurd size, {each:,} bytes each")

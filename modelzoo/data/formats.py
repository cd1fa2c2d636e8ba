"""The files that data sets are distributed as: how each is recognised by its content, and read.

A file holds images, labels or both of a split that its name tells. Nothing in it is executed.
"""

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelzoo.data.conversion import squared
from modelzoo.data.matlab import SIGNATURE, read_matlab
from modelzoo.support.errors import InputError
from modelzoo.support.pickles import read_pickle

MOST = 2**30  # bytes of one file
SMALL = 2**24  # bytes
MAX_EXPANSION = 20  # bytes out of one compressed byte, above SMALL; MNIST as a table has 9
MANY_COLUMNS = 16  # above this, a table holds pixels
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
LABEL_COLUMNS = ("label", "class", "target", "y")
OTHER_COLUMNS = ("id", "index", "")
NAMES = ("batches.meta.txt", "fine_label_names.txt")  # of CIFAR's binary archives
# What names tell; a word may stand behind another, as in x_train, but not within one, as in latest.
SPLITS = {
    "test": re.compile(r"(?<![a-z])(test|t10k)"),
    "validation": re.compile(r"(?<![a-z])val(id(ation)?)?(?![a-z])"),
    "train": re.compile(r"(?<![a-z])(train|data_batch)"),
}
TURNED = "EMNIST's images lie on their side in its files: turned upright."


@dataclass(frozen=True)
class Piece:
    """What a file holds of a data set."""

    file: str
    split: str = ""  # "train", "validation", "test"; "" where the name does not tell
    images: np.ndarray | None = None
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Format:
    """A kind of file: how it is recognised by name and first bytes, and how it is read."""

    name: str
    fits: Callable[[str, bytes], bool]
    read: Callable[[str, bytes], Iterable[Piece]]
    size: Callable[[bytes], int] = lambda head: 0  # of the whole, if its first bytes tell


def grown(size: int) -> int:
    """Return the bytes that so many compressed ones may become; a bomb makes a thousand of each."""
    return max(SMALL, MAX_EXPANSION * size)


def split_of(name: str) -> str:
    """Return the split that a file's name, or else the folders above it, tell of."""
    lower = name.lower()
    for text in (lower.rpartition("/")[2], lower):
        for split, words in SPLITS.items():
            if words.search(text):
                return split
    return ""


def _idx_shape(head: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    sizes = head[4 : 4 + 4 * head[3]]
    if len(sizes) < 4 * head[3]:
        raise InputError("is cut off within its header")
    return np.dtype(IDX_TYPES[head[2]]), tuple(np.frombuffer(sizes, ">u4").tolist())


def _idx_size(head: bytes) -> int:
    dtype, shape = _idx_shape(head)
    return 4 + 4 * len(shape) + math.prod(shape) * dtype.itemsize


def _read_idx(name: str, content: bytes) -> Iterator[Piece]:
    dtype, shape = _idx_shape(content)
    if len(content) != (size := _idx_size(content)):
        found = "more" if len(content) > size else f"{len(content):,}"
        raise InputError(f"should have {size:,} bytes, and has {found}")
    array = np.frombuffer(content, dtype, offset=4 + 4 * len(shape)).reshape(shape)
    images, labels = (None, array) if len(shape) == 1 else (array, None)
    yield Piece(name, split_of(name), images, labels)


def _read_records(name: str, content: bytes) -> Iterator[Piece]:
    """Read CIFAR's binary version: the last byte of a label is the class, then three planes."""
    for label_bytes in (1, 2):  # CIFAR-100 has the superclass first
        size = label_bytes + 3 * 32 * 32
        if content and len(content) % size == 0:
            records = np.frombuffer(content, np.uint8).reshape(-1, size)
            planes = records[:, label_bytes:].reshape(-1, 3, 32, 32)
            labels = records[:, label_bytes - 1]
            yield Piece(name, split_of(name), planes.transpose(0, 2, 3, 1), labels)
            return
    raise InputError(f"has {len(content):,} bytes: no whole number of CIFAR's records")


def _read_batch(name: str, content: bytes) -> Iterator[Piece]:
    """Read CIFAR's Python version, without unpickling."""
    found = read_pickle(content)
    if not isinstance(found, dict):
        raise InputError("is a pickle of something else than CIFAR's batches")
    entries = {key.decode() if isinstance(key, bytes) else key: found[key] for key in found}
    names = entries.get("fine_label_names", entries.get("label_names"))
    if isinstance(names, list):
        texts = (each.decode("latin-1") if isinstance(each, bytes) else each for each in names)
        yield Piece(name, class_names=tuple(map(str, texts)))
    if "data" in entries:
        pixels = entries["data"]
        labels = np.array(entries.get("fine_labels", entries.get("labels")))
        if not isinstance(pixels, np.ndarray) or pixels.shape != (len(labels), 3 * 32 * 32):
            raise InputError("should have 3,072 numbers and a label for each image")
        planes = pixels.reshape(-1, 3, 32, 32)
        yield Piece(name, split_of(name), planes.transpose(0, 2, 3, 1), labels)


def _read_names(name: str, content: bytes) -> Iterator[Piece]:
    yield Piece(name, class_names=tuple(content.decode("utf-8").split()))


def _read_mat(name: str, content: bytes) -> Iterator[Piece]:
    found = read_matlab(content, min(MOST, grown(len(content))))
    if isinstance(dataset := found.get("dataset"), dict):  # EMNIST
        mapping = dataset.get("mapping")
        if isinstance(mapping, np.ndarray) and mapping.ndim == 2 and mapping.shape[1] > 1:
            yield Piece(name, class_names=tuple(chr(int(code)) for code in mapping[:, 1]))
        for split in ("train", "test"):
            part = dataset.get(split)
            if not isinstance(part, dict) or not all(
                isinstance(part.get(key), np.ndarray) for key in ("images", "labels")
            ):
                raise InputError(f"has no images and labels in dataset.{split}")
            images = squared(part["images"]).swapaxes(1, 2)
            yield Piece(name, split, images, part["labels"], note=TURNED)
        return
    pixels, digits = found.get("X"), found.get("y")  # SVHN
    if not isinstance(pixels, np.ndarray) or not isinstance(digits, np.ndarray) or pixels.ndim != 4:
        raise InputError(f"holds {', '.join(found) or 'nothing'}; read are EMNIST's and SVHN's")
    zeros = np.where(digits == 10, 0, digits)
    note = "SVHN's class 10: the digit 0." if (digits == 10).any() else ""
    yield Piece(name, split_of(name), pixels.transpose(3, 0, 1, 2), zeros, note=note)


def _fields(line: bytes) -> list[str]:
    return [each.strip().strip('"') for each in line.decode("utf-8-sig", "replace").split(",")]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", text, re.ASCII | re.IGNORECASE) is not None


def _read_table(name: str, content: bytes) -> Iterator[Piece]:
    first, _, rest = content.partition(b"\n")
    fields = _fields(first)
    header = [] if all(map(_is_number, fields)) else [each.lower() for each in fields]
    rows = rest if header else content
    if not rows.strip():
        raise InputError("has no rows")
    numbers = np.loadtxt(
        io.BytesIO(rows), np.float32, comments=None, delimiter=",", quotechar='"', ndmin=2
    )
    columns = range(len(fields))
    label = next((each for each in columns if header and header[each] in LABEL_COLUMNS), None)
    if not header and math.isqrt(len(fields) - 1) ** 2 == len(fields) - 1:
        label = 0
    pixels = [c for c in columns if c != label and not (header and header[c] in OTHER_COLUMNS)]
    if label is None:
        yield Piece(name, note=f"{name} has no labels, and is not used.")
        return
    if numbers.shape[1] != len(fields):
        raise InputError(f"has {len(fields)} columns in its first line, then {numbers.shape[1]}")
    first_pixel, behind = pixels[0], pixels[-1] + 1
    whole = behind - first_pixel == len(pixels)  # then nothing is copied
    images: np.ndarray = numbers[:, first_pixel:behind] if whole else numbers[:, pixels]
    if images.min() >= 0 and images.max() <= 255 and (images % 1 == 0).all():
        images = images.astype(np.uint8)
    yield Piece(name, split_of(name), squared(images), numbers[:, label])


def _is_idx(name: str, head: bytes) -> bool:
    starts = len(head) > 8 and head[:2] == b"\0\0"
    return starts and head[2] in IDX_TYPES and 1 <= head[3] <= 4


def _is_table(name: str, head: bytes) -> bool:
    return name.endswith(".csv") and head.partition(b"\n")[0].count(b",") > MANY_COLUMNS


def _is_pickle(name: str, head: bytes) -> bool:
    return head[:1] == b"\x80" and head[1:2] <= b"\x05"


FORMATS = (
    Format("IDX", _is_idx, _read_idx, _idx_size),
    Format("MATLAB 5", lambda name, head: head.startswith(SIGNATURE), _read_mat),
    Format("CIFAR's Python", _is_pickle, _read_batch),
    Format("CIFAR's binary", lambda name, head: name.endswith(".bin"), _read_records),
    Format("names of classes", lambda name, head: name.endswith(NAMES), _read_names),
    Format("table", _is_table, _read_table),
)

"""Read an .npz file, a data set's above all, believing nothing in it before it is checked."""

import math
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from modelzoo.data.source import Dataset
from modelzoo.support.errors import InputError, reason_of

KEYS = ("x_train", "y_train", "x_test", "y_test")
MAX_EXPANSION = 200  # bytes out of one compressed byte, of an array above `SMALL`
SMALL = 2**24  # bytes
ALIGNED = 64  # bytes
LARGEST_LABEL = 100_000  # more classes than this is a mistake, and would fill memory with names
EXPECTED = (
    "It must hold x_train, x_test: uint8 (n, height, width) or (n, height, width, 1 or 3),\n"
    "and y_train, y_test: one whole number from 0 an image. Replace the file or remove it."
)


def read_npz(path: Path, name: str, class_names: tuple[str, ...] = ()) -> Dataset:
    """Read a data set; with no `class_names`, its classes are those in the file, or numbers."""
    try:
        return as_dataset(name, read_arrays(path, (*KEYS, "class_names")), class_names)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as a data set: {error}\n{EXPECTED}") from error


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by their names, only those in `names` if that is given.

    Nothing is unpickled, and no more memory is taken than the file can fill.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is damaged, or an entry is no array; the message is one line.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name in arrays:
                    raise InputError(f"{name!r:.80} is there twice")
                if names is None or name in names:
                    with archive.open(entry) as file:
                        arrays[name] = _read_array(file, entry)
    except OSError:
        raise
    except Exception as error:  # a damaged zip or header raises a dozen unrelated kinds
        raise ValueError(re.sub(r" at 0x[0-9a-f]+", "", reason_of(error))) from error
    return arrays


def _read_array(file: IO[bytes], entry: zipfile.ZipInfo) -> np.ndarray:
    """Return an entry's array, whose memory TensorFlow can share: it begins at a multiple of 64.

    Refuse an entry that is no array, or whose header and sizes don't agree.
    """
    name, version = f"{entry.filename!r:.80}", np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, by_column, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise InputError(f"{name} is of an unknown version {version}")
    if dtype.hasobject:
        raise InputError(f"{name} holds Python objects, which are never unpickled")
    size, stored = math.prod(shape) * dtype.itemsize, entry.file_size - file.tell()
    if not all(0 <= side < 2**40 for side in shape) or size != stored:
        raise InputError(f"{name} claims to be {shape} of {dtype}, but {stored:,} bytes are there")
    if size > max(SMALL, MAX_EXPANSION * entry.compress_size):
        raise InputError(
            f"{name} would grow from {entry.compress_size:,} to {size:,} bytes: it may be made to "
            "fill the memory"
        )
    memory = np.empty(size + ALIGNED, np.uint8)
    first = -memory.ctypes.data % ALIGNED
    content = memory[first : first + size]
    for at in range(0, size, SMALL):
        part = content[at : at + SMALL]
        part[:] = np.frombuffer(file.read(len(part)), np.uint8)
    return content.view(dtype).reshape(shape, order="F" if by_column else "C")


def as_dataset(
    name: str, arrays: Mapping[str, Any], class_names: tuple[str, ...] = (), note: str = ""
) -> Dataset:
    """Return the four arrays, in memory or read lazily, as a data set in their standard shapes."""
    if missing := [key for key in KEYS if key not in arrays]:
        raise InputError(f"it lacks {', '.join(missing)}")
    names = class_names
    if "class_names" in arrays:
        given = arrays["class_names"]
        if given.dtype.kind != "U" or given.ndim != 1 or len(given) == 0 or "" in given:
            raise InputError("class_names is not a row of non-empty strings")
        names = tuple(map(str, given))
        if class_names and len(names) != len(class_names):
            raise InputError(f"it names {len(names)} classes instead of {len(class_names)}")
    x_train, y_train = _split(arrays, "train", len(names) or LARGEST_LABEL)
    x_test, y_test = _split(arrays, "test", len(names) or LARGEST_LABEL)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise InputError(f"its images are {x_train.shape[1:]} and {x_test.shape[1:]}")
    names = names or tuple(map(str, range(int(max(y_train.max(), y_test.max())) + 1)))
    return Dataset(name, x_train, y_train, x_test, y_test, names, note)


def _split(arrays: Mapping[str, Any], split: str, classes: int) -> tuple[Any, np.ndarray]:
    x, y = f"x_{split}", f"y_{split}"
    images, labels = arrays[x], arrays[y]
    if images.dtype != np.uint8:
        raise InputError(f"{x} is {images.dtype}, not uint8")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(f"{x} has the shape {images.shape}")
    if 0 in images.shape:
        raise InputError(f"{x} is empty")
    if labels.dtype.kind not in "iu":
        raise InputError(f"{y} is {labels.dtype}, not whole numbers")
    count = len(images)
    if labels.shape not in ((count,), (count, 1)):  # Keras gives CIFAR's labels as a column
        raise InputError(f"{y} has the shape {labels.shape} for {count} images")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"{y} runs {labels.min()}..{labels.max()}, not within 0..{classes - 1}")
    return images, labels.reshape(count).astype(np.int64)

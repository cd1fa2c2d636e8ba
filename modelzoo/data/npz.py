"""Read an .npz file, a data set's above all, believing nothing in it before it is checked."""

import math
import re
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

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
        arrays = read_arrays(path, (*KEYS, "class_names"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as an .npz file: {error}\n{EXPECTED}") from error
    return as_dataset(name, arrays, str(path), class_names)


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by their names, only those in `names` if that is given.

    Nothing is unpickled, and no more memory is taken than the file can fill.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is damaged, or an entry is no array; the message is one line.
    """
    if not path.stat().st_size:
        raise ValueError("the file is empty")
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if names is not None and name not in names:
                    continue
                if name in arrays:
                    raise ValueError(f"{name!r:.80} is there twice")
                shape, is_plain = _check_entry(archive, entry)
                with archive.open(entry) as file:
                    if is_plain:
                        file.read(entry.file_size - math.prod(shape))  # the header
                        arrays[name] = _read_bytes(file, shape)
                    else:
                        arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # a damaged zip or header raises a dozen unrelated kinds
        raise ValueError(re.sub(r" at 0x[0-9a-f]+", "", reason_of(error))) from error
    return arrays


def _read_bytes(file: IO[bytes], shape: tuple[int, ...]) -> np.ndarray:
    """Return a uint8 array in memory that TensorFlow can share: it begins at a multiple of 64."""
    memory = np.empty(math.prod(shape) + ALIGNED, np.uint8)
    first = -memory.ctypes.data % ALIGNED
    array = memory[first : first + math.prod(shape)]
    for at in range(0, len(array), SMALL):
        part = array[at : at + SMALL]
        part[:] = np.frombuffer(file.read(len(part)), np.uint8)
    return array.reshape(shape)


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool]:
    """Return an array's shape, and whether it is of bytes in C's order.

    Refuse an entry that is no array, or whose header and sizes don't agree.
    """
    name = f"{entry.filename!r:.80}"
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, by_column, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"{name} is of an unknown version {version}")
        stored = entry.file_size - file.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are never unpickled")
    size = math.prod(shape) * dtype.itemsize
    if not all(0 <= side < 2**40 for side in shape) or size != stored:
        raise ValueError(f"{name} claims to be {shape} of {dtype}, but {stored:,} bytes are there")
    if size > max(SMALL, MAX_EXPANSION * entry.compress_size):
        raise ValueError(
            f"{name} would grow from {entry.compress_size:,} to {size:,} bytes: it may be made to "
            "fill the memory"
        )
    return shape, dtype == np.uint8 and not by_column


def as_dataset(
    name: str, arrays: dict[str, np.ndarray], where: str, class_names: tuple[str, ...] = ()
) -> Dataset:
    """Check that the four arrays are a data set, and bring them to their standard shapes."""
    try:
        if missing := [key for key in KEYS if key not in arrays]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        x_train, x_test = _images(arrays, "x_train"), _images(arrays, "x_test")
        if x_train.shape[1:] != x_test.shape[1:]:
            raise ValueError(f"its images are {x_train.shape[1:]} and {x_test.shape[1:]}")
        names = class_names
        if "class_names" in arrays:
            names = _class_names(arrays["class_names"])
            if class_names and len(names) != len(class_names):
                raise ValueError(f"it names {len(names)} classes instead of {len(class_names)}")
        y_train = _labels(arrays, "y_train", len(x_train), len(names))
        y_test = _labels(arrays, "y_test", len(x_test), len(names))
    except ValueError as error:
        raise InputError(f"{where}: {error}\n{EXPECTED}") from None
    names = names or tuple(map(str, range(int(max(y_train.max(), y_test.max())) + 1)))
    return Dataset(name, x_train, y_train, x_test, y_test, names)


def _images(arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    images = arrays[key]
    if images.dtype != np.uint8:
        raise ValueError(f"{key} is {images.dtype}, not uint8")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"{key} has the shape {images.shape}")
    if 0 in images.shape:
        raise ValueError(f"{key} is empty")
    return images


def _labels(arrays: dict[str, np.ndarray], key: str, count: int, classes: int) -> np.ndarray:
    labels = arrays[key]
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{key} is {labels.dtype}, not whole numbers")
    if labels.shape not in ((count,), (count, 1)):  # Keras gives CIFAR's labels as a column
        raise ValueError(f"{key} has the shape {labels.shape} for {count} images")
    largest = (classes or LARGEST_LABEL) - 1
    if labels.min() < 0 or labels.max() > largest:
        raise ValueError(f"{key} runs {labels.min()}..{labels.max()}, not within 0..{largest}")
    return labels.reshape(count).astype(np.int64)


def _class_names(names: np.ndarray) -> tuple[str, ...]:
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) == 0 or "" in names:
        raise ValueError("class_names is not a row of non-empty strings")
    return tuple(str(name) for name in names)

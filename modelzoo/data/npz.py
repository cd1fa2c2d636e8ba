"""Read an .npz file, a data set's above all, believing nothing in it before it is checked."""

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from modelzoo.data.conversion import to_numbers, to_pixels
from modelzoo.data.source import (
    TEST_SHARE,
    Dataset,
    own_validation,
    split_validation,
    without_test,
)
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.files import ordinary

KEYS = ("x_train", "y_train", "x_test", "y_test")
WANTED = (*KEYS, "x_val", "y_val", "class_names")
MAX_EXPANSION = 200  # bytes out of one compressed byte, of an array above `SMALL`
SMALL = 2**24  # bytes
ALIGNED = 64  # bytes
LARGEST_LABEL = 100_000  # more classes than this is a mistake, and would fill memory with names
EXPECTED = (
    "It must hold x_train, x_test: uint8 (n, height, width) or (n, height, width, 1 or 3),\n"
    "and y_train, y_test: one whole number from 0 an image. Replace the file or remove it."
)
SPLITS = {"train": "train", "training": "train", "test": "test", "val": "val", "validation": "val"}
ROLES = {"x": "x", "images": "x", "imgs": "x", "data": "x", "y": "y", "labels": "y", "targets": "y"}


def _key(name: str) -> str:
    """Return the key that a name such as train_images or trainX stands for, or nothing."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[XY]\b)", "_", name).lower())
    splits = [SPLITS[word] for word in words if word in SPLITS]
    roles = [ROLES[word] for word in words if word in ROLES]
    known = len(words) == 2 and len(splits) == len(roles) == 1
    key = f"{roles[0]}_{splits[0]}" if known else name
    return key if key in WANTED else ""


def read_npz(path: Path, name: str, class_names: tuple[str, ...] = ()) -> Dataset:
    """Read a data set; with no `class_names`, its classes are those in the file, or numbers."""
    try:
        stored = read_arrays(path, _key)
        arrays = {_key(each): stored[each] for each in stored}
        if len(arrays) < len(stored):
            raise ValueError(f"several of {', '.join(sorted(stored))} are the same")
        return as_dataset(name, arrays, class_names)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as a data set: {error}\n{EXPECTED}") from error


def read_arrays(
    path: Path, wanted: Callable[[str], object] = lambda name: True
) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by their names, only those that are `wanted`.

    Nothing is unpickled, and no more memory is taken than the file can fill.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is damaged, or an entry is no array; the message is one line.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(ordinary(path)) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name in arrays:
                    raise InputError(f"{name!r:.80} is there twice")
                if wanted(name):
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
    """Return arrays, in memory or read lazily, as a data set in its standard shapes.

    Beside the four KEYS there may be x_val and y_val, the images that are set aside for validation.
    Without test images, those for validation take their place, or a fifth of the training images.
    """
    arrays, notes = dict(arrays), [note] if note else []
    if "x_test" not in arrays and "x_val" in arrays:
        arrays |= {"x_test": arrays.pop("x_val"), "y_test": arrays.pop("y_val", None)}
        notes.append("The test images are those for validation.")
    required = KEYS if "x_test" in arrays or "x_train" not in arrays else KEYS[:2]
    if missing := [key for key in required if arrays.get(key) is None]:
        raise InputError(f"it lacks {', '.join(missing)}")
    names = class_names
    if "class_names" in arrays:
        given = arrays["class_names"]
        if given.dtype.kind != "U" or given.ndim != 1 or len(given) == 0 or "" in given:
            raise InputError("class_names is not a row of non-empty strings")
        names = tuple(map(str, given))
        if class_names and len(names) != len(class_names):
            raise InputError(f"it names {len(names)} classes instead of {len(class_names)}")
    splits = {}
    done: dict[str, list[str]] = {}  # what was done to which arrays
    for split in ("train", "val", "test"):
        if (x := f"x_{split}") in arrays:
            images, changes = to_pixels(x, arrays[x])
            labels, more = to_numbers(f"y_{split}", arrays[f"y_{split}"], len(images))
            splits[split] = images, labels
            for change in (*changes, *more):
                done.setdefault(change, []).append(split)
    notes += [f"Converted ({', '.join(where)}): {change}." for change, where in done.items()]
    notes += _from_one(splits, names)
    for split, (_, labels) in splits.items():
        most = len(names) or LARGEST_LABEL
        if labels.min() < 0 or labels.max() >= most:
            said = f"y_{split} runs {labels.min()}..{labels.max()}"
            raise InputError(f"{said}, not within 0..{most - 1}")
    shapes = [images.shape[1:] for images, _ in splits.values()]
    if len(set(shapes)) > 1:
        raise InputError(f"its images are {' and '.join(map(str, shapes))}")
    largest = max(int(labels.max()) for _, labels in splits.values())
    names = names or tuple(map(str, range(largest + 1)))
    return _as_dataset(name, splits, names, notes)


def _from_one(splits: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    """Let labels begin at 0 that run from 1 to the number of the classes, as EMNIST's letters."""
    labels = [labels for _, labels in splits.values()]
    if not names or min(each.min() for each in labels) != 1:
        return []
    if max(each.max() for each in labels) != len(names):
        return []
    splits |= {split: (images, labels - 1) for split, (images, labels) in splits.items()}
    return [f"Labels from 1 to {len(names)}: from 0."]


def _as_dataset(
    name: str, splits: dict[str, Any], names: tuple[str, ...], notes: list[str]
) -> Dataset:
    x_train, y_train = splits["train"]
    validation = None
    if "test" not in splits:
        train, test = split_validation(y_train, TEST_SHARE)
        splits["test"] = x_train[test], y_train[test]
        x_train, y_train = x_train[train], y_train[train]
        notes.append(without_test(len(test)))
    elif "val" in splits:
        images, labels = splits["val"]
        validation = np.arange(len(y_train), len(y_train) + len(labels))
        x_train, y_train = np.concatenate([x_train, images]), np.concatenate([y_train, labels])
        notes.append(own_validation(len(labels)))
    x_test, y_test = splits["test"]
    note = " ".join(notes)
    return Dataset(name, x_train, y_train, x_test, y_test, names, note, validation)

"""Small data sets in the files that data sets are distributed as."""

import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = ("label", *(f"pixel{number}" for number in range(784)))


def arrays(side: int = 28, channels: int = 1, classes: int = 10) -> dict[str, np.ndarray]:
    """Return 40 training and 20 test images of noise, uint8, and their labels."""
    random = np.random.default_rng(5)
    shape = (side, side) if channels == 1 else (side, side, channels)
    return {
        "x_train": random.integers(0, 256, (40, *shape), np.uint8),
        "y_train": (np.arange(40) % classes).astype(np.uint8),
        "x_test": random.integers(0, 256, (20, *shape), np.uint8),
        "y_test": (np.arange(20) % classes).astype(np.uint8),
    }


def idx(array: np.ndarray, code: int = 8) -> bytes:
    """Return a file in LeCun's format."""
    return (
        bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    )


def idx_files(data: dict[str, np.ndarray], begin: str = "") -> dict[str, bytes]:
    """Return the four files of a set, by their usual names."""
    names = {"x": "images-idx3-ubyte", "y": "labels-idx1-ubyte"}
    test = "test" if begin else "t10k"
    return {
        f"{begin}{'train' if 'train' in key else test}-{names[key[0]]}": idx(array)
        for key, array in data.items()
    }


def table(images: np.ndarray, labels: np.ndarray | None, *, header: bool = True) -> bytes:
    """Return a table as Kaggle has them: a label and all pixels in a row."""
    rows = images.reshape(len(images), -1)
    if labels is not None:
        rows = np.column_stack([labels, rows])
    lines = [",".join(map(str, row)) for row in rows.tolist()]
    names = COLUMNS if labels is not None else COLUMNS[1:]
    return "\n".join([",".join(names), *lines] if header else lines).encode() + b"\n"


def planes(images: np.ndarray) -> np.ndarray:
    """Return colour images as CIFAR keeps them: a row of red, then green, then blue."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def cifar_binary(data: dict[str, np.ndarray], *, fine: bool = False) -> dict[str, bytes]:
    """Return the members of a binary archive of CIFAR-10, or of CIFAR-100."""

    def records(split: str, part: slice) -> bytes:
        labels = data[f"y_{split}"][part, None]
        both = np.concatenate([labels // 5, labels], axis=1) if fine else labels
        return np.concatenate([both, planes(data[f"x_{split}"][part])], axis=1).tobytes()

    middle = len(data["x_train"]) // 2
    whole, half = slice(None), (slice(0, middle), slice(middle, None))
    if fine:
        return {"c/train.bin": records("train", whole), "c/test.bin": records("test", whole)}
    parts = {f"c/data_batch_{n}.bin": records("train", part) for n, part in enumerate(half, 1)}
    return parts | {"c/test_batch.bin": records("test", whole)}


def cifar_python(
    data: dict[str, np.ndarray], names: list[str], *, fine: bool = False, protocol: int = 2
) -> dict[str, bytes]:
    """Return the members of a Python archive: dictionaries with keys of bytes, pickled."""
    key = b"fine_labels" if fine else b"labels"
    members: dict[str, Any] = {
        "c/meta" if fine else "c/batches.meta": {
            b"fine_label_names" if fine else b"label_names": names
        }
    }
    middle = len(data["x_train"]) // 2
    parts = [("train" if fine else "data_batch_1", "train", slice(0, middle))]
    parts += [] if fine else [("data_batch_2", "train", slice(middle, None))]
    parts += [("test" if fine else "test_batch", "test", slice(None))]
    for name, split, part in parts:
        whole = slice(None) if fine else part
        members[f"c/{name}"] = {
            b"batch_label": name.encode(),
            key: data[f"y_{split}"][whole].tolist(),
            b"data": planes(data[f"x_{split}"][whole]),
            b"filenames": [b"a.png"],
        }
    return {name: pickle.dumps(value, protocol) for name, value in members.items()}


def tar(members: dict[str, bytes], mode: Any = "w:gz") -> bytes:
    """Return an archive of members."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip of members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def _matrix(name: str, value: np.ndarray | dict[str, Any]) -> bytes:
    kind = 2 if isinstance(value, dict) else {"u1": 9, "f8": 6}[value.dtype.str[1:]]
    shape = (1, 1) if isinstance(value, dict) else value.shape
    begin = _element(6, struct.pack("<II", kind, 0)) + _element(5, np.array(shape, "<i4").tobytes())
    begin += _element(1, name.encode())
    if not isinstance(value, dict):
        numbers = {9: 2, 6: 9}[kind]
        return _element(14, begin + _element(numbers, value.tobytes(order="F")))
    names = b"".join(key.encode().ljust(32, b"\0") for key in value)
    small = struct.pack("<HHI", 5, 4, 32)  # an element whose content stands in its tag
    fields = b"".join(_matrix("", each) for each in value.values())
    return _element(14, begin + small + _element(1, names) + fields)


def matlab(values: dict[str, Any], *, compress: bool = True) -> bytes:
    """Return a file of MATLAB 5 with arrays (uint8 or float64) and structures of them."""
    content = b"MATLAB 5.0 MAT-file, by a test".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    for name, value in values.items():
        matrix = _matrix(name, value)
        packed = zlib.compress(matrix)
        content += struct.pack("<II", 15, len(packed)) + packed if compress else matrix
    return content


def emnist(data: dict[str, np.ndarray], first: int = 0) -> dict[str, Any]:
    """Return what EMNIST's files of MATLAB hold: images on their side, and a table of letters."""

    def part(split: str) -> dict[str, np.ndarray]:
        flat = data[f"x_{split}"].swapaxes(1, 2).reshape(-1, 784)
        return {"images": flat, "labels": data[f"y_{split}"][:, None] + np.uint8(first)}

    codes = np.arange(10, dtype=np.uint8)
    mapping = np.stack([codes + np.uint8(first), codes + ord("A")], axis=1).astype(np.uint8)
    return {"dataset": {"train": part("train"), "test": part("test"), "mapping": mapping}}


def svhn(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return what SVHN's files hold: images last, and 10 for the digit 0."""
    tens = np.where(labels == 0, 10, labels).astype(np.float64)[:, None]
    return {"X": images.transpose(1, 2, 3, 0), "y": tens}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder, and return it."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder

"""The published data sets that are fetched: checked by their SHA-256, read without unpickling."""

import gzip
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from modelzoo.config.sources import WeightsFile
from modelzoo.data.npz import KEYS, as_dataset, read_arrays
from modelzoo.data.source import Dataset, DatasetUnavailable
from modelzoo.environment import in_home
from modelzoo.errors import InputError
from modelzoo.weights.store import Limits, NotFetched, cached_path, fetch

FOLDER = "datasets"  # below the cache folder
PUBLISHED = Path(__file__).parent / "files" / "published.txt"
# Shorter than for weights: without a network, training goes on with another data set.
LIMITS = Limits(silence=15.0, attempts=2)

Arrays = dict[str, np.ndarray]


class RemoteFile(NamedTuple):
    """A file as its publisher names it, with what proves that it is the one."""

    name: str
    bytes: int
    sha256: str


def published_files(name: str) -> tuple[RemoteFile, ...]:
    """Return the files of a data set, in the order in which they are read."""
    rows = [line.split() for line in PUBLISHED.read_text("utf-8").splitlines()[1:]]
    files = ((path.partition("/"), int(size), sha256) for path, size, sha256 in rows)
    return tuple(RemoteFile(p[2], size, sha256) for p, size, sha256 in files if p[0] == name)


@dataclass(frozen=True)
class FetchedSet:
    """Where a data set comes from, and how its files become four arrays.

    Attributes:
        addresses: of the folders that hold all files, tried in order.
        files: in the order in which `read` takes their paths.
        read: returns x_train, y_train, x_test and y_test.
        keras_folder: where Keras keeps the same files, if it does; a copy there is used.
    """

    addresses: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    read: Callable[..., Arrays]
    keras_folder: str | None = None


def load_fetched(name: str, class_names: tuple[str, ...]) -> Dataset:
    """Load one of `FETCHED_SETS` from the cache, from Keras' cache or from the network.

    Raises:
        DatasetUnavailable: it is not on this machine and can't be fetched.
    """
    fetched = FETCHED_SETS[name]
    paths = [_path_of(name, fetched, file) for file in fetched.files]
    return as_dataset(name, fetched.read(*paths), name, class_names)


def _path_of(name: str, fetched: FetchedSet, file: RemoteFile) -> Path:
    """Return where a file lies, its SHA-256 just checked; fetch it if it is not there."""
    sources = [f"{address}/{file.name}" for address in fetched.addresses]
    if fetched.keras_folder is not None:
        home = in_home(os.environ.get("KERAS_HOME") or "~/.keras")
        copy = home / "datasets" / fetched.keras_folder / file.name
        if copy.is_file():
            sources.insert(0, f"file:{copy}")
    wanted = WeightsFile(
        label=f"{name} ({file.name})",
        file=f"{name}/{file.name}",
        sources=tuple(sources),
        sha256=file.sha256,
        bytes=file.bytes,
        max_bytes=file.bytes,
        folder=FOLDER,
    )
    try:
        return fetch(wanted, limits=LIMITS).path
    except InputError as error:
        reason = error.reason if isinstance(error, NotFetched) else str(error)
        raise DatasetUnavailable(
            f"{name} can't be fetched: {reason}\n"
            f"By hand: put {sources[-1]}\nat {cached_path(wanted)}"
        ) from error


def read_idx(*paths: Path) -> Arrays:
    """Read gzipped files in LeCun's format, in the order of `KEYS`."""
    return {key: _read_idx_file(path) for key, path in zip(KEYS, paths, strict=True)}


def _read_idx_file(path: Path) -> np.ndarray:
    with gzip.open(path) as file:
        data = file.read()
    dimensions = data[3]  # after two zeros and the type; then a big-endian size for each
    shape = np.frombuffer(data, ">i4", dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_cifar(path: Path, label_bytes: int) -> Arrays:
    """Read an archive of CIFAR's binary version in memory; nothing is extracted.

    The last byte of a label is the class; CIFAR-100 has that of its superclass before it.
    """
    parts: dict[str, bytes] = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:  # as they come: going back would decompress everything again
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".bin"):
                parts[member.name] = file.read()
    arrays = {}
    for split in ("train", "test"):
        names = sorted(name for name in parts if ("test" in name) == (split == "test"))
        content = b"".join(parts[name] for name in names)
        records = np.frombuffer(content, np.uint8).reshape(-1, label_bytes + 3 * 32 * 32)
        planes = records[:, label_bytes:].reshape(-1, 3, 32, 32)  # red, green, blue
        arrays[f"x_{split}"] = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        arrays[f"y_{split}"] = records[:, label_bytes - 1].copy()
    return arrays


KERAS_ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
FASHION_ADDRESS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
)
CIFAR_ADDRESS = "https://www.cs.toronto.edu/~kriz"

FETCHED_SETS = {
    "mnist": FetchedSet(
        (KERAS_ADDRESS,),
        published_files("mnist"),
        partial(read_arrays, names=KEYS),
        keras_folder="",
    ),
    "fashion_mnist": FetchedSet(
        (FASHION_ADDRESS, KERAS_ADDRESS),
        published_files("fashion_mnist"),
        read_idx,
        keras_folder="fashion-mnist",
    ),
    "cifar10": FetchedSet(
        (CIFAR_ADDRESS,), published_files("cifar10"), partial(read_cifar, label_bytes=1)
    ),
    "cifar100": FetchedSet(
        (CIFAR_ADDRESS,), published_files("cifar100"), partial(read_cifar, label_bytes=2)
    ),
}

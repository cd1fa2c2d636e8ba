"""A person's own pictures in folders, read a batch at a time, however many there are."""

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.data.encoded import EncodedImages
from modelzoo.data.images import Fit, Ink
from modelzoo.data.source import Dataset, ImageShape
from modelzoo.environment import in_home
from modelzoo.errors import InputError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"))
LAYOUT = "The layout is PATH/train/CLASS/pictures and PATH/test/CLASS/pictures."


class FolderImages(EncodedImages):
    """The pictures of `folder`/CLASS/*, each read, checked and fitted when it is indexed.

    The file names are kept as one string of bytes: 1.2 million of them take some 40 MB.

    Args:
        folder: holds one folder a class.
        class_names: the folders' names.
        names: the names of the files, class after class.
        labels: (n,), the class of each file.
        image_shape: height, width and channels that every picture is brought to.
        fit, ink: as in `read_image`.
    """

    def __init__(
        self,
        folder: Path,
        class_names: tuple[str, ...],
        names: Iterable[str],
        labels: np.ndarray,
        image_shape: ImageShape,
        *,
        fit: Fit = "cover",
        ink: Ink = "as_is",
    ) -> None:
        super().__init__(len(labels), image_shape, fit=fit, ink=ink)
        self.labels = labels
        self._folders = [folder / class_name for class_name in class_names]
        # surrogateescape lets names that are not UTF-8 pass
        encoded, lengths = bytearray(), array("H")  # no file system allows longer ones
        for name in names:
            before = len(encoded)
            encoded += name.encode("utf-8", "surrogateescape")
            lengths.append(len(encoded) - before)
        self._names = bytes(encoded)
        self._ends = np.cumsum(lengths, dtype=np.int64)

    def path(self, position: int) -> Path:
        """The file of the picture at `position`."""
        start = self._ends[position - 1] if position else 0
        name = self._names[start : self._ends[position]].decode("utf-8", "surrogateescape")
        return self._folders[self.labels[position]] / name

    def _sources(self, positions: np.ndarray) -> list[Path]:
        return [self.path(int(position)) for position in positions]


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder `path`, or say that it or its train or test folder is not there."""
    root = in_home(path)
    for folder in (root, root / "train", root / "test"):
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder\n{LAYOUT}")
        if folder != root:
            _refuse_links_out(folder, root)
    return root


def load_folder(
    path: str | os.PathLike[str], image_shape: ImageShape | None, **image_options: Any
) -> Dataset:
    """Load the pictures under `path` as a data set whose pictures are read as they are needed.

    Hidden files and files whose names do not end like a picture's are passed over. A link that
    leads out of `path` is refused.

    Args:
        path: holds train/CLASS/* and test/CLASS/*.
        image_shape: height, width and channels; pictures of one's own have no common shape.
        image_options: `fit` and `ink` of `read_image`.

    Raises:
        InputError: a folder is missing or empty, a class is in test only, or an option is wrong.
    """
    unknown = set(image_options) - {"fit", "ink"}
    if unknown:
        raise InputError(f"folder:{path} takes fit and ink, not {', '.join(sorted(unknown))}")
    if image_shape is None:
        raise InputError(
            f"folder:{path} needs an image_shape: height, width, channels\n"
            "Its pictures may be of any size, and a network takes one."
        )
    root = check_folder(path)
    class_names = _class_names(root, "train")
    foreign = [name for name in _class_names(root, "test") if name not in class_names]
    if foreign:
        raise InputError(
            f"{root / 'test' / foreign[0]}: the class {foreign[0]} is not in {root / 'train'}\n"
            "A network can't know a class that it was never shown: add it or take it away."
        )
    train = _split(root, "train", class_names, image_shape, image_options)
    test = _split(root, "test", class_names, image_shape, image_options)
    return Dataset(
        f"folder:{path}",
        train,
        train.labels,
        test,
        test.labels,
        class_names,
    )


def _class_names(root: Path, split: str) -> tuple[str, ...]:
    folder = root / split
    names = []
    for entry in os.scandir(folder):
        if not entry.name.startswith(".") and entry.is_dir():
            _refuse_links_out(Path(entry.path), root)
            names.append(entry.name)
    if not names:
        raise InputError(f"{folder}: there are no folders in it, one for each class\n{LAYOUT}")
    return tuple(sorted(names))


def _split(
    root: Path,
    split: str,
    class_names: tuple[str, ...],
    image_shape: ImageShape,
    image_options: dict[str, Any],
) -> FolderImages:
    classes, counts = [], []
    for class_name in class_names:
        folder = root / split / class_name
        # A class that the test set lacks is merely not tested.
        found = _picture_names(folder, root) if split == "train" or folder.is_dir() else []
        classes.append("/".join(found))  # a million small strings would fill 100 MB
        counts.append(len(found))
    labels = np.repeat(np.arange(len(class_names), dtype=np.int64), counts)
    names: Iterator[str] = (name for found in classes if found for name in found.split("/"))
    return FolderImages(root / split, class_names, names, labels, image_shape, **image_options)


def _picture_names(folder: Path, root: Path) -> list[str]:
    names, has_folders = [], False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                _refuse_links_out(Path(entry.path), root)
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():  # noqa: PTH122
                names.append(entry.name)
            has_folders = has_folders or entry.is_dir()
    if not names:
        deeper = " Pictures in folders within it are not looked for." if has_folders else ""
        raise InputError(
            f"{folder}: there is no picture in it\n"
            f"Looked for {', '.join(sorted(SUFFIXES))}.{deeper}\n"
            "Put pictures in, or take the empty class away."
        )
    return sorted(names)


def _refuse_links_out(path: Path, root: Path) -> None:
    """Refuse a link that leads out of `root`: the data would change with what lies elsewhere."""
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"{path} is a link that leads out of {root}\n"
            "Copy the pictures in, or name the folder that holds them all."
        )

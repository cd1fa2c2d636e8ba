"""A person's own images in folders, read a batch at a time, however many there are."""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modelzoo.data.images import EncodedImages, Fit, Ink
from modelzoo.data.source import Dataset, ImageShape
from modelzoo.support.environment import in_home
from modelzoo.support.errors import InputError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"))
LAYOUT = "The layout is PATH/train/CLASS/pictures and PATH/test/CLASS/pictures."


class FolderImages(EncodedImages):
    """The images of `folder`/CLASS/*, each read, checked and fitted when it is indexed.

    Args:
        folder: holds one folder a class.
        files: the names of the files of each class.
        image_shape, fit, ink: as in `read_image`.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, Sequence[str]],
        image_shape: ImageShape,
        fit: Fit = "cover",
        ink: Ink = "as_is",
    ) -> None:
        self.labels = np.repeat(np.arange(len(files)), [len(names) for names in files.values()])
        super().__init__(len(self.labels), image_shape, fit, ink)
        self._folders = [folder / name for name in files]
        # As bytes, the 1.2 million names of ImageNet take 30 MB.
        every = itertools.chain.from_iterable(files.values())
        self._names = np.array([os.fsencode(name) for name in every])

    def path(self, position: int) -> Path:
        """The file of the image at `position`."""
        return self._folders[self.labels[position]] / os.fsdecode(self._names[position])

    def _sources(self, positions: np.ndarray) -> list[Path]:
        return [self.path(position) for position in positions]


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
    path: str | os.PathLike[str],
    image_shape: ImageShape,
    fit: Fit = "cover",
    ink: Ink = "as_is",
) -> Dataset:
    """Load the images under `path` as a data set whose images are read as they are needed.

    Hidden files and files whose names do not end like an image's are passed over. A link that
    leads out of `path` is refused.

    Args:
        path: holds train/CLASS/* and test/CLASS/*.
        image_shape: height, width and channels that every image is brought to.
        fit: as in `read_image`.
        ink: as in `read_image`.
    """
    root = check_folder(path)
    class_names = _class_names(root, "train")
    for foreign in _class_names(root, "test"):
        if foreign not in class_names:
            raise InputError(
                f"{root / 'test' / foreign}: the class {foreign} is not in {root / 'train'}\n"
                "A network can't know a class that it was never shown: add it or take it away."
            )
    train, test = (
        FolderImages(
            split,
            {name: _picture_names(split / name, root) for name in class_names},
            image_shape,
            fit,
            ink,
        )
        for split in (root / "train", root / "test")
    )
    return Dataset(f"folder:{path}", train, train.labels, test, test.labels, class_names)


def _class_names(root: Path, split: str) -> tuple[str, ...]:
    folder = root / split
    names = [path.name for path in folder.iterdir() if path.name[0] != "." and path.is_dir()]
    if not names:
        raise InputError(f"{folder}: there are no folders in it, one for each class\n{LAYOUT}")
    for name in names:
        _refuse_links_out(folder / name, root)
    return tuple(sorted(names))


def _picture_names(folder: Path, root: Path) -> list[str]:
    if not folder.is_dir():  # a class that the test set lacks is merely not tested
        return []
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
        deeper = " Images in folders within it are not looked for." if has_folders else ""
        raise InputError(
            f"{folder}: there is no image in it\n"
            f"Looked for {', '.join(sorted(SUFFIXES))}.{deeper}\n"
            "Put images in, or take the empty class away."
        )
    return sorted(names)


def _refuse_links_out(path: Path, root: Path) -> None:
    """Refuse a link that leads out of `root`: the data would change with what lies elsewhere."""
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"{path} is a link that leads out of {root}\n"
            "Copy the images in, or name the folder that holds them all."
        )

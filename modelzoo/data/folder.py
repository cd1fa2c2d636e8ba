"""A person's own images in folders, read a batch at a time, however many there are."""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.data.images import pixel_reader, read_lazily
from modelzoo.data.source import Dataset, ImageShape, LazyImages
from modelzoo.support.environment import in_home
from modelzoo.support.errors import InputError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"))
LAYOUT = "The layout is PATH/train/CLASS/pictures and PATH/test/CLASS/pictures."


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder `path`, or say that it or its train or test folder is not there."""
    root = in_home(path)
    for folder in (root, root / "train", root / "test"):
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder\n{LAYOUT}")
        if folder != root:
            _refuse_links_out(folder, root)
    return root


def load_folder(path: str | os.PathLike[str], image_shape: ImageShape, **options: Any) -> Dataset:
    """Load PATH/train/CLASS/* and PATH/test/CLASS/*, read as they are needed.

    Hidden files and files whose names do not end like an image's are passed over. A link that
    leads out of `path` is refused. `options` are `fit` and `ink` of `read_image`.
    """
    root, read = check_folder(path), pixel_reader(image_shape, **options)
    class_names = _class_names(root, "train")
    for foreign in _class_names(root, "test"):
        if foreign not in class_names:
            raise InputError(
                f"{root / 'test' / foreign}: the class {foreign} is not in {root / 'train'}\n"
                "A network can't know a class that it was never shown: add it or take it away."
            )
    (x_train, y_train), (x_test, y_test) = (
        images_of(
            split,
            {name: _image_names(split / name, root) for name in class_names},
            image_shape,
            read,
        )
        for split in (root / "train", root / "test")
    )
    return Dataset(f"folder:{path}", x_train, y_train, x_test, y_test, class_names)


def images_of(
    folder: Path,
    files: Mapping[str, Sequence[str]],
    image_shape: ImageShape,
    read: Callable[[Path], np.ndarray],
) -> tuple[LazyImages, np.ndarray]:
    """Return the images of `folder`/CLASS/*, whose names `files` has by class, and their labels."""
    labels = np.repeat(np.arange(len(files)), [len(names) for names in files.values()])
    folders = [folder / name for name in files]
    # As bytes, the 1.2 million names of ImageNet take 30 MB.
    names = np.array([os.fsencode(name) for name in itertools.chain.from_iterable(files.values())])

    def paths(positions: np.ndarray) -> list[Path]:
        return [folders[labels[each]] / os.fsdecode(names[each]) for each in positions]

    return read_lazily(len(labels), image_shape, paths, read), labels


def _class_names(root: Path, split: str) -> tuple[str, ...]:
    folder = root / split
    names = [path.name for path in folder.iterdir() if path.name[0] != "." and path.is_dir()]
    if not names:
        raise InputError(f"{folder}: there are no folders in it, one for each class\n{LAYOUT}")
    for name in names:
        _refuse_links_out(folder / name, root)
    return tuple(sorted(names))


def _image_names(folder: Path, root: Path) -> list[str]:
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

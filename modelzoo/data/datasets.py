"""Every named data set (from the data folder, fetched, drawn by us), and folders of images.

Fetched files are checked by their SHA-256, and read without unpickling.
"""

import difflib
import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.config.published import WeightsFile
from modelzoo.data.images import Fit, Ink, read_image, read_lazily
from modelzoo.data.known_sets import KNOWN_SETS, KnownSet
from modelzoo.data.library_sets import check_library_name, library_of, load_library_set
from modelzoo.data.npz import as_dataset, read_npz
from modelzoo.data.source import (
    Dataset,
    DatasetUnavailable,
    ImageShape,
    LazyImages,
    check_image_shape,
    with_image_shape,
)
from modelzoo.support.environment import cache_folder, in_home
from modelzoo.support.errors import InputError
from modelzoo.weights.store import Limits, NotFetched, cached_path, fetch

# Sets that need no network, and those that can be loaded though the data folder lacks them.
OFFLINE = [name for name, known in KNOWN_SETS.items() if known.load]
FETCHED = [name for name, known in KNOWN_SETS.items() if known.addresses]
BUILT_IN = [*FETCHED, *OFFLINE, *(name for name, known in KNOWN_SETS.items() if known.derive)]
FETCHED_FOLDER = "datasets"  # below the cache folder
PUBLISHED = Path(__file__).parent / "files" / "published.txt"
# Shorter than for weights: without a network, training goes on with another data set.
LIMITS = Limits(silence=15.0, attempts=2)
SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"))
LAYOUT = "The layout is PATH/train/CLASS/pictures and PATH/test/CLASS/pictures."
IMAGENET = """\
imagenet is not in {folder}, and can't be fetched: ask for ILSVRC 2012 at https://image-net.org
Put its images at {folder}/imagenet/train/CLASS/* and those of its validation set at
{folder}/imagenet/test/CLASS/*, or name another folder that holds both: --dataset folder:PATH
"""


def published_files(name: str) -> list[tuple[str, int, str]]:
    """Return name, bytes and SHA-256 of the files of a data set, in the order of reading."""
    rows = [line.split() for line in PUBLISHED.read_text("utf-8").splitlines()]
    own = [row for row in rows if row[0].startswith(f"{name}/")]
    return [(path.removeprefix(f"{name}/"), int(size), sha256) for path, size, sha256 in own]


def data_folder() -> Path:
    """Where a person's own data sets lie: $MODELZOO_DATA, or `data` in the cache."""
    folder = os.environ.get("MODELZOO_DATA")
    return in_home(folder) if folder else cache_folder() / "data"


def dataset_names() -> list[str]:
    """Every name that `load_dataset` knows: the built-in ones, then those in the data folder."""
    files = {path.stem for path in data_folder().glob("*.npz") if path.is_file()}
    folders = {path.parent.name for path in data_folder().glob("*/train") if path.is_dir()}
    found = sorted(name for name in files | folders if _is_safe(name))
    return BUILT_IN + [name for name in found if name not in BUILT_IN]


def picture_folder(name: str) -> Path | None:
    """Where the image files of a data set lie: `folder:PATH`, or a folder in the data folder.

    None for a data set of arrays: those that are fetched or made, and any `<name>.npz`.
    """
    if name.startswith("folder:"):
        return Path(name.removeprefix("folder:"))
    if not _is_safe(name) or name in (*FETCHED, *OFFLINE):
        return None
    folder = data_folder() / name
    arrays = folder.with_suffix(".npz").is_file()
    return folder if (folder / "train").is_dir() and not arrays else None


def takes_image_options(name: str) -> bool:
    """Whether a data set holds files of any size, which are fitted as `image:` says."""
    return picture_folder(name) is not None or library_of(name) is not None


def check_dataset_name(name: str) -> None:
    """Raise an InputError if `load_dataset` can't know this name, without reading any data."""
    if folder := picture_folder(name):
        check_folder(folder)
    elif library := library_of(name):
        check_library_name(name, library)
    elif name not in (names := dataset_names()):
        raise _unknown_name(name, names)


def _unknown_name(name: str, names: Sequence[str]) -> InputError:
    known = f"Known here: {', '.join(names)}."
    if not _is_safe(name):
        return InputError(
            f"{name!r} is not the name of a data set: only a-z, 0-9 and _ stand in one\n"
            f"{known} Your own images: folder:PATH"
        )
    if name == "imagenet":  # may not be redistributed
        return InputError(IMAGENET.format(folder=data_folder()) + known)
    near = difflib.get_close_matches(name, names, 1)
    return InputError(
        f"there is no data set {name}{f'; did you mean {near[0]}?' if near else ''}\n{known}\n"
        f"Your own: put {name}.npz into {data_folder()}, or name a folder of images: folder:PATH"
    )


def load_dataset(
    name: str,
    *,
    image_shape: ImageShape | None = None,
    fit: Fit = "cover",
    ink: Ink = "as_is",
    notify: Callable[[str], None] | None = None,
) -> Dataset:
    """Load a data set by its name, or a person's own images as `folder:PATH`.

    Args:
        name: one of `dataset_names()`, `folder:PATH` that holds train/CLASS/*, test/CLASS/*,
            `tfds:NAME` of TensorFlow Datasets, or `hf:OWNER/NAME` of Hugging Face.
        image_shape: height, width and channels that every image is brought to; None: as it is.
        fit: as in `read_image`, where `takes_image_options`. Arrays are prepared already: their
            images are resized, whatever it is.
        ink: as in `read_image`, where `takes_image_options`.
        notify: called with a notice where `mnist` can't be reached, and `mnist5k` comes in its
            place: nothing measured on it can pass for MNIST's. It stands in for `mnist16`, too.

    Returns:
        `x_train` and `x_test`, uint8 (n, height, width, channels); `y_train` and `y_test`, int64
        (n,), positions in `class_names`; and `note`, what a reader of a figure must know.

    Raises:
        DatasetUnavailable: it would have to be fetched, and can't be.
        InputError: there is no such data set, or its file is damaged.

    Example:
        >>> digits = modelzoo.load_dataset("mnist5k")
        >>> digits.x_train.shape, digits.y_test[::200].tolist(), len(digits.class_names)
        ((4000, 28, 28, 1), [0, 2, 4, 6, 8], 10)
    """
    if image_shape is None:
        if takes_image_options(name):
            raise InputError(
                f"{name} needs an image_shape: height, width, channels\n"
                "Its images may be of any size, and a network takes one."
            )
    else:
        image_shape = check_image_shape(image_shape)
        if folder := picture_folder(name):
            return replace(load_folder(folder, image_shape, fit=fit, ink=ink), name=name)
        if library := library_of(name):
            return load_library_set(name, library, image_shape, fit=fit, ink=ink)
    try:
        data = _load_named(name)
    except DatasetUnavailable as unavailable:
        fallback = KNOWN_SETS[name].fallback if notify else ""
        if notify is None or not fallback:
            raise
        data = _load_named(fallback)
        what = str(unavailable).splitlines()[0]
        notify(f"{what}\nGoing on with {fallback} instead. {data.note}")
    return data if image_shape is None else with_image_shape(data, image_shape)


def _load_named(name: str) -> Dataset:
    check_dataset_name(name)
    known = KNOWN_SETS.get(name)
    if known and known.load:
        return known.load()
    if known and known.derive:
        try:
            return known.derive(_load_named(known.made_of))
        except DatasetUnavailable as error:
            raise DatasetUnavailable(f"{name} is made of {known.made_of}: {error}") from error
    path = data_folder() / f"{name}.npz"
    if known is None:
        return read_npz(path, name)
    if path.is_file() or not known.addresses:
        data = read_npz(path, name, known.class_names)
    else:
        paths = [_fetched(name, known, *file) for file in published_files(name)]
        data = as_dataset(name, known.read(*paths), known.class_names)
    size = len(data.x_train), len(data.x_test)
    if not known.images or size == known.images:
        return replace(data, note=known.note)
    counts = "{:,} training and {:,} test images, not the {:,} and {:,}".format(
        *size, *known.images
    )
    return replace(data, note=f"{counts} of the published {name}.")


def _fetched(name: str, known: KnownSet, file: str, size: int, sha256: str) -> Path:
    """Return where a file lies, its SHA-256 just checked; fetch it if it is not there."""
    sources = [f"{address}/{file}" for address in known.addresses]
    if known.keras_folder is not None:
        home = in_home(os.environ.get("KERAS_HOME") or "~/.keras")
        copy = home / "datasets" / known.keras_folder / file
        if copy.is_file():
            sources.insert(0, f"file:{copy}")
    wanted = WeightsFile(
        label=f"{name} ({file})",
        file=f"{name}/{file}",
        sources=tuple(sources),
        sha256=sha256,
        bytes=size,
        max_bytes=size,
        folder=FETCHED_FOLDER,
    )
    try:
        return fetch(wanted, limits=LIMITS).path
    except InputError as error:
        reason = error.reason if isinstance(error, NotFetched) else str(error)
        raise DatasetUnavailable(
            f"{name} can't be fetched: {reason}\n"
            f"By hand: put {sources[-1]}\nat {cached_path(wanted)}\n"
            f"or its x_train, y_train, x_test and y_test into {data_folder() / name}.npz.\n"
            f"These need no network: {', '.join(OFFLINE)}."
        ) from error


def _is_safe(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9_]{1,64}", name) is not None


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder `path`, or say that it or its train or test folder is not there."""
    root = in_home(path)
    for folder in (root, root / "train", root / "test"):
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder\n{LAYOUT}")
        _refuse_links_out(folder, root)
    return root


def load_folder(path: str | os.PathLike[str], image_shape: ImageShape, **options: Any) -> Dataset:
    """Load PATH/train/CLASS/* and PATH/test/CLASS/*, read as they are needed.

    Hidden files and files whose names do not end like an image's are passed over. A link that
    leads out of `path` is refused. `options` are `fit` and `ink` of `read_image`.
    """
    root = check_folder(path)
    class_names = _class_names(root, "train")
    for foreign in _class_names(root, "test"):
        if foreign not in class_names:
            raise InputError(
                f"{root / 'test' / foreign}: the class {foreign} is not in {root / 'train'}\n"
                "A network can't know a class that it was never shown: add it or take it away."
            )

    def read(path: Path) -> np.ndarray:
        return read_image(path, image_shape, **options).pixels

    data = []
    for split in (root / "train", root / "test"):
        files = {name: _image_names(split / name, root) for name in class_names}
        data.append(images_of(split, files, image_shape, read))
    return Dataset(f"folder:{path}", *data[0], *data[1], class_names)


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
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                _refuse_links_out(Path(entry.path), root)
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():  # noqa: PTH122
                names.append(entry.name)
    if not names:
        raise InputError(
            f"{folder}: there is no image in it\n"
            f"Looked for {', '.join(sorted(SUFFIXES))}. "
            "Images in folders within it are not looked for.\n"
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

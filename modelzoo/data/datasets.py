"""Every named data set: from the data folder, fetched, from a package, or drawn by us.

Fetched files are checked by their SHA-256, and read without unpickling.
"""

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from modelzoo.config.published import WeightsFile
from modelzoo.data.folder import check_folder, load_folder
from modelzoo.data.images import Fit, Ink
from modelzoo.data.known_sets import KNOWN_SETS, KnownSet
from modelzoo.data.library_sets import check_library_name, library_of, load_library_set
from modelzoo.data.npz import as_dataset, read_npz
from modelzoo.data.source import (
    Dataset,
    DatasetUnavailable,
    ImageShape,
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
        return
    if library := library_of(name):
        check_library_name(name, library)
        return
    names = dataset_names()
    if name in names:
        return
    known = f"Known here: {', '.join(names)}."
    if not _is_safe(name):
        raise InputError(
            f"{name!r} is not the name of a data set: only a-z, 0-9 and _ stand in one\n"
            f"{known} Your own images: folder:PATH"
        )
    if name == "imagenet":  # may not be redistributed
        raise InputError(IMAGENET.format(folder=data_folder()) + known)
    near = difflib.get_close_matches(name, names, 1)
    raise InputError(
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

    Raises:
        DatasetUnavailable: it would have to be fetched, and can't be.
        InputError: there is no such data set, or its file is damaged.
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
        data = as_dataset(name, known.read(*paths), name, known.class_names)
    return replace(data, note=_note(data, known))


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


def _note(data: Dataset, known: KnownSet) -> str:
    size = (len(data.x_train), len(data.x_test))
    if not known.images or size == known.images:
        return known.note
    train, test = known.images
    return (
        f"{size[0]:,} training and {size[1]:,} test images, "
        f"not the {train:,} and {test:,} of the published {data.name}."
    )


def _is_safe(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9_]{1,64}", name) is not None

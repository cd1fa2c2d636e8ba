"""Every data set: by its name (from the data folder, fetched, drawn by us), or by its path.

Fetched files are checked by their SHA-256, and read without unpickling.
"""

import difflib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from modelzoo.config.published import WeightsFile
from modelzoo.data.containers import files_of, read_files
from modelzoo.data.folders import ImageFolder, check_folder, find_images, is_image_folder
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
from modelzoo.support.files import is_there
from modelzoo.weights.store import Limits, NotFetched, cached_path, fetch

# Sets that need no network, and those that can be loaded though the data folder lacks them.
OFFLINE = [name for name, known in KNOWN_SETS.items() if known.load]
FETCHED = [name for name, known in KNOWN_SETS.items() if known.addresses]
BUILT_IN = [*FETCHED, *OFFLINE, *(name for name, known in KNOWN_SETS.items() if known.derive)]
FETCHED_FOLDER = "datasets"  # below the cache folder
PUBLISHED = Path(__file__).parent / "files" / "published.txt"
# Shorter than for weights: without a network, training goes on with another data set.
LIMITS = Limits(silence=15.0, attempts=2)
# How a file or folder of a known set may go on behind its name: cifar-10-python.tar.gz, MNIST/raw.
BEHIND = re.compile(
    r"(train|test|t10k|binary|python|batches|bin|py|images|labels|idx\d|ubyte|raw|csv|mat|zip|tar|tgz|gz)*"
)
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
    found = [path for path in data_folder().glob("*") if _is_safe(path.stem)]
    names = {
        path.stem for path in found if path.suffix in (".npz", ".csv") or is_image_folder(path)
    }
    return BUILT_IN + sorted(names - set(BUILT_IN))


def _in_data_folder(name: str) -> Path | None:
    """Return where a data set lies in the data folder: NAME.npz, or what else is called so."""
    folder = data_folder()
    if (arrays := folder / f"{name}.npz").is_file():
        return arrays
    if not folder.is_dir():
        return None
    letters = name.replace("_", "")
    for path in sorted(folder.iterdir()):
        rest = re.sub(r"[^a-z0-9]", "", path.name.lower())
        if not rest.startswith(letters) or not BEHIND.fullmatch(rest.removeprefix(letters)):
            continue
        # Folders have their classes in alphabetical order, which may not be the published one.
        if name not in FETCHED or not is_image_folder(path):
            return path
    return None


def place_of(name: str) -> Path | None:
    """Return where the files of a data set lie on this machine: a path, or in the data folder.

    None for those that are fetched, made, or of another library.
    """
    if name.startswith("folder:"):
        return in_home(name.removeprefix("folder:"))
    if library_of(name) or name in OFFLINE:
        return None
    if _is_safe(name):
        found = _in_data_folder(name)
        here = found is None and name not in BUILT_IN and is_there(Path(name))
        return Path(name) if here else found
    return in_home(name) if name and is_there(in_home(name)) else None


def picture_folder(name: str) -> Path | None:
    """Where the image files of a data set lie; None for arrays."""
    place = place_of(name)
    if place is None or place.is_file():
        return None
    return place if not place.is_dir() or is_image_folder(place) else None


def takes_image_options(name: str) -> bool:
    """Whether a data set holds files of any size, which are fitted as `image:` says."""
    return picture_folder(name) is not None or library_of(name) is not None


def check_dataset_name(name: str) -> None:
    """Raise an InputError if `load_dataset` can't know this name, without reading any data."""
    if folder := picture_folder(name):
        check_folder(folder)
    elif library := library_of(name):
        check_library_name(name, library)
    elif place_of(name) is None and name not in BUILT_IN:
        raise _unknown_name(name, dataset_names())


def _unknown_name(name: str, names: Sequence[str]) -> InputError:
    known = f"Known here: {', '.join(names)}."
    if not _is_safe(name):
        return InputError(
            f"{name!r} is not the name of a data set, and there is no such file or folder\n{known}"
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
    check: Callable[[ImageFolder], ImageFolder] | None = None,
) -> Dataset:
    """Load a data set by its name or its path, or a person's own images.

    Args:
        name: one of `dataset_names()`; the path of a folder of images, or of a file or a folder
            that holds a data set as it is distributed, with or without `folder:` before it;
            `tfds:NAME` of TensorFlow Datasets, or `hf:OWNER/NAME` of Hugging Face.
        image_shape: height, width and channels that every image is brought to; None: as it is.
        fit: as in `read_image`, where `takes_image_options`. Arrays are prepared already: their
            images are resized, whatever it is.
        ink: as in `read_image`, where `takes_image_options`.
        notify: called with the table of what was found in a folder, and with a notice where `mnist`
            can't be reached, and `mnist5k` comes in its place: nothing measured on it can pass for
            MNIST's. It stands in for `mnist16`, too.
        check: called with what was found in a folder of images; returns it without those that
            cannot be used, or refuses it.

    Returns:
        `x_train` and `x_test`, uint8 (n, height, width, channels); `y_train` and `y_test`, int64
        (n,), positions in `class_names`; and `note`, what a reader of a figure must know.

    Raises:
        DatasetUnavailable: it would have to be fetched, and can't be.
        InputError: there is no such data set, or its file is damaged.

    Examples:
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
            found = find_images(folder)
            if notify is not None:
                notify("\n".join(found.table()))
            found = found if check is None else check(found)
            return replace(found.as_dataset(image_shape, fit=fit, ink=ink), name=name)
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
    class_names, others = (known.class_names, known.others) if known else ((), "")
    path = place_of(name)
    if path is None and known and known.addresses:
        files = [_fetched(name, known, *file) for file in published_files(known.files or name)]
        path = files[0]
    else:
        path = path or data_folder() / f"{name}.npz"
        files = files_of(path)
    if path.suffix == ".npz":
        data = read_npz(path, name, class_names)
    else:
        try:
            arrays, notes = read_files(files, others)
            data = as_dataset(name, arrays, class_names, " ".join(notes))
        except InputError as error:
            where = "" if any(str(error).startswith(f"{file} ") for file in files) else f"{path}: "
            raise InputError(f"{where}{error}") from None
    size = len(data.x_train), len(data.x_test)
    notes = [data.note] if data.note else []
    if known and known.images and size != known.images:
        counts = "{:,} training and {:,} test images, not the {:,} and {:,}".format(
            *size, *known.images
        )
        notes.append(f"{counts} of the published {name}.")
    return replace(data, note=" ".join([*notes, *([known.note] if known and known.note else [])]))


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
        file=f"{known.files or name}/{file}",
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

"""Data sets of other libraries: `tfds:NAME` of TensorFlow Datasets, `hf:OWNER/NAME` of the Hub.

No code of a data set of the Hub is run, and nothing is unpickled: only the builders below are used.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from modelzoo.data.images import read_image, read_lazily
from modelzoo.data.npz import as_dataset
from modelzoo.data.source import Dataset, DatasetUnavailable, ImageShape, LazyImages
from modelzoo.support.environment import cache_folder, check_installed, is_offline
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.files import replacing

TEST_SPLITS = ("test", "validation", "valid", "val")  # the first that has labels is scored
RECORDS = 1024  # of TFDS, read at a time for their labels
Records: TypeAlias = Callable[[list[int]], Sequence[Any]]  # from positions to the images there
BUILDERS = ("arrow", "cache", "imagefolder", "parquet")  # "cache": what was prepared before


class TfdsSet:
    """NAME[/CONFIGURATION][:VERSION], as TFDS writes it, in ArrayRecord files."""

    pattern = re.compile(r"[a-z0-9_]+(/[\w.-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)
    should_be = (
        "tfds:NAME, as on https://www.tensorflow.org/datasets, or tfds:NAME/CONFIGURATION:1.2.3"
    )
    packages = ("tensorflow_datasets", "array_record")

    def __init__(self, name: str) -> None:
        import tensorflow_datasets as tfds

        self.kinds = tfds.features.ClassLabel, tfds.features.Image
        builder = tfds.builder(name, file_format="array_record")
        folder = builder.data_path
        if not folder.exists():
            if is_offline():
                raise FileNotFoundError(f"it is not in {folder}")
            builder.download_and_prepare()
        self.full_name, self.features = builder.info.full_name, builder.info.features
        decoders = {
            key: tfds.decode.SkipDecoding()
            for key, feature in self.features.items()
            if not isinstance(feature, self.kinds[0])
        }
        self.splits = {
            split: builder.as_data_source(split=split, decoders=decoders)
            for split in builder.info.splits
        }

    def labels(self, split: str, label: str) -> np.ndarray:
        """Return the labels. They lie in the records, are read once, and kept in the cache."""
        records = self.splits[split]
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.full_name}-{split}")
        path = cache_folder() / "labels" / f"{name}.npy"
        try:
            kept = np.load(path, allow_pickle=False)
            if kept.shape == (len(records),) and kept.dtype == np.int64:
                return kept
        except (OSError, ValueError, EOFError):  # not there, or damaged
            pass
        labels = np.empty(len(records), np.int64)
        for start in range(0, len(records), RECORDS):
            positions = list(range(start, min(start + RECORDS, len(records))))
            labels[positions] = [record[label] for record in records.__getitems__(positions)]
        with replacing(path) as temporary:
            np.save(temporary, labels)
        return labels

    def reader(self, split: str, image: str) -> Records:
        """Return a function from positions to the images there, as `content` takes them."""
        records = self.splits[split]
        return lambda positions: [each[image] for each in records.__getitems__(positions)]

    def content(self, image: Any) -> bytes | Path:
        """Return what is in the file of an image."""
        return bytes(image)


class HuggingFaceSet:
    """OWNER/NAME or OWNER/NAME:CONFIGURATION, as on the Hub, through the package `datasets`.

    A path, with a slash at its beginning, is a folder of Parquet files or of images. Records lie
    in Arrow files that are mapped into memory.
    """

    pattern = re.compile(
        r"(?!.*[/\\]\.\.([/\\]|\Z))"  # no way up within a path
        r"((?P<path>[\w.-]+(/[\w.-]+)?)(:(?P<config>[\w.-]+))?|\.{0,2}[/\\].*|[A-Za-z]:[/\\].*)",
        re.ASCII | re.DOTALL,
    )
    should_be = (
        "hf:OWNER/NAME, as on https://huggingface.co/datasets, with "
        ":CONFIGURATION where there are several"
    )
    packages = ("datasets",)

    def __init__(self, name: str) -> None:
        if is_offline():
            os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
        import datasets
        import huggingface_hub as hub

        if is_offline():  # they may have been imported before
            hub.constants.HF_HUB_OFFLINE = True
            datasets.config.HF_HUB_OFFLINE = datasets.config.HF_DATASETS_OFFLINE = True
        self.kinds = datasets.ClassLabel, datasets.Image
        found = self.pattern.fullmatch(name)
        path, configuration = (found["path"] or name, found["config"]) if found else (name, None)
        builder = datasets.load_dataset_builder(path, configuration)
        module = type(builder).__module__.removeprefix("datasets.packaged_modules.").split(".")[0]
        if module not in BUILDERS:
            raise InputError(f"is kept as {module}; only {', '.join(BUILDERS)} are read")
        builder.download_and_prepare()
        self.splits = dict(builder.as_dataset())
        self.features = next(iter(self.splits.values())).features
        # Where its files may lie: in its folder, or in the library's caches.
        own = [datasets.config.HF_DATASETS_CACHE, hub.constants.HF_HUB_CACHE]
        own += [path] if path.startswith(("/", "\\", ".")) or path[1:2] == ":" else []
        self._own_folders = [Path(each).resolve() for each in own]

    def labels(self, split: str, label: str) -> np.ndarray:
        """Return the labels of a split."""
        column = self.splits[split].with_format("numpy", columns=[label])[:][label]
        return np.asarray(column, np.int64)

    def reader(self, split: str, image: str) -> Records:
        """Return a function from positions to the images there: {"bytes": …, "path": …} each."""
        records = self.splits[split].select_columns([image])
        records = records.cast_column(image, self.kinds[1](decode=False))
        return lambda positions: records[positions][image]

    def content(self, image: Any) -> bytes | Path:
        """Return what is in the file of an image; those of a folder are named, not carried."""
        if image["bytes"] is not None:
            return image["bytes"]
        path = Path(image["path"] or "")
        if not any(path.resolve().is_relative_to(folder) for folder in self._own_folders):
            raise InputError(f"a record names the file {path}, which is none of the data set's")
        return path


# What differs between the libraries: names, packages, and how records are opened and read. Making
# one opens the data set of that name, and fetches it if it must be.
LibrarySet: TypeAlias = TfdsSet | HuggingFaceSet
LIBRARIES: dict[str, type[LibrarySet]] = {"tfds": TfdsSet, "hf": HuggingFaceSet}


def library_of(name: str) -> type[LibrarySet] | None:
    """Return the library that a name such as `hf:OWNER/NAME` begins with, if it does."""
    prefix, colon, _ = name.partition(":")
    return LIBRARIES.get(prefix) if colon else None


def check_library_name(name: str, library: type[LibrarySet]) -> str:
    """Return what stands behind the colon."""
    rest = name.partition(":")[2]
    if not library.pattern.fullmatch(rest):
        raise InputError(f"{name:.100}: should be {library.should_be}")
    check_installed(f"the data set {name}", *library.packages)
    return rest


def load_library_set(
    name: str, library: type[LibrarySet], image_shape: ImageShape, **options: Any
) -> Dataset:
    """Load `tfds:NAME` or `hf:OWNER/NAME`, read as it is needed; it is fetched if it must be.

    `options` are `fit` and `ink` of `read_image`.

    Raises:
        DatasetUnavailable: there is none, or it cannot be fetched.
        InputError: it is not one for the classification of images, or has nothing to test on.
    """
    rest = check_library_name(name, library)

    def images_of(split: str, count: int) -> LazyImages:
        records = opened.reader(split, image)

        def numbered(positions: np.ndarray) -> list[tuple[int, Any]]:
            numbers = positions.tolist()
            return list(zip(numbers, records(numbers), strict=True))

        def pixels(record: tuple[int, Any]) -> np.ndarray:
            try:
                return read_image(opened.content(record[1]), image_shape, **options).pixels
            except InputError as error:
                raise InputError(f"{name} {split}, image {record[0]}: {error}") from None

        return read_lazily(count, image_shape, numbered, pixels)

    try:
        opened = library(rest)
        label = _the_only(opened, "classes (ClassLabel)", opened.kinds[0], "label")
        image = _the_only(opened, "images (Image)", opened.kinds[1], "image")
        test = _test_split(opened, label)
        arrays: dict[str, Any] = {}
        for part, split in (("train", "train"), ("test", test)):
            arrays[f"y_{part}"] = labels = opened.labels(split, label)
            arrays[f"x_{part}"] = images_of(split, len(labels))
        note = "" if test == "test" else f"The test images are its split {test}."
        return as_dataset(name, arrays, tuple(opened.features[label].names), note)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except Exception as error:  # of a registry, of HTTP, of a builder, of Arrow
        offline = "; MODELZOO_OFFLINE is set" if is_offline() else ""
        raise DatasetUnavailable(f"{name} can't be loaded: {reason_of(error)}{offline}") from error


def _the_only(opened: LibrarySet, what: str, kind: type, usual: str) -> str:
    """Return the one feature of a kind, or the one with the usual name."""
    found = [key for key, feature in opened.features.items() if isinstance(feature, kind)]
    if len(found) == 1 or usual in found:
        return usual if usual in found else found[0]
    count = f"{len(found)} of them: {', '.join(found)}" if found else "none"
    raise InputError(
        f"should have one feature with {what}, and has {count}\n"
        "Only data sets for the classification of images can be trained on."
    )


def _test_split(opened: LibrarySet, label: str) -> str:
    """Return the split to score on: the first of TEST_SPLITS that is labelled."""
    known = ", ".join(opened.splits)
    if "train" not in opened.splits:
        raise InputError(f"has no split train; it has {known or 'none'}")
    for split in TEST_SPLITS:
        if split in opened.splits:
            labels = opened.labels(split, label)
            if len(labels) and labels.min() >= 0:  # contests keep theirs back, and write -1
                return split
    raise InputError(
        f"has no labelled split to test on, such as test or validation; it has {known}"
    )

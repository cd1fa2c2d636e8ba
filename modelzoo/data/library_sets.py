"""Data sets of other libraries: `tfds:NAME` of TensorFlow Datasets, `hf:OWNER/NAME` of the Hub."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from modelzoo.data.encoded import EncodedImages
from modelzoo.data.hugging_face import HuggingFaceSet
from modelzoo.data.source import Dataset, DatasetUnavailable, ImageShape, needed_shape
from modelzoo.data.tfds_sets import TfdsSet
from modelzoo.environment import is_offline
from modelzoo.errors import InputError, reason_of
from modelzoo.requirements import check_installed

TEST_SPLITS = ("test", "validation", "valid", "val")  # the first that has labels is scored


# What differs between the libraries: names, packages, and how records are opened and read. Making
# one opens the data set of that name.
LibrarySet: TypeAlias = TfdsSet | HuggingFaceSet
LIBRARIES: dict[str, type[LibrarySet]] = {"tfds": TfdsSet, "hf": HuggingFaceSet}


class LibraryImages(EncodedImages):
    """A split of a library's data set, whose records are fetched by their numbers.

    Args:
        name: for messages: data set and split.
        count: number of records.
        pictures, content: of the `LibrarySet`.
        image_shape: height, width and channels that every picture is brought to.
        image_options: `fit` and `ink` of `read_image`.
    """

    def __init__(
        self,
        name: str,
        count: int,
        pictures: Callable[[list[int]], Sequence[Any]],
        content: Callable[[Any], bytes | Path],
        image_shape: ImageShape,
        **image_options: Any,
    ) -> None:
        super().__init__(count, image_shape, **image_options)
        self.name, self._pictures, self._content = name, pictures, content

    def _sources(self, positions: np.ndarray) -> Sequence[Any]:
        return self._pictures([int(position) for position in positions])

    def _read_one(self, position: int, source: Any) -> np.ndarray:
        try:
            return super()._read_one(position, self._content(source))
        except InputError as error:
            raise InputError(f"{self.name}, picture {position}: {error}") from None


def library_of(name: str) -> type[LibrarySet] | None:
    """Return the library that a name such as `hf:OWNER/NAME` begins with, if it does."""
    prefix, colon, _ = name.partition(":")
    return LIBRARIES.get(prefix) if colon else None


def check_library_name(name: str, library: type[LibrarySet]) -> str:
    """Return what stands behind the colon.

    Raises:
        InputError: it is no such name, or the package is not installed. Nothing is imported.
    """
    rest = name.partition(":")[2]
    if not library.NAME.fullmatch(rest):
        raise InputError(f"{name:.100}: should be {library.SHOULD_BE}")
    check_installed(f"the data set {name}", *library.PACKAGES)
    return rest


def load_library_set(
    name: str, library: type[LibrarySet], image_shape: ImageShape | None, **image_options: Any
) -> Dataset:
    """Load a data set whose pictures are read as they are needed; it is fetched if it must be.

    Args:
        name: `tfds:NAME` or `hf:OWNER/NAME`.
        library: the one that the name begins with.
        image_shape: height, width and channels that every picture is brought to.
        image_options: `fit` and `ink` of `read_image`.

    Raises:
        DatasetUnavailable: there is none, or it cannot be fetched.
        InputError: it is not one for the classification of pictures, or has nothing to test on.
    """
    rest = check_library_name(name, library)
    shape = needed_shape(name, image_shape)
    try:
        opened = library(rest)
    except DatasetUnavailable:
        raise
    except InputError as error:
        raise InputError(f"{name} {error}") from None
    except Exception as error:  # of a registry, of HTTP, of a builder, of Arrow
        offline = "; MODELZOO_OFFLINE is set" if is_offline() else ""
        raise DatasetUnavailable(f"{name} can't be loaded: {reason_of(error)}{offline}") from error
    label = _the_only(name, "classes (ClassLabel)", opened.features, opened.kinds[0], "label")
    image = _the_only(name, "pictures (Image)", opened.features, opened.kinds[1], "image")
    class_names = tuple(opened.features[label].names)
    test_split, y_test = _test_split(name, opened, label)
    labels = {"train": opened.labels("train", label), test_split: y_test}
    for split, numbers in labels.items():
        _check_labels(f"{name}: the split {split}", numbers, len(class_names))
    images = {
        split: LibraryImages(
            f"{name} {split}",
            len(labels[split]),
            opened.pictures(split, image),
            opened.content,
            shape,
            **image_options,
        )
        for split in labels
    }
    note = "" if test_split == "test" else f"The test pictures are its split {test_split}."
    train, y_train = images["train"], labels["train"]
    return Dataset(name, train, y_train, images[test_split], y_test, class_names, note)


def _the_only(name: str, what: str, features: Mapping[str, Any], kind: type, usual: str) -> str:
    """Return the one feature of a kind, or the one with the usual name."""
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    if len(found) == 1 or usual in found:
        return usual if usual in found else found[0]
    count = f"{len(found)} of them: {', '.join(found)}" if found else "none"
    raise InputError(
        f"{name} should have one feature with {what}, and has {count}\n"
        "Only data sets for the classification of pictures can be trained on."
    )


def _test_split(name: str, opened: LibrarySet, label: str) -> tuple[str, np.ndarray]:
    """Return the split to score on, and its labels: the first of TEST_SPLITS that is labelled."""
    known = ", ".join(opened.splits)
    if "train" not in opened.splits:
        raise InputError(f"{name} has no split train; it has {known or 'none'}")
    for split in TEST_SPLITS:
        if split in opened.splits:
            labels = opened.labels(split, label)
            if len(labels) and labels.min() >= 0:  # contests keep theirs back, and write -1
                return split, labels
    raise InputError(
        f"{name} has no labelled split to test on, such as test or validation; it has {known}"
    )


def _check_labels(where: str, labels: np.ndarray, classes: int) -> None:
    if not len(labels):
        raise InputError(f"{where} is empty")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{where} has labels from {labels.min()} to {labels.max()}, "
            f"and there are {classes} classes"
        )

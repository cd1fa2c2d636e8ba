"""What the data sets of TFDS and of Hugging Face have in common."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.data.encoded import EncodedImages
from modelzoo.data.source import Dataset, ImageShape
from modelzoo.errors import InputError

TEST_SPLITS = ("test", "validation", "valid", "val")  # the first that has labels is scored


class LibraryImages(EncodedImages):
    """A split of a library's data set, whose records are fetched by their numbers.

    Args:
        name: for messages: data set and split.
        count: number of records.
        fetch: gives what is in the picture files of some records, or the files' paths.
        image_shape: height, width and channels that every picture is brought to.
        image_options: `fit` and `ink` of `read_image`.
    """

    def __init__(
        self,
        name: str,
        count: int,
        fetch: Callable[[list[int]], Sequence[bytes | Path]],
        image_shape: ImageShape,
        **image_options: Any,
    ) -> None:
        super().__init__(count, image_shape, **image_options)
        self.name, self._fetch = name, fetch

    def _sources(self, positions: np.ndarray) -> Sequence[Path | bytes]:
        return self._fetch([int(position) for position in positions])

    def _read(self, positions: np.ndarray) -> np.ndarray:
        try:
            return super()._read(positions)
        except InputError as error:
            for position in positions:  # which one?
                self._check(int(position))
            raise InputError(f"{self.name}: {error}") from None

    def _check(self, position: int) -> None:
        try:
            super()._read(np.array([position]))
        except InputError as error:
            raise InputError(f"{self.name}, picture {position}: {error}") from None


def the_only(name: str, what: str, features: Mapping[str, Any], kind: type, usual: str) -> str:
    """Return the one feature of a kind, or the one with the usual name, or say what is wrong.

    Args:
        name: of the data set.
        what: the kind, for the message.
        features: of the data set, by name.
        kind: their class, in the library.
        usual: the name to prefer.

    Raises:
        InputError: there is none, or there are several and none has the usual name.
    """
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    if len(found) == 1 or usual in found:
        return usual if usual in found else found[0]
    count = f"{len(found)} of them: {', '.join(found)}" if found else "none"
    raise InputError(
        f"{name} should have one feature with {what}, and has {count}\n"
        "Only data sets for the classification of pictures can be trained on."
    )


def choose_test_split(
    name: str, splits: Iterable[str], labels_of: Callable[[str], np.ndarray]
) -> tuple[str, np.ndarray]:
    """Return the split to score on, and its labels: the first of TEST_SPLITS that is labelled.

    Raises:
        InputError: there is none, or no training set.
    """
    known = list(splits)
    if "train" not in known:
        raise InputError(f"{name} has no split train; it has {', '.join(known) or 'none'}")
    for split in TEST_SPLITS:
        if split in known:
            labels = labels_of(split)
            if len(labels) and labels.min() >= 0:  # contests keep theirs back, and write -1
                return split, labels
    raise InputError(
        f"{name} has no labelled split to test on, such as test or validation; it has "
        f"{', '.join(known)}"
    )


def make_dataset(
    name: str,
    train: LibraryImages,
    y_train: np.ndarray,
    test: LibraryImages,
    y_test: np.ndarray,
    class_names: Sequence[str],
    test_split: str,
) -> Dataset:
    """Return a checked data set.

    Raises:
        InputError: a picture has no label, or one that no class has.
    """
    for split, labels in (("train", y_train), (test_split, y_test)):
        if not len(labels):
            raise InputError(f"{name}: the split {split} is empty")
        if labels.min() < 0 or labels.max() >= len(class_names):
            raise InputError(
                f"{name}: the split {split} has labels from {labels.min()} to {labels.max()}, "
                f"and there are {len(class_names)} classes"
            )
    note = "" if test_split == "test" else f"The test pictures are its split {test_split}."
    return Dataset(name, train, y_train, test, y_test, tuple(class_names), note)


def needed_shape(name: str, image_shape: ImageShape | None) -> ImageShape:
    """Return `image_shape`, or say that pictures of any size need one."""
    if image_shape is None:
        raise InputError(
            f"{name} needs an image_shape: height, width, channels\n"
            "Its pictures may be of any size, and a network takes one."
        )
    return image_shape

"""What a data set is: pictures with their classes, in memory or made as they are asked for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Never, TypeAlias

import numpy as np

from modelzoo.errors import InputError

ImageShape: TypeAlias = tuple[int, int, int]  # height, width, channels


class DatasetUnavailable(InputError):  # noqa: N818, the name states the condition
    """A data set is not on this machine and can't be fetched."""


def check_image_shape(shape: object) -> ImageShape:
    """Return `shape` as (height, width, channels), or say what is wrong with it."""
    if (
        not isinstance(shape, tuple | list)
        or len(shape) != 3
        or not all(isinstance(side, int | np.integer) and side > 0 for side in shape)
        or shape[2] not in (1, 3)
    ):
        raise InputError(
            f"image_shape is {shape!r}\n"
            "It must be three whole numbers: height, width and 1 (grey) or 3 (colour) channels."
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def needed_shape(name: str, image_shape: ImageShape | None) -> ImageShape:
    """Return `image_shape`, or say that pictures of any size need one."""
    if image_shape is None:
        raise InputError(
            f"{name} needs an image_shape: height, width, channels\n"
            "Its pictures may be of any size, and a network takes one."
        )
    return image_shape


def as_text(shape: tuple[int, ...]) -> str:
    """Write (28, 28, 1) as 28x28x1."""
    return "x".join(str(side) for side in shape)


class LazyImages(ABC):
    """Pictures that are made when they are indexed: memory holds one batch, not all of them.

    Indexing follows NumPy: an integer gives one picture (h, w, c), a slice or an array of integers
    or booleans gives a uint8 batch (n, h, w, c). A slice of everything reads everything: split a
    lazy source by splitting the indices.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, count: int, image_shape: ImageShape) -> None:
        self.shape: tuple[int, int, int, int] = (count, *image_shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        positions = np.arange(len(self))[index]
        if positions.ndim == 0:
            return self._read(positions[np.newaxis])[0]
        if positions.ndim > 1:
            raise IndexError("an index is an integer, a slice, or one row of integers or booleans")
        return self._read(positions)

    def __iter__(self) -> Iterator[np.ndarray]:
        for position in range(len(self)):
            yield self[position]

    def __array__(self, *args: object, **kwargs: object) -> Never:
        # Without this NumPy would quietly read every picture into one array.
        raise TypeError("these pictures are read as they are needed: index them in batches")

    @abstractmethod
    def _read(self, positions: np.ndarray) -> np.ndarray:
        """The pictures at these positions, each in 0..len-1, as one uint8 batch."""


ImageSource: TypeAlias = np.ndarray | LazyImages


@dataclass(frozen=True)
class Dataset:
    """A training set and a test set of pictures, all of one shape, with the names of the classes.

    Attributes:
        name: the label that stands wherever a figure measured on this data is shown.
        x_train, x_test: uint8 pictures (n, height, width, channels), 0..255.
        y_train, y_test: int64 (n,), the position of each picture's class in `class_names`.
        class_names: one name a class.
        note: what a reader of a figure measured on this data must know; may be empty.
    """

    name: str
    x_train: ImageSource
    y_train: np.ndarray
    x_test: ImageSource
    y_test: np.ndarray
    class_names: tuple[str, ...]
    note: str = ""

    @property
    def image_shape(self) -> ImageShape:
        """Height, width and channels of every picture."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

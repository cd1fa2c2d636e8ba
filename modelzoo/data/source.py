"""What a data set is, in memory or made as it is asked for, and what one pass over it is."""

import functools
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Never, TypeAlias

import numpy as np
from PIL import Image

from modelzoo.support.environment import memory_bytes
from modelzoo.support.errors import InputError

ImageShape: TypeAlias = tuple[int, int, int]  # height, width, channels
# Above this, the resized images are made batch by batch: CIFAR-10 at AlexNet's 227x227 would
# fill 9 GB of memory.
MEMORY_LIMIT = 1 << 30  # bytes
KEPT_SHARE = 1 / 8  # of the memory: so large may the images of one split be that are kept
READ_AHEAD = 2  # batches of files: one is being read while another is waited for
SPLIT_SEED = 0  # the validation images are the same for every seed of a run
TEST_SHARE = 0.2  # of the images of a data set that has none to test on


class DatasetUnavailable(InputError):  # noqa: N818, the name states the condition
    """A data set is not on this machine and can't be fetched."""


def check_image_shape(shape: Sequence[int]) -> ImageShape:
    """Return `shape` as (height, width, channels), or say what is wrong with it."""
    if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
        raise InputError(
            f"image_shape is {shape!r}\n"
            "It must be three whole numbers: height, width and 1 (grey) or 3 (colour) channels."
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def as_text(shape: tuple[int, ...]) -> str:
    """Write (28, 28, 1) as 28x28x1."""
    return "x".join(str(side) for side in shape)


class LazyImages:
    """Images that are made when they are indexed, and kept if all of them fit in KEPT_SHARE.

    Where they do not, memory holds one batch, and an image is made each time it is asked for.
    Indexing follows NumPy: an integer gives one image (h, w, c), a slice or an array of integers or
    booleans gives a uint8 batch (n, h, w, c). A slice of everything reads everything: split a lazy
    source by splitting the indices. `read` makes the uint8 batch at positions in 0..count-1.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self, count: int, image_shape: ImageShape, read: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.shape: tuple[int, int, int, int] = (count, *image_shape)
        self._read = read
        self._keeps = math.prod(self.shape) <= KEPT_SHARE * memory_bytes()
        self._known, self._lock = np.zeros(count if self._keeps else 0, bool), threading.Lock()

    @functools.cached_property
    def _kept(self) -> np.ndarray:
        return np.empty(self.shape, np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        positions = np.arange(len(self))[index]
        if positions.ndim == 0:
            return self._at(positions[np.newaxis])[0]
        if positions.ndim > 1:
            raise IndexError("an index is an integer, a slice, or one row of integers or booleans")
        return self._at(positions)

    def _at(self, positions: np.ndarray) -> np.ndarray:
        if not self._keeps:
            return self._read(positions)
        missing = positions[~self._known[positions]]
        images = self._read(missing) if len(missing) else None
        with self._lock:  # two threads may read one image: they find the same
            if images is not None:
                self._kept[missing], self._known[missing] = images, True
            return self._kept[positions]

    def __array__(self, *args: object, **kwargs: object) -> Never:
        # Without this NumPy would quietly read every image into one array.
        raise TypeError("these images are read as they are needed: index them in batches")


ImageSource: TypeAlias = np.ndarray | LazyImages


@dataclass(frozen=True)
class Dataset:
    """A training set and a test set of images, all of one shape, with the names of the classes."""

    name: str  # stands wherever a figure measured on this data is shown
    x_train: ImageSource  # uint8 (n, height, width, channels), 0..255
    y_train: np.ndarray  # int64 (n,), positions in `class_names`
    x_test: ImageSource
    y_test: np.ndarray
    class_names: tuple[str, ...]
    note: str = ""  # what a reader of a figure measured on it must know
    validation: np.ndarray | None = None  # positions in x_train that were set aside for it
    left_out: tuple[tuple[str, str], ...] = ()  # bad image files, and what is wrong with them

    @property
    def image_shape(self) -> ImageShape:
        """Height, width and channels of every image."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels


@dataclass(frozen=True)
class BatchSource:
    """One pass over a split, or, in training, one after the other."""

    images: ImageSource  # of the whole data set, uint8
    labels: np.ndarray  # their class numbers
    order: np.ndarray  # positions of the images; a training epoch shuffles it in place
    seeds: np.ndarray  # of each batch's augmentation, (batches, states, 2); in place, too
    batch_size: int  # the last may be smaller
    first_step: int  # batches before it were trained on already, and are not made
    finish: Callable[[Any, Any, Any], tuple[Any, Any]]  # from images, labels, seeds to a batch

    @property
    def steps(self) -> int:
        """Batches in a whole pass."""
        return -(-len(self.order) // self.batch_size)

    @property
    def in_memory(self) -> bool:
        """Whether a batch is gathered from an array, not read from files."""
        return isinstance(self.images, np.ndarray)

    def chosen(self, step: Any, order: Any = None) -> Any:
        """Return the positions of the images of batch number `step`."""
        order = self.order if order is None else order
        return order[step * self.batch_size : (step + 1) * self.batch_size]


def with_image_shape(dataset: Dataset, image_shape: ImageShape) -> Dataset:
    """Return the data set with every image brought to `image_shape`, and a note of that.

    Grey becomes colour by repeating, colour becomes grey as ITU-R 601 luma, and the size changes by
    bilinear resizing with antialiasing; the aspect ratio is not kept.
    """
    if dataset.image_shape == image_shape:
        return dataset
    change = f"{as_text(dataset.image_shape)} images brought to {as_text(image_shape)}."
    return replace(
        dataset,
        x_train=resized(dataset.x_train, image_shape),
        x_test=resized(dataset.x_test, image_shape),
        note=f"{dataset.note} {change}".strip(),
    )


def resized(images: ImageSource, image_shape: ImageShape) -> ImageSource:
    """Return images in another shape, made as they are asked for if they would fill the memory."""
    images = np.asarray(images)
    if len(images) * int(np.prod(image_shape)) <= MEMORY_LIMIT:
        return convert(images, image_shape)
    return LazyImages(len(images), image_shape, lambda chosen: convert(images[chosen], image_shape))


def convert(images: np.ndarray, image_shape: ImageShape) -> np.ndarray:
    """Return uint8 images (n, h, w, c) with the height, width and channels of `image_shape`."""
    height, width, channels = image_shape
    converted = np.empty((len(images), *image_shape), np.uint8)
    for image, target in zip(images, converted, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        if channels == 1:
            picture = picture.convert("L")
        # Pillow widens its bilinear filter when it shrinks an image: that is the antialiasing.
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        target[:] = np.asarray(picture).reshape(height, width, -1)  # grey spreads over 3 channels
    return converted


def without_test(count: int) -> str:
    """Return the note on a data set that came without test images."""
    return (
        f"It has no test images: {count:,}, a fifth of each class drawn by the seed {SPLIT_SEED}, "
        "are held back for the test."
    )


def own_validation(count: int) -> str:
    """Return the note on a data set that brings its validation images."""
    return f"Its own {count:,} validation images take the place of data.validation_split."


def split_validation(labels: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return positions to train and to validate on, a share (float) or a number (int)."""
    count = round(len(labels) * size) if isinstance(size, float) else size
    if count >= len(labels):
        raise InputError(
            f"data.validation_split: {size} leaves none of {len(labels)} training images"
        )
    shuffled = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels, minlength=1)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(labels))  # where an image stands within its class, from 0 to 1
    rank[by_class] = (np.arange(len(labels)) - first + 0.5) / np.repeat(counts, counts)
    chosen = shuffled[np.argsort(rank[shuffled], kind="stable")]
    return np.sort(chosen[count:]), np.sort(chosen[:count])

"""Bring pictures that are already in memory to another size and number of channels."""

from dataclasses import replace

import numpy as np
from PIL import Image

from modelzoo.data.source import Dataset, ImageShape, ImageSource, LazyImages, as_text

# Above this, the resized pictures are made batch by batch: CIFAR-10 at AlexNet's 227x227 would
# fill 9 GB of memory.
MEMORY_LIMIT = 1 << 30  # bytes
CHUNK = 1024  # pictures converted at a time, so that the intermediate arrays stay small


def with_image_shape(dataset: Dataset, image_shape: ImageShape) -> Dataset:
    """Return the data set with every picture brought to `image_shape`, and a note that says so.

    Grey becomes colour by repeating, colour becomes grey as ITU-R 601 luma, and the size changes by
    bilinear resizing with antialiasing; the aspect ratio is not kept.
    """
    if dataset.image_shape == image_shape:
        return dataset
    change = f"{as_text(dataset.image_shape)} pictures brought to {as_text(image_shape)}."
    return replace(
        dataset,
        x_train=_brought_to(dataset.x_train, image_shape),
        x_test=_brought_to(dataset.x_test, image_shape),
        note=f"{dataset.note} {change}".strip(),
    )


class ResizedImages(LazyImages):
    """An array of pictures, each brought to another shape when it is asked for."""

    def __init__(self, images: np.ndarray, image_shape: ImageShape) -> None:
        super().__init__(len(images), image_shape)
        self._images = images

    def _read(self, positions: np.ndarray) -> np.ndarray:
        return convert(self._images[positions], (*self.shape[1:],))


def _brought_to(images: ImageSource, image_shape: ImageShape) -> ImageSource:
    if isinstance(images, LazyImages):
        raise TypeError("pictures that are read lazily get their shape when they are read")
    if len(images) * int(np.prod(image_shape)) > MEMORY_LIMIT:
        return ResizedImages(images, image_shape)
    return convert(images, image_shape)


def convert(images: np.ndarray, image_shape: ImageShape) -> np.ndarray:
    """Return uint8 pictures (n, h, w, c) with the height, width and channels of `image_shape`."""
    height, width, channels = image_shape
    converted = np.empty((len(images), *image_shape), np.uint8)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        if channels == 1:
            chunk = to_grey(chunk)
        if chunk.shape[1:3] != (height, width):
            chunk = _resize(chunk, height, width)
        converted[start : start + CHUNK] = chunk  # one channel spreads over three here
    return converted


def to_grey(images: np.ndarray) -> np.ndarray:
    """Return (..., 1) grey pictures, by the ITU-R 601 luma in the integers that Pillow uses."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = np.moveaxis(images.astype(np.uint32), -1, 0)
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma.astype(np.uint8)[..., np.newaxis]


def _resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    resized = np.empty((len(images), height, width, images.shape[-1]), np.uint8)
    for picture, target in zip(images, resized, strict=True):
        flat = picture[..., 0] if picture.shape[-1] == 1 else picture
        # Pillow widens its bilinear filter when it shrinks a picture: that is the antialiasing.
        result = Image.fromarray(flat).resize((width, height), Image.Resampling.BILINEAR)
        target[...] = np.asarray(result).reshape(target.shape)
    return resized

"""Read images safely, one or many, and bring them to the shape that a network takes."""

import functools
import os
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image, ImageOps

from modelzoo.data.digit import LEAST_CONTRAST, border_pixels, fit_digit, has_light_ground
from modelzoo.data.picture import Picture, open_picture
from modelzoo.data.source import ImageShape, LazyImages, as_text, check_image_shape
from modelzoo.support.environment import usable_cores
from modelzoo.support.errors import InputError

Fit: TypeAlias = Literal["digit", "contain", "cover", "stretch"]
Ink: TypeAlias = Literal["as_is", "light"]
NO_INK = "no ink found: the image is blank"
READERS = min(32, usable_cores())  # threads; Pillow decodes outside Python's lock


@dataclass(frozen=True)
class PreparedImage:
    """An image as a network takes it.

    Attributes:
        pixels: uint8, (height, width, channels).
        notes: what was done to it, in plain words.
        problem: why it shows nothing that could be classified; empty for all other images.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]
    problem: str = ""


def check_image_options(shape: object, fit: object, ink: object) -> ImageShape:
    """Return `shape`, or say which of the options of `read_image` is wrong."""
    for name, value, allowed in (("fit", fit, get_args(Fit)), ("ink", ink, get_args(Ink))):
        if value not in allowed:
            raise InputError(f"{name} is {value!r}\nIt must be one of: {', '.join(allowed)}")
    return check_image_shape(shape)


def read_image(
    source: str | os.PathLike[str] | bytes,
    shape: ImageShape,
    *,
    fit: Fit = "cover",
    ink: Ink = "as_is",
) -> PreparedImage:
    """Read a PNG, JPEG, GIF, BMP, TIFF or WebP image of any size and kind.

    Args:
        source: the path of the file, or what is in it.
        shape: height, width and channels (1 or 3) of the result.
        fit: how the image comes to that size, unless it has it already:
            `digit` as MNIST was made: the strokes, levelled, scaled to 20/28 of each side and
            centred by their mass; `contain` whole, padded in the colour of its border; `cover` the
            sides that stick out cut off; `stretch` without its aspect ratio.
        ink: `light` turns dark strokes on a light ground into light on dark, as in MNIST.

    Returns:
        uint8 pixels of `shape`, a note for each change, and the problem of a blank image.
    """
    height, width, channels = check_image_options(shape, fit, ink)
    # Twice the size leaves the antialiasing its work. A digit may be a small part of its image.
    least_size = None if fit == "digit" else (2 * width, 2 * height)
    picture = open_picture(source if isinstance(source, bytes) else Path(source), least_size)
    problem = ""
    if fit == "digit" and picture.size != (width, height):
        image, notes, problem = _as_digit(picture, height, width, ink)
    else:
        image, notes = _in_channels(picture, channels)
        if picture.size != (width, height):
            image, change = _fitted(image, picture.size, (width, height), fit)
            notes.append(change)
        if ink == "light" and has_light_ground(image.convert("L")):
            image = ImageOps.invert(image)
            notes.append("inverted: dark strokes on a light background")
    pixels = np.asarray(image, np.uint8).reshape(height, width, -1)
    if pixels.shape[2] != channels:
        pixels = np.repeat(pixels, channels, axis=2)
    return PreparedImage(pixels, (*picture.notes, *notes), problem or _problem_of(pixels, fit))


def _problem_of(pixels: np.ndarray, fit: Fit) -> str:
    """Return why pixels (height, width, channels) show nothing; empty if they show something."""
    contrast = int(np.ptp(pixels, axis=(0, 1)).max())
    if fit == "digit" and contrast < LEAST_CONTRAST:
        return NO_INK
    return "" if contrast else "all pixels are equal"


def _in_channels(picture: Picture, channels: int) -> tuple[Image.Image, list[str]]:
    """Make colour grey where one channel is wanted; grey is repeated at the very end."""
    if channels == 3:
        return picture.image, ["grey repeated in 3 channels"] if picture.image.mode == "L" else []
    if picture.image.mode == "L":
        return picture.image, []
    return picture.image.convert("L"), ["colour converted to grey"]


def _as_digit(
    picture: Picture, height: int, width: int, ink: Ink
) -> tuple[Image.Image, list[str], str]:
    grey, notes = _in_channels(picture, 1)
    dark_strokes = has_light_ground(grey)
    strokes = fit_digit(ImageOps.invert(grey) if dark_strokes else grey, height, width)
    if strokes is None:
        ground = 255 if dark_strokes and ink == "as_is" else 0
        return Image.new("L", (width, height), ground), notes, NO_INK
    notes.append(
        f"digit cut out of {as_text(picture.size)}, levelled, scaled to fit "
        f"{round(width * 20 / 28)}x{round(height * 20 / 28)} "
        f"and centred in {as_text((width, height))}"
    )
    if dark_strokes and ink == "light":
        notes.append("inverted: dark strokes on a light background")
    image = Image.fromarray(strokes)
    return (ImageOps.invert(image) if dark_strokes and ink == "as_is" else image), notes, ""


def _fitted(
    image: Image.Image, original: tuple[int, int], size: tuple[int, int], fit: Fit
) -> tuple[Image.Image, str]:
    """Resize to `size` (width, height); `original` is the size in the file, for the note."""
    bilinear = Image.Resampling.BILINEAR  # Pillow's shrinks with antialiasing
    resized = f"resized from {as_text(original)} to {as_text(size)}"
    same_aspect = original[0] * size[1] == original[1] * size[0]
    if fit == "stretch" or same_aspect:
        note = resized if same_aspect else f"{resized} without keeping the aspect ratio"
        return image.resize(size, bilinear), note
    if fit == "cover":
        cut = (
            "left and right" if original[0] * size[1] > original[1] * size[0] else "top and bottom"
        )
        return ImageOps.fit(image, size, bilinear), f"{resized}, {cut} cut off"
    colour = np.median(border_pixels(np.asarray(image)), axis=0)
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    ground = np.broadcast_to(np.rint(colour).astype(np.uint8), (size[1], size[0], *colour.shape))
    padded = Image.fromarray(np.ascontiguousarray(ground))
    corner = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    padded.paste(image.resize(inner, bilinear), corner)
    return padded, f"{resized}, padded with the colour of its border"


class EncodedImages(LazyImages):
    """Images each of which is read, checked and fitted when it is indexed, by several threads.

    Args:
        count: how many there are.
        image_shape, fit, ink: as in `read_image`.
    """

    def __init__(self, count: int, image_shape: ImageShape, fit: Fit, ink: Ink) -> None:
        self._image_shape = check_image_options(image_shape, fit, ink)
        super().__init__(count, self._image_shape)
        self._fit, self._ink = fit, ink

    @abstractmethod
    def _sources(self, positions: np.ndarray) -> Sequence[Any]:
        """Return where `_read_one` finds the images at these positions: files, or bytes."""

    def _read_one(self, position: int, source: Any) -> np.ndarray:
        return read_image(source, self._image_shape, fit=self._fit, ink=self._ink).pixels

    def _read(self, positions: np.ndarray) -> np.ndarray:
        batch = np.empty((len(positions), *self._image_shape), np.uint8)
        run = map if len(positions) < 4 else _readers().map  # a few are not worth waking threads
        # An error ends this at once: the first is raised, and the images behind it are not read.
        for row, pixels in enumerate(run(self._read_one, positions, self._sources(positions))):
            batch[row] = pixels
        return batch


@functools.cache
def _readers() -> ThreadPoolExecutor:
    """The threads that read images, for all sources; a source itself holds none."""
    return ThreadPoolExecutor(READERS, thread_name_prefix="read-pictures")


if hasattr(os, "register_at_fork"):  # a forked process inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_readers.cache_clear)

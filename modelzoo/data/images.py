"""Read images safely, one or many, and bring them to the shape that a network takes."""

from __future__ import annotations

import functools
import io
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

from modelzoo.data.digit import Box, Digit, border_pixels, find_digits, has_light_ground, is_centred
from modelzoo.data.samples import find_sample
from modelzoo.data.source import ImageShape, LazyImages, as_text, check_image_shape
from modelzoo.support.environment import usable_cores
from modelzoo.support.errors import InputError, reason_of

Fit: TypeAlias = Literal["digit", "contain", "cover", "stretch"]
Ink: TypeAlias = Literal["as_is", "light"]
NO_INK = "no ink found: the image is blank"
INVERTED = "inverted: dark strokes on a light background"
LEAST_CONTRAST = 12  # grey levels; below this an image is taken as blank
READERS = min(32, usable_cores())  # threads; Pillow decodes outside Python's lock


@dataclass(frozen=True)
class PreparedImage:
    """An image as a network takes it."""

    pixels: np.ndarray  # uint8, (height, width, channels)
    notes: tuple[str, ...]  # what was done to it, in plain words
    problem: str = ""  # why it shows nothing that could be classified
    size: tuple[int, int] = (0, 0)  # width and height of the upright image
    digits: tuple[Digit, ...] = ()  # those found, in reading order; `pixels` are of the largest

    @property
    def images(self) -> tuple[np.ndarray, ...]:
        """The pixels of each digit, or of the image as a whole."""
        return tuple(each.pixels for each in self.digits) or (self.pixels,)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Where these are in the upright image: left, top, right, bottom."""
        return tuple(each.box for each in self.digits) or ((0, 0, *self.size),)


def read_image(
    source: str | os.PathLike[str] | bytes,
    shape: ImageShape,
    *,
    fit: Fit = "cover",
    ink: Ink = "as_is",
) -> PreparedImage:
    """Read a PNG, JPEG, GIF, BMP, TIFF or WebP image of any size and kind.

    Args:
        source: the path of the file, `sample:NAME`, or what is in it.
        shape: height, width and channels (1 or 3) of the result.
        fit: how the image comes to that size, unless it has it already:
            `digit` as MNIST was made: the strokes, levelled, scaled to 20/28 of each side and
            centred by their mass; `contain` whole, padded in the colour of its border; `cover` the
            sides that stick out cut off; `stretch` without its aspect ratio.
        ink: `light` turns dark strokes on a light ground into light on dark, as in MNIST.

    Returns:
        uint8 pixels of `shape`, a note for each change, and the problem of a blank image.
    """
    height, width, channels = check_image_shape(shape)
    # Twice the size leaves the antialiasing its work. A digit may be a small part of its image.
    least_size = None if fit == "digit" else (2 * width, 2 * height)
    picture = open_picture(source if isinstance(source, bytes) else Path(source), least_size)
    is_exact = picture.size == (width, height)
    image, notes = _in_channels(picture, 1 if fit == "digit" and not is_exact else channels)
    digits: list[Digit] = []
    problem = ""
    if fit == "digit" and not (is_exact and is_centred(image.convert("L"))):
        digits = [
            _as_wanted(each, ink, channels)
            for each in find_digits(image.convert("L"), height, width)
        ]
    if digits:
        pixels = max(digits, key=lambda each: each.height).pixels
        notes += _notes_on(digits, picture.size, (width, height), ink)
    elif fit == "digit" and not is_exact:
        pixels = np.zeros((height, width, channels), np.uint8)
        problem = NO_INK
    else:
        if not is_exact:
            image, change = _fitted(image, picture.size, (width, height), fit)
            notes.append(change)
        if ink == "light" and has_light_ground(image.convert("L")):
            image = ImageOps.invert(image)
            notes.append(INVERTED)
        pixels = _with_channels(np.asarray(image, np.uint8), channels)
        contrast = int(np.ptp(pixels, axis=(0, 1)).max())
        if fit == "digit" and contrast < LEAST_CONTRAST:
            problem = NO_INK
        elif not contrast:
            problem = "all pixels are equal"
    all_notes = (*picture.notes, *notes)
    return PreparedImage(pixels, all_notes, problem, picture.size, tuple(digits))


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels if pixels.shape[2] == channels else np.repeat(pixels, channels, axis=2)


def _as_wanted(digit: Digit, ink: Ink, channels: int) -> Digit:
    pixels = digit.pixels if digit.is_light or ink == "light" else 255 - digit.pixels
    return replace(digit, pixels=_with_channels(pixels, channels))


def _notes_on(
    digits: list[Digit], original: tuple[int, int], size: tuple[int, int], ink: Ink
) -> list[str]:
    notes = [] if len(digits) == 1 else [f"{len(digits)} digits found"]
    notes.append(
        f"digit cut out of {as_text(original)}, levelled, scaled to fit "
        f"{round(size[0] * 20 / 28)}x{round(size[1] * 20 / 28)} and centred in {as_text(size)}"
    )
    if ink == "light" and not digits[0].is_light:
        notes.append(INVERTED)
    return notes


def _in_channels(picture: Picture, channels: int) -> tuple[Image.Image, list[str]]:
    """Make colour grey where one channel is wanted; grey is repeated at the very end."""
    if channels == 3:
        return picture.image, ["grey repeated in 3 channels"] if picture.image.mode == "L" else []
    if picture.image.mode == "L":
        return picture.image, []
    return picture.image.convert("L"), ["colour converted to grey"]


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


def read_lazily(
    count: int,
    image_shape: ImageShape,
    sources: Callable[[np.ndarray], Sequence[Any]],
    read: Callable[[Any], np.ndarray],
) -> LazyImages:
    """Return images that several threads read when indexed; `sources` returns what to read."""

    def read_batch(positions: np.ndarray) -> np.ndarray:
        batch = np.empty((len(positions), *image_shape), np.uint8)
        run = map if len(positions) < 4 else _readers().map  # a few are not worth waking threads
        # An error ends this at once: the first is raised, and the images behind it are not read.
        for row, pixels in enumerate(run(read, sources(positions))):
            batch[row] = pixels
        return batch

    return LazyImages(count, image_shape, read_batch)


@functools.cache
def _readers() -> ThreadPoolExecutor:
    """The threads that read images, for all sources; a source itself holds none."""
    return ThreadPoolExecutor(READERS, thread_name_prefix="read-pictures")


if hasattr(os, "register_at_fork"):  # a forked process inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_readers.cache_clear)


TIFF_PILLOW = (12, 3)  # older ones are known to overrun memory on crafted TIFF files
MAX_PIXELS = 80_000_000  # below the size at which Pillow itself begins to warn of a bomb
LIGHT = 160  # luma from which content counts as light, and needs a dark ground to be seen
ORIENTATION = 0x0112  # the EXIF tag; from 5 on, width and height change places


@dataclass(frozen=True)
class Picture:
    """An upright 8-bit image of mode L or RGB, its size in the file, and what was done to it."""

    image: Image.Image
    size: tuple[int, int]  # width, height, before any reduction while decoding
    notes: tuple[str, ...]


def readable_formats() -> list[str]:
    """Return the formats of images that are read, by Pillow's names."""
    version = tuple(int(part) for part in PIL.__version__.split(".")[:2])
    return ["PNG", "JPEG", "GIF", "BMP", "WEBP", *(["TIFF"] if version >= TIFF_PILLOW else [])]


HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".heif")
)


def files_of(paths: Iterable[str | Path]) -> list[str | Path]:
    """Return the files that are named, and of folders the images in them and below, by name.

    Raises InputError for a folder without any.
    """
    found: list[str | Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = [each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES]
        shown = sorted(each for each in inside if not each.name.startswith("."))
        if not shown:
            endings = ", ".join(sorted(SUFFIXES))
            raise InputError(f"{path} has no images\nIts files end in none of {endings}")
        found += shown
    return found


def formats_for(source: Path | bytes, name: str) -> list[str]:
    """Return the formats that a file may have: also HEIF, where it is one and can be read."""
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with source.open("rb") as file:
            head = file.read(12)
    if head[4:8] != b"ftyp" or head[8:12] not in HEIF_BRANDS:
        return readable_formats()
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise InputError(
            f"{name} is a HEIC photograph, as phones take them\n"
            "Install pillow-heif to read it, or save it as JPEG: sips -s format jpeg (macOS), "
            "heif-convert (Linux), or in a phone's settings for sharing."
        ) from None
    register_heif_opener()
    return [*readable_formats(), "HEIF"]


def open_picture(source: Path | bytes, least_size: tuple[int, int] | None = None) -> Picture:
    """Read an image from a file, or from what is in one.

    A JPEG larger than `least_size` (width, height) may be decoded at 1/2, 1/4 or 1/8 of its size,
    but not below that: it makes folders of photographs quick to read.
    """
    name = "the file" if isinstance(source, bytes) else str(source)
    if isinstance(source, Path):
        source = find_sample(source)
        _check_file(source)
    try:
        with (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
            Image.open(file, formats=formats_for(source, name)) as opened,
        ):
            # Opening reads the header only: nothing has been decoded yet. Pillow would just warn,
            # and a warning can't be made an error for one thread alone.
            if opened.width * opened.height > MAX_PIXELS:
                raise _too_large(name)
            return _upright(opened, least_size)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        formats, needed = readable_formats(), "{}.{}".format(*TIFF_PILLOW)
        tiff = "" if "TIFF" in formats else f" TIFF takes Pillow {needed} or newer."
        raise InputError(
            f"{name} is not an image that can be read\n"
            f"Its content is none of {', '.join(formats)}, whatever its name says.{tiff}"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except Exception as error:  # on a damaged file Pillow raises a dozen unrelated kinds
        raise InputError(
            f"{name} is damaged or of an unusual kind: {reason_of(error)}\n"
            "Open it in an image program and save it as PNG, or leave it out."
        ) from error


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise InputError(f"there is no image {path}\nCheck the path.") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path} is a folder\nName the images in it, one by one.")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise InputError(f"{path} is not a file\nName an image file.")
    if status.st_size == 0:
        raise InputError(f"{path} is empty\nIts copy or download has failed: fetch it again.")


def _too_large(name: str) -> InputError:
    return InputError(
        f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels\n"
        "It may be made to fill the memory. If you trust it, make it smaller first."
    )


def _upright(opened: Image.Image, least_size: tuple[int, int] | None) -> Picture:
    notes = []
    size = opened.size
    if getattr(opened, "is_animated", False):
        notes.append("only the first of its frames was read")
    if opened.format == "JPEG" and least_size is not None:
        opened.draft("", (max(least_size), max(least_size)))  # may lie on its side: see EXIF
    orientation = _orientation(opened)
    opened.load()
    image: Image.Image = opened
    if orientation != 1:
        image = ImageOps.exif_transpose(opened)
        size = size if orientation < 5 else size[::-1]
        notes.append("turned upright, as its EXIF orientation says")
    image, changes = _eight_bit(image)
    return Picture(image, size, (*notes, *changes))


def _orientation(opened: Image.Image) -> int:
    try:
        orientation = opened.getexif().get(ORIENTATION, 1)
    except Exception:  # broken EXIF is no reason to refuse an image that can be seen
        return 1
    return orientation if orientation in range(2, 9) else 1


def _eight_bit(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Bring any of Pillow's modes to L or RGB."""
    if image.mode.startswith(("I", "F")):
        return _scaled_to_eight_bits(image)
    if image.has_transparency_data:
        return _on_ground(image.convert("RGBA"))
    if image.mode in ("L", "RGB"):
        return image.copy(), []  # a copy outlives the file that is about to be closed
    if image.mode == "1":
        return image.convert("L"), []
    notes = ["converted from CMYK to RGB"] if image.mode == "CMYK" else []
    return image.convert("RGB"), notes


def _scaled_to_eight_bits(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Scale 16-bit, 32-bit and floating-point grey by the range that its values imply."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not numbers")
    low, high = float(values.min()), float(values.max())
    # A 16-bit PNG comes as "I" from some versions of Pillow.
    sixteen_bit = image.mode.startswith("I;16") or image.format == "PNG"
    if sixteen_bit or (image.mode == "I" and low >= 0 and 255 < high <= 65_535):
        scaled, note = values / 257, "16-bit grey scaled to 8 bits"
    elif image.mode == "F" and low >= 0 and high <= 1:
        scaled, note = values * 255, "grey from 0.0 to 1.0 scaled to 8 bits"
    elif low >= 0 and high <= 255:
        scaled, note = values, "grey from 0 to 255 rounded to 8 bits"
    else:
        scaled = (values - low) * (255 / max(high - low, 1e-300))
        note = f"grey from {low:g} to {high:g} stretched to 8 bits"
    return Image.fromarray(np.rint(scaled).astype(np.uint8)), [note]


def _on_ground(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Put an image with transparency on white, or on black if white would hide its content."""
    pixels = np.asarray(image)
    alpha = pixels[..., 3]
    if alpha.min() == 255:
        return image.convert("RGB"), []
    luma = np.asarray(image.convert("L"))
    visible = luma[alpha >= 128] if (alpha >= 128).any() else luma[alpha > 0]
    dark_ground = visible.size > 0 and np.percentile(visible, 5) >= LIGHT
    ground = Image.new("RGBA", image.size, "black" if dark_ground else "white")
    name = "black, since its content is light" if dark_ground else "white"
    return Image.alpha_composite(ground, image).convert("RGB"), [f"transparency put on {name}"]

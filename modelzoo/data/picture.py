"""Open one image file, whatever is in it, as 8-bit grey or colour without transparency."""

import io
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

from modelzoo.support.environment import install_command
from modelzoo.support.errors import InputError, reason_of

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
TIFF_PILLOW = (12, 3)  # older ones are known to overrun memory on crafted TIFF files
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")  # all that Pillow takes
MAX_PIXELS = 80_000_000  # below the size at which Pillow itself begins to warn of a bomb
LIGHT = 160  # luma from which content counts as light, and needs a dark ground to be seen
ORIENTATION = 0x0112  # the EXIF tag; from 5 on, width and height change places


@dataclass(frozen=True)
class Picture:
    """An upright 8-bit image of mode L or RGB, its size in the file, and what was done to it."""

    image: Image.Image
    size: tuple[int, int]  # width, height, before any reduction while decoding
    notes: tuple[str, ...]


def open_picture(source: Path | bytes, least_size: tuple[int, int] | None = None) -> Picture:
    """Read an image.

    Args:
        source: the path of a PNG, JPEG, GIF, BMP, TIFF or WebP file, or what is in such a file.
        least_size: where a JPEG is larger, it may be decoded at 1/2, 1/4 or 1/8 of its size, but
            not below this width and height. That makes folders of photographs quick to read.
    """
    name = "the file" if isinstance(source, bytes) else str(source)
    if isinstance(source, Path):
        _check_file(source)
    try:
        with (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
            Image.open(file, formats=_formats(file, name)) as opened,
        ):
            # Opening reads the header only: nothing has been decoded yet. Pillow would just warn,
            # and a warning can't be made an error for one thread alone.
            if opened.width * opened.height > MAX_PIXELS:
                raise _too_large(name)
            return _upright(opened, least_size)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} is not an image that can be read\n"
            f"Its content is none of {', '.join(FORMATS)}, whatever its name says."
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


def reads_tiff() -> bool:
    """Whether Pillow is new enough for TIFF."""
    return tuple(int(part) for part in PIL.__version__.split(".")[:2]) >= TIFF_PILLOW


def _formats(file: BinaryIO, name: str) -> tuple[str, ...]:
    """Return the formats to read; refuse TIFF by name where Pillow is too old for it."""
    if reads_tiff():
        return FORMATS
    if file.read(4) in TIFF_STARTS:
        needed = "pillow>={}.{}".format(*TIFF_PILLOW)
        raise InputError(
            f"{name}: Pillow {PIL.__version__} can overrun memory on a crafted TIFF file: "
            f"convert it to PNG, or {install_command(needed)}"
        )
    file.seek(0)
    return tuple(each for each in FORMATS if each != "TIFF")


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

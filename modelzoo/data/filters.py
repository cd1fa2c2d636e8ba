"""The kernels that people chose by hand before networks learned theirs, applied to photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from modelzoo.data.images import open_picture
from modelzoo.networks import reference
from modelzoo.support.errors import InputError, suggest

LARGEST = 1024  # pixels of a photograph's longer side
MIDDLE, GAIN = 128, 0.5  # where the weights sum to 0: the grey for 0, and grey values for each unit


class Filter(NamedTuple):
    """A kernel in whole numbers, what their sum is divided by, and what it does."""

    rows: tuple[tuple[int, ...], ...]
    divisor: int
    about: str

    @property
    def kernel(self) -> np.ndarray:
        """The weights, (height, width)."""
        return np.array(self.rows, "float32") / self.divisor

    @property
    def is_signed(self) -> bool:
        """Whether the weights sum to 0, so that even ground gives 0."""
        return not sum(map(sum, self.rows))


BINOMIAL = (1, 4, 6, 4, 1)
GAUSSIAN = tuple(tuple(a * b for b in BINOMIAL) for a in BINOMIAL)
FILTERS = {
    "identity": Filter(((0, 0, 0), (0, 1, 0), (0, 0, 0)), 1, "the photograph itself"),
    "box_blur": Filter(((1,) * 5,) * 5, 25, "mean of 5 × 5 pixels"),
    "gaussian_blur": Filter(GAUSSIAN, 256, "weighted mean of 5 × 5 pixels"),
    "sharpen": Filter(((0, -1, 0), (-1, 5, -1), (0, -1, 0)), 1, "a pixel less its neighbours"),
    "emboss": Filter(((-2, -1, 0), (-1, 1, 1), (0, 1, 2)), 1, "a relief, lit from the upper left"),
    "edges": Filter(((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)), 1, "edges in all directions"),
    "sobel_x": Filter(((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)), 1, "edges: lighter to the right"),
    "sobel_y": Filter(((-1, -2, -1), (0, 0, 0), (1, 2, 1)), 1, "edges: lighter further down"),
    "sobel_rising": Filter(((-2, -1, 0), (-1, 0, 1), (0, 1, 2)), 1, "rising edges (/)"),
    "sobel_falling": Filter(((0, -1, -2), (1, 0, -1), (2, 1, 0)), 1, "falling edges (\\)"),
    "line_horizontal": Filter(((-1, -1, -1), (2, 2, 2), (-1, -1, -1)), 1, "horizontal lines"),
    "line_vertical": Filter(((-1, 2, -1), (-1, 2, -1), (-1, 2, -1)), 1, "vertical lines"),
    "line_rising": Filter(((-1, -1, 2), (-1, 2, -1), (2, -1, -1)), 1, "rising lines (/)"),
    "line_falling": Filter(((2, -1, -1), (-1, 2, -1), (-1, -1, 2)), 1, "falling lines (\\)"),
}


class Filtered(NamedTuple):
    """A filtered photograph: uint8 (height, width, channels), and the share that was cut off."""

    name: str
    pixels: np.ndarray
    clipped: float


def read_photograph(path: str | Path, *, grey: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image as uint8 of at most 1,024 x 1,024 pixels, upright, and say what was changed."""
    picture = open_picture(Path(path), (LARGEST, LARGEST))
    image, notes = picture.image, list(picture.notes)
    if max(picture.size) > LARGEST:
        image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        width, height = picture.size
        notes.append(f"made smaller: from {width}x{height} to {image.width}x{image.height}")
    if grey and image.mode != "L":
        image = image.convert("L")
        notes.append("colour converted to grey")
    pixels = np.asarray(image, np.uint8)
    return pixels.reshape(*pixels.shape[:2], -1), tuple(notes)


def filters(
    image: str | Path | np.ndarray, names: Sequence[str] | None = None, *, grey: bool = False
) -> list[Filtered]:
    """Apply the kernels that people chose by hand (edges, blur, emboss, …) to a photograph.

    Args:
        image: a file (PNG, JPEG, GIF, BMP, TIFF, WebP), which is made smaller if a side has more
            than 1,024 pixels; or an array, uint8 (height, width, 1 or 3).
        names: of kernels, each once; by default all.
        grey: turn the colour of a file into grey first.

    Returns:
        For each kernel its `name`, the `pixels`, uint8 of the image's shape, and `clipped`, the
        share of the values that were cut off at 0 or 255.

    Raises:
        InputError: the file cannot be read, or there is no such kernel.

    Examples:
        >>> digit = modelzoo.load_dataset("mnist5k").x_test[0]
        >>> edges, relief = modelzoo.filters(digit, ["edges", "emboss"])
        >>> edges.name, edges.pixels.shape
        ('edges', (28, 28, 1))
    """
    pixels = image if isinstance(image, np.ndarray) else read_photograph(image, grey=grey)[0]
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise InputError("filters: an image is uint8, (height, width, channels)")
    return [apply_filter(pixels, name) for name in dict.fromkeys(names or FILTERS)]


def apply_filter(pixels: np.ndarray, name: str) -> Filtered:
    """Slide a kernel over each channel of a uint8 image, which is reflected at its borders.

    Results are cut off at 0 and 255. Kernels that sum to 0, those of edges and lines, give 0 on
    even ground: their results are halved and added to 128, so that mid-grey is no edge.
    """
    found = find_filter(name)
    kernel = found.kernel
    up, left = (side // 2 for side in kernel.shape)
    padded = np.pad(pixels, ((up, up), (left, left), (0, 0)), mode="reflect").astype("float32")
    channels = padded.transpose(2, 0, 1)[:, np.newaxis, ..., np.newaxis]  # an image for each
    weights = kernel[..., np.newaxis, np.newaxis]
    zero = np.zeros(1, "float32")
    result = np.stack(
        [reference.conv2d(channel, weights, zero)[0, ..., 0] for channel in channels], axis=-1
    )
    result = np.rint(MIDDLE + GAIN * result if found.is_signed else result)
    clipped = float(np.mean((result < 0) | (result > 255)))
    return Filtered(name, np.clip(result, 0, 255).astype(np.uint8), clipped)


def find_filter(name: str) -> Filter:
    """Return a filter by its name, or raise an InputError that names the right ones."""
    if name not in FILTERS:
        raise InputError(f"there is no filter {name!r}{suggest(name, FILTERS)}")
    return FILTERS[name]

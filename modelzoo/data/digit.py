"""Bring an image of a handwritten digit to the form in which MNIST has its digits."""

import numpy as np
from PIL import Image

SEARCH_SIDE = 256  # pixels; the image is reduced to this to find the digit in it
DIGIT_SIDE = 112  # and the digit to this, whose averaging takes a camera's noise away
BOX = 20 / 28  # MNIST scales a digit into 20x20 of its 28x28 pixels
LEAST_CONTRAST = 12  # grey levels; below this an image is taken as blank


def has_light_ground(grey: Image.Image) -> bool:
    """Whether the border of a grey image is nearer to its lightest than to its darkest value."""
    pixels = np.asarray(_reduced(grey, SEARCH_SIDE), np.float64)
    border = float(np.median(border_pixels(pixels)))
    low, high = float(pixels.min()), float(pixels.max())
    return border > (127.5 if high == low else (low + high) / 2)


def border_pixels(pixels: np.ndarray) -> np.ndarray:
    """The pixels (n, ...) of a frame around the image that is a twentieth of its side wide."""
    height, width = pixels.shape[:2]
    edge = max(1, min(height, width) // 20)
    inner = np.zeros((height, width), bool)
    inner[edge : height - edge, edge : width - edge] = True
    return pixels[~inner]


def fit_digit(grey: Image.Image, height: int, width: int) -> np.ndarray | None:
    """Scale and centre a digit as MNIST's were: light strokes on black, (height, width), uint8.

    The strokes, lighter than their ground, are scaled to fit a box of 20/28 of each side, with
    their aspect ratio, and placed with their centre of mass in the middle; None if there are none.
    Reference: LeCun et al. (1998), section III.A.
    """
    for side in (SEARCH_SIDE, DIGIT_SIDE):  # found roughly, then exactly
        working = _reduced(grey, side)
        level = _levelled(np.asarray(working, np.float64))
        if level is None:
            return None
        rows, columns = _bounds(level > _threshold(level))
        scale = grey.width / working.width
        grey = grey.crop(_with_margin(rows, columns, scale, grey.size))
    level = _levelled(np.asarray(_reduced(grey, DIGIT_SIDE), np.float64))
    if level is None:
        return None
    threshold = _threshold(level)
    rows, columns = _bounds(level > threshold / 2)  # half: the soft edges belong to the strokes
    strokes = np.where(level > threshold / 4, level, 0)[rows, columns]
    return _centred(_into_box(strokes, round(height * BOX), round(width * BOX)), height, width)


def _reduced(grey: Image.Image, side: int) -> Image.Image:
    longest = max(grey.size)
    if longest <= side:
        return grey
    size = (
        max(1, round(grey.width * side / longest)),
        max(1, round(grey.height * side / longest)),
    )
    return grey.resize(size, Image.Resampling.BOX)


def _levelled(pixels: np.ndarray) -> np.ndarray | None:
    """Stretch the grey levels so that the ground is 0 and the strokes reach 255."""
    # Paper under a lamp is not of one grey: take a light part of it as black.
    black = float(np.percentile(border_pixels(pixels), 90))
    # Not the very lightest, which may be dust; but a thin pen covers few pixels.
    white = float(np.sort(pixels, axis=None)[-min(5, pixels.size)])
    if white - black < LEAST_CONTRAST:
        return None
    return np.clip((pixels - black) * (255 / (white - black)), 0, 255)


def _threshold(level: np.ndarray) -> float:
    """Otsu's threshold: the grey level that parts ground and strokes best."""
    counts = np.bincount(np.rint(level).astype(np.int64).ravel(), minlength=256).astype(np.float64)
    values = np.arange(256)
    below, total = np.cumsum(counts), counts.sum()
    sum_below = np.cumsum(counts * values)
    above = total - below
    valid = (below > 0) & (above > 0)
    mean_below = sum_below[valid] / below[valid]
    mean_above = (sum_below[-1] - sum_below[valid]) / above[valid]
    between = below[valid] * above[valid] * (mean_above - mean_below) ** 2
    return float(values[valid][np.argmax(between)]) + 0.5


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _with_margin(
    rows: slice, columns: slice, scale: float, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) in the larger image, with ground left around it."""
    margin = 2 + 0.15 * max(rows.stop - rows.start, columns.stop - columns.start)
    return (
        max(0, int((columns.start - margin) * scale)),
        max(0, int((rows.start - margin) * scale)),
        min(size[0], int((columns.stop + margin) * scale) + 1),
        min(size[1], int((rows.stop + margin) * scale) + 1),
    )


def _into_box(strokes: np.ndarray, box_height: int, box_width: int) -> np.ndarray:
    height, width = strokes.shape
    scale = min(box_height / height, box_width / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(np.rint(strokes).astype(np.uint8))
    scaled = np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float64)
    return scaled * (255 / max(float(scaled.max()), 1.0))  # a thin pen must not become a faint one


def _centred(strokes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Put the strokes on black with their centre of mass in the middle, but wholly inside."""
    field = np.zeros((height, width), np.uint8)
    total = strokes.sum()
    centre_row = strokes.sum(1) @ np.arange(strokes.shape[0]) / total
    centre_column = strokes.sum(0) @ np.arange(strokes.shape[1]) / total
    top = round(min(max(height / 2 - centre_row, 0), height - strokes.shape[0]))
    left = round(min(max(width / 2 - centre_column, 0), width - strokes.shape[1]))
    field[top : top + strokes.shape[0], left : left + strokes.shape[1]] = np.rint(strokes)
    return field

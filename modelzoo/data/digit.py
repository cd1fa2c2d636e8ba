"""Bring the handwritten digits of a photograph to the form in which MNIST has its digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

from modelzoo.data.marks import Mark, contrast_of, find_marks
from modelzoo.data.morphology import extremes

SEARCH_SIDES = (288, 640)  # pixels; an image is reduced to this to find digits in it
SMALL = 16  # pixels; smaller digits are searched for in more of them
DIGIT_SIDE = 128  # pixels; a digit is reduced to this, whose averaging takes a camera's noise away
BOX = 20 / 28  # MNIST scales a digit into 20x20 of its 28x28 pixels
FAINT = 0.15  # share of the strokes' contrast that belongs to the ground
Box: TypeAlias = tuple[int, int, int, int]
OFF_CENTRE = 2.5 / 28  # of a side; MNIST's digits are nearer to the centre


@dataclass(frozen=True)
class Digit:
    """A digit in an image: light strokes on black, as MNIST has them."""

    pixels: np.ndarray  # uint8, (height, width)
    box: Box  # left, top, right, bottom in the image
    is_light: bool  # whether its strokes are lighter than the ground in the image

    @property
    def height(self) -> int:
        """How high it is in the image."""
        return self.box[3] - self.box[1]


def has_light_ground(grey: Image.Image) -> bool:
    """Whether the border of a grey image is nearer to its lightest than to its darkest value."""
    pixels = np.asarray(reduced(grey, SEARCH_SIDES[0]), np.float64)
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


def is_centred(grey: Image.Image) -> bool:
    """Whether the centre of mass is near the middle, as in each image of MNIST."""
    pixels = np.asarray(grey, np.float64)
    ink = np.abs(pixels - np.median(border_pixels(pixels)))
    if not ink.any():
        return True
    offsets = [_centre(ink, axis) / ink.shape[axis] - 0.5 for axis in (0, 1)]
    return max(map(abs, offsets)) <= OFF_CENTRE


def find_digits(grey: Image.Image, height: int, width: int) -> list[Digit]:
    """Find digits, and scale and centre each as MNIST's were: (height, width), in reading order.

    The strokes are scaled to fit a box of 20/28 of each side, with their aspect ratio, and placed
    with their centre of mass in the middle. Reference: LeCun et al. (1998), section III.A.
    """
    for side in SEARCH_SIDES:
        working = reduced(grey, side)
        marks = find_marks(np.asarray(working))
        if side >= max(grey.size) or any(mark.side >= SMALL for mark in marks):
            break
    across, down = grey.width / working.width, grey.height / working.height
    found = []
    for mark in marks:
        strokes = _strokes(grey, mark, across)
        if not strokes.size:
            continue
        scaled = _into_box(strokes, round(height * BOX), round(width * BOX))
        left, right = (round(each * across) for each in (mark.left, mark.right))
        top, bottom = (round(each * down) for each in (mark.top, mark.bottom))
        pixels = _centred(scaled, height, width)
        found.append(Digit(pixels, (left, top, right, bottom), mark.is_light))
    return found


def reduced(grey: Image.Image, side: int) -> Image.Image:
    longest = max(grey.size)
    if longest <= side:
        return grey
    size = (
        max(1, round(grey.width * side / longest)),
        max(1, round(grey.height * side / longest)),
    )
    return grey.resize(size, Image.Resampling.BOX)


def _strokes(grey: Image.Image, mark: Mark, scale: float) -> np.ndarray:
    """Cut a mark out of the image: its contrast to the ground, uint8, where ink was found."""
    margin = 2 + mark.side // 10
    rows, columns = mark.ground.shape
    left, top = max(0, mark.left - margin), max(0, mark.top - margin)
    right, bottom = min(columns, mark.right + margin), min(rows, mark.bottom + margin)
    corners = [int(each * scale) for each in (left, top)] + [
        min(int(right * scale) + 1, grey.width),
        min(int(bottom * scale) + 1, grey.height),
    ]
    pixels = reduced(grey.crop(tuple(corners)), DIGIT_SIDE)  # type: ignore[arg-type]
    ground = Image.fromarray(mark.ground[top:bottom, left:right])
    near = np.zeros((bottom - top, right - left), np.uint8)
    near[mark.top - top : mark.bottom - top, mark.left - left : mark.right - left] = 255 * mark.ink
    bilinear = Image.Resampling.BILINEAR
    within = (
        np.asarray(Image.fromarray(extremes(near, 5, largest=True)).resize(pixels.size, bilinear))
        > 127
    )
    values, paper = np.asarray(pixels), np.asarray(ground.resize(pixels.size, bilinear))
    # The light on dark strokes is known from their ground; that on light ones is not.
    step = values - np.minimum(values, paper) if mark.is_light else contrast_of(values, paper)
    contrast = step * within * ((values > paper) == mark.is_light)
    # Not the very strongest, which may be dust; but a thin pen covers few pixels.
    most = max(1, int(np.sort(contrast, axis=None)[-min(5, contrast.size)]))
    level = contrast / most
    strokes = np.where(level > FAINT, np.minimum(255 * contrast.astype(np.int32) / most, 255), 0)
    # Soft edges belong to the strokes.
    return np.rint(strokes[_bounds(level > 2 * FAINT)]).astype(np.uint8)


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    if not mask.any():
        return slice(0), slice(0)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _into_box(strokes: np.ndarray, box_height: int, box_width: int) -> np.ndarray:
    height, width = strokes.shape
    scale = min(box_height / height, box_width / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    scaled = Image.fromarray(strokes).resize(size, Image.Resampling.BILINEAR)
    values = np.asarray(scaled, np.float64)
    return values * (255 / max(float(values.max()), 1.0))  # a thin pen must not become a faint one


def _centre(strokes: np.ndarray, axis: int) -> float:
    return float(strokes.sum(1 - axis) @ np.arange(strokes.shape[axis]) / strokes.sum())


def _centred(strokes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Put the strokes on black with their centre of mass in the middle, but wholly inside."""
    field = np.zeros((height, width), np.uint8)
    top, left = (
        round(min(max(side / 2 - _centre(strokes, axis), 0), side - strokes.shape[axis]))
        for axis, side in enumerate((height, width))
    )
    field[top : top + strokes.shape[0], left : left + strokes.shape[1]] = np.rint(strokes)
    return field

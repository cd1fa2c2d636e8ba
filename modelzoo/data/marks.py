"""Find the marks in a photograph that may be digits: under any light, on any paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelzoo.data.morphology import connected, extremes, outline_of

WINDOWS = (12, 5, 2)  # parts of the longest side that strokes are narrower than, in this order
FAINTEST = 15  # contrast, of 255; what stands out less is no ink
DARKNESS = 48  # grey levels; added to the light, since a camera's noise is no contrast in the dark
COMPLETE = 0.75  # share of an outline that is sharp; where a window cuts a shadow off, it is not
LINE = 0.6  # share of the image that a ruled line crosses, at least
PAPER = 0.65  # share of its box that ink never fills: a light sheet around dark digits does
EVEN = 0.65  # mean contrast of a mark's ink, as a share of the largest
CONTACT = 0.3  # share of an outline that lies on the border of the image: tables and shadows
OUTLINE = 3.5  # times height and width, the longest outline of a digit (an 8: 2.5); a grid has more
TINY = 64  # pixels; in an image of this side, as data sets have them, digits touch the border
LEAST_WINDOW = 15  # pixels
STRAIGHT = 5  # length by width, from which a mark is a 1, or a pen
MOST_MARKS = 60


@dataclass(eq=False)
class Mark:
    """Connected ink in a reduced image, or several pieces of it that make one mark."""

    top: int
    left: int
    ink: np.ndarray  # bool, (height, width)
    is_light: bool  # lighter than its ground
    ground: np.ndarray  # uint8, the whole reduced image without strokes
    evenness: float  # mean contrast of its ink, as a share of the largest

    def __post_init__(self) -> None:
        self.height, self.width = self.ink.shape
        self.bottom, self.right = self.top + self.height, self.left + self.width
        self.side = max(self.height, self.width)
        self.outline = np.argwhere(outline_of(self.ink)) + np.array((self.top, self.left))
        # A stroke of one pixel is all outline; of a wide one, both sides are.
        self.stroke = max(1.0, 2 * self.ink.sum() / len(self.outline))

    @property
    def elongation(self) -> float:
        """Length by width of the ellipse that has the moments of the ink."""
        places = np.argwhere(self.ink)
        if len(places) < 3:
            return 1.0
        least, most = np.linalg.eigvalsh(np.cov(places.T))
        return float(np.sqrt((most + 1 / 12) / (max(least, 0) + 1 / 12)))

    def contact(self, shape: tuple[int, ...]) -> float:
        """The share of its outline that lies on the border of an image."""
        rows, columns = self.outline.T
        last = shape[0] - 1, shape[1] - 1
        on_it = (rows == 0) | (rows == last[0]) | (columns == 0) | (columns == last[1])
        return float(on_it.mean())

    def fills(self, shape: tuple[int, ...]) -> bool:
        """Whether it is a 1 that an image was cut to: ink from border to border."""
        is_as_large = self.height > 0.9 * shape[0] and self.width > 0.9 * shape[1]
        return is_as_large and bool(self.ink.mean() > PAPER)

    def replaces(self, other: Mark, shape: tuple[int, ...]) -> bool:
        """Whether a mark found before is a part of this one, or the ground that shows in it."""
        if self.overlap(other) < 0.9 or other.side > self.side:
            return False
        is_ink = self.evenness > EVEN and self.contact(shape) < CONTACT  # no shadow with a digit
        return is_ink and (self.is_light == other.is_light or bool(self.ink.mean() < PAPER))

    def overlap(self, other: Mark) -> float:
        """The share of the smaller box that the other one covers."""
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        width = min(self.right, other.right) - max(self.left, other.left)
        smaller = min(self.height * self.width, other.height * other.width)
        return max(0, height) * max(0, width) / smaller

    def belongs_to(self, other: Mark) -> bool:
        """Whether two pieces are of one mark: nearly touching, or one on top of the other."""
        if self.is_light != other.is_light:
            return False
        taller, stroke = max(self.height, other.height), max(self.stroke, other.stroke)
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        limit = 0.75 * stroke
        union = max(self.bottom, other.bottom) - min(self.top, other.top)
        stacked = across >= min(self.width, other.width) / 2 and union <= 1.8 * taller
        if stacked and min(self.side, other.side) > 1.5 * stroke:
            limit = max(limit, 0.2 * taller)
        if -across > limit or -down > limit:
            return False
        gaps = np.abs(self.outline[::2, np.newaxis] - other.outline[::2]).max(2)
        return int(gaps.min()) - 1 <= limit

    def joined(self, other: Mark) -> Mark:
        top, left = min(self.top, other.top), min(self.left, other.left)
        bottom, right = max(self.bottom, other.bottom), max(self.right, other.right)
        ink = np.zeros((bottom - top, right - left), bool)
        for each in (self, other):
            row, column = each.top - top, each.left - left
            ink[row : row + each.height, column : column + each.width] |= each.ink
        larger = max(self, other, key=_side)
        return Mark(top, left, ink, self.is_light, larger.ground, larger.evenness)


def _side(mark: Mark) -> int:
    return mark.side


def contrast_of(pixels: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """How much ink and its ground differ, as a share of the lighter of both: 0..255, uint8."""
    light = np.maximum(pixels, ground).astype(np.int32)
    return (255 * (light - np.minimum(pixels, ground)) // (light + DARKNESS)).astype(np.uint8)


def find_marks(pixels: np.ndarray) -> list[Mark]:
    """Return the marks of a reduced grey image that may be digits, in reading order."""
    pieces = _all_marks(pixels)
    marks: list[Mark] = []
    while pieces:  # join them
        mark = pieces.pop(0)
        near = [each for each in pieces if mark.belongs_to(each)]
        if near:
            pieces = [each for each in pieces if each not in near]
            for each in near:
                mark = mark.joined(each)
            pieces.insert(0, mark)
        else:
            marks.append(mark)
    return _in_reading_order(_digits(marks, pixels.shape))


def _all_marks(pixels: np.ndarray) -> list[Mark]:
    """Return what stands out from its ground all around, largest first.

    A stroke is what a ground loses when windows wider than the stroke are moved over it
    (morphological closing for dark strokes, opening for light ones). A ramp of light and the edge
    of a shadow stay in the ground. Narrow windows come first; wider ones add what lies elsewhere.
    """
    longest = max(pixels.shape)
    windows = sorted({max(LEAST_WINDOW, longest // part | 1) for part in WINDOWS})
    pixels = _without_lines(pixels, _ground(pixels, windows[0], is_light=False))
    found: list[Mark] = []
    for window in windows:
        here = [
            mark
            for is_light in (False, True)
            for mark in _marks_on(pixels, _ground(pixels, window, is_light), is_light)
        ]
        for mark in sorted(here, key=_side, reverse=True)[:MOST_MARKS]:
            within = [each for each in found if mark.overlap(each) >= 0.5]
            parts = [each for each in within if mark.replaces(each, pixels.shape)]
            if all(each in parts or each.side < mark.side / 4 for each in within):
                found = [each for each in found if each not in parts] + [mark]
    return sorted(found, key=_side, reverse=True)[:MOST_MARKS]


def _ground(pixels: np.ndarray, window: int, is_light: bool) -> np.ndarray:
    return extremes(extremes(pixels, window, not is_light), window, is_light)


def _marks_on(pixels: np.ndarray, ground: np.ndarray, is_light: bool) -> Iterator[Mark]:
    contrast = contrast_of(pixels, ground)
    mask = _standing_out(contrast)
    labels, _, peaks = _labelled(mask, contrast)
    mask &= contrast > peaks[labels] / 2  # what is much fainter than the ink that it touches
    labels, places, peaks = _labelled(mask, contrast)
    share = np.maximum(*(_sharp(pixels, labels, peaks, is_light, reach) for reach in (2, 4)))
    least = max(3, max(pixels.shape) // 50)
    for number, place in enumerate(places, 1):
        ink = labels[place] == number
        if max(ink.shape) >= least and share[number] >= COMPLETE:
            evenness = float(contrast[place][ink].mean()) / max(1, int(peaks[number]))
            yield Mark(place[0].start, place[1].start, ink, is_light, ground, evenness)


def _sharp(
    pixels: np.ndarray, labels: np.ndarray, peaks: np.ndarray, is_light: bool, reach: int
) -> np.ndarray:
    """Return the share of each piece's surroundings that differ from it, so many pixels away.

    Beside a stroke is its ground; beside what a narrow window cut out of one, it is not.
    """
    near = extremes(labels > 0, 2 * reach - 1, largest=True)
    beside = extremes(labels, 2 * reach + 1, largest=True) * ~near
    steps = contrast_of(pixels, extremes(pixels, 2 * reach + 1, largest=is_light))
    around = np.bincount(beside.ravel(), minlength=len(peaks))
    sharp = np.bincount(beside[steps > peaks[beside] / 2], minlength=len(peaks))
    return sharp / np.maximum(around, 1)


def _labelled(
    mask: np.ndarray, contrast: np.ndarray
) -> tuple[np.ndarray, list[tuple[slice, slice]], np.ndarray]:
    """Number the pieces of a mask from 1, and return the place and largest contrast of each."""
    labels, places = connected(mask)
    peaks = np.zeros(len(places) + 1, np.uint8)
    np.maximum.at(peaks, labels[mask], contrast[mask])
    return labels, places, peaks


def _standing_out(contrast: np.ndarray) -> np.ndarray:
    """Return where the contrast is larger than that of paper and noise."""
    middle = int(np.median(contrast))
    noise = int(np.median(np.abs(contrast.astype(np.int16) - middle)))
    return contrast > max(FAINTEST, min(middle + 7 * noise, int(contrast.max()) / 2))


def _without_lines(pixels: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Put ground in the place of ruled and squared lines, but not of the strokes on them."""
    ink = _standing_out(contrast_of(pixels, ground))
    kept = ink & ~_lines(ink) & ~_lines(ink.T).T
    lines = extremes(ink & ~kept, 3, largest=True) & ~extremes(kept, 3, largest=True)
    return np.where(lines, ground, pixels)


def _runs(mask: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Return the pixels of runs along an axis that are at least so long."""
    return extremes(extremes(mask, size, False, (axis,)), size, True, (axis,))


def _lines(mask: np.ndarray) -> np.ndarray:
    """Return the thin lines that cross the image from left to right, but not strokes on them."""
    length = mask.shape[1]
    thin = mask & ~_runs(mask, max(3, length // 50 | 1), axis=0)
    runs = _runs(thin, max(5, length // 24 | 1), axis=1)
    labels, places = connected(runs)
    pieces = []  # number, left, right, height at 0, slope
    for number, place in enumerate(places, 1):
        down, across = np.nonzero(labels[place] == number)
        left, right = place[1].start, place[1].stop
        if right - left >= max(5, length // 12):
            slope = np.cov(across, down)[0, 1] / np.var(across, ddof=1)
            start = place[0].start + down.mean() - slope * (left + across.mean())
            pieces.append((number, left, right, start, slope))
    lines = np.zeros_like(mask)
    for number, left, right, start, slope in pieces:
        middle = start + slope * (left + right) / 2
        along = sum(
            stop - first
            for _, first, stop, at, lean in pieces
            if abs(at + lean * (left + right) / 2 - middle) <= 3
            or abs(start + slope * (first + stop) / 2 - at - lean * (first + stop) / 2) <= 3
        )
        if along >= LINE * length:
            lines |= labels == number
    return lines | (thin & extremes(lines, 3, largest=True))  # with their ragged edges


def _digits(marks: list[Mark], shape: tuple[int, ...]) -> list[Mark]:
    """Return those that are as high as the likeliest digit; what else the image shows is left."""
    marks = [each for each in marks if len(each.outline) <= OUTLINE * (each.height + each.width)]
    free = [each for each in marks if each.contact(shape) < CONTACT]  # no tables, no shadows
    free = free or [each for each in marks if max(shape) <= TINY or each.fills(shape)]
    large = [each for each in free if each.side >= max(map(_side, free)) / 4]
    upright = [each for each in large if each.width <= 2.5 * each.height]
    if not upright:
        return []
    bent = [each for each in upright if each.elongation < STRAIGHT]
    # A pen comes from the border.
    ones = [each for each in upright if not each.contact(shape)] or upright
    main = max(bent or ones, key=lambda each: each.height)
    return [
        each
        for each in upright
        if each is main
        or (
            each.is_light == main.is_light
            and 0.5 < each.height / main.height < 1.6
            and 0.25 < each.stroke / main.stroke < (4 if each.elongation < STRAIGHT else 2)
            and not each.contact(shape)
        )
    ]


def _in_reading_order(marks: list[Mark]) -> list[Mark]:
    lines: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda each: each.top + each.bottom):
        for line in lines:
            first = line[0]
            both = min(mark.bottom, first.bottom) - max(mark.top, first.top)
            if both >= min(mark.height, first.height) / 2:
                line.append(mark)
                break
        else:
            lines.append([mark])
    return [mark for line in lines for mark in sorted(line, key=lambda each: each.left)]

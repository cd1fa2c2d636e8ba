"""What finding ink takes of mathematical morphology, in NumPy alone.

SciPy has it too, but importing it takes longer than reading a photograph does.
"""

from collections.abc import Sequence

import numpy as np


def extremes(
    values: np.ndarray, size: int, largest: bool, axes: Sequence[int] = (0, 1)
) -> np.ndarray:
    """Let each pixel have the largest, or the smallest, value of a window around it.

    Args:
        values: (height, width).
        size: of the window along each axis, odd; it ends where the image does.
        largest: whether the largest value is wanted (dilation), else the smallest (erosion).
        axes: along which the window extends.
    """
    choose = np.maximum if largest else np.minimum
    for axis in axes:
        margin = [(0, 0), (0, 0)]
        margin[axis] = (size // 2, size // 2)
        lines = np.moveaxis(np.pad(values, margin, mode="edge"), axis, 0)
        reach = 1
        while reach < size:  # what reaches far is put together from what reaches half as far
            step = min(reach, size - reach)
            lines = choose(lines[:-step], lines[step:])
            reach += step
        values = np.moveaxis(lines, 0, axis)
    return values


def outline_of(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask that have a neighbour outside, above, below or beside them."""
    padded = np.pad(mask, 1)
    beside = padded[1:-1, :-2] & padded[1:-1, 2:] & padded[:-2, 1:-1] & padded[2:, 1:-1]
    return mask & ~beside


def connected(mask: np.ndarray) -> tuple[np.ndarray, list[tuple[slice, slice]]]:
    """Number what is connected, diagonally too, from 1.

    Returns:
        The number of each pixel, (height, width), 0 outside; and the rows and columns of each.
    """
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)  # runs of pixels in a row
    stops = np.nonzero(steps == -1)[1]
    row, start, stop = rows.tolist(), starts.tolist(), stops.tolist()
    first = list(range(len(row)))  # a run of the same piece that comes before it

    def piece_of(run: int) -> int:
        while first[run] != run:
            first[run] = first[first[run]]
            run = first[run]
        return run

    above = 0
    for run in range(len(row)):
        while row[above] < row[run] - 1 or (row[above] < row[run] and stop[above] < start[run]):
            above += 1
        other = above
        while row[other] == row[run] - 1 and start[other] <= stop[run]:
            one, two = sorted((piece_of(other), piece_of(run)))
            first[two] = one
            other += 1
    pieces = np.array([piece_of(run) for run in range(len(row))], np.int64)
    found, numbers = np.unique(pieces, return_inverse=True)
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = np.repeat(numbers + 1, stops - starts)
    boxes = np.full((len(found), 4), max(mask.shape), np.int64)
    for column, values in enumerate((rows, starts, -rows - 1, -stops)):
        np.minimum.at(boxes[:, column], numbers, values)
    places = [
        (slice(top, -bottom), slice(left, -right)) for top, left, bottom, right in boxes.tolist()
    ]
    return labels, places

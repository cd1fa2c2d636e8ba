"""The digits 0 to 4 on 16x16 cells, drawn by us after the demonstration of Fukushima (1980)."""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 16  # cells of the input layer U0
PRESENTATIONS = 20  # of each digit, as in the paper
CLASSES = ("0", "1", "2", "3", "4")

# Strokes as corners (x, y) in cells, joined by lines that are one cell wide.
STROKES: tuple[tuple[tuple[tuple[int, int], ...], ...], ...] = (
    (((2, 0), (4, 0), (6, 2), (6, 6), (4, 8), (2, 8), (0, 6), (0, 2), (2, 0)),),
    (((0, 2), (2, 0), (2, 8)), ((0, 8), (4, 8))),
    (((0, 2), (2, 0), (4, 0), (6, 2), (6, 3), (1, 8), (0, 8), (6, 8)),),
    (((0, 0), (6, 0), (3, 3), (4, 3), (6, 5), (6, 6), (4, 8), (1, 8), (0, 7)),),
    (((5, 8), (5, 0), (0, 5), (0, 6), (7, 6)),),
)


def draw(digit: int, matrix: np.ndarray | None = None) -> np.ndarray:
    """Draw a digit, no larger than its ink: uint8 (height, width), 255 for ink.

    The corners (x, y) of its strokes are multiplied with `matrix`, (2, 2), if one is given.
    """
    strokes = [np.array(stroke) for stroke in STROKES[digit]]
    if matrix is not None:
        strokes = [np.rint(stroke @ np.transpose(matrix)).astype(int) for stroke in strokes]
    corners = np.concatenate(strokes)
    low, high = corners.min(axis=0), corners.max(axis=0)
    width, height = (int(side) for side in high - low + 1)
    canvas = Image.new("L", (width, height))
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        pen.line([(int(x), int(y)) for x, y in stroke - low], fill=255)
    return np.asarray(canvas)


def at_every_position(pattern: np.ndarray) -> np.ndarray:
    """Return a pattern at each place of the field where it fits, by rows: uint8 (n, 16, 16, 1)."""
    height, width = pattern.shape
    rows, columns = SIDE - height + 1, SIDE - width + 1
    pictures = np.zeros((rows * columns, SIDE, SIDE, 1), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        picture[row : row + height, column : column + width, 0] = pattern
    return pictures


def presentations(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return 20 images of each digit at random places, uint8 (100, 16, 16, 1), and their digits."""
    random = np.random.RandomState(seed)
    digits = np.arange(PRESENTATIONS * len(CLASSES)) % len(CLASSES)
    places = [at_every_position(draw(digit)) for digit in range(len(CLASSES))]
    chosen = [places[digit][random.randint(len(places[digit]))] for digit in digits]
    return np.stack(chosen), digits


def everywhere() -> tuple[np.ndarray, np.ndarray]:
    """Return the images of each digit at every position, (n, 16, 16, 1), and their digits."""
    places = [at_every_position(draw(digit)) for digit in range(len(CLASSES))]
    digits = np.repeat(np.arange(len(places)), [len(pictures) for pictures in places])
    return np.concatenate(places), digits

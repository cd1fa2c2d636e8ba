"""Ten kinds of shape in colour, drawn by us: a data set for colour networks, without download."""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 32  # pixels
SUPERSAMPLING = 4  # each pixel is the mean of 4x4 drawn ones
NOISE = 12.0  # standard deviation, in grey levels
LEAST_CONTRAST = 50.0  # grey levels of luma between fill and background

Outline = np.ndarray  # (n, 2) points inside the unit circle


def draw_shapes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` images, as many of each class, in an order that mixes the classes.

    Size, place, rotation, both colours and a shading of the background are drawn at random and say
    nothing of the class: only the form does. Returns uint8 images (count, 32, 32, 3) and int64
    classes (count,), positions in `SHAPES`.
    """
    # RandomState, because NumPy promises that its stream will never change.
    random = np.random.RandomState(seed)
    labels = random.permutation(np.arange(count) % len(SHAPES))
    coverage = np.stack([_coverage(SHAPES[label], random) for label in labels])
    fill, background = _two_colours(count, random)
    slope = random.uniform(-1, 1, (count, 2)) * 40  # grey levels across the image
    ramp = np.linspace(-0.5, 0.5, SIDE)
    shading = slope[:, 0, None, None] * ramp[:, None] + slope[:, 1, None, None] * ramp
    pictures = background[:, None, None, :] + shading[..., None]  # (n, 32, 32, 3)
    pictures += coverage[..., None] * (fill[:, None, None, :] - pictures)
    pictures += random.normal(0, NOISE, pictures.shape)
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8), labels.astype(np.int64)


def _coverage(name: str, random: np.random.RandomState) -> np.ndarray:
    """How much of each pixel the shape covers, 0..1, with its size, place and turn chosen."""
    radius = random.uniform(6.5, 14.5)
    centre = SIDE / 2 + random.uniform(-1, 1, 2) * (SIDE / 2 - radius)
    angle = random.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    canvas = Image.new("L", (SIDE * SUPERSAMPLING, SIDE * SUPERSAMPLING))
    pen = ImageDraw.Draw(canvas)
    for outline, ink in OUTLINES[name]:
        points = (outline @ turn * radius + centre) * SUPERSAMPLING
        pen.polygon([(float(x), float(y)) for x, y in points], fill=ink)
    return np.asarray(canvas.reduce(SUPERSAMPLING), np.float64) / 255


def _two_colours(count: int, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """A fill and a background for each image, far enough apart in luma to be seen."""
    fill = random.uniform(0, 255, (count, 3))
    background = random.uniform(0, 255, (count, 3))
    luma = np.array([0.299, 0.587, 0.114])
    while True:
        faint = np.flatnonzero(np.abs((fill - background) @ luma) < LEAST_CONTRAST)
        if len(faint) == 0:
            return fill, background
        background[faint] = random.uniform(0, 255, (len(faint), 3))


def _around(corners: int, radius: float = 1.0, centre: float = 0.0) -> Outline:
    """A regular polygon with `corners` corners, moved along the x axis by `centre`."""
    angle = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.cos(angle) * radius + centre, np.sin(angle) * radius], axis=1)


STAR = _around(10) * np.where(np.arange(10) % 2, 0.4, 1.0)[:, None]
CORNER, QUARTER = np.array([[0.3, 0.3], [0.3, 0.95], [-0.3, 0.95]]), np.array([[0.0, 1], [-1, 0.0]])
CROSS = np.concatenate([CORNER @ np.linalg.matrix_power(QUARTER, turn) for turn in range(4)])
ANGLE = np.linspace(0, 2 * np.pi, 48, endpoint=False)
COSINES = [np.cos(multiple * ANGLE) for multiple in range(5)]
HEART_DOWN = -(13 * COSINES[1] - 5 * COSINES[2] - 2 * COSINES[3] - COSINES[4])
HEART = np.stack([16 * np.sin(ANGLE) ** 3, HEART_DOWN - 2], axis=1) / 17
HALF_ARROW = np.array([[1.0, 0.0], [0.1, 0.75], [0.1, 0.27], [-0.95, 0.27]])
ARROW = np.concatenate([HALF_ARROW, HALF_ARROW[:0:-1] * [1, -1]])

# Each shape is polygons drawn one over the other: ink 255 adds to it, ink 0 takes away.
OUTLINES: dict[str, list[tuple[Outline, int]]] = {
    "circle": [(_around(64), 255)],
    "square": [(_around(4), 255)],
    "triangle": [(_around(3), 255)],
    "pentagon": [(_around(5), 255)],
    "star": [(STAR, 255)],
    "cross": [(CROSS, 255)],
    "ring": [(_around(64), 255), (_around(64, 0.58), 0)],
    "crescent": [(_around(64), 255), (_around(64, 0.85, centre=0.42), 0)],
    "heart": [(HEART, 255)],
    "arrow": [(ARROW, 255)],
}
SHAPES = tuple(OUTLINES)  # the names of the classes, in the order of their numbers

"""Which pixels of a picture the answer of a network hangs on."""

import altair as alt
import numpy as np

from modelzoo.charts.canvas import (
    OUTLINE,
    canvas,
    cells,
    checked_picture,
    frames,
    picture_row,
    pictures,
    scaled,
    texts,
)
from modelzoo.charts.style import Chart, printable
from modelzoo.support.errors import InputError

SIDE, GAP, CAPTION = 224, 24, 20  # pixels: a picture, between two, its caption
LIGHT, DARK = (255, 255, 255), (122, 30, 0)  # least and largest saliency
MARK = (213, 94, 0)  # vermillion, laid over the picture


def saliency(picture: np.ndarray, values: np.ndarray, answer: str) -> Chart:
    """Return a picture, the saliency of its pixels, and both laid over each other.

    Args:
        picture: uint8, (height, width, 1 or 3).
        values: (height, width), from 0, what `modelzoo.saliency` returns for the picture as it is
            stored: the change of the class's score for a grey value more in that pixel.
        answer: the class whose score was followed.

    Raises:
        InputError: the picture is of another kind, the shapes differ, or a value is below 0.
    """
    picture, values = checked_picture(picture, "saliency"), np.asarray(values, "float64")
    if values.shape != picture.shape[:2] or not (np.isfinite(values) & (values >= 0)).all():
        raise InputError(
            f"saliency: values of shape {values.shape} for a picture of {picture.shape[:2]}: give "
            "a number from 0 for each pixel"
        )
    largest = float(values.max())
    share = (values / (largest or 1.0))[..., np.newaxis]
    shown = {
        "Picture": picture,
        "Saliency": np.rint(LIGHT + share * (np.array(DARK) - LIGHT)),
        "Saliency over the picture": _overlay(picture, share),
    }
    high, wide = scaled(picture.shape, SIDE)
    step = max(wide, 150) + GAP
    rows = [
        picture_row(pixels.astype("uint8"), SIDE, place * step, CAPTION, caption)
        for place, (caption, pixels) in enumerate(shown.items())
    ]
    captions = texts([{"x": row["x"], "y": 0, "text": row["alternative"]} for row in rows])
    title = f"The pixels that an answer hangs on: {printable(answer)}"
    subtitle = "Saliency: change of the score of this class for one grey value more in a pixel"
    layers = [*pictures(rows), frames(rows, OUTLINE), captions, _legend(largest)]
    return canvas(layers, (2 * step + wide, CAPTION + high), title, subtitle)


def _overlay(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the picture in pale grey, with more of the mark the larger the saliency."""
    luma = [0.299, 0.587, 0.114] if picture.shape[2] == 3 else [1.0]
    pale = 80 + 175 / 255 * (picture @ np.array(luma))[..., np.newaxis]  # the mark shows on black
    return np.rint((1 - share) * pale + share * np.array(MARK))


def _legend(largest: float) -> alt.Chart:
    """Return a mark that cannot be seen, for the sake of its legend."""
    ends = ["#{:02x}{:02x}{:02x}".format(*color) for color in (LIGHT, DARK)]
    scale = alt.Scale(domain=[0, largest or 1.0], range=ends, interpolate="rgb")
    legend = alt.Legend(title="Saliency", format=".2~g", gradientLength=SIDE // 2, tickCount=4)
    return cells([{"x": 0, "y": 0, "x2": 0, "y2": 0, "value": 0}], scale, legend)

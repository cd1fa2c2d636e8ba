"""What every layer of a network makes of one picture."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import altair as alt
import numpy as np

from modelzoo.charts.canvas import (
    LINE,
    OUTLINE,
    PLACE,
    TO,
    Row,
    canvas,
    checked_picture,
    frames,
    labels,
    picture_row,
    pictures,
    scaled,
    texts,
)
from modelzoo.charts.style import BLUE, GREY, Chart, data_of, number_text, printable, shortened
from modelzoo.support.errors import InputError

MAPS_SHOWN = 16
CLASSES_SHOWN = 10
TILE, GAP, LEFT = 52, 4, 190  # pixels: a map's longer side, between two, room for the label
COLUMNS = 16  # maps in a row
STRIP, UNIT, UNITS_SHOWN = 128, 7, 1024  # units in a row, pixels of a unit, units at most
BRIGHT = 99  # percentile from which on values are white: one alone would leave the others black
PICTURE, BAR, BARS = 112, 18, 300  # pixels: the picture, height of a bar, length of the longest
LONGEST, LETTER = 28, 6.2  # letters of the name of a class; pixels of a letter
ROW_GAP = 14

Answer = tuple[str, float]


class _Line(NamedTuple):
    """What one layer adds to the figure, and how many of its maps or units are left out."""

    label: list[str]
    images: list[Row]
    left: int = 0


def feature_maps(
    picture: np.ndarray,
    features: Mapping[str, np.ndarray],
    answer: Sequence[Answer],
    *,
    name: str,
    unit: Literal["probability", "score"] = "probability",
    kinds: Mapping[str, str] | None = None,
    most: int = MAPS_SHOWN,
) -> Chart:
    """Return a picture, the feature maps of each layer for it, and the answer as bars.

    Within a layer, grey goes from its least value (black) to its largest 1% (white). Units of a
    dense layer are a strip of cells, from left to right in rows of 128, 1,024 of them at most.

    Args:
        picture: uint8, (height, width, 1 or 3).
        features: by the name of the layer, in the order in which they are drawn, (height, width,
            maps) or (units,); what `modelzoo.analysis.explain.features` returns, for one picture.
        answer: classes with their values; drawn in this order, ten at most.
        name: of the network, for the title.
        unit: what the values of the answer are.
        kinds: class of each layer, to be written below its name.
        most: maps drawn of a layer; how many are left out is said.

    Raises:
        InputError: the picture, a layer or `most` is of another kind.
    """
    picture = checked_picture(picture, "feature_maps")
    if most < 1:
        raise InputError(f"feature_maps: {most} maps of a layer: should be at least 1")
    height, width, channels = picture.shape
    size = f"{height} × {width}, {'grey' if channels == 1 else 'colour'}"
    lines = [_Line(["picture", size], [picture_row(picture, PICTURE, LEFT, 0, "The picture")])]
    lines += [
        _layer_line(layer, np.asarray(values, "float64"), (kinds or {}).get(layer, ""), most)
        for layer, values in features.items()
    ]
    images, notes, y = [], [], 0.0
    beside: list[Row] = []
    for line in lines:
        high = max(LINE * len(line.label), *(row["y"] + row["height"] for row in line.images))
        beside.append({"x": 0, "y": y, "text": line.label})
        if line.left:
            right = max(row["x"] + row["width"] for row in line.images)
            note = {"x": right + 8, "y": y + high / 2 - 6, "text": f"and {line.left:,} more"}
            notes.append(note)
        images += [{**row, "y": row["y"] + y} for row in line.images]
        y += high + ROW_GAP
    beside.append({"x": 0, "y": y, "text": ["answer", unit]})
    bars, height = _bars(answer, unit, y)
    right = max(
        [LEFT + LETTER * LONGEST + BARS + 60, *(row["x"] + row["width"] for row in images)]
        + [note["x"] + LETTER * len(note["text"]) for note in notes]
    )
    layers = [
        *pictures(images),
        frames(images, OUTLINE, 0.5),
        *labels(beside, color=GREY),
        texts(notes, color=GREY),
        *bars,
    ]
    title = f"What {printable(name)} makes of a picture"
    subtitle = "In each layer from its least value (black) to its largest 1% (white)"
    return canvas(layers, (right, y + height), title, subtitle)


def _layer_line(layer: str, values: np.ndarray, kind: str, most: int) -> _Line:
    if values.ndim not in (1, 3) or not values.size:
        raise InputError(
            f"feature_maps: {layer} has the shape {values.shape}: it should be "
            "(height, width, maps) or (units,), of one picture"
        )
    low, high = float(values.min()), float(values.max())
    end = float(np.percentile(values, BRIGHT))
    end = end if end > low else high
    grey = np.rint(np.clip((values - low) / ((end - low) or 1), 0, 1) * 255).astype("uint8")
    shape = " × ".join(f"{size:,}" for size in values.shape)
    label = [printable(layer), kind, shape if values.ndim == 3 else f"{shape} units"]
    label = [*filter(None, label), f"{_rounded(low, high - low)} to {_rounded(high, high - low)}"]
    grid = values.ndim == 3 and values.shape[:2] != (1, 1)
    images, left = _tiles(layer, grey, most) if grid else _strip(layer, grey.reshape(-1))
    return _Line(label, images, left)


def _tiles(layer: str, grey: np.ndarray, most: int) -> tuple[list[Row], int]:
    """Return the first maps as pictures, and how many are left out."""
    high, wide = scaled(grey.shape, TILE)
    count = min(most, grey.shape[2])
    images = []
    for number in range(count):
        x, y = LEFT + number % COLUMNS * (wide + GAP), number // COLUMNS * (high + GAP)
        pixels, alternative = (
            grey[..., number : number + 1],
            f"{printable(layer)}, map {number + 1}",
        )
        images.append(picture_row(pixels, TILE, x, y, alternative, layer=layer))
    return images, grey.shape[2] - count


def _strip(layer: str, grey: np.ndarray) -> tuple[list[Row], int]:
    """Return units as pictures, of whole rows and of the rest, and how many are left out."""
    shown = grey[:UNITS_SHOWN]
    whole = len(shown) // STRIP * STRIP
    images = []
    for start, units in ((0, shown[:whole].reshape(-1, STRIP)), (whole, shown[np.newaxis, whole:])):
        if units.size:
            y, side = start // STRIP * UNIT, UNIT * max(units.shape)
            alternative = f"{printable(layer)}, units from {start + 1}"
            pixels = units[..., np.newaxis]
            images.append(picture_row(pixels, side, LEFT, y, alternative, layer=layer))
    return images, len(grey) - len(shown)


def _rounded(value: float, span: float) -> str:
    """Return three digits of the span: what is below them says nothing beside it."""
    digits = 2 if span <= 0 else max(0, 2 - math.floor(math.log10(span)))
    return number_text(round(value, digits), f",.{digits}f")


def _bars(answer: Sequence[Answer], unit: str, top: float) -> tuple[list[alt.Chart], float]:
    """Return the answer as bars from `top` on, and their height."""
    shown = list(answer)[:CLASSES_SHOWN]
    ends = [1.0] if unit == "probability" else [value for _, value in shown]
    low, high = min(0.0, *ends), max(0.0, *ends)
    step = BARS / ((high - low) or 1)
    left = LEFT + LETTER * min(LONGEST, max((len(name) for name, _ in shown), default=0)) + 8
    zero = left - low * step
    rows: list[Row] = []
    for place, (name, value) in enumerate(shown):
        end, y, name = zero + value * step, top + place * BAR, printable(name)
        said = f"{value:.1%}" if unit == "probability" else number_text(value)
        rows.append(
            {
                "class": name, "value": value, "said": said,
                "short": shortened(name, LONGEST),
                "x": min(zero, end), "x2": max(zero, end), "y": y, "y2": y + BAR - 5,
            }
        )  # fmt: skip
    tooltip = [alt.Tooltip("class:N", title="Class"), alt.Tooltip("said:N", title=unit.title())]
    bars = alt.Chart(data_of(rows)).mark_rect(color=BLUE).encode(**PLACE, **TO, tooltip=tooltip)
    names = [{"x": left - 8, "y": row["y"] + 1, "text": row["short"]} for row in rows]
    values = [{"x": row["x2"] + 6, "y": row["y"] + 1, "text": row["said"]} for row in rows]
    layers = [bars, texts(names, align="right"), texts(values)]
    height = BAR * len(rows)
    if len(answer) > len(shown):
        more = {"x": left, "y": top + height, "text": f"and {len(answer) - len(shown):,} more"}
        layers, height = [*layers, texts([more], color=GREY)], height + BAR
    return layers, height

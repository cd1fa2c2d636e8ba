"""Figures without axes: images, text and rectangles at places in pixels.

Places are of upper left corners, from that of the figure; a size is (height, width).
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from PIL import Image

from modelzoo.charts.style import GREY, INK, Chart, data_of, layered
from modelzoo.support.errors import InputError

Row = dict[str, Any]
Size = tuple[float, float]
PLACE: Row = {
    "x": alt.X("x:Q", scale=None, axis=None),
    "y": alt.Y("y:Q", scale=None, axis=None),
}
TO: Row = {"x2": alt.X2("x2:Q"), "y2": alt.Y2("y2:Q")}
LINE = 14  # pixels between lines of text
OUTLINE = "#b5babf"  # of images
CORNER: Row = {"align": "left", "baseline": "top"}
TEXT: Row = {**CORNER, "color": INK, "fontSize": 11, "lineHeight": LINE, "aria": False}
NOTE = {**TEXT, "color": GREY}
PICTURE: Row = {**CORNER, "smooth": False, "aspect": False}


class Canvas:
    """What is drawn: images lowest, the rest in order; marks of the same look form a layer."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[Row, Row, list[Row]]] = {}

    def draw(self, mark: str, rows: Sequence[Row], encoding: Row, **look: Any) -> None:
        """Draw a mark of Vega-Lite for each row, which has `x`, `y` and the fields encoded."""
        whole = {"type": mark, **look}
        self._layers.setdefault(str(whole), (whole, encoding, []))[2].extend(rows)

    def text(self, x: float, y: float, text: Any, look: Row = TEXT, **more: Any) -> None:
        """Write a string, or a list of lines; `more` is what else its row holds."""
        self.draw("text", [{"x": x, "y": y, "text": text, **more}], {"text": "text:N"}, **look)

    def label(self, x: float, y: float, lines: Sequence[str], look: Row) -> None:
        """Write lines, the first in bold and black."""
        self.text(x, y, lines[0], {**look, "color": INK, "fontWeight": "bold"})
        self.text(x, y + LINE, lines[1:], look)

    def picture(
        self,
        pixels: np.ndarray,
        side: float,
        x: float,
        y: float,
        alternative: str,
        most: int | None = None,
    ) -> Size:
        """Draw pixels, uint8, their longer side `side`, described by `alternative`.

        Screens and files have double density: twice as many pixels, or `most`, are stored of a
        large image; those of a small one are enlarged as squares.
        """
        image, size, double = image_of(pixels), scaled(pixels.shape, side), 2 * int(side)
        if max(image.size) > int(side):
            image.thumbnail((most or double, most or double))
        else:
            factor = double // max(image.size)
            enlarged = image.width * factor, image.height * factor
            image = image.resize(enlarged, Image.Resampling.NEAREST)
        self.image(data_uri(image, "PNG", optimize=True), size, x, y, alternative)
        return size

    def image(self, address: str, size: Size, x: float, y: float, alternative: str) -> None:
        """Draw the image at an address."""
        row = {"x": x, "y": y, "picture": address, "alternative": alternative}
        tooltip = alt.Tooltip("alternative:N", title="")
        encoding = {"url": "picture:N", "description": "alternative:N", "tooltip": tooltip}
        self.draw("image", [row], encoding, height=size[0], width=size[1], **PICTURE)

    def frame(
        self, x: float, y: float, size: Size, color: str = GREY, stroke: float = 1, **more: Any
    ) -> None:
        """Draw the outline of a rectangle; `more` is what else its row holds."""
        row = {"x": x, "y": y, "x2": x + size[1], "y2": y + size[0], **more}
        self.draw("rect", [row], TO, filled=False, stroke=color, strokeWidth=stroke, aria=False)

    def chart(self, width: float, height: float, title: str, *about: Any) -> Chart:
        """Return the figure; `about` is a subtitle and a description, as for `layered`."""
        pictures_first = sorted(self._layers.values(), key=lambda each: each[0]["type"] != "image")
        layers = [
            alt.Chart(data_of(rows), mark=alt.MarkDef(**look)).encode(**PLACE, **encoding)
            for look, encoding, rows in pictures_first
        ]
        return layered(layers, (width, height), title, *about)


def scaled(shape: Sequence[int], side: float) -> Size:
    """Return the size in pixels of what has this shape, its longer side `side` pixels."""
    height, width = shape[:2]
    return side * height / max(height, width), side * width / max(height, width)


def image_of(pixels: np.ndarray) -> Image.Image:
    """Return pixels, uint8 (height, width, 1 to 4), two of them grey and opacity, for Pillow."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4):
        raise InputError(
            f"an image of shape {pixels.shape} and type {pixels.dtype}: give uint8 of shape "
            "(height, width, 1 or 3)"
        )
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def data_uri(image: Image.Image, form: str, **options: Any) -> str:
    """Return an image in Pillow's format `form` as an address that holds it."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return f"data:image/{form.lower()};base64," + base64.b64encode(file.getvalue()).decode()

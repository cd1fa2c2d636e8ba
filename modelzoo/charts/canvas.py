"""Pictures, cells, lines and text at places given in pixels: for figures that have no axes.

Every row has `x` and `y`, its upper left corner, in pixels from that of the figure.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from PIL import Image

from modelzoo.charts.style import GREY, INK, Chart, data_of, styled
from modelzoo.support.errors import InputError

Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
PLACE: dict[str, Any] = {
    "x": alt.X("x:Q", scale=None, axis=None),
    "y": alt.Y("y:Q", scale=None, axis=None),
}
TO: dict[str, Any] = {"x2": alt.X2("x2:Q"), "y2": alt.Y2("y2:Q")}
LINE = 14  # pixels between lines of text
OUTLINE = "#b5babf"  # of pictures


def canvas(
    layers: Sequence[alt.Chart],
    size: tuple[float, float],
    title: str,
    subtitle: str | Sequence[str] = "",
    description: str = "",
) -> Chart:
    """Return a figure of `size` (width, height) in pixels; later layers lie on earlier ones."""
    heading = alt.TitleParams(title, subtitle=subtitle) if subtitle else title
    figure = alt.layer(*layers).properties(
        width=size[0], height=size[1], title=heading, view={"stroke": None}
    )
    figure = figure.resolve_scale(color="independent").resolve_legend(color="independent")
    return styled(figure, description or title)


def checked_picture(picture: np.ndarray, of: str) -> np.ndarray:
    """Return a picture as an array, or raise InputError: it should be uint8, grey or colour."""
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise InputError(
            f"{of}: a picture of shape {picture.shape} and type {picture.dtype}: give uint8 of "
            "shape (height, width, 1 or 3)"
        )
    return picture


def scaled(shape: Sequence[int], side: float) -> tuple[float, float]:
    """Return height and width in pixels of what has this shape, its longer side `side` pixels."""
    height, width = shape[:2]
    return side * height / max(height, width), side * width / max(height, width)


def picture_row(
    pixels: np.ndarray, side: float, x: float, y: float, alternative: str, **more: Any
) -> Row:
    """Return a row for `pictures` and `frames`; for pixels, side and `most` see `as_url`."""
    height, width = scaled(pixels.shape, side)
    address = as_url(pixels, int(side), more.pop("most", None))
    size = {"x": x, "y": y, "width": width, "height": height}
    return {**size, "picture": address, "alternative": alternative, **more}


def pictures(rows: Rows) -> list[alt.Chart]:
    """Draw `picture`, the address of a picture, `width` x `height`; `alternative` describes it."""
    sizes = {(row["width"], row["height"]): None for row in rows}
    layers = []
    for width, height in sizes:  # a size is a property of the mark: it cannot be encoded
        chosen = [row for row in rows if (row["width"], row["height"]) == (width, height)]
        mark = alt.Chart(data_of(chosen)).mark_image(
            width=width, height=height, align="left", baseline="top", smooth=False, aspect=False
        )
        tooltip = alt.Tooltip("alternative:N", title="")
        layers.append(
            mark.encode(**PLACE, url="picture:N", description="alternative:N", tooltip=tooltip)
        )
    return layers


def texts(rows: Rows, **mark: Any) -> alt.Chart:
    """Write `text`, a string or a list of lines; `mark` are properties of Vega-Lite's text mark."""
    options: dict[str, Any] = {
        "align": "left",
        "baseline": "top",
        "fontSize": 11,
        "color": INK,
        "lineHeight": LINE,
    }
    chart = alt.Chart(data_of(rows)).mark_text(aria=False, **(options | mark))
    return chart.encode(**PLACE, text="text:N")


def labels(rows: Rows, *, color: str = INK, **mark: Any) -> list[alt.Chart]:
    """Write `text`, lists of lines, the first of each in bold, the others in `color`."""
    heads = [{**row, "text": row["text"][0]} for row in rows]
    rest = [{**row, "text": row["text"][1:], "y": row["y"] + LINE} for row in rows]
    return [texts(heads, fontWeight="bold", **mark), texts(rest, color=color, **mark)]


def frames(rows: Rows, color: str = GREY, width: float = 1) -> alt.Chart:
    """Draw the outline of rectangles, `width` x `height`; `step` says when, if there are steps."""
    corners = []
    for row in rows:
        corner = {name: row[name] for name in ("step", "x", "y") if name in row}
        corners.append({**corner, "x2": row["x"] + row["width"], "y2": row["y"] + row["height"]})
    mark = alt.Chart(data_of(corners)).mark_rect(
        filled=False, stroke=color, strokeWidth=width, aria=False
    )
    return mark.encode(**PLACE, **TO)


def cells(
    rows: Rows, scale: alt.Scale, legend: alt.Legend | None, tooltip: Sequence[alt.Tooltip] = ()
) -> alt.Chart:
    """Fill the rectangles that end at `x2`, `y2` with the colour of their `value`."""
    mark = alt.Chart(data_of(rows)).mark_rect(aria=False)
    color = alt.Color("value:Q", scale=scale, legend=legend)
    return mark.encode(**PLACE, **TO, color=color, tooltip=list(tooltip) or alt.Undefined)


def as_url(pixels: np.ndarray, side: int, most: int | None = None) -> str:
    """Return a picture as a PNG in a data URI; a small one is enlarged, each pixel a square.

    Args:
        pixels: uint8, (height, width, channels) with 1, 3 or 4 channels.
        side: pixels of its longer side on the page. The PNG has up to twice as many, for screens
            and files of double density.
        most: pixels of the longer side to which a larger picture is reduced; by default twice
            `side`. Fewer keep a report small.
    """
    image = image_of(pixels)
    larger = max(image.size)
    if larger > side:
        image.thumbnail((most or 2 * side, most or 2 * side))
    else:
        factor = 2 * side // larger
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    return data_uri(image, "PNG", optimize=True)


def image_of(pixels: np.ndarray) -> Image.Image:
    """Return pixels, uint8 of shape (height, width, channels), as Pillow's image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def data_uri(image: Image.Image, form: str, **options: Any) -> str:
    """Return an image in Pillow's format `form` as an address that holds it."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return f"data:image/{form.lower()};base64," + base64.b64encode(file.getvalue()).decode()

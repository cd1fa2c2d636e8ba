"""The most confident mistakes, as pictures."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from PIL import Image

from modelzoo.charts.style import INK, Chart, data_of, message, printable, styled
from modelzoo.errors import InputError

MISTAKES_SHOWN = 24
PICTURE_PIXELS = 112  # on the page
CAPTION_LETTERS = 22  # as many fit below a picture


def mistakes(
    images: np.ndarray,
    true: Sequence[str],
    predicted: Sequence[str],
    confidence: Sequence[float],
    *,
    total: int | None = None,
) -> Chart:
    """Return the most confident mistakes as pictures, at most 24.

    Args:
        images: uint8, shape (n, height, width, channels) with 1, 3 or 4 channels.
        true: the right class of each.
        predicted: the class that the network gave.
        confidence: its probability for that, from 0 to 1; NaN, in the order given, if it has none.
        total: how many mistakes there were, if `images` are a choice of them.

    Raises:
        InputError: the images are not uint8 pictures, or the four lengths differ.
    """
    images = np.asarray(images)
    _check_mistakes(images, len(true), len(predicted), len(confidence))
    total = len(images) if total is None else total
    if not len(images):
        return message("No mistakes.")
    order = np.argsort(-np.nan_to_num(np.asarray(confidence, float)), kind="stable")[
        :MISTAKES_SHOWN
    ]
    columns = min(6, len(order))
    rows: list[dict[str, Any]] = []
    step, line_height = PICTURE_PIXELS + 28, PICTURE_PIXELS + 52
    for place, index in enumerate(order):
        truth, answer = (printable(str(names[index])) for names in (true, predicted))
        share = "" if np.isnan(confidence[index]) else f"({confidence[index]:.1%})"
        caption = f"read as: {answer} {share}".rstrip()
        if len(caption) > CAPTION_LETTERS:
            line_height = PICTURE_PIXELS + 66  # the share gets a line of its own
        rows.append(
            {
                "picture": as_url(images[index], PICTURE_PIXELS, PICTURE_PIXELS + 16),
                "column": place % columns,
                "row": place // columns,
                "truth": shortened(f"true: {truth}"),
                "answer": caption
                if len(caption) <= CAPTION_LETTERS
                else [shortened(f"read as: {answer}"), share],
                "alternative": f"true: {truth}, {caption}",
            }
        )
    for row in rows:
        row.update(x=row.pop("column") * step, y=row.pop("row") * line_height)
    shown = f"The {len(order)} most confident of {total:,} mistakes"
    title = shown if total > len(order) > 1 else f"Mistakes: {total:,}, the most confident first"
    chart = alt.layer(*_picture_layers(rows)).properties(
        width=columns * step,
        height=math.ceil(len(order) / columns) * line_height,
        title=title,
        view={"stroke": None},
    )
    return styled(chart, title)


def _check_mistakes(images: np.ndarray, *lengths: int) -> None:
    pictures = images.ndim == 4 and images.dtype == np.uint8 and images.shape[3] in (1, 3, 4)
    if len(images) and not pictures:
        raise InputError(
            f"mistakes: images of shape {images.shape} and type {images.dtype}: give uint8 "
            "pictures of shape (n, height, width, channels) with 1, 3 or 4 channels"
        )
    if set(lengths) != {len(images)}:
        raise InputError(f"mistakes: {len(images)} images, but {lengths} labels and confidences")


def as_url(pixels: np.ndarray, side: int, most: int | None = None) -> str:
    """Return a picture as a PNG in a data URI; a small one is enlarged, each pixel a square.

    Args:
        pixels: uint8, (height, width, channels) with 1, 3 or 4 channels.
        side: pixels of its longer side on the page. The PNG has up to twice as many, for screens
            and files of double density.
        most: pixels of the longer side to which a larger picture is reduced; by default twice
            `side`. Fewer keep a report small.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    larger = max(image.size)
    if larger > side:
        image.thumbnail((most or 2 * side, most or 2 * side))
    else:
        factor = 2 * side // larger
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _picture_layers(rows: list[dict[str, Any]]) -> list[alt.Chart]:
    base = placed(rows)
    return [
        pictures_at(base),
        captions_at(base, "truth", 6),
        captions_at(base, "answer", 22, color="#a33f00", fontWeight="bold"),
    ]


def placed(rows: list[dict[str, Any]]) -> alt.Chart:
    """Return what pictures and their captions share: the rows, and where `x` and `y` are."""
    return alt.Chart(data_of(rows)).encode(
        x=alt.X("x:Q", scale=None, axis=None), y=alt.Y("y:Q", scale=None, axis=None)
    )


def pictures_at(base: alt.Chart) -> alt.Chart:
    """Draw `picture`, an address, with its corner at `x`, `y`; `alternative` describes it."""
    mark = base.mark_image(
        width=PICTURE_PIXELS, height=PICTURE_PIXELS, align="left", baseline="top", smooth=False
    )
    tooltip = alt.Tooltip("alternative:N", title="")
    return mark.encode(url="picture:N", description="alternative:N", tooltip=tooltip)


def captions_at(base: alt.Chart, field: str, below: int, **mark: Any) -> alt.Chart:
    """Write a field of the rows so many pixels below their pictures."""
    options = {"align": "left", "baseline": "top", "fontSize": 11, "color": INK, **mark}
    text = base.mark_text(aria=False, dy=PICTURE_PIXELS + below, **options)
    return text.encode(text=f"{field}:N")


def shortened(text: str, letters: int = CAPTION_LETTERS) -> str:
    """Return what fits below a picture."""
    return text if len(text) <= letters else text[: letters - 1] + "…"

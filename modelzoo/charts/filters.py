"""A photograph under hand-made kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from modelzoo.charts.canvas import canvas, data_uri, image_of, pictures, scaled, texts
from modelzoo.charts.style import GREY, Chart, number_text, printable
from modelzoo.data.filters import MIDDLE, Filter, Filtered, find_filter
from modelzoo.support.errors import InputError

SIDE, GAP, COLUMNS, LINE = 210, 22, 4, 13  # pixels: longer side, between two, _, a row of a kernel


def filtered_pictures(photographs: Sequence[Filtered], title: str) -> Chart:
    """Return filtered photographs, each with the kernel that made it.

    Args:
        photographs: what `modelzoo.data.filters.apply_filter` returned, all of one photograph.
        title: such as the name of its file.

    Raises:
        InputError: there is none.
    """
    if not photographs:
        raise InputError("filtered_pictures: give at least one filtered photograph")
    high, wide = scaled(photographs[0].pixels.shape, SIDE)
    step, columns = max(wide, 170) + GAP, min(COLUMNS, len(photographs))
    images, names, notes, numbers, y = [], [], [], [], 0.0
    for start in range(0, len(photographs), columns):
        line = photographs[start : start + columns]
        for column, each in enumerate(line):
            x, kind = column * step, find_filter(each.name)
            about = kind.about + (f"; 0 is grey {MIDDLE}" if kind.is_signed else "")
            images.append(
                {
                    "x": x, "y": y + 34, "width": wide, "height": high,
                    "picture": _as_jpeg(each.pixels), "alternative": f"{each.name}: {about}",
                }
            )  # fmt: skip
            names.append({"x": x, "y": y, "text": each.name})
            notes.append({"x": x, "y": y + 15, "text": about})
            numbers += _numbers(kind, x, y + 40 + high)
        deepest = max(len(find_filter(each.name).rows) for each in line)
        y += 40 + high + LINE * deepest + GAP
    size = columns * step - GAP, y - GAP
    layers = [
        *pictures(images),
        texts(names, fontWeight="bold"),
        texts(notes, color=GREY, fontSize=10),
        texts(numbers, align="right", fontSize=10),
    ]
    subtitle = [
        "Each channel by itself, reflected at the borders; results are cut off at 0 and 255.",
        f"Where the weights sum to 0, half of the result is added to grey {MIDDLE}.",
    ]
    return canvas(layers, size, f"Hand-made kernels on {printable(title)}", subtitle)


def _numbers(kind: Filter, left: float, top: float) -> list[dict[str, Any]]:
    """Return the weights of a kernel, and what they are divided by, as text that ends at its x."""
    width = 8 + 6 * max(len(f"{weight}") for row in kind.rows for weight in row)
    placed: list[dict[str, Any]] = [
        {"x": left + (column + 1) * width - 6, "y": top + row * LINE, "text": number_text(weight)}
        for row, weights in enumerate(kind.rows)
        for column, weight in enumerate(weights)
    ]
    if kind.divisor != 1:
        middle = {"x": placed[-1]["x"] + 44, "y": top + len(kind.rows) // 2 * LINE}
        placed.append({**middle, "text": f"/ {kind.divisor}"})
    return placed


def _as_jpeg(pixels: np.ndarray) -> str:
    """Return a photograph as a data URI, twice as large as drawn; a PNG would be ten times it."""
    image = image_of(pixels)
    image.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)
    return data_uri(image, "JPEG", quality=88)

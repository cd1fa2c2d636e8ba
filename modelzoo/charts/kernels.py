"""Kernels as colours, images and numbers: those that were learned, and those made by hand."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from PIL import Image

from modelzoo.charts.canvas import BOLD, NOTE, TEXT, TO, Canvas, Row, data_uri, image_of, scaled
from modelzoo.charts.style import BLUE, VERMILLION, Chart, number_text, printable
from modelzoo.data.filters import MIDDLE, Filter, Filtered, find_filter
from modelzoo.support.errors import InputError

KERNELS_SHOWN = 96  # as many as the first layer of AlexNet has
MAPS_SHOWN = 16  # input maps, and with several of them, kernels
SIDE, GAP = 60, 10  # pixels of a kernel, and between two
TITLE, ROW_TITLE = 16, 62  # pixels for the number above, and for that of the input map
PHOTO, PHOTO_GAP, COLUMNS, LINE = 210, 22, 4, 13  # pixels: longer side, between two; a row's height
NUMBER, SMALL_NOTE = {**TEXT, "align": "right", "fontSize": 10}, {**NOTE, "fontSize": 10}
TOOLTIP = [
    alt.Tooltip("kernel:Q", title="Kernel"),
    alt.Tooltip("map:Q", title="Input map"),
    alt.Tooltip("row:Q", title="Row"),
    alt.Tooltip("column:Q", title="Column"),
    alt.Tooltip("value:Q", title="Weight", format=".4f"),
]


def kernels(weights: np.ndarray, title: str) -> Chart:
    """Return the kernels of one layer, each on the scale of the whole layer: 96, or 16 by 16 maps.

    Args:
        weights: (height, width, input maps, kernels), as `kernel_of` returns them; NaN where a
            kernel does not see an input map. With 3 input maps they are drawn as colour images,
            where mid-grey is 0. Otherwise each input map has a row, and colours tell negative
            from positive.
        title: what they are, such as "lenet5: C1".

    Raises:
        InputError: the array has not four dimensions, or holds no finite number.
    """
    weights = np.asarray(weights, "float64")
    if weights.ndim != 4 or not np.isfinite(weights).any():
        raise InputError(
            f"{title}: kernels of shape {weights.shape} can't be drawn: they should be finite "
            "numbers of shape (height, width, input maps, kernels)"
        )
    size = high, wide = scaled(weights.shape, SIDE)
    in_colour, several = weights.shape[2] == 3, weights.shape[2] not in (1, 3)
    maps = min(weights.shape[2], MAPS_SHOWN) if several else 1
    count = min(weights.shape[3], MAPS_SHOWN if several else KERNELS_SHOWN)
    columns = count if several else min(12, count)
    left, step = (ROW_TITLE, high + GAP) if several else (0, high + TITLE + GAP)
    largest = float(np.nanmax(np.abs(weights))) or 1.0
    end = float(np.nanpercentile(np.abs(weights), 99)) or largest  # one weight may stick out far
    pixels = np.rint(127.5 + 127.5 * np.clip(np.nan_to_num(weights) / end, -1, 1)).astype("uint8")
    scale = alt.Scale(  # both ends as far from 0, so that 0 is always white
        domain=[-largest, 0, largest], range=[BLUE, "#ffffff", VERMILLION], interpolate="rgb"
    )
    legend = alt.Legend(title="Weight", format=".2~f", gradientLength=120)
    cell = {**TO, "color": alt.Color("value:Q", scale=scale, legend=legend), "tooltip": TOOLTIP}
    canvas, y = Canvas(), 0.0
    for below, number in np.ndindex(maps, count):
        row, column = (below, number) if several else divmod(number, columns)
        x, y = left + column * (wide + GAP), TITLE + row * step
        if in_colour:
            canvas.picture(pixels[..., number], SIDE, x, y, f"Kernel {number + 1}")
        elif np.isfinite(weights[:, :, below, number]).all():  # else it doesn't see the input map
            canvas.draw("rect", _cells(weights, below, number, x, y), cell, aria=False)
            canvas.frame(x, y, size)
        if below == 0:
            canvas.text(x, y - TITLE, f"{number + 1}", NOTE)
        if several and number == 0:
            canvas.text(0, y + high / 2 - 6, f"map {below + 1}", NOTE)
    colours = (
        f"Red, green and blue from {number_text(-end, '.2g')} (dark) over 0 (mid-grey) to "
        f"{end:.2g} (bright); the largest 1%, up to {largest:.2g}, look the same"
    )
    how = colours if in_colour else "A column for each kernel, a row for each input map"
    subtitle = _subtitle(weights, maps, count, how)
    return canvas.chart(left + columns * (wide + GAP) - GAP, y + high, printable(title), subtitle)


def kernel_of(layer: Any) -> np.ndarray:
    """Return the kernels of a Keras layer, (height, width, input maps, kernels).

    NaN stands where a connection table leaves an input map out.

    Raises:
        InputError: the layer has none.
    """
    table = getattr(layer, "connection_table", None)
    if table is not None:
        stored = np.asarray(layer.get_weights()[0])
        full = np.full((*stored.shape[:2], *table.T.shape), np.nan)
        full[:, :, table.T == 1] = stored  # those of the first kernel come first
        return full.swapaxes(2, 3)
    found = [each for each in layer.get_weights() if each.ndim == 4]
    if not found:
        raise InputError(f"layer {layer.name!r} has no convolution kernels")
    return np.asarray(found[0])


def filtered_pictures(photographs: Sequence[Filtered], title: str) -> Chart:
    """Return filtered photographs, each with the kernel that made it.

    Args:
        photographs: what `modelzoo.data.filters.apply_filter` returned, all of one photograph.
        title: such as the name of its file.
    """
    size = high, wide = scaled(photographs[0].pixels.shape, PHOTO)
    step, columns = max(wide, 170) + PHOTO_GAP, min(COLUMNS, len(photographs))
    canvas, y, deepest = Canvas(), 0.0, 0
    for number, each in enumerate(photographs):
        kind, column = find_filter(each.name), number % columns
        if number and not column:
            y, deepest = y + 40 + high + LINE * deepest + PHOTO_GAP, 0
        about = kind.about + (f"; 0 is grey {MIDDLE}" if kind.is_signed else "")
        image = image_of(each.pixels)
        image.thumbnail((2 * PHOTO, 2 * PHOTO), Image.Resampling.LANCZOS)
        address = data_uri(image, "JPEG", quality=88)  # a PNG would be ten times as large
        canvas.image(address, size, column * step, y + 34, f"{each.name}: {about}")
        canvas.text(column * step, y, each.name, BOLD)
        canvas.text(column * step, y + 15, about, SMALL_NOTE)
        _write_weights(canvas, kind, column * step, y + 40 + high)
        deepest = max(deepest, len(kind.rows))
    subtitle = [
        "Each channel by itself, reflected at the borders; results are cut off at 0 and 255.",
        f"Where the weights sum to 0, half of the result is added to grey {MIDDLE}.",
    ]
    bottom, heading = y + 40 + high + LINE * deepest, f"Hand-made kernels on {printable(title)}"
    return canvas.chart(columns * step - PHOTO_GAP, bottom, heading, subtitle)


def _subtitle(weights: np.ndarray, maps_shown: int, shown: int, how: str) -> list[str]:
    """Return what the kernels are, `how` they are drawn, and how many of them are not."""
    height, width, maps, count = weights.shape
    kinds = f"{count:,} kernels of {height} × {width}"
    lines = [f"{kinds} over {maps:,} input maps", how] if maps > 1 else [kinds]
    left = [f"{count - shown:,} kernels"] if count > shown else []
    left += [f"{maps - maps_shown:,} input maps"] if maps > maps_shown and maps != 3 else []
    return [*lines, f"{' and '.join(left)} more are not drawn"] if left else lines


def _cells(weights: np.ndarray, below: int, number: int, left: float, top: float) -> list[Row]:
    """Return a cell for each weight of one kernel over one input map; all count from 1."""
    side = SIDE / max(weights.shape[:2])
    return [
        {
            "kernel": number + 1, "map": below + 1, "row": row + 1, "column": column + 1,
            "value": round(float(weights[row, column, below, number]), 6),
            "x": left + column * side, "x2": left + (column + 1) * side,
            "y": top + row * side, "y2": top + (row + 1) * side,
        }
        for row, column in np.ndindex(weights.shape[0], weights.shape[1])
    ]  # fmt: skip


def _write_weights(canvas: Canvas, kind: Filter, left: float, top: float) -> None:
    """Write the weights of a kernel, and what they are divided by, as text that ends at its x."""
    width = 8 + 6 * max(len(f"{weight}") for row in kind.rows for weight in row)
    for row, weights in enumerate(kind.rows):
        for column, weight in enumerate(weights, 1):
            x, y = left + column * width - 6, top + row * LINE
            canvas.text(x, y, number_text(weight), NUMBER)
    if kind.divisor != 1:
        x = left + len(kind.rows[0]) * width + 38
        canvas.text(x, top + len(kind.rows) // 2 * LINE, f"/ {kind.divisor}", NUMBER)

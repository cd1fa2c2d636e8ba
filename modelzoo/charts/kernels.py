"""The kernels of a convolutional layer: numbers as colours, or as small colour pictures."""

from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.canvas import Row, canvas, cells, frames, picture_row, pictures, scaled, texts
from modelzoo.charts.style import BLUE, GREY, VERMILLION, Chart, number_text, printable
from modelzoo.support.errors import InputError

KERNELS_SHOWN = 96  # as many as the first layer of AlexNet has
MAPS_SHOWN = 16  # input maps, and with several of them, kernels
SIDE, GAP = 60, 10  # pixels of a kernel, and between two
TITLE, ROW_TITLE = 16, 62  # pixels for the number above, and for that of the input map

Places = dict[tuple[int, int], tuple[float, float]]  # (input map, kernel): its corner


def kernels(weights: np.ndarray, title: str, *, most: int = KERNELS_SHOWN) -> Chart:
    """Return the kernels of one layer, each on the scale of the whole layer.

    Args:
        weights: (height, width, input maps, kernels), as `kernel_of` returns them; NaN where a
            kernel does not see an input map. With 3 input maps they are drawn as colour pictures,
            where mid-grey is 0. Otherwise each input map has a row, and colours tell negative
            from positive.
        title: what they are, such as "lenet5: C1".
        most: kernels drawn; of layers with several input maps at most 16 by 16.

    Raises:
        InputError: the array has not four dimensions, or holds no finite number.
    """
    weights = np.asarray(weights, "float64")
    if weights.ndim != 4 or not np.isfinite(weights).any() or most < 1:
        raise InputError(
            f"{title}: kernels of shape {weights.shape} can't be drawn: they should be finite "
            "numbers of shape (height, width, input maps, kernels), and at least one be shown"
        )
    largest = float(np.nanmax(np.abs(weights))) or 1.0
    in_colour, several = weights.shape[2] == 3, weights.shape[2] not in (1, 3)
    maps = min(weights.shape[2], MAPS_SHOWN) if several else 1
    count = min(weights.shape[3], most, MAPS_SHOWN if several else most)
    columns = count if several else min(12, count)
    high, wide = scaled(weights.shape, SIDE)
    left, step = (ROW_TITLE, high + GAP) if several else (0, high + TITLE + GAP)
    places = {}
    for below, number in np.ndindex(maps, count):
        row = below if several else number // columns
        places[below, number] = left + number % columns * (wide + GAP), TITLE + row * step
    names = [
        {"x": x, "y": y - TITLE, "text": f"{number + 1}"}
        for (below, number), (x, y) in places.items()
        if below == 0
    ]
    if several:
        names += [
            {"x": 0, "y": TITLE + below * step + high / 2 - 6, "text": f"map {below + 1}"}
            for below in range(maps)
        ]
    if in_colour:
        layers, how = _in_colour(weights, places, largest)
    else:
        layers = _in_cells(weights, places, largest)
        how = "A column for each kernel, a row for each input map" if several else ""
    size = left + columns * (wide + GAP) - GAP, places[maps - 1, count - 1][1] + high
    subtitle = _subtitle(weights, 3 if in_colour else maps, count, how)
    return canvas([*layers, texts(names, color=GREY)], size, printable(title), subtitle)


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


def _subtitle(weights: np.ndarray, maps_shown: int, shown: int, how: str) -> list[str]:
    height, width, maps, count = weights.shape
    kinds = f"{count:,} kernels of {height} × {width}"
    lines = [f"{kinds} over {maps:,} input maps" if maps > 1 else kinds, *([how] if how else [])]
    left = [f"{count - shown:,} kernels"] if count > shown else []
    left += [f"{maps - maps_shown:,} input maps"] if maps > maps_shown else []
    return [*lines, f"{' and '.join(left)} more are not drawn"] if left else lines


def _in_colour(weights: np.ndarray, places: Places, largest: float) -> tuple[list[alt.Chart], str]:
    """Return kernels over red, green and blue as pictures, and what their colours mean."""
    end = float(np.nanpercentile(np.abs(weights), 99)) or largest  # one weight may stick out far
    values = np.clip(np.nan_to_num(weights) / end, -1, 1)
    pixels = np.rint(127.5 + 127.5 * values).astype("uint8")
    rows = [
        picture_row(pixels[..., number], SIDE, x, y, f"Kernel {number + 1}")
        for (_, number), (x, y) in places.items()
    ]
    return pictures(rows), (
        f"Red, green and blue from {number_text(-end, '.2g')} (dark) over 0 (mid-grey) to "
        f"{end:.2g} (bright); the largest 1%, up to {largest:.2g}, look the same"
    )


def _in_cells(weights: np.ndarray, places: Places, largest: float) -> list[alt.Chart]:
    """Return a cell for each weight; kernels that do not see an input map are left out."""
    high, wide = scaled(weights.shape, SIDE)
    values: list[Row] = []
    outlines = []
    for (below, number), (x, y) in places.items():
        if np.isfinite(weights[:, :, below, number]).all():
            values += _cells(weights, below, number, x, y)
            outlines.append({"x": x, "y": y, "width": wide, "height": high})
    scale = alt.Scale(  # both ends as far from 0, so that 0 is always white
        domain=[-largest, 0, largest], range=[BLUE, "#ffffff", VERMILLION], interpolate="rgb"
    )
    legend = alt.Legend(title="Weight", format=".2~f", gradientLength=120)
    return [cells(values, scale, legend, TOOLTIP), frames(outlines)]


TOOLTIP = [
    alt.Tooltip("kernel:Q", title="Kernel"),
    alt.Tooltip("map:Q", title="Input map"),
    alt.Tooltip("row:Q", title="Row"),
    alt.Tooltip("column:Q", title="Column"),
    alt.Tooltip("value:Q", title="Weight", format=".4f"),
]


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

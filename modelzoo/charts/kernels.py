"""The kernels of a convolutional layer: numbers as colours, or as small colour pictures."""

from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.canvas import canvas, cells, frames, pictures, texts
from modelzoo.charts.pictures import as_url
from modelzoo.charts.style import BLUE, GREY, VERMILLION, Chart, number_text, printable
from modelzoo.errors import InputError

KERNELS_SHOWN = 96  # as many as the first layer of AlexNet has
MAPS_SHOWN = 16  # input maps, and with several of them, kernels
SIDE, GAP = 60, 10  # pixels of a kernel, and between two
TITLE, ROW_TITLE = 16, 62  # pixels for the number above, and for that of the input map


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
    title = printable(title)
    if weights.shape[2] == 3:
        return _as_pictures(weights, title, most, largest)
    return _as_cells(weights, title, most, largest)


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


def _subtitle(weights: np.ndarray, shown: tuple[int, int], how: str) -> list[str]:
    height, width, maps, count = weights.shape
    kinds = f"{count:,} kernels of {height} × {width}"
    lines = [f"{kinds} over {maps:,} input maps" if maps > 1 else kinds, *([how] if how else [])]
    left = [f"{count - shown[1]:,} kernels"] if count > shown[1] else []
    left += [f"{maps - shown[0]:,} input maps"] if maps > shown[0] else []
    return [*lines, f"{' and '.join(left)} more are not drawn"] if left else lines


def _box(weights: np.ndarray) -> tuple[float, float]:
    """Return height and width in pixels of a kernel whose longer side is `SIDE`."""
    height, width = weights.shape[:2]
    return SIDE * height / max(height, width), SIDE * width / max(height, width)


def _as_pictures(weights: np.ndarray, title: str, most: int, largest: float) -> Chart:
    count = min(weights.shape[3], most)
    high, wide = _box(weights)
    columns = min(12, count)
    end = float(np.nanpercentile(np.abs(weights), 99)) or largest  # one weight may stick out far
    scaled = np.clip(np.nan_to_num(weights) / end, -1, 1)
    pixels = np.rint(127.5 + 127.5 * scaled).astype("uint8")
    rows = [
        {
            "x": number % columns * (wide + GAP),
            "y": number // columns * (high + TITLE + GAP) + TITLE,
            "width": wide,
            "height": high,
            "picture": as_url(pixels[..., number], SIDE),
            "alternative": f"Kernel {number + 1}",
        }
        for number in range(count)
    ]
    numbers = texts(
        [
            {"x": row["x"], "y": row["y"] - TITLE, "text": f"{number}"}
            for number, row in enumerate(rows, start=1)
        ],
        color=GREY,
    )
    size = columns * (wide + GAP) - GAP, rows[-1]["y"] + high
    how = (
        f"Red, green and blue from {number_text(-end, '.2g')} (dark) over 0 (mid-grey) to "
        f"{end:.2g} (bright); the largest 1%, up to {largest:.2g}, look the same"
    )
    subtitle = _subtitle(weights, (3, count), how)
    return canvas([*pictures(rows), numbers], size, title, subtitle)


def _as_cells(weights: np.ndarray, title: str, most: int, largest: float) -> Chart:
    several = weights.shape[2] > 1
    maps = min(weights.shape[2], MAPS_SHOWN)
    count = min(weights.shape[3], most, MAPS_SHOWN if several else most)
    columns = count if several else min(12, count)
    high, wide = _box(weights)
    left, step = (ROW_TITLE, high + GAP) if several else (0, high + TITLE + GAP)

    def corner(below: int, number: int) -> tuple[float, float]:
        row = below if several else number // columns
        return left + number % columns * (wide + GAP), TITLE + row * step

    joined = [
        (below, number)
        for below, number in np.ndindex(maps, count)
        if np.isfinite(weights[:, :, below, number]).all()
    ]
    values = [row for pair in joined for row in _cells(weights, *pair, *corner(*pair))]
    outlines = [
        {"x": x, "y": y, "x2": x + wide, "y2": y + high} for x, y in (corner(*p) for p in joined)
    ]
    names = [
        {"x": x, "y": y - TITLE, "text": f"{number + 1}"}
        for number in range(count)
        for x, y in [corner(0, number)]
    ]
    if several:
        names += [
            {"x": 0, "y": corner(below, 0)[1] + high / 2 - 6, "text": f"map {below + 1}"}
            for below in range(maps)
        ]
    scale = alt.Scale(  # both ends as far from 0, so that 0 is always white
        domain=[-largest, 0, largest], range=[BLUE, "#ffffff", VERMILLION], interpolate="rgb"
    )
    legend = alt.Legend(title="Weight", format=".2~f", gradientLength=120)
    last = corner(maps - 1, count - 1)
    size = left + columns * (wide + GAP) - GAP, last[1] + high
    how = "A column for each kernel, a row for each input map" if several else ""
    layers = [cells(values, scale, legend, TOOLTIP), frames(outlines), texts(names, color=GREY)]
    return canvas(layers, size, title, _subtitle(weights, (maps, count), how))


TOOLTIP = [
    alt.Tooltip("kernel:Q", title="Kernel"),
    alt.Tooltip("map:Q", title="Input map"),
    alt.Tooltip("row:Q", title="Row"),
    alt.Tooltip("column:Q", title="Column"),
    alt.Tooltip("value:Q", title="Weight", format=".4f"),
]


def _cells(
    weights: np.ndarray, below: int, number: int, left: float, top: float
) -> list[dict[str, Any]]:
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

"""Convolution, one step after the other, with all numbers."""

from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.canvas import OUTLINE, PLACE, TO, Row, canvas, frames, texts
from modelzoo.charts.style import BLUE, GREY, INK, VERMILLION, Chart, data_of, number_text
from modelzoo.support.errors import InputError

CELL, GAP, HEAD, ROW_GAP = 30, 44, 22, 26  # pixels: a cell, between two grids, heading, two steps
LARGEST = 12  # rows or columns of a picture: numbers must be read
DIGIT = (  # a 7 of 6 x 6 pixels
    (0, 1, 1, 1, 1, 0),
    (0, 0, 0, 0, 1, 0),
    (0, 0, 0, 1, 0, 0),
    (0, 0, 1, 0, 0, 0),
    (0, 1, 0, 0, 0, 0),
    (0, 1, 0, 0, 0, 0),
)
RISING = ((-1, -1, 2), (-1, 2, -1), (2, -1, -1))  # finds lines that rise to the right


def convolution_steps(
    picture: Any = DIGIT, kernel: Any = RISING, *, steps: int = 4, slider: bool = False
) -> Chart:
    """Return convolution step by step: the patch, the kernel, their products, the growing output.

    The kernel is laid on the picture without turning it, as networks do, and moves by one pixel.

    Args:
        picture: numbers, at most 12 rows and columns.
        kernel: numbers, no larger than the picture.
        steps: how many of the steps are drawn below each other: the first ones and the last.
        slider: draw one step, chosen with a slider, in place of some below each other. Only a page
            has a slider; elsewhere it is the first step.

    Raises:
        InputError: something is no matrix of finite numbers, or has a wrong size.
    """
    picture, kernel = _matrix("picture", picture), _matrix("kernel", kernel)
    if max(picture.shape) > LARGEST or any(np.greater(kernel.shape, picture.shape)):
        raise InputError(
            f"convolution_steps: a kernel of {kernel.shape} on a picture of {picture.shape}: the "
            f"picture should have at most {LARGEST} rows and columns, the kernel no more than it"
        )
    if steps < 1:
        raise InputError(f"convolution_steps: {steps} steps: should be at least 1")
    products = np.lib.stride_tricks.sliding_window_view(picture, kernel.shape) * kernel
    sums = products.sum(axis=(2, 3))
    shown = range(sums.size) if slider else [*range(min(steps, sums.size) - 1), sums.size - 1]
    sides = [picture.shape, kernel.shape, kernel.shape, sums.shape]
    lefts = [sum(side[1] for side in sides[:i]) * CELL + i * GAP for i in range(4)]
    size = lefts[-1] + sums.shape[1] * CELL, HEAD + picture.shape[0] * CELL
    cells, outlines, headings = [], [], []
    for line, step in enumerate(shown):
        row, column = divmod(step, sums.shape[1])
        top = HEAD + (0 if slider else line * (size[1] + ROW_GAP))
        beside = top + row * CELL  # grids of a kernel's size stand beside the patch
        done = np.where(np.arange(sums.size).reshape(sums.shape) <= step, sums, np.nan)
        grids = [  # name, heading, values, the values that its colours are scaled by, top
            ("picture", f"step {step + 1}: picture", picture, picture, top),
            ("kernel", "× kernel", kernel, kernel, beside),
            (
                "products",
                f"= products, sum {number_text(sums[row, column])}",
                products[row, column],
                products,
                beside,
            ),
            ("output", "→ output", done, sums, top),
        ]
        now = {"step": step + 1}
        for left, (name, heading, values, all_values, y) in zip(lefts, grids, strict=True):
            headings.append({**now, "x": left, "y": y - 17, "text": heading})
            scale = float(np.abs(all_values).max()) or 1.0
            cells += [{**now, **cell} for cell in _cells(name, values, scale, left, y)]
        for left, (high, wide) in ((lefts[0], kernel.shape), (lefts[3], (1, 1))):
            corner = {"x": left + column * CELL, "y": beside}
            outlines.append({**now, **corner, "width": wide * CELL, "height": high * CELL})
    title = (
        f"Convolution of {_size(picture)} pixels with {_size(kernel)} weights: {sums.size} steps"
    )
    subtitle = "The framed pixels times the kernel give the products; their sum is one output"
    layers = [*_filled(cells), frames(outlines, INK, 3), texts(headings, color=GREY)]
    if slider:
        chosen = alt.binding_range(min=1, max=sums.size, step=1, name="Step ")
        step_now = alt.param(name="step_now", value=1, bind=chosen)
        layers = [layer.transform_filter("datum.step == step_now") for layer in layers]
        layers[0] = layers[0].add_params(step_now)
    return canvas(layers, (size[0], top + size[1] - HEAD), title, subtitle)


def _cells(grid: str, values: np.ndarray, scale: float, left: float, top: float) -> list[Row]:
    """Return the cells of one grid, coloured by their share of `scale`; NaN is left empty."""
    cells: list[Row] = []
    for row, column in np.ndindex(*values.shape):
        value = float(values[row, column])
        known = not np.isnan(value)
        share = value / scale if known else 0.0
        color = "#3c4043" if grid == "picture" else VERMILLION if share > 0 else BLUE
        x, y = left + column * CELL, top + row * CELL
        cells.append(
            {
                "grid": grid, "row": row, "column": column,
                "value": value if known else None, "text": number_text(value) if known else "",
                "fill": _blend(color, abs(share)),
                "ink": "white" if grid == "picture" and share > 0.6 else INK,
                "x": x, "y": y, "x2": x + CELL, "y2": y + CELL,
            }
        )  # fmt: skip
    return cells


def _filled(cells: list[Row]) -> list[alt.Chart]:
    """Return the layers of cells and of the numbers in their middle."""
    base = alt.Chart(data_of(cells)).encode(**PLACE)
    rectangles = base.mark_rect(stroke=OUTLINE, strokeWidth=0.5, aria=False)
    numbers = base.mark_text(fontSize=12, aria=False, dx=CELL / 2, dy=CELL / 2)
    return [
        rectangles.encode(**TO, fill=alt.Fill("fill:N", scale=None)),
        numbers.encode(text="text:N", color=alt.Color("ink:N", scale=None)),
    ]


def _matrix(name: str, values: Any) -> np.ndarray:
    try:
        matrix = np.asarray(values, "float64")
    except (ValueError, TypeError):
        matrix = np.empty(0)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise InputError(f"convolution_steps: the {name} should be a matrix of finite numbers")
    return matrix


def _size(matrix: np.ndarray) -> str:
    return f"{matrix.shape[0]} × {matrix.shape[1]}"


def _blend(color: str, share: float) -> str:
    """Return a colour between white and, at most three quarters of the way, `color`."""
    mixed = (255 + 0.75 * share * (int(color[i : i + 2], 16) - 255) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part):02x}" for part in mixed)

"""Which classes are taken for which."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.style import INK, Chart, data_of, distinct_names, message, styled
from modelzoo.support.errors import InputError

COUNTED_CLASSES = 20  # up to so many, a cell has room for its count
CELLS_DRAWN = 10_000  # beyond that browsers become slow, and single images are left to see

Rows = list[dict[str, Any]]


def confusion_matrix(matrix: np.ndarray, class_names: Sequence[str]) -> Chart:
    """Return a confusion matrix: rows are true classes, columns are what was predicted.

    Correct cells and mistakes have a colour scale each, both by the share of the row's images.
    On one scale the diagonal would leave nothing for the mistakes, which are what one looks for.

    Args:
        matrix: counts, shape (classes, classes).
        class_names: a name a class.

    Raises:
        InputError: the matrix isn't square or the number of names differs.
    """
    matrix = np.asarray(matrix)
    size = len(class_names)
    if matrix.shape != (size, size):
        raise InputError(
            f"a confusion matrix of shape {matrix.shape} doesn't fit {size} class names: "
            f"it must be {size}x{size}"
        )
    total, correct = int(matrix.sum()), int(np.trace(matrix))
    if not total:
        return message("No image was scored.")
    names = distinct_names(class_names)
    least = _least_count(matrix)
    title = f"{correct:,} of {total:,} images read correctly ({correct / total:.2%})"
    heading: str | alt.TitleParams = title
    if least > 1:
        heading = alt.TitleParams(title, subtitle=f"only cells of {least} images or more are drawn")
    right, wrong = _rows(matrix, names, least)
    worst = max((row["share"] for row in wrong), default=0.0)
    blue = alt.Scale(domain=[0, 1], range=["#e3eef6", "#005a8d"])
    orange = alt.Scale(  # the square root lets a share of 0.1% be seen beside one of 5%
        type="sqrt", domain=[0, max(0.05, worst)], range=["#fff1e3", "#b34700"]
    )
    axes, cell = _cell_axes(names), _cell_pixels(size)
    font = max(6, min(14, cell / (0.62 * len(f"{matrix.max():,}") + 0.4)))
    if size > COUNTED_CLASSES:
        font = 0
    layers = _cells(right, axes, "Read correctly", blue, 0.6, font)
    layers += _cells(wrong, axes, "Mistaken", orange, 0.36 * orange.domain[1], font)
    view = {"fill": "#f5f6f7", "stroke": None}
    chart = alt.layer(*layers).properties(
        width=size * cell, height=size * cell, title=heading, view=view
    )
    chart = chart.resolve_scale(color="independent").resolve_legend(color="independent")
    return styled(chart, f"Confusion matrix of {size} classes: {title}.")


def _least_count(matrix: np.ndarray) -> int:
    """Return the smallest count to draw: equal counts are drawn all or not at all."""
    counts = np.sort(matrix[matrix > 0])[::-1]
    return 1 if len(counts) <= CELLS_DRAWN else int(counts[CELLS_DRAWN]) + 1


def _rows(matrix: np.ndarray, names: list[str], least: int) -> tuple[Rows, Rows]:
    """Return a row for each correct cell and each mistake that isn't 0, as most mistakes are."""
    images = matrix.sum(axis=1)
    rows: tuple[Rows, Rows] = [], []
    for true, predicted in np.argwhere(matrix >= least):
        rows[int(true != predicted)].append(
            {
                "true": names[true],
                "predicted": names[predicted],
                "count": int(matrix[true, predicted]),
                "share": round(float(matrix[true, predicted] / images[true]), 6),
                "images": int(images[true]),
            }
        )
    return rows


def _cell_pixels(size: int) -> int:
    if size <= COUNTED_CLASSES:
        return max(34, min(90, 450 // size))
    return max(1, min(20, 700 // size))


def _cell_axes(names: list[str]) -> dict[str, Any]:
    """Return x and y; names that don't fit a cell are turned, long ones end in an ellipsis."""
    cell = _cell_pixels(len(names))
    every = max(1, math.ceil(7 / cell))  # a label needs 7 pixels
    fits = max(map(len, names)) * 7 < cell
    axis: dict[str, Any] = {
        "values": names[::every],
        "labelFontSize": max(7, min(12, cell - 1)),
        "labelLimit": 130,
        "labelOverlap": False,
        "ticks": False,
        "domain": False,
        "labelPadding": 4,
    }
    band = alt.Scale(domain=names, padding=0)
    x_axis = alt.Axis(**axis, labelAngle=0 if fits else -90)
    return {
        "x": alt.X("predicted:N", title="Predicted class", sort=None, scale=band, axis=x_axis),
        "y": alt.Y("true:N", title="True class", sort=None, scale=band, axis=alt.Axis(**axis)),
    }


def _cells(
    rows: Rows, axes: dict[str, Any], label: str, scale: alt.Scale, dark: float, font: float
) -> list[alt.Chart]:
    """Return cells coloured by their share, and their counts, white on a share above `dark`.

    A `font` size of 0 stands for cells that have no room for a count.
    """
    legend = alt.Legend(title=[f"{label},", "share of true class"], format="~%", gradientLength=90)
    data = [{**row, "ink": "white" if row["share"] > dark else INK} for row in rows]
    tooltip = [
        alt.Tooltip("true:N", title="True class"),
        alt.Tooltip("predicted:N", title="Predicted class"),
        alt.Tooltip("count:Q", title="Images", format=","),
        alt.Tooltip("share:Q", title="Share of the true class", format=".2%"),
    ]
    base = alt.Chart(data_of(data)).encode(**axes, tooltip=tooltip)
    color = alt.Color("share:Q", scale=scale, legend=legend)
    if not font:  # thousands of cells would drown a screen reader; the report has a table
        return [base.mark_rect(aria=False).encode(color=color)]
    text = base.mark_text(fontSize=font, aria=False)
    return [
        base.mark_rect(aria=True, stroke="white", strokeWidth=1).encode(color=color),
        text.encode(text=alt.Text("count:Q", format=","), color=alt.Color("ink:N", scale=None)),
    ]

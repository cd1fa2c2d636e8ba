"""Which classes are taken for which, and the most confident mistakes."""

import math
from collections.abc import Sequence

import altair as alt
import numpy as np

from modelzoo.charts import style
from modelzoo.charts.canvas import TEXT, Canvas, Row, scaled
from modelzoo.charts.style import INK, Chart
from modelzoo.support.errors import InputError

COUNTED_CLASSES = 20  # up to so many, a cell has room for its count
CELLS_DRAWN = 10_000  # beyond that browsers become slow, and single images are left to see
TOOLTIP = [
    alt.Tooltip("true:N", title="True class"),
    alt.Tooltip("predicted:N", title="Predicted class"),
    alt.Tooltip("count:Q", title="Images", format=","),
    alt.Tooltip("share:Q", title="Share of the true class", format=".2%"),
]
MISTAKES_SHOWN = 24
SIDE, COLUMNS = 112, 6  # pixels of an image's longer side; images in a row
CAPTION_LETTERS = 22  # as many fit below an image
WRONG = {**TEXT, "color": "#a33f00", "fontWeight": "bold"}


def confusion_matrix(matrix: np.ndarray, class_names: Sequence[str]) -> Chart:
    """Return a matrix of counts, (classes, classes): rows are true classes, columns predicted.

    Correct cells and mistakes have a colour scale each, both by the share of the row's images:
    on one, the diagonal would leave nothing for the mistakes. Another number of names than of
    classes is an InputError.

    Examples:
        >>> counts = np.array([[9, 1], [0, 10]])
        >>> chart = modelzoo.charts.confusion_matrix(counts, ["cat", "dog"])
    """
    matrix, size = np.asarray(matrix), len(class_names)
    if matrix.shape != (size, size):
        raise InputError(f"{size} class names don't fit a confusion matrix of {matrix.shape}")
    total, correct = int(matrix.sum()), int(np.trace(matrix))
    if not total:
        return style.message("No image was scored.")
    cell = max(34, min(90, 450 // size))
    if size > COUNTED_CLASSES:
        cell = max(1, min(20, 700 // size))
    counts = np.sort(matrix[matrix > 0])[::-1]  # equal ones are drawn all or not at all
    least = 1 if len(counts) <= CELLS_DRAWN else int(counts[CELLS_DRAWN]) + 1
    names, images = style.distinct_names(class_names), matrix.sum(axis=1)
    rows = [
        {
            "true": names[true], "predicted": names[predicted],
            "count": int(matrix[true, predicted]),
            "share": round(float(matrix[true, predicted] / images[true]), 6),
        }
        for true, predicted in np.argwhere(matrix >= least)
    ]  # fmt: skip
    right = [row for row in rows if row["true"] == row["predicted"]]
    wrong = [row for row in rows if row["true"] != row["predicted"]]
    blue = alt.Scale(domain=[0, 1], range=["#e3eef6", "#005a8d"])
    worst = max([0.05, *(row["share"] for row in wrong)])
    orange = alt.Scale(  # the square root lets a share of 0.1% be seen beside one of 5%
        type="sqrt", domain=[0, worst], range=["#fff1e3", "#b34700"]
    )
    font = max(6, min(14, cell / (0.62 * len(f"{matrix.max():,}") + 0.4)))
    font = font if size <= COUNTED_CLASSES else 0
    axes = _cell_axes(names, cell)
    layers = _cells(right, axes, "Read correctly", blue, 0.6, font)
    layers += _cells(wrong, axes, "Mistaken", orange, 0.36 * worst, font)
    title = f"{correct:,} of {total:,} images read correctly ({correct / total:.2%})"
    subtitle = f"only cells of {least} images or more are drawn" if least > 1 else ""
    said = f"Confusion matrix of {size} classes: {title}."
    return style.layered(layers, (size * cell, size * cell), title, subtitle, said, fill="#f5f6f7")


def mistakes(
    images: np.ndarray,
    true: Sequence[str],
    predicted: Sequence[str],
    confidence: Sequence[float],
    *,
    total: int | None = None,
) -> Chart:
    """Return the most confident mistakes as images, at most 24.

    Args:
        images: uint8, (n, height, width, channels) with 1, 3 or 4 channels; else an InputError.
        true: the right class of each.
        predicted: the class that the network gave.
        confidence: its probability for that, from 0 to 1; NaN, in the order given, if it has none.
        total: how many mistakes there were, if `images` are a choice of them.

    Examples:
        >>> images = modelzoo.load_dataset("mnist5k").x_test[:2]
        >>> chart = modelzoo.charts.mistakes(images, ["0", "0"], ["6", "8"], [0.9, 0.7])
    """
    if not len(images):
        return style.message("No mistakes.")
    total = len(images) if total is None else total
    certain = np.nan_to_num(np.asarray(confidence, float))
    order = np.argsort(-certain, kind="stable")[:MISTAKES_SHOWN]
    captions = [_caption(predicted[index], confidence[index]) for index in order]
    columns, has_two_lines = min(COLUMNS, len(order)), any(len(lines) > 1 for lines in captions)
    high, _ = scaled(images.shape[1:], SIDE)
    step, line_height = SIDE + 28, high + (66 if has_two_lines else 52)
    canvas = Canvas()
    for place, (index, caption) in enumerate(zip(order, captions, strict=True)):
        x, y = place % columns * step, place // columns * line_height
        truth = f"true: {style.printable(str(true[index]))}"
        said = f"{truth}, {' '.join(caption)}"
        canvas.picture(images[index], SIDE, x, y, said, SIDE + 16)  # small: a report has many
        canvas.text(x, y + high + 6, style.shortened(truth, CAPTION_LETTERS))
        lines = [style.shortened(line, CAPTION_LETTERS) for line in caption]
        canvas.text(x, y + high + 22, lines, WRONG)
    chosen = f"The {len(order)} most confident of {total:,} mistakes"
    title = chosen if total > len(order) > 1 else f"Mistakes: {total:,}, the most confident first"
    return canvas.chart(columns * step, math.ceil(len(order) / columns) * line_height, title)


def _cell_axes(names: Sequence[str], cell: int) -> Row:
    """Return x and y; names that don't fit a cell are turned, long ones end in an ellipsis."""
    every = max(1, math.ceil(7 / cell))  # a label needs 7 pixels
    fits = max(map(len, names)) * 7 < cell
    axis: Row = {
        "values": names[::every],
        "labelFontSize": max(7, min(12, cell - 1)),
        "labelLimit": 130,
        "labelOverlap": False,
        "ticks": False,
        "domain": False,
        "labelPadding": 4,
    }
    turned, level = alt.Axis(**axis, labelAngle=0 if fits else -90), alt.Axis(**axis)
    band = alt.Scale(domain=names, padding=0)
    return {
        "x": alt.X("predicted:N", title="Predicted class", sort=None, scale=band, axis=turned),
        "y": alt.Y("true:N", title="True class", sort=None, scale=band, axis=level),
    }


def _cells(
    rows: Sequence[Row], axes: Row, label: str, scale: alt.Scale, dark: float, font: float
) -> list[alt.Chart]:
    """Return cells coloured by share, and counts, white above `dark`; none with a `font` of 0."""
    legend = alt.Legend(title=[f"{label},", "share of true class"], format="~%", gradientLength=90)
    data = [{**row, "ink": "white" if row["share"] > dark else INK} for row in rows]
    base = alt.Chart(style.data_of(data)).encode(**axes, tooltip=TOOLTIP)
    color = alt.Color("share:Q", scale=scale, legend=legend)
    if not font:  # thousands of cells would drown a screen reader; the report has a table
        return [base.mark_rect(aria=False).encode(color=color)]
    text = base.mark_text(fontSize=font, aria=False)
    return [
        base.mark_rect(aria=True, stroke="white", strokeWidth=1).encode(color=color),
        text.encode(text=alt.Text("count:Q", format=","), color=alt.Color("ink:N", scale=None)),
    ]


def _caption(answer: str, confidence: float) -> list[str]:
    """Return the line below an image, or two where the confidence needs one of its own."""
    caption = f"read as: {style.printable(str(answer))}"
    if np.isnan(confidence):
        return [caption]
    share = f"({confidence:.1%})"
    whole = f"{caption} {share}"
    return [whole] if len(whole) <= CAPTION_LETTERS else [caption, share]

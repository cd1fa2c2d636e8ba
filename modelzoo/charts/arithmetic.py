"""The arithmetic of networks: activations, convolution with all numbers, hand-made kernels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from PIL import Image

from modelzoo.charts import style
from modelzoo.charts.canvas import NOTE, OUTLINE, TEXT, TO, Canvas, Row, data_uri, image_of, scaled
from modelzoo.charts.style import BLUE, GREEN, GREY, INK, ORANGE, VERMILLION, Chart, Look
from modelzoo.data.filters import FILTERS, MIDDLE, Filter, Filtered
from modelzoo.networks import reference

ACTIVATIONS = {  # functions of `modelzoo.networks.reference`, beside which their `_gradient` stands
    "sigmoid": ("sigmoid: 1 / (1 + exp(−x))", Look(BLUE, (1, 0))),
    "tanh": ("tanh", Look(VERMILLION, (8, 3))),
    "scaled_tanh": ("scaled tanh: 1.7159 tanh(2x / 3)", Look(GREEN, (8, 3, 2, 3))),
    "relu": ("ReLU: max(0, x)", Look(ORANGE, (3, 3))),
}
INPUTS = np.arange(-80, 81) / 20  # x from -4 to 4, exactly 0 in the middle
CELL, GAP, HEAD, ROW_GAP = 30, 44, 22, 26  # pixels: a cell, between two grids, heading, two steps
DIGIT = (  # a 7 of 6 x 6 pixels
    (0, 1, 1, 1, 1, 0),
    (0, 0, 0, 0, 1, 0),
    (0, 0, 0, 1, 0, 0),
    (0, 0, 1, 0, 0, 0),
    (0, 1, 0, 0, 0, 0),
    (0, 1, 0, 0, 0, 0),
)
RISING = FILTERS["line_rising"].rows
PHOTO, PHOTO_GAP, COLUMNS, LINE = 210, 22, 4, 13  # pixels: longer side, between two; a row's height
NUMBER, SMALL_NOTE = {**TEXT, "align": "right", "fontSize": 10}, {**NOTE, "fontSize": 10}


def activations(names: Sequence[str] = tuple(ACTIVATIONS)) -> Chart:
    """Return the curves of activation functions and of their derivatives, from -4 to 4.

    `names` are of "sigmoid", "tanh", "scaled_tanh" and "relu", whose derivative has a gap at 0.

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), equation 6, for the scaled tanh; Krizhevsky,
        Sutskever, Hinton (2012), section 3.1, for ReLU.

    Examples:
        >>> chart = modelzoo.charts.activations(["tanh", "relu"])
    """
    values = {name: getattr(reference, name)(INPUTS) for name in names}
    ones = np.ones_like(INPUTS)
    slopes = {name: getattr(reference, f"{name}_gradient")(INPUTS, ones) for name in names}
    if "relu" in slopes:
        slopes["relu"] = np.where(INPUTS == 0, np.nan, slopes["relu"])
    panels = [
        _panel(values, "Value", "f(x)", [-2, 4], "d"),
        _panel(slopes, "Derivative", "f′(x)", [0, 1.2], ".1f"),  # 1.1439, of the scaled tanh
    ]
    return style.side_by_side(panels, f"Activation functions: {', '.join(names)}.")


def convolution_steps(
    picture: Any = DIGIT, kernel: Any = RISING, *, steps: int = 4, slider: bool = False
) -> Chart:
    """Return convolution step by step: the patch, the kernel, their products, the growing output.

    The kernel is laid on the image without turning it, as networks do, and moves by one pixel.

    Args:
        picture: a matrix of numbers; more than 12 rows or columns are hard to read.
        kernel: a matrix of numbers, no larger than the image.
        steps: how many of the steps are drawn below each other: the first ones and the last.
        slider: draw one step, chosen with a slider on a page; elsewhere it is the first step.

    Examples:
        >>> picture, edge = np.eye(6), [[-1, 1], [-1, 1]]
        >>> chart = modelzoo.charts.convolution_steps(picture, edge, steps=2)
    """
    picture, kernel = np.asarray(picture, "float64"), np.asarray(kernel, "float64")
    products = np.lib.stride_tricks.sliding_window_view(picture, kernel.shape) * kernel
    sums = products.sum(axis=(2, 3))
    shown = range(sums.size) if slider else [*range(min(steps, sums.size) - 1), sums.size - 1]
    columns = [side.shape[1] for side in (picture, kernel, kernel, sums)]
    lefts = [sum(columns[:place]) * CELL + place * GAP for place in range(4)]
    high, canvas, top = picture.shape[0] * CELL, Canvas(), 0
    for line, step in enumerate(shown):
        row, column = divmod(step, sums.shape[1])
        top = HEAD + (0 if slider else line * (HEAD + high + ROW_GAP))
        beside = top + row * CELL  # grids of a kernel's size stand beside the patch
        done = np.where(np.arange(sums.size).reshape(sums.shape) <= step, sums, np.nan)
        product = f"= products, sum {style.number_text(sums[row, column])}"
        grids = [  # name, heading, values, the values that its colours are scaled by, top
            ("picture", f"step {step + 1}: image", picture, picture, top),
            ("kernel", "× kernel", kernel, kernel, beside),
            ("products", product, products[row, column], products, beside),
            ("output", "→ output", done, sums, top),
        ]
        for left, (name, heading, values, all_values, y) in zip(lefts, grids, strict=True):
            scale = float(np.abs(all_values).max()) or 1.0
            _draw_grid(canvas, name, values, scale, left, y, step + 1)
            canvas.text(left, y - 17, heading, NOTE, step=step + 1)
        for left, (tall, wide) in ((lefts[0], kernel.shape), (lefts[3], (1, 1))):
            size = tall * CELL, wide * CELL
            canvas.frame(left + column * CELL, beside, size, INK, 3, step=step + 1)
    sizes = "{} × {} pixels with {} × {} weights".format(*picture.shape, *kernel.shape)
    title = f"Convolution of {sizes}: {sums.size} steps"
    subtitle = "The framed pixels times the kernel give the products; their sum is one output"
    chart = canvas.chart(lefts[-1] + columns[-1] * CELL, top + high, title, subtitle)
    if slider:
        chosen = alt.binding_range(min=1, max=sums.size, step=1, name="Step ")
        chart.layer = [each.transform_filter("datum.step == step_now") for each in chart.layer]
        chart = chart.add_params(alt.param(name="step_now", value=1, bind=chosen))
    return chart


def filtered_pictures(photographs: Sequence[Filtered], title: str) -> Chart:
    """Return what `modelzoo.filters` made of one photograph, with the kernels.

    `title` is such as the name of its file.

    Examples:
        >>> digit = modelzoo.load_dataset("mnist5k").x_test[0]
        >>> filtered = modelzoo.filters(digit, ["edges", "emboss"])
        >>> chart = modelzoo.charts.filtered_pictures(filtered, "a digit")
    """
    size = high, wide = scaled(photographs[0].pixels.shape, PHOTO)
    step, columns = max(wide, 170) + PHOTO_GAP, min(COLUMNS, len(photographs))
    canvas, y, deepest = Canvas(), 0.0, 0
    for number, each in enumerate(photographs):
        kind, column = FILTERS[each.name], number % columns
        if number and not column:
            y, deepest = y + 40 + high + LINE * deepest + PHOTO_GAP, 0
        about = kind.about + (f"; 0 is grey {MIDDLE}" if kind.is_signed else "")
        image = image_of(each.pixels)
        image.thumbnail((2 * PHOTO, 2 * PHOTO), Image.Resampling.LANCZOS)
        address = data_uri(image, "JPEG", quality=88)  # a PNG would be ten times as large
        canvas.image(address, size, column * step, y + 34, f"{each.name}: {about}")
        canvas.text(column * step, y, each.name, {**TEXT, "fontWeight": "bold"})
        canvas.text(column * step, y + 15, about, SMALL_NOTE)
        _write_weights(canvas, kind, column * step, y + 40 + high)
        deepest = max(deepest, len(kind.rows))
    subtitle = [
        "Each channel by itself, reflected at the borders; results are cut off at 0 and 255.",
        f"Where the weights sum to 0, half of the result is added to grey {MIDDLE}.",
    ]
    bottom = y + 40 + high + LINE * deepest
    heading = f"Hand-made kernels on {style.printable(title)}"
    return canvas.chart(columns * step - PHOTO_GAP, bottom, heading, subtitle)


def _panel(
    functions: Mapping[str, np.ndarray], title: str, y_title: str, domain: list[float], form: str
) -> Chart:
    """Return curves over INPUTS with the axes through 0."""
    looks = dict(ACTIVATIONS[name] for name in functions)
    rows = [
        {"function": label, "x": x, "value": None if math.isnan(value) else value}
        for label, values in zip(looks, functions.values(), strict=True)
        for x, value in zip(INPUTS.tolist(), values.tolist(), strict=True)
    ]
    legend = alt.Legend(title=None, orient="bottom", columns=2, symbolSize=400, labelLimit=260)
    x = alt.X("x:Q", title="Input x").scale(domain=[-4, 4], nice=False).axis(format="d")
    y = alt.Y("value:Q", title=y_title).scale(domain=domain, nice=False).axis(format=form)
    told = style.told_apart("function", looks, legend, "color", "strokeDash")
    tooltip = [
        alt.Tooltip("function:N", title="Function"),
        alt.Tooltip("x:Q", title="Input x", format=".2f"),
        alt.Tooltip("value:Q", title=y_title, format=".4f"),
    ]
    lines = alt.Chart(style.data_of(rows)).mark_line(strokeWidth=2.5, clip=True)
    lines = lines.encode(x=x, y=y, **told, tooltip=tooltip)
    zero = alt.Chart(style.data_of([{}])).mark_rule(color=GREY, aria=False)
    axes = [zero.encode(x=alt.datum(0)), zero.encode(y=alt.datum(0))]
    return alt.layer(*axes, lines).properties(width=330, height=300, title=title)


def _draw_grid(
    canvas: Canvas, grid: str, values: np.ndarray, scale: float, left: float, top: float, step: int
) -> None:
    """Draw cells, coloured by their share of `scale`, with their numbers; NaN is left empty."""
    cells: list[Row] = []
    for row, column in np.ndindex(*values.shape):
        value = float(values[row, column])
        known = not np.isnan(value)
        share = value / scale if known else 0.0
        color = "#3c4043" if grid == "picture" else VERMILLION if share > 0 else BLUE
        x, y = left + column * CELL, top + row * CELL
        cells.append(
            {
                "step": step, "grid": grid, "row": row, "column": column,
                "value": value if known else None,
                "text": style.number_text(value) if known else "",
                "fill": _blend(color, abs(share)),
                "ink": "white" if grid == "picture" and share > 0.6 else INK,
                "x": x, "y": y, "x2": x + CELL, "y2": y + CELL,
            }
        )  # fmt: skip
    fill = {**TO, "fill": alt.Fill("fill:N", scale=None)}
    number = {"text": "text:N", "color": alt.Color("ink:N", scale=None)}
    canvas.draw("rect", cells, fill, stroke=OUTLINE, strokeWidth=0.5, aria=False)
    canvas.draw("text", cells, number, fontSize=12, dx=CELL / 2, dy=CELL / 2, aria=False)


def _blend(color: str, share: float) -> str:
    """Return a colour between white and, at most three quarters of the way, `color`."""
    mixed = (255 + 0.75 * share * (int(color[i : i + 2], 16) - 255) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def _write_weights(canvas: Canvas, kind: Filter, left: float, top: float) -> None:
    """Write the weights of a kernel, and what they are divided by, as text that ends at its x."""
    width = 8 + 6 * max(len(f"{weight}") for row in kind.rows for weight in row)
    for row, weights in enumerate(kind.rows):
        for column, weight in enumerate(weights, 1):
            x, y = left + column * width - 6, top + row * LINE
            canvas.text(x, y, style.number_text(weight), NUMBER)
    if kind.divisor != 1:
        x = left + len(kind.rows[0]) * width + 38
        canvas.text(x, top + len(kind.rows) // 2 * LINE, f"/ {kind.divisor}", NUMBER)

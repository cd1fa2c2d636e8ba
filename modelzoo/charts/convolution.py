"""Convolution, one step after the other, with all numbers."""

from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.canvas import PLACE, TO, canvas, frames, texts
from modelzoo.charts.style import BLUE, GREY, INK, VERMILLION, Chart, data_of, number_text
from modelzoo.errors import InputError

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
    places = list(np.ndindex(*(np.subtract(picture.shape, kernel.shape) + 1)))
    count = len(places)
    shown = list(range(count)) if slider else [*range(min(steps, count) - 1), count - 1]
    drawn = _Drawing(picture, kernel)
    for row, step in enumerate(shown):
        drawn.add(step, places, 0 if slider else row * (drawn.height + ROW_GAP))
    height = drawn.height if slider else len(shown) * (drawn.height + ROW_GAP) - ROW_GAP
    title = f"Convolution of {_size(picture)} pixels with {_size(kernel)} weights: {count} steps"
    subtitle = "The framed pixels times the kernel give the products; their sum is one output"
    layers = drawn.layers()
    if slider:
        chosen = alt.binding_range(min=1, max=count, step=1, name="Step ")
        step_now = alt.param(name="step_now", value=1, bind=chosen)
        layers = [layer.transform_filter("datum.step == step_now") for layer in layers]
        layers[0] = layers[0].add_params(step_now)
    return canvas(layers, (drawn.width, height), title, subtitle)


class _Drawing:
    """Cells, outlines and headings of the steps that were added."""

    def __init__(self, picture: np.ndarray, kernel: np.ndarray) -> None:
        self.picture, self.kernel = picture, kernel
        patches = np.lib.stride_tricks.sliding_window_view(picture, kernel.shape)
        self.products = patches * kernel
        self.sums = self.products.sum(axis=(2, 3))
        self.cells: list[dict[str, Any]] = []
        self.outlines: list[dict[str, Any]] = []
        self.headings: list[dict[str, Any]] = []
        sides = [picture.shape, kernel.shape, kernel.shape, self.sums.shape]
        self.lefts = [sum(side[1] for side in sides[:i]) * CELL + i * GAP for i in range(4)]
        self.width = self.lefts[-1] + self.sums.shape[1] * CELL
        self.height = HEAD + picture.shape[0] * CELL

    def add(self, step: int, places: list[tuple[int, ...]], top: float) -> None:
        """Add a step, whose grids begin at `top`."""
        row, column = places[step]
        products, total = self.products[row, column], self.sums[row, column]
        output = np.full(self.sums.shape, np.nan)
        for done in places[: step + 1]:
            output[done] = self.sums[done]
        terms = [
            (f"step {step + 1}: picture", self.picture),
            ("× kernel", self.kernel),
            (f"= products, sum {_text(total)}", products),
            ("→ output", output),
        ]
        largest = {1: self.kernel, 2: self.products, 3: self.sums}
        for index, (heading, values) in enumerate(terms):
            # grids of a kernel's size stand beside the patch
            down = top + HEAD + (row * CELL if index in (1, 2) else 0)
            left = self.lefts[index]
            self.headings.append({"step": step + 1, "x": left, "y": down - 17, "text": heading})
            scale = float(np.abs(largest.get(index, self.picture)).max()) or 1.0
            for place in np.ndindex(*values.shape):
                self._cell(step, index, place, float(values[place]), (left, down), scale)
        height, width = self.kernel.shape
        self._outline(step, self.lefts[0], top + HEAD, (row, column), (height, width))
        self._outline(step, self.lefts[3], top + HEAD, (row, column), (1, 1))

    def _cell(
        self, step: int, index: int, place: tuple[int, ...], value: float,
        corner: tuple[float, float], scale: float,
    ) -> None:  # fmt: skip
        share = 0.0 if np.isnan(value) else value / scale
        fill = _blend("#3c4043" if index == 0 else VERMILLION if share > 0 else BLUE, abs(share))
        x, y = corner[0] + place[1] * CELL, corner[1] + place[0] * CELL
        self.cells.append(
            {
                "step": step + 1, "grid": ("picture", "kernel", "products", "output")[index],
                "row": place[0], "column": place[1],
                "value": None if np.isnan(value) else value, "text": _text(value),
                "fill": fill, "ink": "white" if index == 0 and share > 0.6 else INK,
                "x": x, "y": y, "x2": x + CELL, "y2": y + CELL,
                "cx": x + CELL / 2, "cy": y + CELL / 2,
            }
        )  # fmt: skip

    def _outline(
        self, step: int, left: float, top: float, place: tuple[int, int], size: tuple[int, int]
    ) -> None:
        x, y = left + place[1] * CELL, top + place[0] * CELL
        corner = {"x": x, "y": y, "x2": x + size[1] * CELL, "y2": y + size[0] * CELL}
        self.outlines.append({"step": step + 1, **corner})

    def layers(self) -> list[alt.Chart]:
        """Return the layers of the figure, the lowest first."""
        base = alt.Chart(data_of(self.cells))
        fills = base.mark_rect(stroke="#b5babf", strokeWidth=0.5, aria=False).encode(
            **PLACE, **TO, fill=alt.Fill("fill:N", scale=None)
        )
        centre = {
            "x": alt.X("cx:Q", scale=None, axis=None), "y": alt.Y("cy:Q", scale=None, axis=None)
        }  # fmt: skip
        numbers = base.mark_text(fontSize=12, aria=False).encode(
            **centre, text="text:N", color=alt.Color("ink:N", scale=None)
        )
        return [fills, numbers, frames(self.outlines, INK, 3), texts(self.headings, color=GREY)]


def _matrix(name: str, values: Any) -> np.ndarray:
    try:
        matrix = np.asarray(values, "float64")
    except (ValueError, TypeError):
        matrix = np.empty(0)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise InputError(f"convolution_steps: the {name} should be a matrix of finite numbers")
    return matrix


def _text(value: float) -> str:
    return "" if np.isnan(value) else number_text(value)


def _size(matrix: np.ndarray) -> str:
    return f"{matrix.shape[0]} × {matrix.shape[1]}"


def _blend(color: str, share: float) -> str:
    """Return a colour between white and, at most three quarters of the way, `color`."""
    mixed = (255 + 0.75 * share * (int(color[i : i + 2], 16) - 255) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part):02x}" for part in mixed)

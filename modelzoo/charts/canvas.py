"""Pictures, cells, lines and text at places given in pixels: for figures that have no axes.

Every row has `x` and `y`, its upper left corner, in pixels from that of the figure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from modelzoo.charts.style import GREY, INK, Chart, data_of, styled

Rows = Sequence[Mapping[str, Any]]
PLACE = {
    "x": alt.X("x:Q", scale=None, axis=None),
    "y": alt.Y("y:Q", scale=None, axis=None),
}
TO = {"x2": alt.X2("x2:Q"), "y2": alt.Y2("y2:Q")}


def canvas(
    layers: Sequence[alt.Chart],
    size: tuple[float, float],
    title: str,
    subtitle: str | Sequence[str] = "",
    description: str = "",
) -> Chart:
    """Return a figure of `size` (width, height) in pixels; later layers lie on earlier ones."""
    heading = alt.TitleParams(title, subtitle=subtitle or alt.Undefined)
    figure = alt.layer(*layers).properties(
        width=size[0], height=size[1], title=heading, view={"stroke": None}
    )
    figure = figure.resolve_scale(color="independent").resolve_legend(color="independent")
    return styled(figure, description or title)


def pictures(rows: Rows) -> list[alt.Chart]:
    """Draw `picture`, the address of a picture, `width` x `height`; `alternative` describes it."""
    sizes = {(row["width"], row["height"]): None for row in rows}
    layers = []
    for width, height in sizes:  # a size is a property of the mark: it cannot be encoded
        chosen = [row for row in rows if (row["width"], row["height"]) == (width, height)]
        mark = alt.Chart(data_of(chosen)).mark_image(
            width=width, height=height, align="left", baseline="top", smooth=False, aspect=False
        )
        tooltip = alt.Tooltip("alternative:N", title="")
        layers.append(
            mark.encode(**PLACE, url="picture:N", description="alternative:N", tooltip=tooltip)
        )
    return layers


def texts(rows: Rows, **mark: Any) -> alt.Chart:
    """Write `text`, a string or a list of lines; `mark` are properties of Vega-Lite's text mark."""
    options: dict[str, Any] = {
        "align": "left",
        "baseline": "top",
        "fontSize": 11,
        "color": INK,
        "lineHeight": 14,
    }
    chart = alt.Chart(data_of(rows)).mark_text(aria=False, **(options | mark))
    return chart.encode(**PLACE, text="text:N")


def frames(rows: Rows, color: str = GREY, width: float = 1) -> alt.Chart:
    """Draw the outline of the rectangles that end at `x2`, `y2`."""
    mark = alt.Chart(data_of(rows)).mark_rect(
        filled=False, stroke=color, strokeWidth=width, aria=False
    )
    return mark.encode(**PLACE, **TO)


def cells(
    rows: Rows, scale: alt.Scale, legend: alt.Legend | None, tooltip: Sequence[alt.Tooltip] = ()
) -> alt.Chart:
    """Fill the rectangles that end at `x2`, `y2` with the colour of their `value`."""
    mark = alt.Chart(data_of(rows)).mark_rect(aria=False)
    color = alt.Color("value:Q", scale=scale, legend=legend)
    return mark.encode(**PLACE, **TO, color=color, tooltip=list(tooltip) or alt.Undefined)

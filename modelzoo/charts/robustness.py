"""Accuracy against the strength of a change, a line a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from modelzoo.charts.style import GREY, Chart, data_of, distinct_names, styled
from modelzoo.errors import InputError

# Okabe and Ito's colours; lines differ in dash and point as well.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 1]]
SHAPES = ["circle", "diamond", "square", "triangle-up", "cross", "triangle-down"]
MOST_SERIES = len(COLORS)


def corruption_curves(
    rows: Sequence[Mapping[str, Any]], axis_titles: Mapping[str, str], title: str
) -> Chart:
    """Return a panel a kind of change, and in each a line a network.

    Args:
        rows: with `model`, `kind`, `strength` from 0, and `accuracy`, 0 to 1.
        axis_titles: of the strength, with its unit, by kind; the panels come in their order.
        title: of the whole chart.

    Raises:
        InputError: more networks than can be told apart.
    """
    names = list(dict.fromkeys(str(row["model"]) for row in rows))
    kinds = [kind for kind in axis_titles if any(row["kind"] == kind for row in rows)]
    alone = len(kinds) == 1
    panels = [
        accuracy_lines(
            [{**row, "series": str(row["model"])} for row in rows if row["kind"] == kind],
            names,
            axis_titles[kind],
        ).properties(width=520 if alone else 300, height=320 if alone else 210)
        for kind in kinds
    ]
    described = f"{title}, for {', '.join(distinct_names(names))}."
    if alone:
        return styled(panels[0].properties(title=title), described)
    chart = alt.concat(*panels, columns=2, spacing={"row": 24, "column": 30}, title=title)
    return styled(chart.resolve_scale(color="shared", shape="shared"), described)


def accuracy_lines(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    axis_title: str,
    *,
    chance: float | None = None,
) -> Chart:
    """Return a panel of accuracy from 0 to 100% against strength, not yet styled.

    Args:
        rows: with `series`, `strength` and `accuracy`.
        names: all series, in the order of the legend.
        axis_title: of the strength, with its unit.
        chance: accuracy of guessing, drawn as a line if given.

    Raises:
        InputError: more series than can be told apart.
    """
    if len(names) > MOST_SERIES:
        raise InputError(
            f"{len(names)} lines in one chart cannot be told apart: at most {MOST_SERIES}"
        )
    count, shown = len(names), dict(zip(names, distinct_names(names), strict=True))
    domain = list(shown.values())
    data = data_of([{**row, "series": shown[row["series"]]} for row in rows])
    strengths = sorted({float(row["strength"]) for row in rows})
    whole = all(strength.is_integer() for strength in strengths)
    legend = alt.Legend(
        title=None, orient="top", symbolSize=90, labelLimit=300, columns=3, symbolStrokeWidth=2
    )
    ticks = {"values": strengths, "format": "d"} if whole else {"tickCount": 7}
    base = alt.Chart(data).encode(
        x=alt.X("strength:Q", title=axis_title).axis(grid=False, labelOverlap=True, **ticks),
        y=alt.Y("accuracy:Q", title="Accuracy").scale(domain=[0, 1]).axis(format="%", tickCount=6),
        color=alt.Color("series:N", legend=legend).scale(domain=domain, range=COLORS[:count]),
        tooltip=[
            alt.Tooltip("series:N", title="Line"),
            alt.Tooltip("strength:Q", title=axis_title),
            alt.Tooltip("accuracy:Q", title="Accuracy", format=".2%"),
        ],
    )
    shape = alt.Shape("series:N", legend=legend).scale(domain=domain, range=SHAPES[:count])
    lines = [  # one by one: in a legend, dashes would break up the points' outlines
        base.transform_filter(alt.datum.series == name).mark_line(strokeWidth=2, strokeDash=dash)
        for name, dash in zip(domain, DASHES, strict=False)
    ]
    points = base.mark_point(size=55, filled=True, opacity=1).encode(shape=shape)
    return alt.layer(*_guessing(chance), *lines, points)


def _guessing(chance: float | None) -> list[alt.Chart]:
    """Return a line at the accuracy of guessing, with its name at the left end, below all lines."""
    if chance is None:
        return []
    base = alt.Chart(data_of([{"accuracy": chance, "text": f"guessing: {100 * chance:.3g}%"}]))
    rule = base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(y="accuracy:Q")
    text = base.mark_text(color=GREY, align="left", baseline="bottom", dx=5, dy=-3, aria=False)
    return [rule, text.encode(y="accuracy:Q", x=alt.value(0), text="text:N")]

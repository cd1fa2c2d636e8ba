"""Loss and accuracy of several runs, one against the other."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from modelzoo.charts.curves import curve_axes, curve_rows, epochs_of, level
from modelzoo.charts.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Chart,
    data_of,
    distinct_names,
    message,
    styled,
)
from modelzoo.errors import InputError

LOOKS = {  # colour and point shape; more cannot be told apart
    BLUE: "circle", VERMILLION: "diamond", GREEN: "square", ORANGE: "triangle-up",
    PURPLE: "cross", SKY: "triangle-down", INK: "triangle-right",
}  # fmt: skip
POINTS_SHOWN = 10  # of each curve; all epochs have a tooltip
DASHES = {"validation": [1, 0], "training": [3, 3]}
MOST_RUNS = len(LOOKS)


def compare_runs(histories: Mapping[str, pd.DataFrame]) -> Chart:
    """Return the curves of two to seven runs, loss and accuracy side by side.

    A colour and a point shape stand for a run; validation is a solid line, training a dotted one.

    Args:
        histories: by the name of the run, what `training_curves` takes.

    Raises:
        InputError: fewer than two or more than seven runs, or a history has no column `epoch`.
    """
    if not 2 <= len(histories) <= MOST_RUNS:
        raise InputError(
            f"{len(histories)} runs: from 2 to {MOST_RUNS} can be told apart in one chart"
        )
    names = distinct_names(histories)
    panels = []
    for metric in ("loss", "accuracy"):
        rows = [
            {**row, "run": name}
            for name, history in zip(names, histories.values(), strict=True)
            for row in curve_rows(epochs_of(history), metric, POINTS_SHOWN)
        ]
        if rows:
            panels.append(_panel(metric, rows, names))
    if not panels:
        return message("No epoch was recorded.")
    chart = alt.hconcat(*panels, spacing=36).resolve_scale(
        color="shared", shape="shared", strokeDash="shared"
    )
    return styled(chart, f"Training curves of {len(names)} runs: {', '.join(names)}.")


def _panel(metric: str, rows: list[dict[str, Any]], names: list[str]) -> Chart:
    value_format = ".2%" if metric == "accuracy" else ".4g"
    present = [series for series in DASHES if any(row["series"] == series for row in rows)]
    run_legend = alt.Legend(
        title="Run", orient="bottom", columns=1, symbolSize=90, labelLimit=640, offset=14
    )
    dash_legend = alt.Legend(title="Images", orient="bottom", columns=1, symbolSize=400, offset=14)
    base = alt.Chart(data_of(rows)).encode(
        **curve_axes(rows, metric),
        color=alt.Color("run:N", legend=run_legend).scale(domain=names, range=list(LOOKS)),
    )
    lines = base.mark_line(strokeWidth=2).encode(
        strokeDash=alt.StrokeDash("series:N", legend=dash_legend).scale(
            domain=present, range=[DASHES[series] for series in present]
        )
    )
    points = base.mark_point(size=45, filled=True).encode(
        shape=alt.Shape("run:N", legend=run_legend).scale(domain=names, range=list(LOOKS.values())),
        opacity=alt.condition("datum.marked", alt.value(1), alt.value(0)),
        tooltip=[
            alt.Tooltip("run:N", title="Run"),
            alt.Tooltip("series:N", title="Images"),
            alt.Tooltip("epoch:Q", title="Epoch"),
            alt.Tooltip("value:Q", title=metric.capitalize(), format=value_format),
        ],
    )
    title = alt.TitleParams(metric.capitalize(), frame="group")
    return alt.layer(lines, points, level()).properties(width=380, height=280, title=title)

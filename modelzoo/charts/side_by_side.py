"""Runs side by side: a panel each, in the same axes."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from modelzoo.charts.curves import SERIES, curve_axes, curve_rows, epochs_of
from modelzoo.charts.style import Chart, data_of, distinct_names, styled

COLUMNS_OF_PANELS = 3
Rows = list[dict[str, Any]]


def curves_side_by_side(histories: Mapping[str, pd.DataFrame], title: str) -> Chart:
    """Return training and validation accuracy by epoch, a panel for each run.

    Args:
        histories: by the name of a run, a row an epoch with `epoch` (from 1), `accuracy` and
            `val_accuracy`, shares from 0 to 1.
        title: of the whole.
    """
    names = distinct_names(histories)
    curves = [curve_rows(epochs_of(history), "accuracy") for history in histories.values()]
    axes = curve_axes([row for rows in curves for row in rows], "accuracy")
    panels = [_panel(rows, axes, name) for rows, name in zip(curves, names, strict=True)]
    chart = alt.concat(*panels, columns=COLUMNS_OF_PANELS, spacing=24).resolve_scale(color="shared")
    chart = chart.properties(title=title)
    return styled(chart, f"{title}: training and validation accuracy of {', '.join(names)}.")


def _panel(rows: Rows, axes: dict[str, Any], name: str) -> Chart:
    legend = alt.Legend(title=None, orient="top", symbolSize=400)
    names, looks = list(SERIES), list(SERIES.values())
    colors = alt.Scale(domain=names, range=[color for _, color, _, _ in looks])
    dashes = alt.Scale(domain=names, range=[dash for _, _, dash, _ in looks])
    lines = alt.Chart(data_of(rows)).mark_line(strokeWidth=2)
    encoded = lines.encode(
        x=axes["x"],
        y=axes["y"].title("Accuracy"),
        color=alt.Color("series:N", scale=colors, legend=legend),
        strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=legend),
        tooltip=["series:N", "epoch:Q", alt.Tooltip("value:Q", title="Accuracy", format=".2%")],
    )
    subtitle = _gap(rows)
    title = alt.TitleParams(name, subtitle=subtitle, fontSize=13)
    return encoded.properties(width=210, height=150, title=title)


def _gap(rows: Rows) -> str:
    """Say how far the curves are apart at the end."""
    last = {row["series"]: row["value"] for row in rows}  # the later rows win
    if len(last) < 2:
        return ""
    points = 100 * (last["training"] - last["validation"])
    return f"last epoch: {last['validation']:.1%} validated, {points:+.1f} points in training"

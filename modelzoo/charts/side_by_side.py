"""Runs side by side: a panel each, in the same axes."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from modelzoo.charts.curves import SERIES
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
    rows = [
        {"run": name, "epoch": int(record["epoch"]), "series": series, "value": record[column]}
        for name, history in zip(names, histories.values(), strict=True)
        for record in history.to_dict("records")
        for series, column in (("training", "accuracy"), ("validation", "val_accuracy"))
        if column in record and record[column] == record[column]
    ]
    panels = [_panel([row for row in rows if row["run"] == name], rows, name) for name in names]
    chart = alt.concat(*panels, columns=COLUMNS_OF_PANELS, spacing=24).resolve_scale(color="shared")
    chart = chart.properties(title=title)
    return styled(chart, f"{title}: training and validation accuracy of {', '.join(names)}.")


def _panel(rows: Rows, everything: Rows, name: str) -> Chart:
    values = [row["value"] for row in everything]
    epochs = [row["epoch"] for row in everything]
    legend = alt.Legend(title=None, orient="top", symbolSize=400)
    names, looks = list(SERIES), list(SERIES.values())
    colors = alt.Scale(domain=names, range=[color for _, color, _, _ in looks])
    dashes = alt.Scale(domain=names, range=[dash for _, _, dash, _ in looks])
    lines = alt.Chart(data_of(rows)).mark_line(strokeWidth=2)
    encoded = lines.encode(
        x=alt.X("epoch:Q", title="Epoch")
        .scale(domain=[1, max(*epochs, 2)], nice=False, padding=6)
        .axis(format="d", tickMinStep=1, tickCount=6, grid=False),
        y=alt.Y("value:Q", title="Accuracy")
        .scale(domain=[min(values), max(values)], nice=True, zero=False)
        .axis(format="%", tickCount=5),
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

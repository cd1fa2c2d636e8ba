"""Loss and accuracy by epoch."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from modelzoo.charts.style import BLUE, GREY, INK, VERMILLION, Chart, data_of, message, styled
from modelzoo.errors import InputError

SERIES = {  # column prefix, colour, dash, point shape
    "training": ("", BLUE, [1, 0], "circle"),
    "validation": ("val_", VERMILLION, [6, 3], "diamond"),
}
POINTS_SHOWN = 30  # more would hide the line; the others are there for their tooltips
MOST_EPOCHS = 2**31 - 1  # as `fit.epochs`


def training_curves(history: pd.DataFrame) -> Chart:
    """Return loss and accuracy by epoch, side by side, the best validation epoch marked.

    Args:
        history: a row an epoch with `epoch` (from 1) and any of `loss`, `accuracy`, `val_loss`,
            `val_accuracy`, `learning_rate`, `seconds`; accuracies are shares from 0 to 1.
            The best epoch is the one with the highest `val_accuracy`, or else the lowest
            `val_loss`; the first of equals, as Keras's ModelCheckpoint keeps it.

    Raises:
        InputError: the history has no column `epoch`.
    """
    history = epochs_of(history)
    rows = {metric: curve_rows(history, metric) for metric in ("loss", "accuracy")}
    present = [
        name for name in SERIES if any(r["series"] == name for m in rows.values() for r in m)
    ]
    if not present:
        return message("No epoch was recorded.")
    best = _best_epoch(history)
    panels = [_panel(metric, rows[metric], present, best) for metric in rows if rows[metric]]
    chart = alt.hconcat(*panels, spacing=36).resolve_scale(color="shared", shape="shared")
    described = f"Training curves over {len(history)} epochs."
    return styled(chart, described + (f" Best validation epoch: {best}." if best else ""))


def epochs_of(history: pd.DataFrame) -> pd.DataFrame:
    """Return a history's rows as finite numbers, NaN for the others, without those of no epoch.

    Raises:
        InputError: the history has no column `epoch`.
    """
    if "epoch" not in history:
        raise InputError(f"a history needs the column 'epoch', but has {list(history.columns)}")
    numbers = history.map(_finite)
    return numbers[numbers["epoch"].between(1, MOST_EPOCHS)]


def _finite(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def curve_rows(
    history: pd.DataFrame, metric: str, points: int = POINTS_SHOWN
) -> list[dict[str, Any]]:
    """Return a row for each finite value of one metric, in training and in validation."""
    rows = []
    every = math.ceil(len(history) / points)
    for name, (prefix, *_) in SERIES.items():
        for place, record in enumerate(history.to_dict("records")):
            value = record.get(prefix + metric, math.nan)
            if math.isfinite(value):
                row = {"epoch": int(record["epoch"]), "series": name, "value": float(value)}
                row["marked"] = place % every == 0
                for extra in ("learning_rate", "seconds"):
                    if math.isfinite(record.get(extra, math.nan)):
                        row[extra] = float(record[extra])
                rows.append(row)
    return rows


def _best_epoch(history: pd.DataFrame) -> int | None:
    for column, sign in (("val_accuracy", -1), ("val_loss", 1)):
        if column in history and history[column].notna().any():
            place = int(np.nanargmin(sign * history[column].to_numpy(float)))
            return int(history["epoch"].iloc[place])
    return None


def _panel(metric: str, rows: list[dict[str, Any]], present: list[str], best: int | None) -> Chart:
    value_format = ".2%" if metric == "accuracy" else ".4g"
    axes = curve_axes(rows, metric)
    legend = alt.Legend(title=None, orient="top", symbolSize=90)
    colors = [SERIES[name][1] for name in present]
    shapes = [SERIES[name][3] for name in present]
    base = alt.Chart(data_of(rows)).encode(
        **axes,
        color=alt.Color("series:N", legend=legend).scale(domain=present, range=colors),
    )
    lines = [
        base.transform_filter(alt.datum.series == name).mark_line(
            strokeWidth=2, strokeDash=SERIES[name][2]
        )
        for name in present
    ]
    points = base.mark_point(size=45, filled=True).encode(
        shape=alt.Shape("series:N", legend=legend).scale(domain=present, range=shapes),
        opacity=alt.condition("datum.marked", alt.value(1), alt.value(0)),
        tooltip=_tooltip(rows, metric, value_format),
    )
    marked, subtitle = _best_marks(rows, best, value_format, axes)
    title = alt.TitleParams(metric.capitalize(), subtitle=subtitle, frame="group")
    return alt.layer(*marked, *lines, points, level()).properties(
        width=350, height=260, title=title
    )


def level() -> alt.Chart:
    """Return an unseen line above a panel: titles stand above whatever sticks out of theirs."""
    return alt.Chart(data_of([{}])).mark_rule(opacity=0, aria=False).encode(y=alt.value(-8))


def curve_axes(rows: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Return x and y for the rows of one metric."""
    low, high = _value_domain([row["value"] for row in rows], metric)
    first, last = min(row["epoch"] for row in rows), max(row["epoch"] for row in rows)
    edges = [first - 0.5, last + 0.5] if first == last else [first, last]
    return {
        "x": alt.X("epoch:Q", title="Epoch")
        .scale(domain=edges, nice=False, zero=False, padding=8)
        .axis(values=_epoch_ticks(first, last), format="d", grid=False, labelOverlap=False),
        "y": alt.Y("value:Q", title=None)
        .scale(domain=[low, high], nice=False, zero=False)
        .axis(format=_share_format(high - low) if metric == "accuracy" else "~g", tickCount=6),
    }


def _tooltip(rows: list[dict[str, Any]], metric: str, value_format: str) -> list[alt.Tooltip]:
    tooltip = [
        alt.Tooltip("series:N", title="Data"),
        alt.Tooltip("epoch:Q", title="Epoch"),
        alt.Tooltip("value:Q", title=metric.capitalize(), format=value_format),
    ]
    if any("learning_rate" in row for row in rows):
        tooltip.append(alt.Tooltip("learning_rate:Q", title="Learning rate", format="~g"))
    if any("seconds" in row for row in rows):
        tooltip.append(alt.Tooltip("seconds:Q", title="Seconds", format=".1f"))
    return tooltip


def _best_marks(
    rows: list[dict[str, Any]], best: int | None, value_format: str, axes: dict[str, Any]
) -> tuple[list[alt.Chart], str]:
    """Return a line and a ring at the best validation epoch, and a subtitle about them."""
    found = [row for row in rows if row["epoch"] == best and row["series"] == "validation"]
    if not found:
        return [], ""
    base = alt.Chart(data_of(found))
    rule = base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(x=axes["x"])
    ring = base.mark_point(size=170, stroke=INK, strokeWidth=1.5, filled=False).encode(**axes)
    value = format(found[0]["value"], value_format)
    return [rule, ring], f"best validation epoch {best} (ring): {value}"


def _value_domain(values: Sequence[float], metric: str) -> tuple[float, float]:
    """Return an axis range with some air; the accuracies of a good network need not start at 0."""
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    top = min(high + margin, 1.0) if metric == "accuracy" else high + margin
    return max(low - margin, min(low, 0.0)), max(top, high)


def _share_format(span: float) -> str:
    """Return as many decimals as tell neighbouring ticks apart, with about six ticks."""
    return "%" if span >= 0.05 else ".1%" if span >= 0.005 else ".2%"


def _epoch_ticks(first: int, last: int) -> list[int]:
    step = next(
        size * 10**power
        for power in range(12)
        for size in (1, 2, 5)
        if (last - first) / (size * 10**power) <= 12
    )
    return [first] if first == last else list(range(-(-first // step) * step, last + 1, step))

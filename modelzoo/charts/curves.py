"""Loss and accuracy by epoch: of one run, of several in one panel, or of each in its own."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from modelzoo.charts.style import (
    GREY,
    INK,
    LOOKS,
    Chart,
    Look,
    data_of,
    distinct_names,
    message,
    styled,
    told_apart,
)
from modelzoo.support.errors import InputError

PREFIXES = {"training": "", "validation": "val_"}  # of the columns
METRICS = {"loss": ".4g", "accuracy": ".2%"}  # and how a value is written
SERIES = dict(zip(PREFIXES, LOOKS, strict=False))
COMPARED = {"validation": Look(INK, (1, 0)), "training": Look(INK, (3, 3))}
RUNS = (*LOOKS, Look(INK, (1, 0), "triangle-right"))  # their dash tells something else
EXTRAS = {"learning_rate": ("Learning rate", "~g"), "seconds": ("Seconds", ".1f")}
POINTS_SHOWN = 30  # more would hide the line; the others are there for their tooltips
POINTS_COMPARED = 10  # of each curve of several runs
COLUMNS_OF_PANELS = 3
MARKED = alt.condition("datum.marked", alt.value(1), alt.value(0))
MOST_EPOCHS = 2**31 - 1  # as `fit.epochs`

Rows = list[dict[str, Any]]


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
    history = _epochs_of(history)
    rows = {metric: _curve_rows(history, metric) for metric in METRICS}
    present = {row["series"] for each in rows.values() for row in each}
    if not present:
        return message("No epoch was recorded.")
    best = _best_epoch(history)
    looks = {name: look for name, look in SERIES.items() if name in present}
    panels = [_panel_of_run(metric, rows[metric], looks, best) for metric in rows if rows[metric]]
    chart = alt.hconcat(*panels, spacing=36).resolve_scale(color="shared", shape="shared")
    described = f"Training curves over {len(history)} epochs."
    return styled(chart, described + (f" Best validation epoch: {best}." if best else ""))


def compare_runs(histories: Mapping[str, pd.DataFrame]) -> Chart:
    """Return the curves of two to seven runs, loss and accuracy side by side.

    A colour and a point shape stand for a run; validation is a solid line, training a dotted one.

    Args:
        histories: by the name of the run, what `training_curves` takes.

    Raises:
        InputError: fewer than two or more than seven runs, or a history has no column `epoch`.
    """
    if not 2 <= len(histories) <= len(RUNS):
        raise InputError(
            f"{len(histories)} runs: from 2 to {len(RUNS)} can be told apart in one chart"
        )
    names = distinct_names(histories)
    panels = []
    for metric in METRICS:
        rows = [
            {**row, "run": name}
            for name, history in zip(names, histories.values(), strict=True)
            for row in _curve_rows(_epochs_of(history), metric, POINTS_COMPARED)
        ]
        if rows:
            panels.append(_panel_of_runs(metric, rows, dict(zip(names, RUNS, strict=False))))
    if not panels:
        return message("No epoch was recorded.")
    chart = alt.hconcat(*panels, spacing=36).resolve_scale(
        color="shared", shape="shared", strokeDash="shared"
    )
    return styled(chart, f"Training curves of {len(names)} runs: {', '.join(names)}.")


def curves_side_by_side(histories: Mapping[str, pd.DataFrame], title: str) -> Chart:
    """Return training and validation accuracy by epoch, a panel for each run, in the same axes.

    Args:
        histories: by the name of a run, a row an epoch with `epoch` (from 1), `accuracy` and
            `val_accuracy`, shares from 0 to 1.
        title: of the whole.
    """
    names = distinct_names(histories)
    curves = [_curve_rows(_epochs_of(each), "accuracy") for each in histories.values()]
    axes = _axes([row for rows in curves for row in rows], "accuracy")
    axes["y"] = axes["y"].title("Accuracy")
    panels = [_small_panel(rows, axes, name) for rows, name in zip(curves, names, strict=True)]
    chart = alt.concat(*panels, columns=COLUMNS_OF_PANELS, spacing=24).resolve_scale(color="shared")
    chart = chart.properties(title=title)
    return styled(chart, f"{title}: training and validation accuracy of {', '.join(names)}.")


def lines_and_points(
    rows: Sequence[Mapping[str, Any]],
    encoding: Mapping[str, Any],
    looks: Mapping[str, Look],
    legend: alt.Legend,
    size: int,
    **points: Any,
) -> list[alt.Chart]:
    """Return lines told apart by colour and dash, and their points, by colour and shape.

    Args:
        rows: with `series` and what `encoding` needs.
        encoding: what lines and points share: where they are.
        looks: of each series, in the order of the legend.
        legend: of the points: the lines' dashes would break up their outlines in it.
        size: of the points.
        points: what only the points are encoded with.
    """
    told = told_apart("series", looks, legend, ("color", "shape"))
    base = alt.Chart(data_of(rows)).encode(**encoding, color=told["color"])
    lines = [
        base.transform_filter(alt.datum.series == name).mark_line(
            strokeWidth=2, strokeDash=list(look.dash)
        )
        for name, look in looks.items()
    ]
    return [*lines, base.mark_point(size=size, filled=True).encode(shape=told["shape"], **points)]


def _epochs_of(history: pd.DataFrame) -> pd.DataFrame:
    """Return a history's rows as finite numbers, NaN for the others, without those of no epoch.

    Raises:
        InputError: the history has no column `epoch`.
    """
    if "epoch" not in history:
        raise InputError(f"a history needs the column 'epoch', but has {list(history.columns)}")
    texts = history.astype(str)  # pandas overflows on an integer of 400 digits
    numbers = texts.apply(pd.to_numeric, errors="coerce").astype(float)
    numbers = numbers.replace([math.inf, -math.inf], math.nan)
    return numbers[numbers["epoch"].between(1, MOST_EPOCHS)]


def _curve_rows(history: pd.DataFrame, metric: str, points: int = POINTS_SHOWN) -> Rows:
    """Return a row for each finite value of one metric; about so many of a curve are `marked`."""
    rows = []
    every = math.ceil(len(history) / points)
    for series, prefix in PREFIXES.items():
        for place, record in enumerate(history.to_dict("records")):
            if math.isfinite(value := record.get(prefix + metric, math.nan)):
                row = {"epoch": int(record["epoch"]), "series": series, "value": float(value)}
                row["marked"] = place % every == 0
                for extra in EXTRAS:
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


def _panel_of_run(metric: str, rows: Rows, looks: Mapping[str, Look], best: int | None) -> Chart:
    axes = _axes(rows, metric)
    legend = alt.Legend(title=None, orient="top", symbolSize=90)
    tooltip = _tooltip(metric, rows, series="Data")
    curves = lines_and_points(rows, axes, looks, legend, 45, opacity=MARKED, tooltip=tooltip)
    marked, subtitle = _best_marks(rows, best, METRICS[metric], axes)
    title = alt.TitleParams(metric.capitalize(), subtitle=subtitle, frame="group")
    return alt.layer(*marked, *curves, _level()).properties(width=350, height=260, title=title)


def _panel_of_runs(metric: str, rows: Rows, looks: Mapping[str, Look]) -> Chart:
    present = {row["series"] for row in rows}
    series = {name: look for name, look in COMPARED.items() if name in present}
    below: dict[str, Any] = {"orient": "bottom", "columns": 1, "offset": 14}
    run_legend = alt.Legend(title="Run", symbolSize=90, labelLimit=640, **below)
    dash_legend = alt.Legend(title="Images", symbolSize=400, **below)
    told = told_apart("run", looks, run_legend, ("color", "shape"))
    base = alt.Chart(data_of(rows)).encode(**_axes(rows, metric), color=told["color"])
    lines = base.mark_line(strokeWidth=2).encode(
        **told_apart("series", series, dash_legend, ["strokeDash"])
    )
    points = base.mark_point(size=45, filled=True).encode(
        shape=told["shape"],
        opacity=MARKED,
        tooltip=_tooltip(metric, [], run="Run", series="Images"),
    )
    title = alt.TitleParams(metric.capitalize(), frame="group")
    return alt.layer(lines, points, _level()).properties(width=380, height=280, title=title)


def _small_panel(rows: Rows, axes: dict[str, Any], name: str) -> Chart:
    legend = alt.Legend(title=None, orient="top", symbolSize=400)
    lines = alt.Chart(data_of(rows)).mark_line(strokeWidth=2)
    encoded = lines.encode(
        **axes,
        **told_apart("series", SERIES, legend, ("color", "strokeDash")),
        tooltip=["series:N", "epoch:Q", alt.Tooltip("value:Q", title="Accuracy", format=".2%")],
    )
    title = alt.TitleParams(name, subtitle=_gap(rows), fontSize=13)
    return encoded.properties(width=210, height=150, title=title)


def _gap(rows: Rows) -> str:
    """Return how far the curves are apart at the end."""
    last = {row["series"]: row["value"] for row in rows}  # the later rows win
    if len(last) < 2:
        return ""
    points = 100 * (last["training"] - last["validation"])
    return f"last epoch: {last['validation']:.1%} validated, {points:+.1f} points in training"


def _level() -> alt.Chart:
    """Return an unseen line above a panel: titles stand above whatever sticks out of theirs."""
    return alt.Chart(data_of([{}])).mark_rule(opacity=0, aria=False).encode(y=alt.value(-8))


def _axes(rows: Rows, metric: str) -> dict[str, Any]:
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


def _tooltip(metric: str, rows: Rows, **names: str) -> list[alt.Tooltip]:
    """Return the fields in `names` by their titles, epoch, value, and what else the rows have."""
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in names.items()]
    tooltip.append(alt.Tooltip("epoch:Q", title="Epoch"))
    tooltip.append(alt.Tooltip("value:Q", title=metric.capitalize(), format=METRICS[metric]))
    return tooltip + [
        alt.Tooltip(f"{field}:Q", title=title, format=form)
        for field, (title, form) in EXTRAS.items()
        if any(field in row for row in rows)
    ]


def _best_marks(
    rows: Rows, best: int | None, value_format: str, axes: dict[str, Any]
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

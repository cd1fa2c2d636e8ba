"""Curves: loss and accuracy by epoch, of one run or several; accuracy by strength of a change."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from modelzoo.charts import style
from modelzoo.charts.style import GREY, INK, LINE_GREY, LOOKS, Chart, Look
from modelzoo.support.errors import InputError

PREFIXES = {"training": "", "validation": "val_"}  # of the columns
METRICS = {"loss": ".4g", "accuracy": ".2%"}  # and how a value is written
SERIES = dict(zip(PREFIXES, LOOKS, strict=False))
COMPARED = {"validation": Look(INK, (1, 0)), "training": Look(INK, (3, 3))}
RUNS = (*LOOKS, Look(INK, (1, 0), "triangle-right"))  # their dash tells something else
EXTRAS = {"learning_rate": ("Learning rate", "~g"), "seconds": ("Seconds", ".1f")}
POINTS_SHOWN = 30  # more would hide the line; the others are there for their tooltips
POINTS_COMPARED = 10  # of each curve of several runs
LOG_FROM = 10  # times the least loss, from which on a straight scale would hide the end
MARKED = alt.condition("datum.marked", alt.value(1), alt.value(0))
MOST_EPOCHS = 2**31 - 1  # as `fit.epochs`

Rows = list[dict[str, Any]]


def training_curves(history: pd.DataFrame) -> Chart:
    """Return loss and accuracy by epoch, side by side, the best validation epoch marked.

    A row of `history` is an epoch, with `epoch` (from 1) and any of `loss`, `accuracy`, `val_loss`,
    `val_accuracy`, `learning_rate`, `seconds`; accuracies are shares from 0 to 1. The best epoch
    has the highest `val_accuracy`, or else the lowest `val_loss`; it is the first of equals, as
    Keras's ModelCheckpoint keeps it.

    Examples:
        >>> import pandas as pd
        >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [1.5, 0.4], "val_loss": [0.9, 0.5]})
        >>> chart = modelzoo.charts.training_curves(history)
    """
    history = _epochs_of(history)
    curves = {metric: _curve_rows(history, metric) for metric in METRICS}
    looks = _present(SERIES, [row for rows in curves.values() for row in rows])
    best = _best_epoch(history)
    described = f"Training curves over {len(history)} epochs."
    described += f" Best validation epoch: {best}." if best else ""
    panels = [_panel_of_run(*each, looks, best) for each in curves.items() if each[1]]
    return style.side_by_side(panels, described)


def compare_runs(histories: Mapping[str, pd.DataFrame]) -> Chart:
    """Return the curves of two to seven runs by their names, loss and accuracy side by side.

    A colour and a point shape stand for a run; validation is a solid line, training a dotted one.
    Another number of runs is an InputError.

    Examples:
        >>> import pandas as pd
        >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [1.5, 0.4], "accuracy": [0.6, 0.9]})
        >>> chart = modelzoo.charts.compare_runs({"one": history, "other": history})
    """
    if not 2 <= len(histories) <= len(RUNS):
        raise InputError(f"{len(histories)} runs: one chart shows from 2 to {len(RUNS)}")
    looks = dict(zip(style.distinct_names(histories), RUNS, strict=False))
    curves = {
        metric: [
            {**row, "run": name}
            for name, history in zip(looks, histories.values(), strict=True)
            for row in _curve_rows(_epochs_of(history), metric, POINTS_COMPARED)
        ]
        for metric in METRICS
    }
    described = f"Training curves of {len(looks)} runs: {', '.join(looks)}."
    panels = [_panel_of_runs(*each, looks) for each in curves.items() if each[1]]
    return style.side_by_side(panels, described)


def curves_side_by_side(histories: Mapping[str, pd.DataFrame], title: str) -> Chart:
    """Return training and validation accuracy by epoch, a panel for each run, in the same axes.

    `histories` has, by the name of a run, what `training_curves` takes.

    Examples:
        >>> import pandas as pd
        >>> history = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.6, 0.9]})
        >>> runs = {"one": history, "other": history}
        >>> chart = modelzoo.charts.curves_side_by_side(runs, "Two runs")
    """
    names = style.distinct_names(histories)
    curves = [_curve_rows(_epochs_of(each), "accuracy") for each in histories.values()]
    axes = _axes([row for rows in curves for row in rows], "accuracy")
    axes["y"] = axes["y"].title("Accuracy")
    legend = alt.Legend(title=None, orient="top", symbolSize=400)
    tooltip = ["series:N", "epoch:Q", alt.Tooltip("value:Q", title="Accuracy", format=".2%")]
    told = style.told_apart("series", SERIES, legend, "color", "strokeDash")
    panels = []
    for name, rows in zip(names, curves, strict=True):
        lines = alt.Chart(style.data_of(rows)).mark_line(strokeWidth=2)
        heading = alt.TitleParams(name, subtitle=_gap(rows), fontSize=13)
        panel = lines.encode(**axes, **told, tooltip=tooltip)
        panels.append(panel.properties(width=210, height=150, title=heading))
    chart = alt.concat(*panels, columns=3, spacing=24, title=title).resolve_scale(color="shared")
    return style.styled(chart, f"{title}: training and validation accuracy of {', '.join(names)}.")


def corruption_curves(rows: Rows, axis_titles: Mapping[str, str], title: str) -> Chart:
    """Return a panel a kind of change, and in each a line a network, of six at most.

    Rows have `model`, `kind`, `strength` from 0, and `accuracy`, 0 to 1; `axis_titles`, by kind,
    name the strength and its unit, and order the panels.
    """
    rows = [{**row, "series": style.printable(row["model"])} for row in rows]
    kinds = [kind for kind in axis_titles if any(row["kind"] == kind for row in rows)]
    alone = len(kinds) == 1
    size = {"width": 520 if alone else 300, "height": 320 if alone else 210}
    panels = []
    for kind in kinds:
        layers = _accuracy_lines([row for row in rows if row["kind"] == kind], axis_titles[kind])
        panels.append(alt.layer(*layers).properties(**size))
    described = f"{title}, for {', '.join(dict.fromkeys(row['series'] for row in rows))}."
    if alone:
        return style.styled(panels[0].properties(title=title), described)
    chart = alt.concat(*panels, columns=2, spacing={"row": 24, "column": 30}, title=title)
    return style.styled(chart.resolve_scale(color="shared", shape="shared"), described)


def attack_curves(rows: Rows, title: str, chance: float) -> Chart:
    """Return accuracy against the strength of the attack, a line a method.

    Rows have `method` ("fgsm" or "pgd"), `strength` as a share of 0..255, and `accuracy`; `chance`
    is the accuracy of guessing: 1 / classes.
    """
    shown = [{**row, "series": row["method"].upper()} for row in rows]
    axis_title = "Strength: largest change of a pixel, as a share of its range 0..255"
    guess = {"accuracy": chance, "text": f"guessing: {100 * chance:.3g}%"}
    base = alt.Chart(style.data_of([guess]))
    rule = base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(y="accuracy:Q")
    text = base.mark_text(color=GREY, align="left", baseline="bottom", dx=5, dy=-3, aria=False)
    guessing = [rule, text.encode(y="accuracy:Q", x=alt.value(0), text="text:N")]
    chart = alt.layer(*guessing, *_accuracy_lines(shown, axis_title))
    return style.styled(chart.properties(width=520, height=320, title=title), f"{title}.")


def learning_rate_curve(rows: Rows, suggested: float, title: str) -> Chart:
    """Return the loss against the learning rate, and a rule at the one that is suggested.

    Rows have `rate` and, for the batch trained with it, `loss` and the moving average `smoothed`.
    """
    low, high = min(row["smoothed"] for row in rows), max(row["smoothed"] for row in rows)
    margin = 0.1 * (high - low) or 0.1
    y = alt.Y("smoothed:Q", title="Training loss").axis(format="~g", tickCount=6)
    y = y.scale(domain=[low - margin, high + margin], nice=False, zero=False)
    x = alt.X("rate:Q", title="Learning rate, log scale").scale(type="log", nice=False)
    x = x.axis(format="~g", grid=False, tickCount=8)
    tooltip = [
        alt.Tooltip("rate:Q", title="Learning rate", format=".3g"),
        alt.Tooltip("loss:Q", title="Loss of the batch", format=".4g"),
        alt.Tooltip("smoothed:Q", title="Moving average", format=".4g"),
    ]
    base = alt.Chart(style.data_of(rows)).encode(x=x, tooltip=tooltip)
    points = base.mark_circle(size=14, color=LINE_GREY, clip=True).encode(y=alt.Y("loss:Q"))
    line = base.mark_line(strokeWidth=2, color=LOOKS[0].color).encode(y=y)
    mark = alt.Chart(style.data_of([{"rate": suggested, "text": f"suggested: {suggested:.2g}"}]))
    rule = mark.mark_rule(color=INK, strokeDash=[4, 3]).encode(x=x)
    is_left = suggested**2 < rows[0]["rate"] * rows[-1]["rate"]  # of the middle of the axis
    side: dict[str, Any] = {"align": "left", "dx": 5} if is_left else {"align": "right", "dx": -5}
    text = mark.mark_text(color=INK, baseline="top", dy=4, aria=False, **side)
    text = text.encode(x=x, y=alt.value(0), text="text:N")
    heading = alt.TitleParams(title, subtitle="dots: one batch each; line: their moving average")
    chart = alt.layer(points, line, rule, text).properties(width=520, height=320, title=heading)
    return style.styled(chart, f"{title}. Suggested: {suggested:.2g}.")


def lines_and_points(
    rows: Sequence[Mapping[str, Any]],
    field: str,
    looks: Mapping[str, Look],
    axes: Mapping[str, Any],
    legend: alt.Legend,
    tooltip: Sequence[alt.Tooltip],
    *,
    dash: dict[str, Any] | None = None,
    dots: tuple[int, Any] = (45, MARKED),
) -> list[alt.Chart]:
    """Return lines told apart by colour and dash, and their points, by colour and shape.

    `dash` encodes another field; by default it stands for the line, too, but not in the legend,
    where it would break up the outlines of the points.
    """
    told = style.told_apart(field, looks, legend, "color", "shape")
    base = alt.Chart(style.data_of(rows)).encode(**axes, color=told["color"])
    points = base.mark_point(filled=True, size=dots[0])
    points = points.encode(shape=told["shape"], opacity=dots[1], tooltip=list(tooltip))
    if dash:
        return [base.mark_line(strokeWidth=2).encode(**dash), points]
    lines = []
    for name, look in looks.items():
        line = base.mark_line(strokeWidth=2, strokeDash=list(look.dash))
        lines.append(line.transform_filter(alt.datum[field] == name))
    return [*lines, points]


def _epochs_of(history: pd.DataFrame) -> pd.DataFrame:
    """Return a history's rows as finite numbers, NaN for the others, without those of no epoch."""
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
            finite = {key: value for key, value in record.items() if math.isfinite(value)}
            if prefix + metric in finite:
                row = {"epoch": int(record["epoch"]), "series": series}
                row |= {"value": finite[prefix + metric], "marked": place % every == 0}
                rows.append(row | {key: finite[key] for key in EXTRAS if key in finite})
    return rows


def _best_epoch(history: pd.DataFrame) -> int | None:
    for column, sign in (("val_accuracy", -1), ("val_loss", 1)):
        if column in history and history[column].notna().any():
            place = int(np.nanargmin(sign * history[column].to_numpy(float)))
            return int(history["epoch"].iloc[place])
    return None


def _present(looks: Mapping[str, Look], rows: Rows) -> dict[str, Look]:
    present = {row["series"] for row in rows}
    return {name: look for name, look in looks.items() if name in present}


def _panel_of_run(metric: str, rows: Rows, looks: Mapping[str, Look], best: int | None) -> Chart:
    axes = _axes(rows, metric)
    legend = alt.Legend(title=None, orient="top", symbolSize=90)
    tooltip = _tooltip(metric, rows, series="Data")
    curves = lines_and_points(rows, "series", looks, axes, legend, tooltip)
    found = [row for row in rows if row["epoch"] == best and row["series"] == "validation"]
    base = alt.Chart(style.data_of(found))
    rule = base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(x=axes["x"])
    ring = base.mark_point(size=170, stroke=INK, strokeWidth=1.5, filled=False).encode(**axes)
    values = [format(row["value"], METRICS[metric]) for row in found]
    subtitle = f"best validation epoch {best} (ring): {values[0]}" if values else ""
    return _panel(metric, [rule, ring, *curves], (350, 260), subtitle)


def _panel_of_runs(metric: str, rows: Rows, looks: Mapping[str, Look]) -> Chart:
    below: dict[str, Any] = {"orient": "bottom", "columns": 1, "offset": 14}
    run_legend = alt.Legend(title="Run", symbolSize=90, labelLimit=640, **below)
    dash_legend = alt.Legend(title="Images", symbolSize=400, **below)
    dash = style.told_apart("series", _present(COMPARED, rows), dash_legend, "strokeDash")
    tooltip = _tooltip(metric, [], run="Run", series="Images")
    axes = _axes(rows, metric)
    curves = lines_and_points(rows, "run", looks, axes, run_legend, tooltip, dash=dash)
    return _panel(metric, curves, (380, 280))


def _panel(
    metric: str, layers: Sequence[alt.Chart], size: tuple[int, int], subtitle: str = ""
) -> Chart:
    title = alt.TitleParams(metric.capitalize(), subtitle=subtitle, frame="group")
    # An unseen line above: titles stand above whatever sticks out of their panels.
    above = alt.Chart(style.data_of([{}])).mark_rule(opacity=0, aria=False).encode(y=alt.value(-8))
    return alt.layer(*layers, above).properties(width=size[0], height=size[1], title=title)


def _gap(rows: Rows) -> str:
    """Return how far the curves are apart at the end."""
    last = {row["series"]: row["value"] for row in rows}  # the later rows win
    if len(last) < 2:
        return ""
    points = 100 * (last["training"] - last["validation"])
    return f"last epoch: {last['validation']:.1%} validated, {points:+.1f} points in training"


def _axes(rows: Rows, metric: str) -> dict[str, Any]:
    values = [row["value"] for row in rows]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    top = min(high + margin, 1.0) if metric == "accuracy" else high + margin
    is_log = metric == "loss" and 0 < low <= high / LOG_FROM
    if is_log:
        low, high = low / 1.1, high * 1.1
    else:
        low, high = max(low - margin, min(low, 0.0)), max(top, high)
    first, last = min(row["epoch"] for row in rows), max(row["epoch"] for row in rows)
    edges = [first - 0.5, last + 0.5] if first == last else [first, last]
    span = high - low  # of six ticks, with the decimals that differ
    share = "%" if span >= 0.05 else ".1%" if span >= 0.005 else ".2%"
    return {
        "x": alt.X("epoch:Q", title="Epoch")
        .scale(domain=edges, nice=False, zero=False, padding=8)
        .axis(values=_epoch_ticks(first, last), format="d", grid=False, labelOverlap=False),
        "y": alt.Y("value:Q", title="log scale" if is_log else None)
        .scale(domain=[low, high], nice=False, **({"type": "log"} if is_log else {"zero": False}))
        .axis(format=share if metric == "accuracy" else "~g", tickCount=6),
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


def _epoch_ticks(first: int, last: int) -> list[int]:
    """Return about twelve epochs at most, in steps of 1, 2 or 5 of a power of ten."""
    steps = (size * 10**power for power in range(12) for size in (1, 2, 5))
    step = next(step for step in steps if (last - first) / step <= 12)
    return [first] if first == last else list(range(-(-first // step) * step, last + 1, step))


def _accuracy_lines(rows: Rows, axis_title: str) -> list[alt.Chart]:
    """Return the layers of a panel of accuracy against strength, a line a `series`."""
    strengths = sorted({float(row["strength"]) for row in rows})
    whole = all(strength.is_integer() for strength in strengths)
    ticks = {"values": strengths, "format": "d"} if whole else {"tickCount": 7}
    x = alt.X("strength:Q", title=axis_title).axis(grid=False, labelOverlap=True, **ticks)
    y = alt.Y("accuracy:Q", title="Accuracy").scale(domain=[0, 1]).axis(format="%", tickCount=6)
    legend = alt.Legend(
        title=None, orient="top", symbolSize=90, labelLimit=300, columns=3, symbolStrokeWidth=2
    )
    tooltip = [
        alt.Tooltip("series:N", title="Line"),
        alt.Tooltip("strength:Q", title=axis_title),
        alt.Tooltip("accuracy:Q", title="Accuracy", format=".2%"),
    ]
    looks = dict(zip(dict.fromkeys(row["series"] for row in rows), LOOKS, strict=False))
    axes, dots = {"x": x, "y": y}, (55, alt.value(1))
    return lines_and_points(rows, "series", looks, axes, legend, tooltip, dots=dots)

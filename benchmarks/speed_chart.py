"""The chart of docs/speed.md: what each contestant takes, as multiples of modelzoo's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from benchmarks.compare import summary
from benchmarks.compare.works import OURS, WORKS
from modelzoo.charts.style import BLUE, GREY, INK, ORANGE, Chart, data_of, message, styled

OTHERS = "others"
COLORS = {OURS: BLUE, OTHERS: ORANGE}
WIDTH, STEP = 440, 17  # pixels of a panel, and of a bar with its margin
TITLE = "What each work takes, compared with modelzoo"


def speed_chart(works: Mapping[str, Any]) -> Chart:
    """Return a panel a work: bars from modelzoo's median to the others', with the medians.

    The axis is logarithmic: half the time is as far from 1 as twice the time.
    """
    panels = {work.title: _bars(works[work.name], work.unit) for work in WORKS if _has(works, work)}
    if not panels:
        return message("Nothing was compared.")
    rows = [row for bars in panels.values() for row in bars]
    low, high = _domain([row["ratio"] for row in rows])
    drawn = [
        _panel(bars, title, (low, high), is_last=title == list(panels)[-1])
        for title, bars in panels.items()
    ]
    described = "; ".join(
        f"{title}: " + ", ".join(f"{bar['contestant']} {bar['ratio']:.2f}" for bar in bars)
        for title, bars in panels.items()
    )
    chart = alt.vconcat(*drawn, spacing=14, title=TITLE)
    return styled(chart, f"Medians as multiples of modelzoo's. {described}.")


def _panel(
    bars: list[dict[str, Any]], title: str, domain: tuple[float, float], *, is_last: bool
) -> Chart:
    """Return the bars of a work, not yet styled; only the last panel names the axis."""
    axis = alt.Axis(
        values=_ticks(domain),
        format="~g",
        title="Multiples of modelzoo's median (logarithmic)" if is_last else None,
        labels=is_last,
        ticks=is_last,
        domain=is_last,
    )
    base = alt.Chart(data_of(bars)).encode(
        x=alt.X("ratio:Q", axis=axis).scale(type="log", domain=domain, nice=False),
        y=alt.Y("contestant:N", title=None, sort=None).axis(
            ticks=False, domain=False, labelLimit=280, labelPadding=8, grid=False
        ),
    )
    color = alt.Color("who:N", legend=None).scale(domain=list(COLORS), range=list(COLORS.values()))
    texts = [
        base.transform_filter(test)
        .mark_text(align=align, dx=dx, color=INK, fontSize=11)
        .encode(text="text:N")
        for test, align, dx in (("datum.ratio >= 1", "left", 8), ("datum.ratio < 1", "right", -8))
    ]
    one = alt.Chart(data_of([{"ratio": 1}])).mark_rule(color=GREY).encode(x="ratio:Q")
    layers = [
        base.mark_bar(height=11).encode(x2=alt.datum(1), color=color),
        one,
        base.mark_point(filled=True, size=55, opacity=1).encode(color=color),
        *texts,
    ]
    heading = alt.TitleParams(title, fontSize=12, offset=6, frame="group")
    return alt.layer(*layers).properties(width=WIDTH, height={"step": STEP}, title=heading)


def _has(works: Mapping[str, Any], work: Any) -> bool:
    return work.name in works and OURS in works[work.name]["contestants"]


def _bars(measured: Mapping[str, Any], unit: str) -> list[dict[str, Any]]:
    """Return a bar for each contestant of a work."""
    return [
        {
            "contestant": row.shown.replace("`", ""),
            "who": OURS if row.contestant.startswith(OURS) else OTHERS,
            "ratio": row.ratio,
            "text": f"{summary.number(row.spread.median)} {unit}",
        }
        for row in summary.rows(measured)
    ]


def _domain(ratios: list[float]) -> tuple[float, float]:
    """Return the ends of the axis, with room for the texts beside the outermost points."""
    low, high = min(ratios), max(ratios)
    room = 1.15 * (high / low) ** 0.2
    return low / (room if low < 1 else 1.1), high * room


def _ticks(domain: tuple[float, float]) -> list[float]:
    marks = [step * 10.0**power for power in range(-3, 4) for step in (1, 2, 5)]
    return [mark for mark in marks if domain[0] <= mark <= domain[1]]

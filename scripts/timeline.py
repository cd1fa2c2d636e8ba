"""The timeline of the networks, written by scripts/update_docs.py: its page and its chart."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import altair as alt

from modelzoo.charts.style import LOOKS, Chart, data_of, side_by_side, told_apart
from modelzoo.config import load_config

INTRODUCTION = """# Timeline

Written by `python scripts/update_docs.py` from the configurations and from `results/`.

![Parameters, operations and error of each network, the oldest first](pictures/timeline.svg)

Operations are additions and multiplications for one image, forward. Errors are those of test
images, and the data set stands beside each: errors on different sets cannot be compared. "Here" is
the first of the published weights or, without any, the longest training. The cards list what
differs from the papers.
"""
LOOKS_OF = {"the network": LOOKS[0], "the paper": LOOKS[1], "here": LOOKS[2]}


class Measured(NamedTuple):
    """What a network reaches here: published weights, or the longest training."""

    accuracy: float
    dataset: str

    @property
    def error(self) -> float:
        """In percent."""
        return 100 * (1 - self.accuracy)


def page(names: Sequence[str], measured: Mapping[str, Measured | None]) -> str:
    """Return the page: a row for each network, in the order of `names`."""
    lines = [
        INTRODUCTION,
        "| Year | Network | Parameters | Operations | Error of the paper | Error here |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        config, here = load_config(name), measured[name]
        about, paper = config.about, config.about.paper or {}
        error = f"{paper['test_error']:.2f} % ({paper['measured_on']})" if paper else ""
        ours = f"{here.error:.2f} % (`{here.dataset}`)" if here else "not measured"
        lines.append(
            f"| {about.year} | [{name}](models/{name}.md) | {about.parameters:,} | "
            f"{config.network.operations:,} | {error} | {ours} |"
        )
    return "\n".join(lines) + "\n"


def chart(names: Sequence[str], measured: Mapping[str, Measured | None]) -> Chart:
    """Return a row for each network, and its figures on three logarithmic axes."""
    rows = []
    for name in names:
        config, here = load_config(name), measured[name]
        about = config.about
        figures: list[tuple[str, str, object]] = [
            ("Parameters", "the network", about.parameters),
            ("Operations for one image", "the network", config.network.operations),
            ("Test error, %", "the paper", (about.paper or {}).get("test_error")),
            ("Test error, %", "here", here and here.error),
        ]
        rows += [
            {"network": f"{about.year}  {name}", "axis": axis, "of": of, "value": value}
            for axis, of, value in figures
            if value is not None
        ]
    order = list(dict.fromkeys(row["network"] for row in rows))
    axes = {
        "Parameters": (1e3, 1e8, [1e3, 1e4, 1e5, 1e6, 1e7, 1e8], "~s"),
        "Operations for one image": (1e5, 1e10, [1e5, 1e6, 1e7, 1e8, 1e9, 1e10], "~s"),
        "Test error, %": (0.1, 100, [0.1, 0.3, 1, 3, 10, 30, 100], "~g"),
    }
    panels = []
    for title, (least, most, values, form) in axes.items():
        own = [row for row in rows if row["axis"] == title]
        room = 0 if panels else 150  # pixels for the names, in any font
        base = alt.Chart(data_of(own), width=220, height=24 * len(order)).encode(
            x=alt.X("value:Q", title=title, axis=alt.Axis(values=values, format=form))
            .scale(type="log", domain=[least, most]),
            y=alt.Y("network:N", title=None, scale=alt.Scale(domain=order))
            .axis(labels=not panels, minExtent=room, labelLimit=300, ticks=False, grid=True),
        )  # fmt: skip
        looks = told_apart("of", LOOKS_OF, alt.Legend(title=None, orient="top"), "color", "shape")
        panels.append(base.mark_point(size=70, opacity=1, strokeWidth=2).encode(**looks))
    return side_by_side(panels, "Parameters, operations and test errors, the oldest network first")

"""Medians, spread and ratios of what was measured, and the tables that show them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.compare.works import OURS, SHOWN, WORKS

BY_NAME = {work.name: work for work in WORKS}


@dataclass(frozen=True)
class Spread:
    """The samples of a contestant: their median, and the range that holds nine of ten of them."""

    median: float
    low: float
    high: float
    count: int


def spread(samples: Sequence[float]) -> Spread:
    """Return the median, the 5% and 95% quantiles (between samples linear) and the number."""
    if len(samples) == 1:
        return Spread(samples[0], samples[0], samples[0], 1)
    cuts = statistics.quantiles(samples, n=20, method="inclusive")
    return Spread(statistics.median(samples), cuts[0], cuts[-1], len(samples))


def all_samples(measured: Mapping[str, Any]) -> list[float]:
    """Return the samples of all rounds of a contestant."""
    return [sample for samples in measured["samples"] for sample in samples]


@dataclass(frozen=True)
class Row:
    """A contestant in a work's table.

    Attributes:
        contestant: its name.
        spread: of its samples.
        ratio: how many times modelzoo's median its own is; None where modelzoo took no part.
        accuracies: on the test set, one a round; empty where nothing was scored.
        extrapolated: whether its samples were computed from a part of the work.
    """

    contestant: str
    spread: Spread
    ratio: float | None
    accuracies: tuple[float, ...]
    extrapolated: bool

    @property
    def shown(self) -> str:
        """How people call it."""
        return SHOWN[self.contestant] + (" (extrapolated)" if self.extrapolated else "")


def rows(work: Mapping[str, Any]) -> list[Row]:
    """Return a row for each contestant of a measured work, in its order."""
    spreads = {
        name: spread(all_samples(measured)) for name, measured in work["contestants"].items()
    }
    ours = spreads.get(OURS)
    found = []
    for name, measured in work["contestants"].items():
        facts = measured["facts"]
        accuracies = (each.get("test_accuracy", each.get("accuracy")) for each in facts)
        found.append(
            Row(
                name,
                spreads[name],
                spreads[name].median / ours.median if ours else None,
                tuple(value for value in accuracies if value is not None),
                any(each.get("extrapolated") for each in facts),
            )
        )
    return found


def number(value: float) -> str:
    """Return three significant digits, and all digits of larger numbers: 0.0123, 1.20, 1,234."""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:#.3g}".rstrip(".")


def mean_and_range(values: Sequence[float], digits: int = 4) -> str:
    """Return the mean, with the range if values differ in these digits; "" without values."""
    if not values:
        return ""
    mean, low, high = (
        f"{each:.{digits}f}" for each in (statistics.mean(values), min(values), max(values))
    )
    return mean if low == high else f"{mean} ({low} to {high})"


def table(name: str, work: Mapping[str, Any]) -> str:
    """Return a work's table for a terminal."""
    unit, found, scored = BY_NAME[name].unit, rows(work), BY_NAME[name].scored
    width = max(len(row.shown) for row in found)
    lines = [f"{BY_NAME[name].title}, {unit}{' (quick: no result)' if work['quick'] else ''}"]
    lines.append(
        f"  {'':{width}}  {'median':>9}  {'5 % to 95 %':>19}  {'samples':>7}  {'ratio':>6}"
    )
    for row in found:
        s = row.spread
        within = f"{number(s.low)} to {number(s.high)}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        accuracy = mean_and_range(row.accuracies) if scored else ""
        lines.append(
            f"  {row.shown:{width}}  {number(s.median):>9}  {within:>19}  {s.count:>7}  {ratio:>6}"
            f"{f'  accuracy {accuracy}' if accuracy else ''}"
        )
    for left, reason in work["left_out"].items():
        lines.append(f"  {SHOWN[left]}: left out: {reason.splitlines()[0]}")
    return "\n".join(lines)

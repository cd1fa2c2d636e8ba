"""Accuracy against the strength of a change or an attack, and images that were attacked."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.canvas import TEXT, Canvas, scaled
from modelzoo.charts.curves import lines_and_points
from modelzoo.charts.style import (
    GREY,
    LOOKS,
    Chart,
    data_of,
    distinct_names,
    printable,
    shortened,
    styled,
)

MOST_SERIES = len(LOOKS)
METHOD_TITLES = {"fgsm": "FGSM", "pgd": "PGD"}
GREY_LEVELS = 255
CAPTION_LETTERS = 20  # as many fit below an image
SIDE, LABEL_WIDTH, STEP = 112, 116, 136  # pixels: an image, the labels, from image to image

Rows = Sequence[Mapping[str, Any]]


def corruption_curves(rows: Rows, axis_titles: Mapping[str, str], title: str) -> Chart:
    """Return a panel a kind of change, and in each a line a network, of six at most.

    Args:
        rows: with `model`, `kind`, `strength` from 0, and `accuracy`, 0 to 1.
        axis_titles: of the strength, with its unit, by kind; the panels come in their order.
        title: of the whole chart.
    """
    names = list(dict.fromkeys(row["model"] for row in rows))
    shown = dict(zip(names, distinct_names(names), strict=True))
    kinds = [kind for kind in axis_titles if any(row["kind"] == kind for row in rows)]
    alone = len(kinds) == 1
    size = {"width": 520 if alone else 300, "height": 320 if alone else 210}
    panels = []
    for kind in kinds:
        lines = [{**row, "series": shown[row["model"]]} for row in rows if row["kind"] == kind]
        layers = _accuracy_lines(lines, list(shown.values()), axis_titles[kind])
        panels.append(alt.layer(*layers).properties(**size))
    described = f"{title}, for {', '.join(shown.values())}."
    if alone:
        return styled(panels[0].properties(title=title), described)
    chart = alt.concat(*panels, columns=2, spacing={"row": 24, "column": 30}, title=title)
    return styled(chart.resolve_scale(color="shared", shape="shared"), described)


def attack_curves(rows: Rows, title: str, chance: float) -> Chart:
    """Return accuracy against the strength of the attack, a line a method.

    Args:
        rows: with `method` ("fgsm" or "pgd"), `strength` as a share of 0..255, and `accuracy`.
        title: names the network and the images.
        chance: accuracy of guessing: 1 / classes.
    """
    shown = [{**row, "series": METHOD_TITLES[row["method"]]} for row in rows]
    names = list(dict.fromkeys(row["series"] for row in shown))
    axis_title = "Strength: largest change of a pixel, as a share of its range 0..255"
    base = alt.Chart(data_of([{"accuracy": chance, "text": f"guessing: {100 * chance:.3g}%"}]))
    rule = base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(y="accuracy:Q")
    text = base.mark_text(color=GREY, align="left", baseline="bottom", dx=5, dy=-3, aria=False)
    guessing = [rule, text.encode(y="accuracy:Q", x=alt.value(0), text="text:N")]
    chart = alt.layer(*guessing, *_accuracy_lines(shown, names, axis_title))
    return styled(chart.properties(width=520, height=320, title=title), f"{title}.")


def magnification(strength: float) -> int:
    """Return how many times a perturbation can be magnified and stay within black and white."""
    return max(1, int(0.5 / strength + 1e-9))


def adversarial_pictures(
    images: np.ndarray,
    adversarial: np.ndarray,
    captions: Sequence[tuple[Sequence[str], Sequence[str]]],
    strength: float,
    title: str,
) -> Chart:
    """Return images in a row, below them what was added, magnified, and below that the sums.

    Args:
        images: uint8, (n, height, width, channels) with 1 or 3 channels.
        adversarial: float32 in 0..255, of the same shape; rounded to whole grey levels here.
        captions: the lines below each image, and those below its adversarial one.
        strength: of the attack, above 0: the largest change as a share of 0..255.
        title: names attack and network.
    """
    factor = magnification(strength)
    added = GREY_LEVELS / 2 + factor * (adversarial - images.astype("float32"))
    high, _ = scaled(images.shape[1:], SIDE)
    tops = (0, high + 48, 2 * high + 64)  # those in the middle have no caption
    names = (["picture"], ["+ perturbation", f"({factor} times)"], ["= adversarial", "picture"])
    canvas = Canvas()
    for top, text in zip(tops, names, strict=True):
        canvas.text(0, top + high / 2 - 6, text, {**TEXT, "baseline": "middle", "fontSize": 12})
    for column, (before, after) in enumerate(captions):
        pixels = (images[column], added[column], adversarial[column])
        for top, values, lines in zip(tops, pixels, (before, [], after), strict=True):
            x, caption = LABEL_WIDTH + column * STEP, [printable(line) for line in lines]
            whole = np.rint(values).clip(0, GREY_LEVELS).astype("uint8")
            canvas.picture(whole, SIDE, x, top, ", ".join(caption) or "perturbation")
            caption = [shortened(line, CAPTION_LETTERS) for line in caption]
            canvas.text(x, top + high + 6, caption)
    levels = f"{strength * GREY_LEVELS:.4g} of {GREY_LEVELS} grey levels"
    subtitle = (
        f"no pixel changed by more than {levels}; the perturbation is shown {factor} times as "
        "strong, grey where nothing changes"
    )
    width, height = LABEL_WIDTH + len(images) * STEP, tops[2] + high + 24
    return canvas.chart(width, height, title, subtitle, f"{title}; {subtitle}.")


def _accuracy_lines(rows: Rows, names: Sequence[str], axis_title: str) -> list[alt.Chart]:
    """Return the layers of a panel of accuracy against strength; `names` are all its series."""
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
    looks = dict(zip(names, LOOKS, strict=False))
    axes, dots = {"x": x, "y": y}, (55, alt.value(1))
    return lines_and_points(rows, "series", looks, axes, legend, tooltip, dots=dots)

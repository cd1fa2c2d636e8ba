"""Accuracy against the strength of a change or an attack, and pictures that were attacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.canvas import canvas, picture_row, pictures, scaled, texts
from modelzoo.charts.curves import lines_and_points
from modelzoo.charts.style import (
    GREY,
    LOOKS,
    Chart,
    data_of,
    distinct_names,
    message,
    printable,
    shortened,
    styled,
)
from modelzoo.support.errors import InputError

MOST_SERIES = len(LOOKS)
METHOD_TITLES = {"fgsm": "FGSM", "pgd": "PGD"}
GREY_LEVELS = 255
CAPTION_LETTERS = 20  # as many fit below a picture
SIDE, LABEL_WIDTH, STEP = 112, 116, 136  # pixels: a picture, the labels, from picture to picture


def corruption_curves(
    rows: Sequence[Mapping[str, Any]], axis_titles: Mapping[str, str], title: str
) -> Chart:
    """Return a panel a kind of change, and in each a line a network.

    Args:
        rows: with `model`, `kind`, `strength` from 0, and `accuracy`, 0 to 1.
        axis_titles: of the strength, with its unit, by kind; the panels come in their order.
        title: of the whole chart.

    Raises:
        InputError: more networks than can be told apart.
    """
    names = list(dict.fromkeys(str(row["model"]) for row in rows))
    kinds = [kind for kind in axis_titles if any(row["kind"] == kind for row in rows)]
    alone = len(kinds) == 1
    size = {"width": 520 if alone else 300, "height": 320 if alone else 210}
    panels = []
    for kind in kinds:
        shown = [{**row, "series": str(row["model"])} for row in rows if row["kind"] == kind]
        layers = _accuracy_lines(shown, names, axis_titles[kind])
        panels.append(alt.layer(*layers).properties(**size))
    described = f"{title}, for {', '.join(distinct_names(names))}."
    if alone:
        return styled(panels[0].properties(title=title), described)
    chart = alt.concat(*panels, columns=2, spacing={"row": 24, "column": 30}, title=title)
    return styled(chart.resolve_scale(color="shared", shape="shared"), described)


def attack_curves(rows: Sequence[Mapping[str, Any]], title: str, chance: float) -> Chart:
    """Return accuracy against the strength of the attack, a line a method.

    Args:
        rows: with `method` ("fgsm" or "pgd"), `strength` as a share of 0..255, and `accuracy`.
        title: names the network and the pictures.
        chance: accuracy of guessing: 1 / classes.
    """
    shown = [{**row, "series": METHOD_TITLES[row["method"]]} for row in rows]
    names = list(dict.fromkeys(row["series"] for row in shown))
    axis_title = "Strength: largest change of a pixel, as a share of its range 0..255"
    chart = alt.layer(*_guessing(chance), *_accuracy_lines(shown, names, axis_title))
    return styled(chart.properties(width=520, height=320, title=title), f"{title}.")


def _accuracy_lines(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], axis_title: str
) -> list[alt.Chart]:
    """Return the layers of a panel of accuracy from 0 to 100% against strength.

    Args:
        rows: with `series`, `strength` and `accuracy`.
        names: all series, in the order of the legend.
        axis_title: of the strength, with its unit.

    Raises:
        InputError: more series than can be told apart.
    """
    if len(names) > MOST_SERIES:
        raise InputError(
            f"{len(names)} lines in one chart cannot be told apart: at most {MOST_SERIES}"
        )
    shown = dict(zip(names, distinct_names(names), strict=True))
    strengths = sorted({float(row["strength"]) for row in rows})
    whole = all(strength.is_integer() for strength in strengths)
    ticks = {"values": strengths, "format": "d"} if whole else {"tickCount": 7}
    x = alt.X("strength:Q", title=axis_title).axis(grid=False, labelOverlap=True, **ticks)
    y = alt.Y("accuracy:Q", title="Accuracy").scale(domain=[0, 1]).axis(format="%", tickCount=6)
    legend = alt.Legend(
        title=None, orient="top", symbolSize=90, labelLimit=300, columns=3, symbolStrokeWidth=2
    )
    return lines_and_points(
        [{**row, "series": shown[row["series"]]} for row in rows],
        {"x": x, "y": y},
        dict(zip(shown.values(), LOOKS, strict=False)),
        legend,
        55,
        opacity=alt.value(1),
        tooltip=[
            alt.Tooltip("series:N", title="Line"),
            alt.Tooltip("strength:Q", title=axis_title),
            alt.Tooltip("accuracy:Q", title="Accuracy", format=".2%"),
        ],
    )


def _guessing(chance: float) -> list[alt.Chart]:
    """Return a line at the accuracy of guessing, with its name at the left end, below all lines."""
    base = alt.Chart(data_of([{"accuracy": chance, "text": f"guessing: {100 * chance:.3g}%"}]))
    rule = base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(y="accuracy:Q")
    text = base.mark_text(color=GREY, align="left", baseline="bottom", dx=5, dy=-3, aria=False)
    return [rule, text.encode(y="accuracy:Q", x=alt.value(0), text="text:N")]


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
    """Return pictures in a row, below them what was added, magnified, and below that the sums.

    Args:
        images: uint8, (n, height, width, channels) with 1 or 3 channels.
        adversarial: float32 in 0..255, of the same shape; rounded to whole grey levels here.
        captions: the lines below each picture, and those below its adversarial one.
        strength: of the attack, above 0: the largest change as a share of 0..255.
        title: names attack and network.

    Raises:
        InputError: the shapes or lengths differ.
    """
    if images.shape != adversarial.shape or len(images) != len(captions):
        raise InputError(
            f"adversarial_pictures: {images.shape} and {adversarial.shape} pictures, "
            f"{len(captions)} captions"
        )
    if not len(images):
        return message("No picture.")
    factor = magnification(strength)
    added = GREY_LEVELS / 2 + factor * (adversarial - images.astype("float32"))
    high, _ = scaled(images.shape[1:], SIDE)
    tops = (0, high + 48, 2 * high + 64)  # those in the middle have no caption
    shown, below = [], []
    for column, (before, after) in enumerate(captions):
        lines: list[tuple[np.ndarray, Sequence[str]]] = [
            (images[column], before),
            (np.rint(added[column]).clip(0, GREY_LEVELS), []),
            (np.rint(adversarial[column]), after),
        ]
        for top, (pixels, caption) in zip(tops, lines, strict=True):
            x, caption = LABEL_WIDTH + column * STEP, [printable(text) for text in caption]
            alternative = ", ".join(caption) or "perturbation"
            shown.append(picture_row(pixels.astype("uint8"), SIDE, x, top, alternative))
            caption = [shortened(text, CAPTION_LETTERS) for text in caption]
            below.append({"x": x, "y": top + high + 6, "text": caption})
    names = [["picture"], ["+ perturbation", f"({factor} times)"], ["= adversarial", "picture"]]
    beside = [
        {"x": 0, "y": top + high / 2 - 6, "text": text}
        for top, text in zip(tops, names, strict=True)
    ]
    levels = f"{strength * GREY_LEVELS:.4g} of {GREY_LEVELS} grey levels"
    subtitle = (
        f"no pixel changed by more than {levels}; the perturbation is shown {factor} times as "
        "strong, grey where nothing changes"
    )
    layers = [texts(beside, baseline="middle", fontSize=12), *pictures(shown), texts(below)]
    size = LABEL_WIDTH + len(images) * STEP, tops[2] + high + 24
    return canvas(layers, size, title, subtitle, f"{title}; {subtitle}.")

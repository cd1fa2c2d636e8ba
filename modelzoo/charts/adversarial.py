"""Attacks: accuracy against strength, and pictures with what was added to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.pictures import (
    PICTURE_PIXELS,
    as_url,
    captions_at,
    pictures_at,
    placed,
    shortened,
)
from modelzoo.charts.robustness import accuracy_lines
from modelzoo.charts.style import INK, Chart, data_of, message, printable, styled
from modelzoo.errors import InputError

METHOD_TITLES = {"fgsm": "FGSM", "pgd": "PGD"}
GREY_LEVELS = 255
CAPTION_LETTERS = 20  # as many fit below a picture
LABEL_WIDTH, STEP, ROW = 116, PICTURE_PIXELS + 24, PICTURE_PIXELS + 48


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
    chart = accuracy_lines(shown, names, axis_title, chance=chance)
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
    added = adversarial - images.astype("float32")
    grey = np.clip(np.rint(GREY_LEVELS / 2 + factor * added), 0, GREY_LEVELS).astype("uint8")
    rounded = np.rint(adversarial).astype("uint8")
    rows = []
    for column in range(len(images)):
        before, after = captions[column]
        for line, (pixels, caption) in enumerate(
            [(images[column], before), (grey[column], []), (rounded[column], after)]
        ):
            rows.append(
                {
                    "picture": as_url(pixels, PICTURE_PIXELS),
                    "x": LABEL_WIDTH + column * STEP,
                    "y": _top(line),
                    "caption": [shortened(printable(text), CAPTION_LETTERS) for text in caption],
                    "alternative": ", ".join(printable(text) for text in caption) or "perturbation",
                }
            )
    levels = f"{strength * GREY_LEVELS:.4g} of {GREY_LEVELS} grey levels"
    subtitle = (
        f"no pixel changed by more than {levels}; the perturbation is shown {factor} times as "
        "strong, grey where nothing changes"
    )
    base = placed(rows)
    layers = [*_labels(factor), pictures_at(base), captions_at(base, "caption", 6)]
    chart = alt.layer(*layers).properties(
        width=LABEL_WIDTH + len(images) * STEP,
        height=_top(2) + PICTURE_PIXELS + 24,
        title=alt.TitleParams(title, subtitle=subtitle),
        view={"stroke": None},
    )
    return styled(chart, f"{title}; {subtitle}.")


def _top(line: int) -> int:
    """Return where a row of pictures begins; the perturbations in the middle have no caption."""
    return [0, ROW, ROW + PICTURE_PIXELS + 16][line]


def _labels(factor: int) -> list[alt.Chart]:
    rows = [
        {"y": _top(line) + PICTURE_PIXELS / 2, "text": text}
        for line, text in enumerate(
            [["picture"], ["+ perturbation", f"({factor} times)"], ["= adversarial", "picture"]]
        )
    ]
    chart = alt.Chart(data_of(rows)).mark_text(
        align="left", baseline="middle", fontSize=12, color=INK, dy=-6
    )
    y = alt.Y("y:Q", scale=None, axis=None)
    return [chart.encode(x=alt.value(0), y=y, text="text:N")]

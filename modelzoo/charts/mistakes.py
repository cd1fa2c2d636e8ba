"""The most confident mistakes, as pictures."""

import math
from collections.abc import Sequence

import numpy as np

from modelzoo.charts.canvas import Row, canvas, picture_row, pictures, scaled, texts
from modelzoo.charts.style import Chart, message, printable, shortened
from modelzoo.support.errors import InputError

MISTAKES_SHOWN = 24
SIDE, COLUMNS = 112, 6  # pixels of a picture's longer side; pictures in a row
CAPTION_LETTERS = 22  # as many fit below a picture


def mistakes(
    images: np.ndarray,
    true: Sequence[str],
    predicted: Sequence[str],
    confidence: Sequence[float],
    *,
    total: int | None = None,
) -> Chart:
    """Return the most confident mistakes as pictures, at most 24.

    Args:
        images: uint8, shape (n, height, width, channels) with 1, 3 or 4 channels.
        true: the right class of each.
        predicted: the class that the network gave.
        confidence: its probability for that, from 0 to 1; NaN, in the order given, if it has none.
        total: how many mistakes there were, if `images` are a choice of them.

    Raises:
        InputError: the images are not uint8 pictures, or the four lengths differ.
    """
    images = np.asarray(images)
    _check(images, len(true), len(predicted), len(confidence))
    total = len(images) if total is None else total
    if not len(images):
        return message("No mistakes.")
    certain = np.nan_to_num(np.asarray(confidence, float))
    order = np.argsort(-certain, kind="stable")[:MISTAKES_SHOWN]
    captions = [_caption(predicted[index], confidence[index]) for index in order]
    columns, has_two_lines = min(COLUMNS, len(order)), any(len(lines) > 1 for lines in captions)
    high, _ = scaled(images.shape[1:], SIDE)
    step, line_height = SIDE + 28, high + (66 if has_two_lines else 52)
    shown: list[Row] = []
    truths, answers = [], []
    for place, (index, caption) in enumerate(zip(order, captions, strict=True)):
        x, y = place % columns * step, place // columns * line_height
        truth = f"true: {printable(str(true[index]))}"
        alternative = f"{truth}, {' '.join(caption)}"
        shown.append(picture_row(images[index], SIDE, x, y, alternative, most=SIDE + 16))
        truths.append({"x": x, "y": y + high + 6, "text": shortened(truth, CAPTION_LETTERS)})
        text = [shortened(line, CAPTION_LETTERS) for line in caption]
        answers.append({"x": x, "y": y + high + 22, "text": text})
    size = columns * step, math.ceil(len(order) / columns) * line_height
    chosen = f"The {len(order)} most confident of {total:,} mistakes"
    title = chosen if total > len(order) > 1 else f"Mistakes: {total:,}, the most confident first"
    layers = [
        *pictures(shown),
        texts(truths),
        texts(answers, color="#a33f00", fontWeight="bold"),
    ]
    return canvas(layers, size, title)


def _caption(answer: str, confidence: float) -> list[str]:
    """Return the line below a picture, or two where the confidence needs one of its own."""
    caption = f"read as: {printable(str(answer))}"
    if np.isnan(confidence):
        return [caption]
    share = f"({confidence:.1%})"
    whole = f"{caption} {share}"
    return [whole] if len(whole) <= CAPTION_LETTERS else [caption, share]


def _check(images: np.ndarray, *lengths: int) -> None:
    pictures = images.ndim == 4 and images.dtype == np.uint8 and images.shape[3] in (1, 3, 4)
    if len(images) and not pictures:
        raise InputError(
            f"mistakes: images of shape {images.shape} and type {images.dtype}: give uint8 "
            "pictures of shape (n, height, width, channels) with 1, 3 or 4 channels"
        )
    if set(lengths) != {len(images)}:
        raise InputError(f"mistakes: {len(images)} images, but {lengths} labels and confidences")

"""An answer as HTML. All pictures are inside it: nothing is written to the disk or fetched."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # it starts the framework
    from modelzoo.data.images import PreparedImage
    from modelzoo.demo.answer import Adversarial, Answer, Network

MINUS = "\N{MINUS SIGN}"


def headline(network: Network, answer: Answer) -> str:
    """Return the predicted class, its value, and a mark on an uncertain one."""
    best = int(answer.values.argmax())
    value = shown_value(answer.values[best], network.unit)
    name = html.escape(network.class_names[best])
    mark = " (uncertain)" if network.is_uncertain(answer) else ""
    return f'<p class="mz-headline"><strong>{name}</strong> {network.unit} {value}{mark}</p>'


def no_class(given: PreparedImage) -> str:
    """Return why an image that shows nothing gets no class."""
    return f'<p class="mz-headline">No class: {html.escape(given.problem)}</p>'


def bars(network: Network, answer: Answer, given: PreparedImage) -> str:
    """Return the value of each class, and the picture that the network was given."""
    values = answer.values.astype(float)
    low = 0.0 if network.unit == "probability" else float(values.min())
    high = 1.0 if network.unit == "probability" else float(values.max())
    best = int(values.argmax())
    rows = []
    for index, (name, value) in enumerate(zip(network.class_names, values, strict=True)):
        width = 100 * (value - low) / max(high - low, 1e-9)
        rows.append(
            f'<li class="{"mz-best" if index == best else ""}">'
            f'<span class="mz-name">{html.escape(name)}</span>'
            f'<span class="mz-track" aria-hidden="true"><span style="width:{width:.1f}%"></span>'
            f'</span><span class="mz-value">{shown_value(value, network.unit)}</span></li>'
        )
    title = "Probabilities" if network.unit == "probability" else "Scores"
    hint = (
        ""
        if network.unit == "probability"
        else '<p class="mz-note">This network has no softmax: the largest score wins, '
        "but a score is no probability. Bars reach from the smallest to the largest.</p>"
    )
    size = "{}x{}".format(*given.pixels.shape[:2])
    picture = figure(given.pixels, f"What the network is given: {size} pixels", 112)
    notes = html.escape("; ".join(given.notes))
    wide = max(map(len, network.class_names)) > 2
    return (
        f'<h2>{title}</h2>{hint}<div class="mz-sides">'
        f'<ol class="mz-bars{" mz-wide" if wide else ""}">{"".join(rows)}</ol>{picture}</div>'
        + (f'<p class="mz-note">Picture: {notes}.</p>' if notes else "")
    )


def feature_maps(network: Network, answer: Answer) -> str:
    """Return a picture for each layer, labelled with the layer, its kind and its shape."""
    figures = [
        _layer_figure(name, network.kinds[name], values) for name, values in answer.features.items()
    ]
    return (
        "<h2>Feature maps of each layer</h2>"
        '<p class="mz-note">In each layer, white is the largest value and black is 0; where '
        "values are negative too, 0 is the grey half-way.</p>"
        f'<div class="mz-maps">{"".join(figures)}</div>'
    )


def _layer_figure(name: str, kind: str, values: np.ndarray) -> str:
    picture, low, high = mosaic(values)
    height, width = picture.shape[:2]
    factor = max(1, min(12, 600 // width, 200 // height))
    shape = f"{values.size} units"
    if has_maps(values):
        shape = "{2} maps of {0}x{1}".format(*values.shape)
    least = 0.0005 * max(abs(low), abs(high))  # what is so near to 0 is drawn as 0
    extent = " to ".join(
        shown_value(0.0 if abs(end) < least else end, "score") for end in (low, high)
    )
    return (
        f"<figure><figcaption><strong>{html.escape(name)}</strong> {shape} "
        f"<small>{html.escape(kind)}, {extent}</small></figcaption>"
        f'<img class="{"mz-fine" if factor == 1 else ""}" src="{data_uri(picture)}" '
        f'width="{factor * width}" height="{factor * height}" '
        f'alt="{html.escape(name)}: {shape}, {extent}"></figure>'
    )


def has_maps(values: np.ndarray) -> bool:
    """Whether a layer puts out maps (height, width, maps); maps of one pixel count as units."""
    return values.ndim == 3 and values.shape[:2] != (1, 1)


def adversarial_pictures(
    network: Network, answer: Answer, pixels: np.ndarray, adversarial: Adversarial, strength: float
) -> str:
    """Return the picture, its change, magnified, and the sum, with both answers."""
    change = adversarial.pixels - pixels
    largest = float(np.abs(change).max())
    factor = 127 / largest if largest else 1.0
    before, after = (_best(network, values) for values in (answer.values, adversarial.values))
    fooled = int(answer.values.argmax()) != int(adversarial.values.argmax())
    verdict = (
        f"The changed picture is taken for <strong>{after}</strong>."
        if fooled
        else f"It takes more than this: the answer stays <strong>{after}</strong>."
    )
    figures = [
        figure(pixels, f"Picture: {before}", 140),
        figure(np.rint(128 + factor * change), f"Change, magnified {factor:.3g} times", 140),
        figure(np.rint(adversarial.pixels), f"Changed picture: {after}", 140),
    ]
    return (
        f'<p class="mz-verdict">{verdict}</p><div class="mz-row">{"".join(figures)}</div>'
        f'<p class="mz-note">No pixel changes by more than {255 * strength:.1f} of 255 '
        "(fast gradient sign method).</p>"
    )


def mosaic(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Lay the maps of a layer side by side.

    Args:
        values: (height, width, maps), or (units,), which become one map.

    Returns:
        Grey and opacity, uint8 (height, width, 2), a transparent pixel between maps; and the
        smallest and the largest value.
    """
    low, high = float(values.min()), float(values.max())
    black, white = (-max(-low, high), max(-low, high)) if low < 0 else (0.0, high)
    grey = np.clip((values - black) * (255 / max(white - black, 1e-12)), 0, 255)
    maps = np.moveaxis(grey, -1, 0) if has_maps(values) else grey.reshape(1, _rows(grey.size), -1)
    count, height, width = maps.shape
    rows = _rows(count)
    columns = count // rows
    canvas = np.zeros((rows, height + 1, columns, width + 1, 2), np.uint8)
    tiles = np.rint(maps).reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    canvas[:, :height, :, :width, 0] = tiles
    canvas[:, :height, :, :width, 1] = 255
    return canvas.reshape(rows * (height + 1), -1, 2)[:-1, :-1], low, high


def _rows(count: int) -> int:
    """Return the rows of a full grid of `count` things, at least four times as wide as high."""
    return max(n for n in range(1, count + 1) if n == 1 or (count % n == 0 and 4 * n * n <= count))


def figure(pixels: np.ndarray, caption: str, width: int) -> str:
    """Return a picture (height, width, channels) in 0..255 with its caption below."""
    text = html.escape(caption)
    return (
        f'<figure><img src="{data_uri(pixels.astype(np.uint8))}" width="{width}" '
        f'height="{width * pixels.shape[0] // pixels.shape[1]}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def data_uri(pixels: np.ndarray) -> str:
    """Return uint8 pixels, of 1 (grey), 2 (grey and opacity) or 3 channels, as a PNG data URI."""
    file = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def shown_value(value: float, unit: Literal["probability", "score"]) -> str:
    """Return a value as people read it."""
    return (f"{value:.1%}" if unit == "probability" else f"{value:.3g}").replace("-", MINUS)


def _best(network: Network, values: np.ndarray) -> str:
    best = int(values.argmax())
    name = html.escape(network.class_names[best])
    return f"{name} ({shown_value(values[best], network.unit)})"

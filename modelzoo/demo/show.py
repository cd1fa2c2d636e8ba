"""An answer as HTML. All images are inside it: nothing is written to the disk or fetched."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.charts import canvas
from modelzoo.charts.style import number_text

if TYPE_CHECKING:  # it starts the framework
    from modelzoo.data.images import PreparedImage
    from modelzoo.demo.page import Network


def headline(network: Network, values: np.ndarray) -> str:
    """Return the predicted class, its value, and a mark on an uncertain one."""
    from modelzoo.training.evaluation import is_uncertain

    name, value = _best(network, values)
    mark = " (uncertain)" if is_uncertain(map(float, values), network.unit) else ""
    return f'<p class="mz-headline"><strong>{name}</strong> {network.unit} {value}{mark}</p>'


def bars(network: Network, values: np.ndarray, given: PreparedImage) -> str:
    """Return the value of each class, and the image that the network was given."""
    title, hint, low, high = "Probabilities", "", 0.0, 1.0
    if network.unit == "score":
        title, low, high = "Scores", float(values.min()), float(values.max())
        hint = (
            '<p class="mz-note">This network has no softmax: the largest score wins, '
            "but a score is no probability. Bars reach from the smallest to the largest.</p>"
        )
    rows = []
    for index, name in enumerate(network.class_names):
        value = float(values[index])
        width = 100 * (value - low) / max(high - low, 1e-9)
        rows.append(
            f'<li class="{"mz-best" if index == values.argmax() else ""}">'
            f'<span class="mz-name">{html.escape(name)}</span>'
            f'<span class="mz-track" aria-hidden="true"><span style="width:{width:.1f}%"></span>'
            f'</span><span class="mz-value">{shown_value(value, network.unit)}</span></li>'
        )
    size = "{}x{}".format(*given.pixels.shape[:2])
    picture = figure(given.pixels, f"What the network is given: {size} pixels", 112)
    notes = html.escape("; ".join(given.notes))
    wide = max(map(len, network.class_names)) > 2
    return (
        f'<h2>{title}</h2>{hint}<div class="mz-sides">'
        f'<ol class="mz-bars{" mz-wide" if wide else ""}">{"".join(rows)}</ol>{picture}</div>'
        + (f'<p class="mz-note">Image: {notes}.</p>' if notes else "")
    )


def feature_maps(network: Network, features: dict[str, np.ndarray]) -> str:
    """Return an image for each layer, labelled with the layer, its kind and its shape."""
    figures = []
    for name, values in features.items():
        picture, low, high = mosaic(values)
        height, width = picture.shape[:2]
        factor = max(1, min(12, 600 // width, 200 // height))
        shape = f"{values.size} units"
        if has_maps(values):
            shape = "{2} maps of {0}x{1}".format(*values.shape)
        least = 0.0005 * max(abs(low), abs(high))  # what is so near to 0 is drawn as 0
        ends = [0.0 if abs(end) < least else end for end in (low, high)]
        extent = " to ".join(shown_value(end, "score") for end in ends)
        name, kind = html.escape(name), html.escape(network.kinds[name])
        figures.append(
            f"<figure><figcaption><strong>{name}</strong> {shape} "
            f"<small>{kind}, {extent}</small></figcaption>"
            f'<img class="{"mz-fine" if factor == 1 else ""}" src="{data_uri(picture)}" '
            f'width="{factor * width}" height="{factor * height}" '
            f'alt="{name}: {shape}, {extent}"></figure>'
        )
    return (
        "<h2>Feature maps of each layer</h2>"
        '<p class="mz-note">In each layer, white is the largest value and black is 0; where '
        "values are negative too, 0 is the grey half-way.</p>"
        f'<div class="mz-maps">{"".join(figures)}</div>'
    )


def has_maps(values: np.ndarray) -> bool:
    """Whether a layer puts out maps (height, width, maps); maps of one pixel count as units."""
    return values.ndim == 3 and values.shape[:2] != (1, 1)


def adversarial_pictures(
    network: Network,
    before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray],
    strength: float,
) -> str:
    """Return an image, its change, magnified, and the sum; `before` and `after` have answers."""
    (pixels, values), (changed, new_values) = before, after
    change = changed - pixels
    largest = float(np.abs(change).max())
    factor = 127 / largest if largest else 1.0
    answer, new_answer = ("{} ({})".format(*_best(network, each)) for each in (values, new_values))
    if values.argmax() != new_values.argmax():
        verdict = f"The changed image is taken for <strong>{new_answer}</strong>."
    else:
        verdict = f"It takes more than this: the answer stays <strong>{new_answer}</strong>."
    figures = [
        figure(pixels, f"Image: {answer}", 140),
        figure(np.rint(128 + factor * change), f"Change, magnified {factor:.3g} times", 140),
        figure(np.rint(changed), f"Changed image: {new_answer}", 140),
    ]
    return (
        f'<p class="mz-verdict">{verdict}</p><div class="mz-row">{"".join(figures)}</div>'
        f'<p class="mz-note">No pixel changes by more than {255 * strength:.1f} of 255 '
        "(fast gradient sign method).</p>"
    )


def mosaic(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Lay the maps (height, width, maps) of a layer side by side; (units,) become one map.

    The result is grey and opacity, uint8 (height, width, 2), with transparent pixels between maps;
    the smallest and the largest value come with it.
    """
    low, high = float(values.min()), float(values.max())
    black, white = (-max(-low, high), max(-low, high)) if low < 0 else (0.0, high)
    grey = np.clip((values - black) * (255 / max(white - black, 1e-12)), 0, 255)
    maps = np.moveaxis(grey, -1, 0) if has_maps(values) else grey.reshape(1, _rows(grey.size), -1)
    count, height, width = maps.shape
    rows = _rows(count)
    columns = count // rows
    grid = np.zeros((rows, height + 1, columns, width + 1, 2), np.uint8)
    tiles = np.rint(maps).reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    grid[:, :height, :, :width, 0] = tiles
    grid[:, :height, :, :width, 1] = 255
    return grid.reshape(rows * (height + 1), -1, 2)[:-1, :-1], low, high


def _rows(count: int) -> int:
    """Return the rows of a full grid of `count` things, at least four times as wide as high."""
    return max(n for n in range(1, count + 1) if n == 1 or (count % n == 0 and 4 * n * n <= count))


def figure(pixels: np.ndarray, caption: str, width: int) -> str:
    """Return an image (height, width, channels) in 0..255 with its caption below."""
    text = html.escape(caption)
    return (
        f'<figure><img src="{data_uri(pixels.astype(np.uint8))}" width="{width}" '
        f'height="{width * pixels.shape[0] // pixels.shape[1]}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def data_uri(pixels: np.ndarray) -> str:
    """Return uint8 pixels, of 1 (grey), 2 (grey and opacity) or 3 channels, as a PNG data URI."""
    return canvas.data_uri(canvas.image_of(pixels), "PNG", compress_level=1)


def shown_value(value: float, unit: str) -> str:
    """Return a probability or a score as people read it."""
    return f"{value:.1%}" if unit == "probability" else number_text(value)


def _best(network: Network, values: np.ndarray) -> tuple[str, str]:
    """Return the name of the predicted class, escaped, and its value."""
    best = int(values.argmax())
    return html.escape(network.class_names[best]), shown_value(values[best], network.unit)

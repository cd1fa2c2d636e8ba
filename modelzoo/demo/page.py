"""The page itself, made with Gradio: what is on it, which event calls what, an answer as HTML.

The drawing area is our own canvas in Gradio's HTML component. Gradio's image editor brings layers,
tools and zoom that are not needed here, can't be used by keyboard, tells of a stroke only when it
is over, and uploads every drawing as a file; this one sends a small PNG inside the event. The
images of an answer are inside its HTML: nothing is written to the disk or fetched.
"""

import base64
import contextlib
import html
import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from msgspec.structs import asdict

from modelzoo.analysis.attacks import fgsm
from modelzoo.analysis.explain import before_softmax, on_pictures
from modelzoo.analysis.seeing import UNCHANGED
from modelzoo.api import class_names
from modelzoo.charts import canvas
from modelzoo.charts.style import asset, number_text
from modelzoo.data.images import PreparedImage, read_image
from modelzoo.demo import MAX_FILE_BYTES
from modelzoo.support.errors import InputError
from modelzoo.support.terminal import say
from modelzoo.training.evaluation import is_uncertain, unit_of
from modelzoo.training.resolve import Source

TITLE = "Draw a digit and watch a network answer"
INVITATION = (
    "<p>Draw a digit, or choose one of the ten below the sheet. What a network makes of it "
    "appears here, while you draw.</p>"
)
STRENGTH = 0.1
MOST_STRENGTH = 0.3
MOST_WAITING = 20  # questions at once, whoever asks; each may hold an image of MAX_FILE_BYTES
FONTS = ("Helvetica Neue", "Arial", "Liberation Sans", "sans-serif")  # none has to be fetched
MONOSPACE = ("Consolas", "Menlo", "Liberation Mono", "monospace")


class Network:
    """A trained network that answers one image at a time, traced when it is made."""

    def __init__(self, source: Source) -> None:
        self.config = config = source.config
        self.class_names = class_names(config)
        model = source.build()
        shown = [each for each in model.layers if type(each).__name__ not in UNCHANGED]
        self.kinds = {layer.name: type(layer).__name__ for layer in shown}
        outputs = [*(layer.output for layer in shown), model.output]
        self._all_outputs = on_pictures(keras.Model(model.inputs, outputs), config)
        self._scores: Any = on_pictures(before_softmax(model), config)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # One operation after the other, LeNet-5 spends most of its time between them.
            # TensorFlow makes one function of them all, and another of their gradients.
            self._scores = tf.function(self._scores.__call__)
        blank = np.zeros(config.image_shape, np.uint8)
        values, _ = self.answer(blank)
        self.adversarial(blank, label=0, strength=0.1)
        self.unit = unit_of(values[np.newaxis])

    def answer(self, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the outputs (classes,) for an image in 0..255, and what each layer puts out."""
        outputs = self._all_outputs.predict_on_batch(np.asarray(pixels, "float32")[np.newaxis])
        *features, values = [np.asarray(output[0], "float32") for output in outputs]
        return values, dict(zip(self.kinds, features, strict=True))

    def adversarial(self, pixels: np.ndarray, label: int, strength: float) -> np.ndarray:
        """Return the image changed so that a class becomes less likely, float32 in 0..255."""
        return fgsm(self._scores, pixels[np.newaxis], np.array([label]), strength)[0]


Parts = tuple[str, str, str, str]  # HTML: headline, values, feature maps, adversarial version


def answer(
    networks: Mapping[str, Network], picture: str | None, chosen: str, strength: float
) -> Parts:
    """Return what the page shows for an image; what goes wrong is a message on it.

    `picture` is the data URL of a file, or nothing; `strength` a share (0..1) of 0..255.
    """
    try:
        network = networks[chosen]
        if not picture:
            return INVITATION + about(network), "", "", ""
        config = network.config  # prepared as `modelzoo.predict` does
        given = read_image(picture_bytes(picture), config.image_shape, **asdict(config.image))
        if given.problem:
            problem = f'<p class="mz-headline">No class: {html.escape(given.problem)}</p>'
            return problem + about(network), "", "", ""
        values, features = network.answer(given.pixels)
        changed = network.adversarial(given.pixels, int(values.argmax()), strength)
        after = changed, network.answer(changed)[0]
        return (
            show_headline(network, values) + about(network),
            bars(network, values, given),
            feature_maps(network, features),
            adversarial_pictures(network, (given.pixels, values), after, strength),
        )
    except InputError as error:
        reason = str(error)
    except Exception as error:
        if os.environ.get("MODELZOO_DEBUG"):
            traceback.print_exc()
        say(f"modelzoo demo: {type(error).__name__}: {str(error)[:500]}", file=sys.stderr)
        reason = "This could not be answered. The terminal says why."
    return f'<p class="mz-error" role="alert">{html.escape(reason)}</p>', "", "", ""


def about(network: Network) -> str:
    known = ", ".join(html.escape(name) for name in network.class_names)
    return f'<p class="mz-note">{html.escape(network.config.about.title)}. Knows: {known}.</p>'


def picture_bytes(url: str) -> bytes:
    head, _, content = url.partition(";base64,")
    if len(content) > MAX_FILE_BYTES * 4 // 3 + 4:
        raise InputError(
            f"The file has more than {MAX_FILE_BYTES // 1_000_000} MB. Make it smaller."
        )
    with contextlib.suppress(ValueError):  # no base64
        if head.startswith("data:"):
            return base64.b64decode(content, validate=True)
    raise InputError("No image arrived. Choose it again.")


def show_headline(network: Network, values: np.ndarray) -> str:
    name, value = _best(network, values)
    mark = " (uncertain)" if is_uncertain(map(float, values), network.unit) else ""
    return f'<p class="mz-headline"><strong>{name}</strong> {network.unit} {value}{mark}</p>'


def bars(network: Network, values: np.ndarray, given: PreparedImage) -> str:
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
    return f"{value:.1%}" if unit == "probability" else number_text(value)


def _best(network: Network, values: np.ndarray) -> tuple[str, str]:
    """Return the name of the predicted class, escaped, and its value."""
    best = int(values.argmax())
    return html.escape(network.class_names[best]), shown_value(values[best], network.unit)


def examples() -> list[dict[str, str]]:
    from modelzoo.data.known_sets import load_mnist5k

    digits = load_mnist5k()
    labels = digits.y_test.tolist()
    return [
        {"name": name, "picture": data_uri(digits.x_test[labels.index(label)])}
        for label, name in enumerate(digits.class_names)
    ]


def make_page(networks: Mapping[str, Network]) -> Any:
    """Return the page as an ASGI application, not yet guarded (see `serve.Guard`)."""
    # It imports the frameworks that it finds: the one that is wanted has been started before.
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY", "GRADIO_MCP_SERVER"):
        os.environ[name] = "False"  # nothing is sent anywhere
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # a library of Hugging Face comes with it
    gradio: Any = importlib.import_module("gradio")
    from fastapi import FastAPI

    labels = list(networks)
    with gradio.Blocks(title=f"modelzoo: {TITLE}", analytics_enabled=False) as blocks:
        gradio.HTML(f"<h1>{TITLE}</h1>", elem_classes="mz")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                pad = gradio.HTML(
                    "",
                    html_template=asset("pad.html", "modelzoo.demo"),
                    js_on_load=asset("pad.js", "modelzoo.demo"),
                    elem_classes="mz",
                    apply_default_css=False,
                    examples=examples(),
                    max_bytes=MAX_FILE_BYTES,
                )
            with gradio.Column(scale=2, min_width=280):
                network = gradio.Dropdown(
                    labels, value=labels[0], label="Network", filterable=False
                )
                headline = gradio.HTML(
                    INVITATION + about(networks[labels[0]]),
                    html_template='<div role="status">${value}</div>',
                    elem_classes="mz",
                )
                values = gradio.HTML(elem_classes="mz")
        gradio.HTML("<h2>An adversarial version</h2>", elem_classes="mz")
        strength = gradio.Slider(
            0,
            MOST_STRENGTH,
            value=STRENGTH,
            step=0.01,
            label="Strength: the most that a pixel changes, as a share of black to white",
        )
        adversarial = gradio.HTML(elem_classes="mz")
        maps = gradio.HTML(elem_classes="mz")
        inputs, outputs = [pad, network, strength], [headline, values, maps, adversarial]
        for event in (pad.input, network.change, strength.change):
            event(
                lambda *given: answer(networks, *given),
                inputs,
                outputs,
                show_progress="hidden",
                trigger_mode="always_last",  # while one answer is on its way, only the newest waits
                concurrency_id="answer",
                api_name=False,
            )
    blocks.queue(max_size=MOST_WAITING)
    application = FastAPI(openapi_url=None)
    return gradio.mount_gradio_app(
        application,
        blocks,
        path="/",
        show_error=False,
        max_file_size=1,  # byte: images come with the event, no file is uploaded
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        footer_links=[],
        theme=gradio.themes.Default(primary_hue="blue", font=FONTS, font_mono=MONOSPACE),
        css=asset("page.css", "modelzoo.demo"),
    )

"""The page itself, made with Gradio: what is on it, and which event calls what.

The drawing area is our own canvas in Gradio's HTML component. Gradio's image editor brings layers,
tools and zoom that are not needed here, can't be used by keyboard, tells of a stroke only when it
is over, and uploads every drawing as a file; this one sends a small PNG inside the event.
"""

from __future__ import annotations

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
from modelzoo.analysis.explain import before_softmax, changing_layers, on_pictures
from modelzoo.api import class_names
from modelzoo.charts.style import asset
from modelzoo.data.images import read_image
from modelzoo.demo import show
from modelzoo.demo.serve import MAX_FILE_BYTES
from modelzoo.support.errors import InputError
from modelzoo.support.terminal import say
from modelzoo.training.evaluation import unit_of
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
            show.headline(network, values) + about(network),
            show.bars(network, values, given),
            show.feature_maps(network, features),
            show.adversarial_pictures(network, (given.pixels, values), after, strength),
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
    """Return which classes a network knows."""
    known = ", ".join(html.escape(name) for name in network.class_names)
    return f'<p class="mz-note">{html.escape(network.config.about.title)}. Knows: {known}.</p>'


def picture_bytes(url: str) -> bytes:
    """Return the file in a data URL."""
    head, _, content = url.partition(";base64,")
    if len(content) > MAX_FILE_BYTES * 4 // 3 + 4:
        raise InputError(
            f"The file has more than {MAX_FILE_BYTES // 1_000_000} MB. Make it smaller."
        )
    with contextlib.suppress(ValueError):  # no base64
        if head.startswith("data:"):
            return base64.b64decode(content, validate=True)
    raise InputError("No image arrived. Choose it again.")


def examples() -> list[dict[str, str]]:
    """Return a handwritten digit of each class, with its name."""
    from modelzoo.data.known_sets import load_mnist5k

    digits = load_mnist5k()
    labels = digits.y_test.tolist()
    return [
        {"name": name, "picture": show.data_uri(digits.x_test[labels.index(label)])}
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


class Network:
    """A trained network that answers one image at a time, traced when it is made."""

    def __init__(self, source: Source) -> None:
        self.config = config = source.config
        self.class_names = class_names(config)
        model = source.build()
        shown = changing_layers(model)
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

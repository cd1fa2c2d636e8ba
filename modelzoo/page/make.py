"""Make the page: one HTML file with the networks, their weights and what computes them."""

import base64
import gzip
import os
import sys
import webbrowser
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import msgspec
import numpy as np

from modelzoo.charts.style import content_policy, json_in_script
from modelzoo.config import list_models, load_config
from modelzoo.data.known_sets import class_names, load_mnist5k
from modelzoo.networks import Network
from modelzoo.networks.backward import is_differentiated
from modelzoo.networks.layer import Layer, Shape, pair
from modelzoo.networks.reference.windows import margins
from modelzoo.page.show import show_page
from modelzoo.support.errors import InputError
from modelzoo.support.files import write_text
from modelzoo.training.engine import described_preprocessing
from modelzoo.training.resolve import Source, resolve

SCRIPTS = ("engine.js", "marks.js", "image.js", "page.js")
SMALL = 1_000_000  # bytes of a file of weights: a notebook keeps the page that it shows
LEFT_OUT = ("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer")


def demo(*models: str | Path) -> None:
    """Show the drawing page in a notebook: Jupyter, Colab or VS Code.

    Args:
        models: each NAME or NAME/WEIGHTS, a path to a YAML, or the folder of a run. By default the
            packaged weights of less than 1 MB. The notebook keeps the page in its output.

    Raises:
        InputError: no such network or weights, a layer that only Keras computes, or no IPython.

    Examples:
        >>> modelzoo.demo("lenet5/mnist", "lenet5_1998/mnist")
        <IPython.core.display.HTML object>
    """
    show_page(render(map(resolve, models or packaged_networks(SMALL))))


def open_page(names: Sequence[str], path: Path, *, browser: bool = True) -> int:
    """Write the page of networks, by default of those in the package, and open it in a browser.

    Returns the number of networks on it.
    """
    sources = [resolve(name) for name in names or packaged_networks()]
    write_page(sources, path)
    # Where there is no screen, a text browser would write over what is printed here.
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if browser and (screen or not sys.platform.startswith("linux")):
        webbrowser.open(path.resolve().as_uri())
    return len(sources)


def packaged_networks(most_bytes: int = sys.maxsize) -> list[str]:
    """Return the weights in the package whose file is not larger, LeNet-5 first."""
    names = [
        f"{model}/{entry.name}"
        for model in list_models()
        for entry in load_config(model).weights
        if "package" in entry.sources and (entry.bytes or 0) <= most_bytes
    ]
    return sorted(names, key=lambda name: not name.startswith("lenet5/"))


def write_page(sources: Iterable[Source], path: Path) -> None:
    """Write the page of networks, whole or not at all."""
    write_text(path, render(sources))


def render(sources: Iterable[Source]) -> str:
    """Return the page of networks."""
    described, weights = [], []
    for number, source in enumerate(sources):
        description, arrays = describe(source)
        described.append(description)
        block = f'<script type="text/plain" id="weights-{number}">{packed(arrays)}</script>'
        weights.append(block)
    script = "\n".join(map(asset, SCRIPTS))
    return Template(asset("page.html")).substitute(
        policy=content_policy(script),
        style=asset("page.css"),
        networks=json_in_script(described),
        examples=json_in_script(examples()),
        weights="\n".join(weights),
        script=script,
    )


def describe(source: Source) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return a network as `engine.js` takes it, and its weights in the same order.

    Raises InputError for one that NumPy does not compute: the engine has the same layers.
    """
    config, forward = source.config, source.forward()
    preprocessing = described_preprocessing(config)
    if preprocessing is None or forward is None:
        raise InputError(
            f"{source.label}: has layers that only Keras computes, so no page holds it"
        )
    networks = (preprocessing, forward.network)
    description = {
        "label": source.label,
        "title": config.about.title,
        "classes": class_names(config),
        "image_shape": config.image_shape,
        **msgspec.structs.asdict(config.image),
        "preprocessing": len(preprocessing.layers),
        "differentiated": all(map(is_differentiated, networks)),
        "layers": [layer for network in networks for layer in _layers(network)],
    }
    return description, [array for weights in forward.weights for array in weights.values()]


def _layers(network: Network) -> list[dict[str, Any]]:
    """Return each layer with its arguments, its shapes and how its window slides."""
    return [_layer(layer, inputs) for layer, inputs in network.with_inputs]


def _layer(layer: Layer, inputs: Shape) -> dict[str, Any]:
    arguments = msgspec.to_builtins(layer)
    rates = pair(arguments.get("dilation_rate", 1))
    window, strides = layer.window or (1, 1), layer.steps or (1, 1)
    spread: Any = tuple((side - 1) * rate + 1 for side, rate in zip(window, rates, strict=True))
    padding: Any = getattr(layer, "padding", "valid")
    is_maps = len(inputs) == 3
    return {
        **{name: value for name, value in arguments.items() if name not in LEFT_OUT},
        "kind": layer.kind,
        "input": inputs,
        "output": layer.output_shape(inputs),
        "window": window,
        "strides": strides,
        "rates": rates,
        "margins": margins(inputs[:2], spread, strides, padding) if is_maps else ((0, 0), (0, 0)),
        "weights": list(layer.weights(inputs).items()),
    }


def packed(arrays: Sequence[np.ndarray]) -> str:
    """Return float32 arrays, one after the other, as gzip in base64.

    All first bytes come first, then all second ones: what is alike stands together.
    """
    numbers = np.concatenate([np.empty(0, "f4"), *(array.ravel() for array in arrays)]).astype(
        "<f4"
    )
    planes = np.ascontiguousarray(numbers.view(np.uint8).reshape(-1, 4).T)
    return base64.b64encode(gzip.compress(planes.tobytes(), 6, mtime=0)).decode()


def examples() -> list[dict[str, str]]:
    """Return a handwritten digit of each class: its name, and 28x28 grey pixels in base64."""
    digits = load_mnist5k()
    labels = digits.y_test.tolist()
    return [
        {
            "name": name,
            "pixels": base64.b64encode(digits.x_test[labels.index(label)].tobytes()).decode(),
        }
        for label, name in enumerate(digits.class_names)
    ]


def asset(name: str) -> str:
    return resources.files("modelzoo.page").joinpath(name).read_text("utf-8")

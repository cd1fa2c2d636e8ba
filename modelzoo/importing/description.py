"""Read the description of a network that an old file carries, as plain JSON: a chain of layers.

Nothing is built from it and nothing in it is called. A layer that is not known here is refused by
its name, a Lambda above all: it holds code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelzoo.errors import InputError

MAX_LAYERS = 500
MAX_NESTING = 200  # of brackets in the JSON text
ACTIVATIONS = (
    "linear", "relu", "relu6", "tanh", "sigmoid", "softmax", "elu", "selu", "gelu", "silu",
    "softplus", "softsign", "hard_sigmoid", "exponential", "leaky_relu", "mish",
)  # fmt: skip
# Layers that leave a picture as it is when a network is used, not trained.
ONLY_FOR_TRAINING = {
    "ActivityRegularization", "GaussianNoise", "GaussianDropout", "AlphaDropout",
    "SpatialDropout2D", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
    "RandomContrast", "RandomBrightness",
}  # fmt: skip
KNOWN = {
    "InputLayer", "Conv2D", "Convolution2D", "MaxPooling2D", "MaxPool2D", "AveragePooling2D",
    "AvgPool2D", "Flatten", "Dense", "Dropout", "BatchNormalization", "BatchNormalizationV1",
    "BatchNormalizationV2", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "ZeroPadding2D",
    "Rescaling", "Normalization", "Reshape", *ONLY_FOR_TRAINING,
}  # fmt: skip
CODE = {"Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "TorchModuleWrapper",
        "TFSMLayer", "JaxLayer", "FlaxLayer"}  # fmt: skip
SAME_LAYER = {
    "Convolution2D": "Conv2D", "MaxPool2D": "MaxPooling2D", "AvgPool2D": "AveragePooling2D",
    "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer as a file describes it: its Keras class, its name, its plain settings."""

    kind: str
    name: str
    config: dict[str, Any]


def read_description(text: str, path: Path) -> tuple[list[Layer], list[int] | None]:
    """Return the layers of a network in order, and the shape of its input if the file says it.

    Args:
        text: `model_config`, as Keras 2.0 to 3.x write it.
        path: of the file, for messages.

    Raises:
        InputError: no JSON, a layer that is not known, or layers that do not form one chain.
    """
    layers = _chain(_parsed(text, path), path)
    shape: list[int] | None = None
    for layer in layers:
        found = layer.config.get("batch_input_shape") or layer.config.get("batch_shape")
        if isinstance(found, list) and shape is None:
            shape = _sizes(found[1:], path, layer)
    return [layer for layer in layers if layer.kind != "InputLayer"], shape


def activation_of(value: Any, path: Path, layer: Layer) -> str:
    """Return the name of an activation that a file gives as a text, a function or an object."""
    found = value
    if isinstance(value, dict):
        config = value.get("config")
        kind = str(value.get("class_name"))
        if kind in ("ReLU", "LeakyReLU", "ELU", "Softmax") and isinstance(config, dict):
            return activation_layer(Layer(kind, layer.name, config), path)
        if kind == "Activation" and isinstance(config, dict):
            found = config.get("activation")
        else:  # {"class_name": "function", "config": "softmax_v2"}
            found = config if isinstance(config, str) else kind
    if found is None:
        return "linear"
    name = re.sub(r"_v\d$", "", str(found))
    name = {"swish": "silu"}.get(name, name)
    if name not in ACTIVATIONS:
        raise InputError(
            f"{path}: layer {layer.name!r:.80}: {name!r:.80} is no activation of Keras; what it "
            "computes is not in the file, or is code, which is never run"
        )
    return name


def activation_layer(layer: Layer, path: Path) -> str:
    """Return the name of what an activation layer computes, if that has a name."""
    config = layer.config
    if layer.kind == "Activation":
        return activation_of(config.get("activation"), path, layer)
    slope = config.get("negative_slope", config.get("alpha", 0.3))
    if layer.kind == "ReLU":
        plain = not config.get("negative_slope") and not config.get("threshold")
        name = {None: "relu", 6: "relu6"}.get(config.get("max_value")) if plain else None
    elif layer.kind == "LeakyReLU":
        name = "leaky_relu" if isinstance(slope, float) and abs(slope - 0.2) < 1e-6 else None
    elif layer.kind == "ELU":
        name = "elu" if config.get("alpha", 1.0) == 1 else None
    else:
        name = "softmax" if config.get("axis", -1) in (-1, [-1]) else None
    if name is None:
        raise InputError(
            f"{path}: layer {layer.name!r:.80}: {layer.kind} with these settings is none of the "
            f"activations that a configuration can name: {', '.join(ACTIVATIONS)}"
        )
    return name


def _parsed(text: str, path: Path) -> Any:
    depth = deepest = 0
    # A text that is never closed runs to the end: to look for its end from each quote takes hours.
    for bracket in re.finditer(r'(?s)"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', text):
        first = bracket[0][0]
        depth += (first in "[{") - (first in "]}")
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING:
        raise InputError(f"{path}: model_config: nested {deepest:,} deep; no network is")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(
            f"{path}: model_config: is not JSON; the file does not describe a Keras network"
        ) from None


def _chain(value: Any, path: Path, nesting: int = 0) -> list[Layer]:
    """Return the layers of a Sequential or functional network, nested ones taken apart."""
    kind, config = _class_of(value, path)
    if nesting > 5:
        raise InputError(f"{path}: model_config: networks within networks, more than 5 deep")
    entries = config.get("layers") if isinstance(config, dict) else config  # a list: Keras < 2.2.3
    if kind not in ("Sequential", "Model", "Functional") or not isinstance(entries, list):
        raise InputError(f"{path}: model_config: a {kind!r:.80} is not a chain of known layers")
    if len(entries) > MAX_LAYERS:
        raise InputError(f"{path}: model_config: {len(entries):,} layers are too many")
    if kind != "Sequential":
        _check_kinds(entries, path)
        entries = _in_order(entries, path)
    layers: list[Layer] = []
    for entry in entries:
        kind, config = _class_of(entry, path)
        if kind in ("Sequential", "Model", "Functional"):
            layers += _chain(entry, path, nesting + 1)
            continue
        name = config.get("name", kind) if isinstance(config, dict) else kind
        _check_kind(kind, str(name), path)
        if not isinstance(config, dict):
            raise InputError(f"{path}: model_config: layer {name!r:.80} has no settings")
        layers.append(Layer(SAME_LAYER.get(kind, kind), str(name), config))
    return layers


def _class_of(value: Any, path: Path) -> tuple[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        raise InputError(f"{path}: model_config: {str(value)!r:.60} is not a layer of Keras")
    return value["class_name"].rpartition(">")[2], value.get("config")


def _check_kinds(entries: list[Any], path: Path) -> None:
    for entry in entries:
        kind, config = _class_of(entry, path)
        if kind not in ("Sequential", "Model", "Functional"):
            _check_kind(kind, str(config.get("name") if isinstance(config, dict) else ""), path)


def _check_kind(kind: str, name: str, path: Path) -> None:
    if kind in CODE:
        raise InputError(
            f"{path}: layer {name!r:.80} is a {kind}: it would run code from the file, which is "
            "never done; nothing was run"
        )
    if kind not in KNOWN:
        raise InputError(
            f"{path}: layer {name!r:.80} is a {kind!r:.80}, which none of our networks has; "
            "a chain of convolutions, poolings and dense layers can be imported"
        )


def _in_order(entries: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Return the layers of a functional network from input to output."""
    after: dict[str, dict[str, Any]] = {}
    first: list[dict[str, Any]] = []
    for entry in entries:
        name = str(entry.get("name") or _class_of(entry, path)[1].get("name"))
        sources = sorted(set(_sources(entry.get("inbound_nodes"), 0)))
        if not sources:
            first.append(entry)
        elif len(sources) > 1 or sources[0] in after:
            raise InputError(
                f"{path}: model_config: layer {name!r:.80} makes the network branch; "
                "only a chain of layers can be imported"
            )
        else:
            after[sources[0]] = entry
    if len(first) != 1:
        raise InputError(f"{path}: model_config: has {len(first)} inputs; a chain has one")
    ordered = first
    while (name := str(ordered[-1].get("name") or ordered[-1]["config"].get("name"))) in after:
        ordered.append(after.pop(name))
    if after:
        raise InputError(f"{path}: model_config: its layers do not form one chain")
    return ordered


def _sources(value: Any, depth: int) -> list[str]:
    """Return the layers that feed one: [[["conv", 0, 0, {}]]], or keras_history in Keras 3."""
    if depth > 12:
        return []
    if isinstance(value, dict):
        history = value.get("keras_history")
        if isinstance(history, list) and history:
            return [str(history[0])]
        return [name for each in value.values() for name in _sources(each, depth + 1)]
    if isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            return [value[0]]
        return [name for each in value for name in _sources(each, depth + 1)]
    return []


def _sizes(values: list[Any], path: Path, layer: Layer) -> list[int]:
    if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in values):
        raise InputError(
            f"{path}: layer {layer.name!r:.80}: an input of {values!s:.60} has no fixed size"
        )
    return list(values)

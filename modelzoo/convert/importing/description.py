"""Read the description of a network that an old file carries, as plain JSON: a chain of layers.

Nothing is built from it and nothing in it is called. A layer that is not known here is refused by
its name, a Lambda above all: it holds code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelzoo.networks.kinds import KINDS, OURS
from modelzoo.networks.layer import Shape
from modelzoo.support.errors import InputError

MAX_LAYERS = 500
MAX_NESTING = 200  # of brackets in the JSON text
# Layers that leave an image as it is when a network is used, not trained, beside `kinds`' own.
ONLY_FOR_TRAINING = {
    "ActivityRegularization", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
    "RandomContrast", "RandomBrightness",
}  # fmt: skip
NETWORKS = ("Sequential", "Model", "Functional")
CODE = {"Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "TorchModuleWrapper",
        "TFSMLayer", "JaxLayer", "FlaxLayer"}  # fmt: skip
SAME_LAYER = {
    "Convolution2D": "Conv2D", "MaxPool2D": "MaxPooling2D", "AvgPool2D": "AveragePooling2D",
    "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
}  # fmt: skip


KNOWN = {"InputLayer", "Reshape", *SAME_LAYER, *ONLY_FOR_TRAINING, *(set(KINDS) - OURS)}


@dataclass(frozen=True)
class Described:
    """One layer as a file describes it: its Keras class, its name, its settings, all unchecked."""

    kind: str
    name: str
    config: dict[str, Any]

    def refusal(self, problem: str) -> InputError:
        """Return the error that names the layer and the problem."""
        return InputError(f"layer {self.name!r:.80}: {problem}")


def read_chain(text: str, path: Path) -> tuple[Shape, list[Described]]:
    """Return the shape of a network's input, channels last, and its layers in order.

    Args:
        text: `model_config`, as Keras 2.0 to 3.x write it.
        path: of the file, for messages.

    Raises:
        InputError: no JSON, a layer that is not known, layers that do not form one chain, or an
            input that is no image.
    """
    layers = _chain(_parsed(text, path), path)
    shapes = (
        each.config.get("batch_input_shape") or each.config.get("batch_shape") for each in layers
    )
    shape: Any = next((found[1:] for found in shapes if isinstance(found, list)), None)
    layers = [layer for layer in layers if layer.kind != "InputLayer"]
    first = layers[0].kind if layers else ""
    if first == "Reshape":  # rows of 784 numbers, made an image first
        shape = layers.pop(0).config.get("target_shape")
    elif first == "Flatten" and isinstance(shape, list) and len(shape) == 2:
        shape = [*shape, 1]  # an image without a channel is flattened to the same row
    if not isinstance(shape, list) or len(shape) != 3:
        raise InputError(
            f"{path}: takes an input of shape {shape!s:.60}; images of height, width and "
            "channels are what our networks take"
        )
    if not all(type(size) is int and size > 0 for size in shape):
        raise InputError(f"{path}: an input of {shape!s:.60} has no fixed size")
    return tuple(shape[1:] + shape[:1] if is_channels_first(layers) else shape), layers


def is_channels_first(layers: Sequence[Described]) -> bool:
    """Whether the network's maps have their channels before their height."""
    return any(layer.config.get("data_format") == "channels_first" for layer in layers)


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


def _chain(value: Any, path: Path, nesting: int = 0) -> list[Described]:
    """Return the layers of a Sequential or functional network, nested ones taken apart."""
    kind, _, config = _parts_of(value, path)
    if nesting > 5:
        raise InputError(f"{path}: model_config: networks within networks, more than 5 deep")
    entries = config.get("layers") if isinstance(config, dict) else config  # a list: Keras < 2.2.3
    if kind not in NETWORKS or not isinstance(entries, list):
        raise InputError(f"{path}: model_config: a {kind!r:.80} is not a chain of known layers")
    if len(entries) > MAX_LAYERS:
        raise InputError(f"{path}: model_config: {len(entries):,} layers are too many")
    parts = [_parts_of(entry, path) for entry in entries]
    order = range(len(entries)) if kind == "Sequential" else _order(entries, parts, path)
    layers: list[Described] = []
    for index in order:
        kind, name, config = parts[index]
        if kind in NETWORKS:
            layers += _chain(entries[index], path, nesting + 1)
        else:
            layers.append(Described(SAME_LAYER.get(kind, kind), name, config))
    return layers


def _parts_of(value: Any, path: Path) -> tuple[str, str, Any]:
    """Return the class, the name and the settings of a layer or a network."""
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        raise InputError(f"{path}: model_config: {str(value)!r:.60} is not a layer of Keras")
    kind, config = value["class_name"].rpartition(">")[2], value.get("config")
    own = config.get("name") if isinstance(config, dict) else None
    name = str(value.get("name") or own or kind)
    if kind in CODE:
        raise InputError(
            f"{path}: layer {name!r:.80} is a {kind}: it would run code from the file, which is "
            "never done; nothing was run"
        )
    if kind not in (*KNOWN, *NETWORKS):
        raise InputError(
            f"{path}: layer {name!r:.80} is a {kind!r:.80}, which none of our networks has; "
            "a chain of convolutions, poolings and dense layers can be imported"
        )
    if kind not in NETWORKS and not isinstance(config, dict):
        raise InputError(f"{path}: model_config: layer {name!r:.80} has no settings")
    return kind, name, config


def _order(entries: list[Any], parts: list[tuple[str, str, Any]], path: Path) -> list[int]:
    """Return the places of a functional network's layers from input to output."""
    after: dict[str, int] = {}
    order: list[int] = []
    for index, (entry, (_, name, _)) in enumerate(zip(entries, parts, strict=True)):
        sources = set(_sources(entry.get("inbound_nodes"), 0))
        if len(sources) > 1 or sources & set(after):
            raise InputError(
                f"{path}: model_config: layer {name!r:.80} makes the network branch; "
                "only a chain of layers can be imported"
            )
        if sources:
            after[sources.pop()] = index
        else:
            order.append(index)
    if len(order) != 1:
        raise InputError(f"{path}: model_config: has {len(order)} inputs; a chain has one")
    while (name := parts[order[-1]][1]) in after:
        order.append(after.pop(name))
    if after:
        raise InputError(f"{path}: model_config: its layers do not form one chain")
    return order


def _sources(value: Any, depth: int) -> list[str]:
    """Return the layers that feed one: [[["conv", 0, 0, {}]]], or keras_history in Keras 3."""
    if depth > 12:
        return []
    if isinstance(value, dict):
        history = value.get("keras_history")
        if isinstance(history, list) and history:
            return [str(history[0])]
        value = list(value.values())
    if not isinstance(value, list):
        return []
    if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
        return [value[0]]
    return [name for each in value for name in _sources(each, depth + 1)]

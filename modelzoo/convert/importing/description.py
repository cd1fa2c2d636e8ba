"""Read the description of a network that an old file carries, as plain JSON: a chain of layers.

Nothing is built from it and nothing in it is called. A layer that is not known here is refused by
its name, a Lambda above all: it holds code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelzoo.networks.kinds import KINDS, OURS
from modelzoo.networks.layer import Shape
from modelzoo.support.errors import InputError

MAX_LAYERS = 500
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
    """A layer as a file describes it: its Keras class, its name, its settings, all unchecked."""

    kind: str
    name: str
    config: Any

    def refusal(self, problem: str) -> InputError:
        """Return the error that names the layer and the problem."""
        return InputError(f"layer {self.name!r:.80}: {problem}")


def read_chain(text: str) -> tuple[Shape, list[Described]]:
    """Return the shape of a network's input, channels last, and its layers in order.

    Args:
        text: `model_config`, as Keras 2.0 to 3.x write it.

    Raises:
        InputError: no JSON, a layer that is not known, layers that do not form one chain, or an
            input that is no image.
    """
    try:
        described = json.loads(text)
    except ValueError:
        problem = "is not JSON; the file does not describe a Keras network"
        raise InputError(f"model_config: {problem}") from None
    layers = _chain(described)
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
            f"takes an input of shape {shape!s:.60}; images of height, width and "
            "channels are what our networks take"
        )
    if not all(type(size) is int and size > 0 for size in shape):
        raise InputError(f"an input of {shape!s:.60} has no fixed size")
    return tuple(shape[1:] + shape[:1] if is_channels_first(layers) else shape), layers


def is_channels_first(layers: Sequence[Described]) -> bool:
    """Whether the network's maps have their channels before their height."""
    return any(layer.config.get("data_format") == "channels_first" for layer in layers)


def _chain(value: Any) -> list[Described]:
    """Return the layers of a Sequential or functional network, nested ones taken apart."""
    network = _described(value)
    entries = network.config  # a list: Keras < 2.2.3
    if isinstance(entries, dict):
        entries = entries.get("layers")
    if network.kind not in NETWORKS or not isinstance(entries, list):
        raise InputError(f"model_config: a {network.kind!r:.80} is not a chain of known layers")
    if len(entries) > MAX_LAYERS:
        raise InputError(f"model_config: {len(entries):,} layers are too many")
    parts = [_described(entry) for entry in entries]
    if network.kind != "Sequential":
        _check_chain(entries, parts)
    layers: list[Described] = []
    for entry, part in zip(entries, parts, strict=True):
        layers += _chain(entry) if part.kind in NETWORKS else [part]
    return layers


def _described(value: Any) -> Described:
    """Return a layer or a network by its class, its name and its settings."""
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        raise InputError(f"model_config: {str(value)!r:.60} is not a layer of Keras")
    kind, config = value["class_name"].rpartition(">")[2], value.get("config")
    own = config.get("name") if isinstance(config, dict) else None
    layer = Described(SAME_LAYER.get(kind, kind), str(value.get("name") or own or kind), config)
    if kind in CODE:
        raise layer.refusal(
            f"is a {kind}, which would run code from the file; that is never done; nothing was run"
        )
    if kind not in (*KNOWN, *NETWORKS):
        raise layer.refusal(
            f"is a {kind!r:.80}, which none of our networks has; "
            "a chain of convolutions, poolings and dense layers can be imported"
        )
    if kind not in NETWORKS and not isinstance(config, dict):
        raise layer.refusal("has no settings in model_config")
    return layer


def _check_chain(entries: list[Any], layers: list[Described]) -> None:
    """Refuse a functional network in which a layer has another source than the one before it."""
    before: set[str] = set()
    for entry, layer in zip(entries, layers, strict=True):
        if set(_sources(entry.get("inbound_nodes"))) != before:
            raise layer.refusal("makes the network branch; only a chain of layers can be imported")
        before = {layer.name}


def _sources(value: Any) -> list[str]:
    """Return the layers that feed one, each said as [name, 0, 0, ...] at some depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return []
    if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
        return [value[0]]
    return [name for each in value for name in _sources(each)]

"""The description of a network that a file of Keras 2.0 to 3.x carries, in terms of `kinds`.

It is read as plain JSON, a chain of layers. Nothing in it is called or deserialised.
A layer that is not known here is refused by its name, a Lambda above all: it holds
code. The arguments that decide what a layer computes or how it is trained are taken over, each
checked against its type; bookkeeping, such as `trainable`, is not.
"""

import json
import re
from collections.abc import Sequence
from math import isqrt, prod
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from modelzoo.networks import Network
from modelzoo.networks.kinds import KINDS, OURS, Activation, Flatten, ReLU, Rescaling
from modelzoo.networks.layer import Layer, Shape
from modelzoo.networks.network import read_layers
from modelzoo.support.errors import InputError
from modelzoo.weights.stored import Stored, StoredLayer

MAX_LAYERS = 500
AXES: Shape = (1, 2, 3)
FLAT_BY_PIXEL = "the first dense layer's inputs: from channel by channel to pixel by pixel"
# Layers that leave an image as it is when a network is used, not trained, beside `kinds`' own.
ONLY_FOR_TRAINING = {
    "ActivityRegularization", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
    "RandomContrast", "RandomBrightness",
}  # fmt: skip
NETWORKS = ("Sequential", "Model", "Functional")
# What computes each value by itself, so that the order of the axes does not matter.
BY_VALUE = {
    "Activation", "AlphaDropout", "Dropout", "ELU", "GaussianDropout", "GaussianNoise",
    "LeakyReLU", "ReLU", "Rescaling",
}  # fmt: skip
KNOWN = {"InputLayer", "Permute", "Reshape", *ONLY_FOR_TRAINING, *(set(KINDS) - OURS)}
SUPPORTED = f"supported: {', '.join(sorted(KNOWN - ONLY_FOR_TRAINING))}, in a chain"
ACTIVATIONS = (
    "linear", "relu", "relu6", "tanh", "sigmoid", "softmax", "elu", "selu", "gelu", "silu",
    "softplus", "softsign", "hard_sigmoid", "exponential", "leaky_relu", "mish",
)  # fmt: skip
ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "ELU", "Softmax")
OBJECTS = (  # the initializers and regularizers that are kept
    "GlorotNormal", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "RandomNormal",
    "TruncatedNormal", "VarianceScaling", "RandomUniform", "Constant", "L1", "L2", "L1L2",
)  # fmt: skip
GLOROT = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform"}  # what Keras 2 wrote for it
OLD_HARD_SIGMOID = (Rescaling(scale=0.2, offset=0.5), ReLU(max_value=1.0))


class Described(msgspec.Struct, frozen=True):
    """A layer or a network as a file describes it; its settings are unchecked."""

    class_name: str
    config: Any = None
    name: str | None = None
    inbound_nodes: Any = None

    @property
    def kind(self) -> str:
        """Its class in Keras: the package before it and the version behind it are left out."""
        return re.sub(r"(?s)^.*>|V[12]$", "", self.class_name)

    @property
    def label(self) -> str:
        """Its name, or its class."""
        own = self.config.get("name") if isinstance(self.config, dict) else None
        return str(self.name or own or self.kind)

    def refusal(self, problem: str) -> InputError:
        """Return the error that names the layer and the problem."""
        return InputError(f"layer {self.label!r:.80}: {problem}")


def read_network(text: str | bytes, stored: Stored) -> tuple[Network, list[StoredLayer], list[str]]:
    """Return the network of `model_config`, channels last, its stored layers, and notes.

    A Normalization takes its mean and its variance from a stored layer, which is left out then.
    """
    try:
        described = json.loads(text)
        if isinstance(described, str):  # `model.to_json()`, written as JSON once more
            described = json.loads(described)
    except ValueError:
        problem = "is not JSON; the file does not describe a Keras network"
        raise InputError(f"model_config: {problem}") from None
    shape, chain, first, notes = _with_input(_chain(*_entries([described])))
    flat, reached, axes = False, shape, AXES
    others = list(stored.layers)
    layers: list[Layer] = []
    for layer in chain:
        if layer.kind in ONLY_FOR_TRAINING:
            notes.append(f"{layer.kind} ({layer.label}) is left out: it acts in training only")
            continue
        if layer.kind == "Normalization" and layer.config.get("mean") is None:
            layer = _with_moments(layer, others)
            others = [each for each in others if each.label != layer.label]
        if layer.kind == "Permute":
            axes = tuple(axes[place - 1] for place in _order(layer))
            continue
        if axes != AXES and layer.kind not in BY_VALUE:
            raise layer.refusal("comes behind a Permute; supported: pairs that undo each other")
        if layer.kind == "Reshape":
            target = _target(layer, prod(reached))
            if len(target) > 1 and target == ((reached[-1:] + reached[:-1]) if first else reached):
                continue
            if len(target) > 1:
                raise layer.refusal(f"Reshape to {target}; supported: to one row, as {reached} is")
            layer = replace(layer, class_name="Flatten")
        made = _keras_layers(layer, stored.version, flat=flat, first=first)
        layers += [replace(each, name=layer.label) for each in made[:1]] + made[1:]
        try:
            for each in made:
                reached = each.output_shape(reached)
        except InputError as error:
            raise layer.refusal(f"{layer.kind}: {error}") from None
        by_channel = layer.config.get("data_format") != "channels_first"
        if layer.kind == "Flatten" and first and not flat and by_channel:
            notes.append(FLAT_BY_PIXEL)
        flat = flat or layer.kind in ("Flatten", "GlobalAveragePooling2D")
    if axes != AXES:
        raise InputError("ends behind a Permute; supported: pairs that undo each other")
    network = Network("imported", shape, named(layers))
    outputs = (shape, *network.shapes)[-1]
    if outputs[:-1] == (1, 1):
        notes.append("Flatten is added at the end: the file's network ends with 1x1 maps")
        network = Network("imported", shape, named([*layers, Flatten()]))
    elif len(outputs) != 1:
        raise InputError(f"ends with maps of {outputs}, not with an output for each class")
    return network, others, notes


def named(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return layers under the names that they have in a file, as far as those can be names here."""
    taken = {"input"}
    specs = []
    for layer in layers:
        name = re.sub(r"[^A-Za-z0-9_]+", "_", layer.name)[:60].strip("_")
        name = f"layer_{name}" if name[:1].isdigit() else name
        name = "" if name in taken else name
        taken.add(name)
        specs.append({"class_name": layer.kind, "config": {"name": name, **layer.arguments}})
    return read_layers(specs)


def _entries(values: Any) -> list[Described]:
    try:
        return msgspec.convert(values, list[Described])
    except msgspec.ValidationError as error:
        raise InputError(f"model_config: is not a layer of Keras: {error}") from None


def _chain(network: Described) -> list[Described]:
    """Return the layers of a network, nested ones taken apart, if they form one chain."""
    entries = network.config  # a list: Keras < 2.2.3
    if isinstance(entries, dict):
        entries = entries.get("layers")
    if network.kind not in NETWORKS or not isinstance(entries, list):
        raise InputError(f"model_config: a {network.kind!r:.80} is not a chain of known layers")
    if len(entries) > MAX_LAYERS:
        raise InputError(f"model_config: {len(entries):,} layers are too many")
    layers: list[Described] = []
    before: set[str] = set()
    for layer in _entries(entries):
        if layer.kind not in (*KNOWN, *NETWORKS):
            raise layer.refusal(
                f"is a {layer.kind!r:.80}, which none of our networks has, and code in a file is "
                f"never run\n{SUPPORTED}"
            )
        if layer.kind in KNOWN and not isinstance(layer.config, dict):
            raise layer.refusal("has no settings in model_config")
        if network.kind != "Sequential" and set(_sources(layer.inbound_nodes)) != before:
            raise layer.refusal("makes the network branch; only a chain of layers can be imported")
        before = {layer.label}
        layers += _chain(layer) if layer.kind in NETWORKS else [layer]
    return layers


def _sources(value: Any) -> list[str]:
    """Return the layers that feed one, each said as [name, 0, 0, ...] at some depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return []
    if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
        return [value[0]]
    return [name for each in value for name in _sources(each)]


def _with_input(layers: list[Described]) -> tuple[Shape, list[Described], bool, list[str]]:
    """Return the input's shape, channels last, the layers, whether channels come first, and notes.

    A row of numbers, or of rows, is an image here that is flattened.
    """
    shapes = (
        each.config.get("batch_input_shape") or each.config.get("batch_shape") for each in layers
    )
    shape: Any = next((found[1:] for found in shapes if isinstance(found, list)), None)
    layers = [layer for layer in layers if layer.kind != "InputLayer"]
    first = any(layer.config.get("data_format") == "channels_first" for layer in layers)
    if not isinstance(shape, list) or not all(map(_is_side, shape)):
        raise InputError(f"takes an input of shape {shape!s:.60}; images of a fixed size are taken")
    notes = []
    entry = layers[0] if layers else Described("")
    if entry.kind == "Reshape":  # rows of 784 numbers, made an image first
        shape = list(_target(layers.pop(0), prod(shape)))
    elif entry.kind == "Permute" and len(shape) == 3 and _order(entry) == (2, 3, 1):
        layers.pop(0)
        shape = shape[1:] + shape[:1]
        notes.append("the input: from channels first to channels last")
    elif len(shape) == 1:
        maps = 3 if shape[0] % 3 == 0 and isqrt(shape[0]) ** 2 != shape[0] else 1
        side = isqrt(shape[0] // maps)
        layers.insert(0, Described("Flatten", {}))
        if side * side * maps == shape[0]:
            notes.append(f"the input: from a row of {shape[0]} to {side}x{side}x{maps}, row by row")
            shape = [side, side, maps]
    elif len(shape) == 2:
        what = (each.kind for each in layers if each.kind not in BY_VALUE | ONLY_FOR_TRAINING)
        if next(what, "") in ("Flatten", "Reshape"):
            shape = [*shape, 1]  # an image without a channel is flattened to the same row
    if len(shape) != 3:
        raise InputError(
            f"takes an input of shape {shape!s:.60}; supported: images of a fixed height, width "
            "and number of channels, and rows of them that are flattened or reshaped"
        )
    return tuple(shape[1:] + shape[:1] if first else shape), layers, first, notes


def _is_side(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _target(layer: Described, count: int) -> Shape:
    """Return what a Reshape makes of so many values."""
    target = layer.config.get("target_shape")
    if not isinstance(target, list) or not all(each == -1 or _is_side(each) for each in target):
        raise layer.refusal(f"Reshape to {target!s:.60}, which is no shape")
    rest = prod(each for each in target if each != -1)
    shape = tuple(count // rest if each == -1 and rest > 0 else each for each in target)
    if prod(shape) != count or min(shape, default=0) < 1:
        raise layer.refusal(f"Reshape to {target!s:.60} of {count:,} values")
    return shape


def _order(layer: Described) -> Shape:
    """Return the axes of a Permute, the first of which is 1."""
    dims = layer.config.get("dims")
    if not isinstance(dims, list) or sorted(map(str, dims)) != [str(n + 1) for n in range(3)]:
        raise layer.refusal(f"Permute by {dims!s:.60}; supported: an order of 1, 2 and 3")
    return tuple(map(int, dims))


def _with_moments(layer: Described, stored: list[StoredLayer]) -> Described:
    """Return a Normalization with the mean and the variance that it has learnt."""
    arrays = next((each.arrays for each in stored if each.label == layer.label), [])
    if len(arrays) not in (2, 3) or any(array.size > 4 for array in arrays):
        raise layer.refusal("does not hold a mean and a variance for each colour")
    mean, variance = (array.ravel().tolist() for array in arrays[:2])
    return replace(layer, config=layer.config | {"mean": mean, "variance": variance})


def _keras_layers(layer: Described, version: str, *, flat: bool, first: bool) -> list[Layer]:
    """Return the layers that compute what a described one does: itself, and its activation.

    Rows of numbers reach it, not maps, if it is `flat`; `first` is where their channels come.
    """
    kind, config = layer.kind, layer.config
    for key in ("keepdims", "renorm"):
        if config.get(key):
            raise layer.refusal(f"{kind} with {key}: {config[key]!r:.40}; supported: without it")
    if kind in ("Softmax", "Normalization", "BatchNormalization"):
        axis = config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        maps = [1] if first else [-1, 3]
        if axis not in ([-1, 1] if flat else maps):
            raise layer.refusal(f"{kind} along axis {axis!r:.40}; supported: along the maps, -1")
    after = _activations(config.get("activation"), layer, version)
    if kind == "Activation":
        return after
    if kind == "LeakyReLU" and "alpha" in config:  # Keras 2
        config = {"negative_slope": config["alpha"]}
    fields = set(KINDS[kind].__struct_fields__) - {"name", "dtype", "activation"}
    values = {
        key: _plain_object(value) if key.endswith("izer") else _shorter(value)
        for key, value in config.items()
        if key in fields
    }
    values = {key: value for key, value in values.items() if value is not None}
    if values.get("strides") == values.get("pool_size", 0):
        del values["strides"]
    if [each.kind for each in after] == ["Activation"]:
        values |= after.pop().arguments
    try:
        return [msgspec.convert(values, KINDS[kind]), *after]
    except msgspec.ValidationError as error:
        problem, _, key = str(error).replace("`", "").partition(" - at $.")
        hint = get_type_hints(KINDS[kind]).get(key)
        words = ", ".join(get_args(hint)) if get_origin(hint) is Literal else ""
        supported = f"; supported: {words}" if words else ""
        raise layer.refusal(f"{kind}: {problem} at {key}{supported}") from None


def _activations(value: Any, layer: Described, version: str) -> list[Layer]:
    """Return what computes an activation that a file gives as a text, a function or an object."""
    if isinstance(value, dict):
        config = value.get("config")
        kind = str(value.get("class_name")).rpartition(">")[2]
        if kind in ACTIVATION_LAYERS and isinstance(config, dict):
            inner = Described(kind, {**config, "activation": None}, layer.label)
            return _keras_layers(inner, version, flat=False, first=False)
        if kind == "Activation" and isinstance(config, dict):
            value = config.get("activation")
        else:  # {"class_name": "function", "config": "softmax_v2"}
            value = config if isinstance(config, str) else kind
    name = "linear" if value is None else re.sub(r"_v\d$", "", str(value))
    name = {"swish": "silu"}.get(name, name)
    if name not in ACTIVATIONS:
        raise layer.refusal(
            f"{name!r:.80} is no activation of Keras; what it computes is not in the file, or is "
            f"code, which is never run\nsupported: {', '.join(ACTIVATIONS)}"
        )
    if name == "hard_sigmoid" and version.startswith(("1.", "2.")):  # Keras 3 has another slope
        return list(OLD_HARD_SIGMOID)
    return [] if name == "linear" else [Activation(activation=name)]


def _shorter(value: Any) -> Any:
    """Return n for [n, n], at any depth."""
    if not isinstance(value, list):
        return value
    values = [_shorter(each) for each in value]
    same = len(values) == 2 and values[0] == values[1] and type(values[0]) is int
    return values[0] if same else values


def _plain_object(value: Any) -> dict[str, Any] | None:
    """Return an initializer or a regularizer by class and numbers; None for Keras' defaults."""
    config = value.get("config") if isinstance(value, dict) else None
    if not isinstance(config, dict) or value.get("class_name") not in OBJECTS:
        return None
    config = {key: each for key, each in config.items() if key not in ("seed", "dtype")}
    plain = all(
        isinstance(each, str) or (type(each) in (int, float) and abs(each) < 1e30)
        for each in config.values()
    )
    kept = {"class_name": value["class_name"], "config": config}
    return kept if plain and config != GLOROT else None

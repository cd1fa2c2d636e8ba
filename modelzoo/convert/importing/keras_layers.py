"""Layers as a file of Keras 2.0 to 3.x describes them, in the terms of `networks.kinds`.

The arguments that decide what a layer computes or how it is trained are taken over; bookkeeping,
such as `trainable`, is not. Nothing is deserialised: every value is checked against its type.
"""

import re
from typing import Any

import msgspec

from modelzoo.convert.importing.description import Described
from modelzoo.networks.kinds import KINDS, Activation, ReLU, Rescaling
from modelzoo.networks.layer import Layer
from modelzoo.networks.network import read_layers

ACTIVATIONS = (
    "linear", "relu", "relu6", "tanh", "sigmoid", "softmax", "elu", "selu", "gelu", "silu",
    "softplus", "softsign", "hard_sigmoid", "exponential", "leaky_relu", "mish",
)  # fmt: skip
ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "ELU", "Softmax")
FIXED = {"keepdims": False, "renorm": False}  # what no kind can have otherwise
OBJECTS = {  # the initializers and regularizers that are kept, with the arguments that decide
    **dict.fromkeys(("GlorotNormal", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"), ()),
    **dict.fromkeys(("RandomNormal", "TruncatedNormal"), ("mean", "stddev")),
    "VarianceScaling": ("scale", "mode", "distribution"),
    "RandomUniform": ("minval", "maxval"),
    "Constant": ("value",),
    "L1": ("l1",),
    "L2": ("l2",),
    "L1L2": ("l1", "l2"),
}
GLOROT = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform"}  # what Keras 2 wrote for it
OLD_HARD_SIGMOID = (Rescaling(scale=0.2, offset=0.5), ReLU(max_value=1.0))


def keras_layers(described: Described, version: str, *, flat: bool, first: bool) -> list[Layer]:
    """Return the layers that compute what a described one does: itself, and its activation.

    Args:
        described: of a class that `kinds` has.
        version: of the Keras that saved it, "" if unknown.
        flat: whether rows of numbers reach it, not maps.
        first: whether maps have their channels before their height.

    Raises:
        InputError: an argument or an activation that is not known.
    """
    kind, config = described.kind, described.config
    _check_axes(described, flat=flat, first=first)
    if kind == "Activation":
        return _activations(config.get("activation"), described, version)
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
    after = _activations(config.get("activation"), described, version)
    if [layer.kind for layer in after] == ["Activation"]:
        values |= after.pop().arguments
    try:
        return [msgspec.convert(values, KINDS[kind]), *after]
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "").replace(" - at $.", " at ")
        raise described.refusal(f"{kind}: {problem}") from None


def named(layers: list[tuple[str, Layer]]) -> tuple[Layer, ...]:
    """Return layers under the names that they have in a file, as far as those can be names here."""
    taken = {"input"}
    specs = []
    for wanted, layer in layers:
        name = re.sub(r"[^A-Za-z0-9_]+", "_", wanted)[:60].strip("_")
        name = f"layer_{name}" if name[:1].isdigit() else name
        name = "" if name in taken else name
        taken.add(name)
        specs.append({"class_name": layer.kind, "config": {"name": name, **layer.arguments}})
    return read_layers(specs)


def _activations(value: Any, described: Described, version: str) -> list[Layer]:
    """Return what computes an activation that a file gives as a text, a function or an object."""
    if isinstance(value, dict):
        config = value.get("config")
        kind = str(value.get("class_name")).rpartition(">")[2]
        if kind in ACTIVATION_LAYERS and isinstance(config, dict):
            inner = Described(kind, described.name, {**config, "activation": None})
            return keras_layers(inner, version, flat=False, first=False)
        if kind == "Activation" and isinstance(config, dict):
            value = config.get("activation")
        else:  # {"class_name": "function", "config": "softmax_v2"}
            value = config if isinstance(config, str) else kind
    name = "linear" if value is None else re.sub(r"_v\d$", "", str(value))
    name = {"swish": "silu"}.get(name, name)
    if name not in ACTIVATIONS:
        raise described.refusal(
            f"{name!r:.80} is no activation of Keras; what it computes is not in the file, or is "
            "code, which is never run"
        )
    if name == "hard_sigmoid" and version.startswith(("1.", "2.")):  # Keras 3 has another slope
        return list(OLD_HARD_SIGMOID)
    return [] if name == "linear" else [Activation(activation=name)]


def _check_axes(described: Described, *, flat: bool, first: bool) -> None:
    kind, config = described.kind, described.config
    for key, wanted in FIXED.items():
        if config.get(key, wanted) not in (wanted, None):
            raise described.refusal(f"{kind} with {key}: {config[key]!r:.40} is none of ours")
    if kind in ("Softmax", "Normalization", "BatchNormalization"):
        axis = config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        maps = [1] if first else [-1, 3]
        if axis not in ([-1, 1] if flat else maps):
            raise described.refusal(f"{kind} along axis {axis!r:.40}, not along the maps")


def _shorter(value: Any) -> Any:
    """Return n for [n, n], at any depth."""
    if not isinstance(value, list):
        return value
    values = [_shorter(each) for each in value]
    same = len(values) == 2 and values[0] == values[1] and type(values[0]) is int
    return values[0] if same else values


def _plain_object(value: Any) -> dict[str, Any] | None:
    """Return an initializer or a regularizer by class and numbers; None for Keras' defaults."""
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return None
    kind, config = value.get("class_name"), value["config"]
    if not isinstance(kind, str) or kind not in OBJECTS:
        return None
    config = {key: config[key] for key in OBJECTS[kind] if key in config}
    plain = all(
        isinstance(each, str) or (type(each) in (int, float) and abs(each) < 1e30)
        for each in config.values()
    )
    return {"class_name": kind, "config": config} if plain and config != GLOROT else None

"""Make the Keras objects that a configuration names: {class_name: ..., config: {...}}.

A class is looked up in the one public Keras module where its kind lives, or among ours of that
kind, and called with the configuration as keyword arguments. Nothing is deserialised, so no text
in a YAML can run code.
"""

import contextlib
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from modelzoo.networks.initializers import FanInUniform
from modelzoo.networks.layers.connection_table_conv2d import ConnectionTableConv2D
from modelzoo.networks.layers.euclidean_rbf import EuclideanRBF
from modelzoo.networks.layers.local_response_normalization import LocalResponseNormalization
from modelzoo.networks.layers.pca_color_augmentation import PCAColorAugmentation
from modelzoo.networks.layers.random_patch import RandomPatch
from modelzoo.networks.layers.scaled_tanh import ScaledTanh
from modelzoo.networks.layers.trainable_subsampling import TrainableSubsampling
from modelzoo.networks.layers.unit_bias_conv2d import UnitBiasConv2D
from modelzoo.networks.losses import BipolarMeanSquaredError, MAPCriterion
from modelzoo.support.errors import InputError, reason_of, suggest

# Callbacks touch no file and carry a state that `training.callbacks` knows how to save and restore.
CALLBACKS = ("EarlyStopping", "ReduceLROnPlateau")
CODE = ("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
LOOKUPS = ("IntegerLookup", "StringLookup", "TextVectorization")  # their vocabulary may be a path
NEVER = dict.fromkeys(CODE, "runs code of its own") | dict.fromkeys(LOOKUPS, "reads files")
ACCESS = {"get", "serialize", "deserialize"}  # functions that make others, and compute nothing
ALSO = {"metric": ("accuracy", "acc")}  # compile chooses the right one from the shapes
KINDS: dict[str, tuple[Any, type]] = {
    "optimizer": (keras.optimizers, keras.optimizers.Optimizer),
    "schedule": (keras.optimizers.schedules, keras.optimizers.schedules.LearningRateSchedule),
    "loss": (keras.losses, keras.losses.Loss),
    "metric": (keras.metrics, keras.metrics.Metric),
    "layer": (keras.layers, keras.layers.Layer),
    "callback": (keras.callbacks, keras.callbacks.Callback),
    "initializer": (keras.initializers, keras.initializers.Initializer),
    "regularizer": (keras.regularizers, keras.regularizers.Regularizer),
}
OURS: dict[str, tuple[type, ...]] = {
    "initializer": (FanInUniform,),
    "loss": (BipolarMeanSquaredError, MAPCriterion),
    "layer": (
        ConnectionTableConv2D,
        EuclideanRBF,
        LocalResponseNormalization,
        PCAColorAugmentation,
        RandomPatch,
        ScaledTanh,
        TrainableSubsampling,
        UnitBiasConv2D,
    ),
}


def make(kind: str, spec: Any, where: str) -> Any:
    """Make one object of a kind.

    Args:
        kind: "optimizer", "schedule", "loss", "metric", "layer", "callback", "initializer" or
            "regularizer".
        spec: a class name, or {class_name, config}; losses and metrics also by Keras' short names.
        where: the configuration's key, such as "compile.optimizer", for messages.

    Raises:
        InputError: unknown class or argument (with the nearest), or a value that Keras refuses.
    """
    ours = {each.__name__ for each in OURS.get(kind, ())}
    if isinstance(spec, str) and kind in ("loss", "metric") and spec not in ours:
        if spec not in ALSO.get(kind, ()):
            _check_function(KINDS[kind][0], kind, spec, where)
        return spec
    name, given = _read_spec(spec, where)
    arguments = given
    cls = _find_class(kind, name, where)
    if kind == "optimizer":
        arguments = _with_learning_rate(arguments, where)
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    known = set(parameters) - {"self", "args", "kwargs"}
    known |= {"name", "dtype", "seed"} if kind == "layer" else set()
    for key in arguments:
        if key not in known:
            raise InputError(f"{where}: {name} has no argument {key!r}{suggest(str(key), known)}")
        default = parameters[key].default if key in parameters else None
        _check_argument(kind, key, arguments[key], default, f"{where}.config.{key}")
        # Where Keras means a number such as 1.0, it refuses 1, or computes with whole numbers.
        if type(default) is float or (kind == "schedule" and key != "boundaries"):
            arguments = {**arguments, key: _as_float(arguments[key])}
    try:
        return cls(**arguments)
    except Exception as error:  # Keras raises what it likes for a value it cannot use
        raise InputError(f"{where}: {name} refuses {given}: {reason_of(error)}") from None


def check_activation(names: str | Sequence[str], where: str) -> None:
    """Raise InputError, with the nearest name, if Keras lacks one of these activations."""
    for name in [names] if isinstance(names, str) else names:
        _check_function(keras.activations, "activation", name, where)


def _read_spec(spec: Any, where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("class_name"), str):
        raise InputError(f"{where}: {spec!r} should be {{class_name: NAME, config: {{...}}}}")
    for key in spec:
        if key not in ("class_name", "config"):
            raise InputError(
                f"{where}: unknown key {key!r}{suggest(key, ['class_name', 'config'])}"
            )
    config = spec.get("config") or {}
    if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
        raise InputError(f"{where}.config: {config!r} should hold the arguments by name")
    return spec["class_name"], dict(config)


def _find_class(kind: str, name: str, where: str) -> type:
    module, base = KINDS[kind]
    found = {
        each: value
        for each, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base
        if each not in NEVER and (kind != "callback" or each in CALLBACKS)
    } | {each.__name__: each for each in OURS.get(kind, ())}
    if name in NEVER:
        raise InputError(f"{where}: {name} {NEVER[name]}, which no configuration may")
    if name not in found:
        raise InputError(
            f"{where}: keras has no {kind} {name!r} for this use{suggest(name, found)}"
        )
    cls: type = found[name]
    return cls


def _check_function(module: Any, kind: str, name: str, where: str) -> None:
    """Refuse a short name that Keras does not know; what computes has a name in small letters."""
    with contextlib.suppress(Exception):
        if module.get(name) is not None:
            return
    functions = {each for each, value in vars(module).items() if inspect.isfunction(value)}
    near = suggest(name, {*filter(str.islower, functions), *ALSO.get(kind, ())} - ACCESS)
    raise InputError(f"{where}: keras has no {kind} {name!r}{near}")


def _as_float(value: Any) -> Any:
    """Return a whole number, or each of a list, as a float, and anything else as it is."""
    if isinstance(value, list):
        return [_as_float(each) for each in value]
    return float(value) if type(value) is int else value


def _is_number(kind: str, key: str, default: Any) -> bool:
    """Whether an argument is a number: Keras itself would notice a text in the middle of a run."""
    if kind in ("optimizer", "schedule"):
        return key != "name"
    return type(default) in (int, float)


def _check_argument(kind: str, key: str, value: Any, default: Any, where: str) -> None:
    """Refuse what Keras would take, and fail at later or turn into an object."""
    if isinstance(default, bool) and not isinstance(value, bool):
        raise InputError(f"{where}: {value!r:.80} should be true or false")
    if isinstance(value, str) and _is_number(kind, key, default):
        raise InputError(f"{where}: {value!r:.80} should be a number")
    if _holds_mapping(value):
        raise InputError(
            f"{where}: {value!r:.80} should be a number, a text or a list of them; objects within "
            "objects are not made"
        )


def _holds_mapping(value: Any) -> bool:
    if isinstance(value, list):
        return any(_holds_mapping(each) for each in value)
    return isinstance(value, Mapping)


def _with_learning_rate(arguments: dict[str, Any], where: str) -> dict[str, Any]:
    """Demand a learning rate, and make the schedule that may stand in its place."""
    key = f"{where}.config.learning_rate"
    if "learning_rate" not in arguments:
        raise InputError(
            f"{key} is missing: write it out, since defaults change between versions "
            "(Adadelta's was 1.0 in Keras 2.3 and is 0.001 in Keras 3)"
        )
    rate = arguments["learning_rate"]
    if isinstance(rate, Mapping):
        return {**arguments, "learning_rate": make("schedule", rate, key)}
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or not math.isfinite(rate) or rate <= 0:
        raise InputError(f"{key}: {rate!r} should be a number above 0, or a schedule")
    return arguments

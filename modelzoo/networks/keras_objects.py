"""Make the Keras objects that a configuration names, and build a described network of them.

A class is looked up in the one public Keras module where its kind lives, or among ours of that
kind, and called with the configuration as keyword arguments. Nothing is deserialised, so no text
in a YAML can run code.
"""

import contextlib
import inspect
import math
import re
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

import keras

from modelzoo.networks import layers
from modelzoo.networks.kinds import OURS
from modelzoo.networks.layer import Layer, read_spec
from modelzoo.networks.layers.neocognitron import SelfOrganizing
from modelzoo.networks.network import Network, row_of
from modelzoo.support.environment import check_installed
from modelzoo.support.errors import InputError, reason_of, suggest

# Callbacks that run no code of their own, and the argument that says where each writes, if it does:
# always into the folder of the run. `training.callbacks` saves and restores what they remember.
CALLBACKS = {
    **dict.fromkeys(("EarlyStopping", "ReduceLROnPlateau", "TerminateOnNaN")),
    **{"CSVLogger": "filename", "ModelCheckpoint": "filepath", "TensorBoard": "log_dir"},
}
OWN_FILES = (  # what their names begin with
    *("config.yaml", "history.csv", "metrics.json", "best.weights.h5", "model.keras", "report"),
    *("state.", ".lock"),
)
IN_BRACES = r"\{\w+(:\d*(\.\d+)?[def]?)?\}"  # what a name may take from the logs: {epoch:02d}
CODE = ("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
LOOKUPS = ("IntegerLookup", "StringLookup", "TextVectorization")  # their vocabulary may be a path
NEVER = dict.fromkeys(CODE, "runs code of its own") | dict.fromkeys(LOOKUPS, "reads files")
ACCESS = {"get", "serialize", "deserialize"}  # functions that make others, and compute nothing
ALSO = {"metric": ("accuracy", "acc")}  # compile chooses the right one from the shapes
KINDS: dict[str, tuple[type, list[Any]]] = {  # the base class, and the modules with what is made
    "optimizer": (keras.optimizers.Optimizer, [keras.optimizers]),
    "schedule": (keras.optimizers.schedules.LearningRateSchedule, [keras.optimizers.schedules]),
    "loss": (keras.losses.Loss, [keras.losses, layers]),
    "metric": (keras.metrics.Metric, [keras.metrics]),
    "layer": (keras.layers.Layer, [keras.layers, layers]),
    "callback": (keras.callbacks.Callback, [keras.callbacks]),
    "initializer": (keras.initializers.Initializer, [keras.initializers, layers]),
    "regularizer": (keras.regularizers.Regularizer, [keras.regularizers]),
}


def make(kind: str, spec: Any, where: str) -> Any:
    """Make one object of a kind, a key of `KINDS`.

    The spec is a class name, or {class_name, config}; losses and metrics also have Keras' short
    names. `where` is the configuration's key, such as "compile.optimizer". An unknown class or
    argument (with the nearest), or a value that Keras refuses, raises InputError.
    """
    if isinstance(spec, str) and kind in ("loss", "metric") and not hasattr(layers, spec):
        if spec not in ALSO.get(kind, ()):
            _check_function(KINDS[kind][1][0], kind, spec, where)
        return spec
    name, given = read_spec(spec, where)
    cls = _find_class(kind, name, where)
    arguments = _with_learning_rate(given, where) if kind == "optimizer" else given
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    known = set(parameters) - {"self", "args", "kwargs"}
    if kind == "layer":  # ours have the arguments of their description
        known |= {"seed", *getattr(cls, "kind", Layer).__struct_fields__}
    made = {}
    for key, value in arguments.items():
        place = f"{where}.config.{key}"
        if key not in known:
            raise InputError(f"{where}: {name} has no argument {key!r}{suggest(str(key), known)}")
        default = parameters[key].default if key in parameters else None
        if isinstance(default, bool) and not isinstance(value, bool):
            raise InputError(f"{place}: {value!r:.80} should be true or false")
        rates = kind in ("optimizer", "schedule") and key != "name"
        # Where Keras means a number such as 1.0, it refuses 1, or computes with whole numbers.
        floats = type(default) is float or (kind == "schedule" and key != "boundaries")
        made[key] = _checked(value, rates or type(default) in (int, float), floats, place)
        if kind == "callback" and key == CALLBACKS[name]:
            _check_inside(value, place)
    if name == "TensorBoard":
        check_installed(f"{where}: TensorBoard", "tensorboard")
    try:
        return cls(**made)
    except Exception as error:  # Keras raises what it likes for a value it cannot use
        raise InputError(f"{where}: {name} refuses {given}: {reason_of(error)}") from None


def to_keras(network: Network) -> keras.Model:
    """Return the network as an uncompiled Keras model, its weights drawn by its initializers.

    An activation, initializer or regularizer that Keras does not know raises InputError.
    """
    inputs = keras.Input(network.input_shape, name="input")
    outputs = inputs
    for layer in network.layers:
        outputs = keras_layer(layer)(outputs)
    if network.learns_alone:
        steps = network.organizing_steps
        return SelfOrganizing(inputs, outputs, steps=steps, name=network.name)
    return keras.Model(inputs, outputs, name=network.name)


def keras_layer(layer: Layer) -> keras.layers.Layer:
    """Return one layer, not yet built."""
    arguments = keras_arguments(layer.arguments, f"{layer.name}: ")
    module = layers if layer.kind in OURS else keras.layers
    return getattr(module, layer.kind)(name=layer.name, **arguments)


def keras_arguments(arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a layer's or builder's arguments, initializers and regularizers in place of names.

    Each is one value, or a list with one a layer. An unknown activation raises InputError, too.
    """
    made = dict(arguments)
    for key, value in arguments.items():
        kind = key.rpartition("_")[2]
        values = value if isinstance(value, list) else [value]
        if kind == "activation":
            for name in values:
                _check_function(keras.activations, kind, name, where + key)
        elif kind in ("initializer", "regularizer") and value is not None:
            objects = [make(kind, each, where + key) for each in values]
            made[key] = objects if isinstance(value, list) else objects[0]
    return made


def keras_rows(model: keras.Model) -> list[dict[str, Any]]:
    """Return what is known of the layers of a Keras model, under the keys of `Network.rows`."""
    unknown = dict.fromkeys(row_of(Layer(), (1,)))
    return [
        {
            **unknown,
            "name": layer.name,
            "type": type(layer).__name__,
            "output_shape": list(layer.output.shape[1:]),
            "parameters": layer.count_params(),
            "trainable_parameters": sum(math.prod(each.shape) for each in layer.trainable_weights),
        }
        for layer in model.layers
    ]


def _find_class(kind: str, name: str, where: str) -> type:
    base, modules = KINDS[kind]
    if name in NEVER:
        raise InputError(f"{where}: {name} {NEVER[name]}, which no configuration may")
    found: dict[str, type] = {
        each: value
        for module in modules
        for each, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base
        if each not in NEVER and (kind != "callback" or each in CALLBACKS)
    }
    if name not in found:
        raise InputError(f"{where}: Keras has no {kind} {name!r} for this{suggest(name, found)}")
    return found[name]


def _check_function(module: Any, kind: str, name: str, where: str) -> None:
    """Refuse a short name that Keras does not know; what computes has a name in small letters."""
    with contextlib.suppress(Exception):
        if module.get(name) is not None:
            return
    functions = {each for each, value in vars(module).items() if inspect.isfunction(value)}
    near = suggest(name, {*filter(str.islower, functions), *ALSO.get(kind, ())} - ACCESS)
    raise InputError(f"{where}: keras has no {kind} {name!r}{near}")


def _checked(value: Any, numbers: bool, floats: bool, where: str) -> Any:
    """Return a value, or a list's, as Keras takes it; refuse what it would fail at later."""
    if isinstance(value, list):
        return [_checked(each, numbers, floats, where) for each in value]
    if isinstance(value, str) and numbers:
        raise InputError(f"{where}: {value!r:.80} should be a number")
    if isinstance(value, Mapping):
        raise InputError(
            f"{where}: {value!r:.80} should be a number, a text or a list of them; objects within "
            "objects are not made"
        )
    return float(value) if floats and type(value) is int else value


def _check_inside(path: Any, where: str) -> None:
    """Refuse a path that leads out of the run's folder, or to a file that the run writes itself."""
    pure = PureWindowsPath(str(path))  # which reads / as \\, and knows drives
    plain = not set("{}") & set(re.sub(IN_BRACES, "", str(path)))
    if (
        not isinstance(path, str)
        or not pure.parts
        or pure.drive
        or pure.root
        or ".." in pure.parts
        or not plain
    ):
        raise InputError(f"{where}: {path!r:.80} should be a path within the run's folder")
    if pure.parts[0].lower().startswith(OWN_FILES):
        raise InputError(f"{where}: {path!r:.80}: the run writes this file itself; choose another")


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

"""A network as data: its name, the shape of its input, and the chain of its layers."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import msgspec

from modelzoo.networks.kinds import KINDS, SCells
from modelzoo.networks.layer import Count, KerasObject, Layer, Shape, read_spec
from modelzoo.support.errors import InputError, suggest

# A slip of the keyboard asks for a thousand times as much as was meant. To initialise a network
# takes three times its weights: below 2 GB with these, twice what AlexNet has.
MOST = {
    "parameters": 2**27,
    "values for each image": 2**26,  # that a layer makes: 268 MB in float32
    "operations for each image": 2**36,  # of a layer: a hundred times those of AlexNet's largest
}
MAX_LAYERS = 200


@dataclass(frozen=True)
class Network:
    """A chain of layers, described; `to_keras` builds it.

    Raises:
        InputError: a layer's arguments are out of range, it does not fit what reaches it, or the
            network is immense.
    """

    name: str
    input_shape: Shape  # (height, width, channels)
    layers: tuple[Layer, ...]  # from the input on
    organizing_steps: int = 0  # batches in which S-cells are reinforced

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", check_input_shape(self.input_shape))
        if len(self.layers) > MAX_LAYERS:
            raise InputError(f"{len(self.layers):,} layers; at most {MAX_LAYERS} are built")
        checked = (  # arguments against their types
            convert_layer(type(each), {"name": each.name, **each.arguments}, each.name or each.kind)
            for each in self.layers
        )
        object.__setattr__(self, "layers", tuple(checked))
        names = Counter(layer.name for layer in self.layers)
        if twice := [name for name, count in names.items() if count > 1 or name == "input"]:
            raise InputError(f"two layers are called {twice[0]!r}")
        for layer, inputs in self.with_inputs:
            check_count(layer.name, layer.operations(inputs), "operations for each image")
        check_count("the network", self.parameters, "parameters")

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The output shape of each layer, without the batch."""
        shapes = [self.input_shape]
        for layer in self.layers:
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except InputError as error:
                raise InputError(f"{layer.name}: {error}") from None
            check_count(layer.name, prod(shapes[-1]))
        return tuple(shapes[1:])

    @property
    def with_inputs(self) -> Iterator[tuple[Layer, Shape]]:
        """Each layer with the shape that reaches it."""
        return zip(self.layers, (self.input_shape, *self.shapes), strict=False)

    @property
    def parameters(self) -> int:
        """The number of weights, those that no gradient changes included."""
        return sum(count_parameters(*each) for each in self.with_inputs)

    @property
    def operations(self) -> int:
        """The floating-point operations for one image, forward."""
        return sum(layer.operations(inputs) for layer, inputs in self.with_inputs)

    @property
    def learns_alone(self) -> bool:
        """Whether it has S-cells, which bring a learning rule of their own."""
        return any(isinstance(layer, SCells) for layer in self.layers)

    def rows(self) -> list[dict[str, Any]]:
        """Return what `info` says of each layer, the input first; None for what it lacks."""
        first = row_of(Layer(name="input"), self.input_shape) | {"type": "InputLayer"}
        return [first, *(row_of(*each) for each in self.with_inputs)]

    def computes_like(self, other: "Network") -> bool:
        """Whether two networks give the same outputs with the same weights, whatever their names.

        What acts only in training is left aside.
        """
        return self.input_shape == other.input_shape and _computed(self) == _computed(other)


def row_of(layer: Layer, inputs: Shape) -> dict[str, Any]:
    """Return one of `Network.rows`."""
    row = {
        "name": layer.name,
        "type": layer.kind,
        "output_shape": layer.output_shape(inputs),
        "parameters": count_parameters(layer, inputs),
        "operations": layer.operations(inputs),
        "trainable_parameters": count_parameters(layer, inputs, trainable=True),
        "connections": layer.connections(inputs),
        "kernel_size": layer.window,
        "strides": layer.steps,
        "padding": getattr(layer, "padding", None),
        "activation": getattr(layer, "activation", None),
    }
    return plain(row)


def count_parameters(layer: Layer, inputs: Shape, *, trainable: bool = False) -> int:
    """Return how many weights a layer has, or how many of them a gradient changes."""
    left_out = layer.fixed if trainable else ()
    return sum(prod(s) for name, s in layer.weights(inputs).items() if name not in left_out)


def check_input_shape(shape: Sequence[int]) -> Shape:
    """Return (height, width, channels), or raise InputError."""
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"input_shape: {list(shape)} should be [height, width, channels]")
    check_count("input_shape", prod(shape))
    return tuple(shape)


def check_count(where: str, count: int, what: str = "values for each image") -> None:
    """Raise InputError if a count is above `MOST`'s."""
    if count > MOST[what]:
        number = f"{count:,}" if count < 10**15 else "more than 10**15"
        raise InputError(
            f"{where}: {number} {what}; at most {MOST[what]:,} are computed\n"
            "Use fewer maps or units, smaller kernels or images, or larger strides"
        )


def read_layers(specs: Sequence[KerasObject], where: str = "layers") -> tuple[Layer, ...]:
    """Return the layers that a list of {class_name, config}, or a kind alone, describes.

    Each gets a name. An unknown kind or argument, or a wrong value, raises InputError.
    """
    layers = []
    for number, spec in enumerate(specs):
        place = f"{where}.{number}"
        kind, config = read_spec(spec, place)
        if kind not in KINDS:
            raise InputError(f"{place}: unknown layer {kind!r:.80}{suggest(kind, KINDS)}")
        layers.append(convert_layer(KINDS[kind], config, f"{place} ({kind})"))
    taken = {layer.name for layer in layers}
    for index, layer in enumerate(layers):
        if not layer.name:  # a name like Keras': conv2d, conv2d_1, max_pooling2d
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", layer.kind)
            stem = re.sub(r"_(\d?D)$", r"\1", words).lower()
            names = itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(1)))
            name = next(name for name in names if name not in taken)
            taken.add(name)
            layers[index] = msgspec.structs.replace(layer, name=name)
    return tuple(layers)


def sequential(
    input_shape: Sequence[Count],
    layers: Sequence[KerasObject],
    num_classes: Count = 10,
    *,
    name: str = "sequential",
) -> Network:
    """Build the network that a list of layers describes.

    Args:
        input_shape: [height, width, channels] of an image.
        layers: from the input on, each {class_name: KIND, config: {argument: value}}, or KIND
            alone. `modelzoo.networks.kinds` has the kinds; their arguments are those of the Keras
            layer, or of ours, with the same defaults. A layer without a name gets one.
        num_classes: outputs. The last Dense layer may leave out its `units`: it has as many.
        name: name of the model.

    Input shape: (batch, height, width, channels), float, scaled as the configuration says.

    Output shape: (batch, num_classes).

    Raises:
        InputError: an unknown kind or argument, a wrong value, or another number of outputs.
    """
    specs = [{"class_name": each} if isinstance(each, str) else each for each in layers]
    for index in reversed(range(len(specs))):
        if isinstance(specs[index], dict) and specs[index].get("class_name") == "Dense":
            config = specs[index].get("config") or {}
            if isinstance(config, dict) and "units" not in config:
                specs[index] = specs[index] | {"config": config | {"units": num_classes}}
            break
    chain = read_layers(specs)
    if chain:  # a softmax in 8 or 11 bits loses small probabilities
        chain = (*chain[:-1], msgspec.structs.replace(chain[-1], dtype="float32"))
    network = Network(name, tuple(input_shape), chain)
    outputs = network.shapes[-1] if chain else network.input_shape
    if outputs != (num_classes,):
        found = "x".join(map(str, outputs))
        raise InputError(
            f"layers: end with {found} outputs, but num_classes is {num_classes}; leave out the "
            "`units` of the last Dense layer, or set num_classes"
        )
    return network


def as_specs(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Return layers as `read_layers` takes them, in plain lists and dicts."""
    named = ((layer.kind, {"name": layer.name, **layer.arguments}) for layer in layers)
    return [{"class_name": kind, "config": plain(config)} for kind, config in named]


def convert_layer(kind: type[Layer], values: Mapping[str, Any], where: str) -> Layer:
    """Return a layer with its arguments checked against their types, or raise InputError."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).replace("`", "").partition(" - at $")
    fields = kind.__struct_fields__
    if problem.startswith("Object contains unknown field "):
        wrong = problem.rpartition(" ")[2]
        raise InputError(f"{where}: unknown argument {wrong!r}{suggest(wrong, fields)}")
    if problem.startswith("Object missing required field "):
        raise InputError(f"{where}: {problem.rpartition(' ')[2]} is missing")
    if not place:  # the kind's own check
        raise InputError(f"{where}: {problem}")
    key = place.strip(".")
    value = values.get(re.split(r"[.\[]", key)[0])
    raise InputError(f"{where}: {key}: {problem[0].lower()}{problem[1:]}: {value!r:.80}")


def plain(value: Any) -> Any:
    """Return a value with lists in place of tuples, as YAML and JSON have them."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _computed(network: Network) -> list[dict[str, Any]]:
    """Return what decides a network's outputs, each activation as an entry of its own."""
    ignored = ("dtype", "momentum", "activation")
    steps: list[dict[str, Any]] = []
    for layer in network.layers:
        if "Dropout" in layer.kind or layer.kind == "GaussianNoise":
            continue
        values = {
            key: value
            for key, value in layer.arguments.items()
            if key not in ignored and not key.endswith(("initializer", "regularizer"))
        }
        if layer.window:  # however they are given: n, (n, n), or as large as the window
            values |= {"kernel_size": layer.window, "pool_size": None, "strides": layer.steps}
        activation = getattr(layer, "activation", None) or "linear"
        if not values and layer.kind in ("ReLU", "Softmax"):
            activation = layer.kind.lower()
        elif layer.kind != "Activation":
            steps.append({"kind": layer.kind, **values})
        if activation != "linear":
            steps.append({"activation": activation})
    return steps

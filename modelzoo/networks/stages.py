"""What builders share: arguments given once or in a list with one a layer, and what they make."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal

from modelzoo.networks.kinds import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    MaxPooling2D,
    ZeroPadding2D,
)
from modelzoo.networks.layer import Count, KerasObject, Layer, Padding, Rate, Side
from modelzoo.support.errors import InputError

ConvPadding = Padding | Side  # a number: so many rows and columns of zeros on every side
Pooling = Literal["average", "max", "none"]
Normalization = Literal["batch", "local_response", "none"]
# One size for all layers, or a list with one a layer, where a size is n or [height, width].
Size = Count | Sequence[Count | Sequence[Count]]
Strides = Count | Sequence[Count | Sequence[Count] | None] | None
Counts = Sequence[Count]
Rates = Rate | Sequence[Rate]
Words = str | Sequence[str]
KerasObjects = KerasObject | Sequence[KerasObject]

POOLS: dict[str, type[AveragePooling2D]] = {"average": AveragePooling2D, "max": MaxPooling2D}


def per_layer(
    arguments: Mapping[str, Any], names: str, count: int | None = None
) -> list[SimpleNamespace]:
    """Return the arguments of each layer, as attributes.

    Args:
        arguments: of the builder, by name: each a single value, which all layers get, or a list
            with one a layer.
        names: of those to return, with spaces between them.
        count: layers; by default as many as the first argument has values.

    Raises:
        InputError: a list of another length.
    """
    given = {name: arguments[name] for name in names.split()}
    if count is None:
        first = next(iter(given.values()))
        count = len(first) if isinstance(first, list | tuple) else 1
    layers = [SimpleNamespace() for _ in range(count)]
    for name, value in given.items():
        values = list(value) if isinstance(value, list | tuple) else [value] * count
        if len(values) != count:
            raise InputError(
                f"{name}: {len(values)} values for {count} layers; give one, or {count}"
            )
        for layer, each in zip(layers, values, strict=True):
            setattr(layer, name, tuple(each) if isinstance(each, list) else each)
    return layers


def convolve(name: str, margin: str, stage: SimpleNamespace, **arguments: Any) -> list[Layer]:
    """Return a stage's convolution, behind zeros, a layer `margin`, where padding is a number."""
    padding: Any = stage.conv_padding
    zeros: list[Layer] = []
    if isinstance(padding, int):
        if padding:
            zeros = [ZeroPadding2D(name=margin, padding=padding)]
        padding = "valid"
    convolution = Conv2D(
        name=name,
        filters=stage.conv_maps,
        kernel_size=stage.kernel_size,
        strides=stage.strides,
        padding=padding,
        **arguments,
    )
    return [*zeros, convolution]


def pool(name: str, stage: SimpleNamespace) -> list[Layer]:
    """Return a stage's pooling, if it has one."""
    if stage.pooling == "none":
        return []
    size, strides = stage.pool_size, stage.pool_strides
    kind = POOLS[stage.pooling]
    return [kind(name=name, pool_size=size, strides=strides, padding=stage.pool_padding)]


def connect(name: str, drop: str, each: SimpleNamespace, **arguments: Any) -> list[Layer]:
    """Return a hidden fully connected layer, and its dropout, called `drop`, if it has one."""
    units, activation = each.dense_units, each.dense_activation
    layers: list[Layer] = [Dense(name=name, units=units, activation=activation, **arguments)]
    return layers + ([Dropout(name=drop, rate=each.dropout)] if each.dropout else [])


def classify(name: str, num_classes: int, activation: str, **arguments: Any) -> Layer:
    """Return the output layer.

    Its arithmetic is float32 even under mixed precision: a softmax in 8 or 11 bits loses small
    probabilities.
    """
    return Dense(name=name, units=num_classes, activation=activation, dtype="float32", **arguments)

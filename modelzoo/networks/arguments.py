"""The arguments that builders share: given once for all layers, or in a list with one a layer."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal

from modelzoo.errors import InputError
from modelzoo.networks.kinds import (
    AveragePooling2D,
    Count,
    KerasObject,
    MaxPooling2D,
    Padding,
    Rate,
    Side,
)

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

POOLS: dict[str, type[AveragePooling2D] | type[MaxPooling2D]] = {
    "average": AveragePooling2D,
    "max": MaxPooling2D,
}


def per_layer(count: int, **arguments: Any) -> list[SimpleNamespace]:
    """Return the arguments of each of `count` layers, as attributes.

    Args:
        count: layers.
        arguments: each a single value, which all layers get, or a list with one a layer.

    Raises:
        InputError: a list of another length.
    """
    layers = [SimpleNamespace() for _ in range(count)]
    for name, value in arguments.items():
        values = list(value) if isinstance(value, list | tuple) else [value] * count
        if len(values) != count:
            raise InputError(
                f"{name}: {len(values)} values for {count} layers; give one, or {count}"
            )
        for layer, each in zip(layers, values, strict=True):
            setattr(layer, name, tuple(each) if isinstance(each, list) else each)
    return layers

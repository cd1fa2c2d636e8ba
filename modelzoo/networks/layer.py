"""What the description of every layer has: its arguments, and numbers that follow from them.

It starts no framework. Shapes are without the batch: (height, width, maps), or (units,).
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from modelzoo.support.errors import InputError

Shape = tuple[int, ...]
Count = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
# Not tuple[Count, Count]: msgspec 0.22 reads a union of that and Count from the wrong memory.
Pair = Annotated[tuple[Count, ...], msgspec.Meta(min_length=2, max_length=2)]
Size = Count | Pair  # n, or (height, width)
Side = Annotated[int, msgspec.Meta(ge=0, lt=1000)]
Sides = Annotated[tuple[Side, ...], msgspec.Meta(min_length=2, max_length=2)]  # before, after
# n on every side, (rows, columns), or the two sides of each
Margins = Side | Annotated[tuple[Side | Sides, ...], msgspec.Meta(min_length=2, max_length=2)]
Padding = Literal["valid", "same"]
Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e30)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Finite = Annotated[float, msgspec.Meta(gt=-1e30, lt=1e30)]
Epsilon = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Table = tuple[tuple[Annotated[int, msgspec.Meta(ge=0, le=1)], ...], ...]
KerasObject = str | dict[str, Any]  # a class name, or {class_name: ..., config: {...}}


class Layer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every kind has; by itself a layer that keeps shapes and has no weights.

    A kind with a window (an argument `kernel_size`, `pool_size` or `area`) slides it over its
    input, each map by itself.
    """

    fixed: ClassVar[tuple[str, ...]] = ()  # weights that no gradient changes
    per_value: ClassVar[int] = 0  # floating-point operations for each value of the input
    per_pair: ClassVar[int] = 0  # the same for each pair of a unit and a value that it takes

    name: str = ""
    dtype: Literal["float32"] | None = None  # of its arithmetic; None for that of the network

    @property
    def kind(self) -> str:
        """The name of the class, here and in Keras."""
        return type(self).__name__

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the layer that differ from its defaults, without its name."""
        return {
            field.name: value
            for field in msgspec.structs.fields(self)
            if (value := getattr(self, field.name)) != field.default and field.name != "name"
        }

    @property
    def window(self) -> tuple[int, int] | None:
        """(height, width) of what a unit sees of each map; None if it sees no window."""
        fields = ("kernel_size", "pool_size", "area")
        sizes = [getattr(self, field) for field in fields if hasattr(self, field)]
        return pair(sizes[0]) if sizes else None

    @property
    def steps(self) -> tuple[int, int] | None:
        """(vertical, horizontal) distance of neighbouring windows, by default their size."""
        strides = getattr(self, "strides", None)
        return self.window if strides is None else pair(strides)

    @property
    def span(self) -> tuple[int, int]:
        """(height, width) of a window, the gaps of a dilation included."""
        window, (down, across) = self.window or (1, 1), pair(getattr(self, "dilation_rate", 1))
        return (window[0] - 1) * down + 1, (window[1] - 1) * across + 1

    def positions(self, inputs: Shape) -> tuple[int, int]:
        """Return how many windows stand below each other and beside each other over an input."""
        height, width, _ = maps_of(inputs)
        span, steps, padding = self.span, self.steps or (1, 1), getattr(self, "padding", "valid")
        if padding == "same":
            return -(-height // steps[0]), -(-width // steps[1])
        if padding != "valid":  # n, (rows, columns), or two sides of each
            rows, columns = pair(padding)
            height, width = height + sum(pair(rows)), width + sum(pair(columns))
        if span[0] > height or span[1] > width:
            raise InputError(
                f"its {span[0]}x{span[1]} window is larger than the {height}x{width} that reach "
                "it; use a larger input_shape, a smaller window, fewer layers or padding: same"
            )
        return (height - span[0]) // steps[0] + 1, (width - span[1]) // steps[1] + 1

    def output_shape(self, inputs: Shape) -> Shape:
        """Return the shape that becomes of an input's, or raise InputError."""
        return (*self.positions(inputs), inputs[-1]) if self.window else inputs

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        """Return the shape of each weight, in the order in which Keras keeps them."""
        return {}

    def pairs(self, inputs: Shape) -> int:
        """Return the pairs of a unit and a value that it takes from the input."""
        return math.prod((*self.output_shape(inputs), *self.window)) if self.window else 0

    def connections(self, inputs: Shape) -> int:
        """Return the pairs of a unit and a value that it takes, its bias included."""
        biased = not {"bias", "b"}.isdisjoint(self.weights(inputs))
        return self.pairs(inputs) + biased * math.prod(self.output_shape(inputs))

    def operations(self, inputs: Shape) -> int:
        """Return the floating-point operations for one image, forward.

        A multiplication, an addition, a comparison and a power are one each, so a weight with its
        sum is two, and the bias takes the place of the first sum. Activation functions are not
        counted, nor is what only moves values or only happens in training.
        """
        return self.per_pair * self.pairs(inputs) + self.per_value * math.prod(inputs)


def read_spec(spec: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Return the class name and the arguments of a `KerasObject`, or raise InputError."""
    if isinstance(spec, str):
        return spec, {}
    is_spec = isinstance(spec, Mapping) and isinstance(spec.get("class_name"), str)
    if not is_spec or set(spec) - {"class_name", "config"}:
        raise InputError(f"{where}: {spec!r:.80} should be {{class_name: NAME, config: {{...}}}}")
    config = spec.get("config") or {}
    if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
        raise InputError(f"{where}.config: {config!r:.80} should hold the arguments by name")
    return spec["class_name"], dict(config)


def maps_of(inputs: Shape) -> tuple[int, int, int]:
    """Return (height, width, maps), or raise InputError."""
    if len(inputs) != 3:
        raise InputError(f"takes maps with a height and a width, but {inputs[-1]} units reach it")
    return inputs[0], inputs[1], inputs[2]


def pair(size: Any) -> tuple[int, int]:
    """Return (height, width) from n or (height, width)."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])

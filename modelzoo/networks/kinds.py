"""The kinds of layers that a network is described with.

A class here has the name, the arguments and the defaults of the layer that it stands for: Keras'
own, or one of `modelzoo.networks.layers`. A new kind states its arguments, and what differs from
`Layer`: usually how many maps come out, the shapes of its weights and its operations.
"""

import math
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from modelzoo.networks.layer import (
    Count,
    Epsilon,
    Finite,
    KerasObject,
    Layer,
    Margins,
    Padding,
    Positive,
    Rate,
    Shape,
    Share,
    Sides,
    Size,
    Table,
    maps_of,
    pair,
)
from modelzoo.support.errors import InputError


class _Kernel(Layer, frozen=True, kw_only=True):
    """A layer whose units weigh what they see with a kernel, and add a bias."""

    per_pair: ClassVar[int] = 2

    kernel_initializer: KerasObject | None = None
    bias_initializer: KerasObject | None = None

    def kernel(self, inputs: Shape) -> Shape:
        """Return the shape of the kernel, the units or maps that it makes last."""
        raise NotImplementedError

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"kernel": self.kernel(inputs), "bias": self.output_shape(inputs)[-1:]}

    def pairs(self, inputs: Shape) -> int:
        return math.prod((*self.output_shape(inputs)[:-1], *self.kernel(inputs)))


class _Weighted(_Kernel, frozen=True, kw_only=True):
    """One of Keras' own."""

    activation: str | None = None
    use_bias: bool = True
    kernel_regularizer: KerasObject | None = None
    bias_regularizer: KerasObject | None = None

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        weights = _Kernel.weights(self, inputs)
        return weights if self.use_bias else {"kernel": weights["kernel"]}


class Dense(_Weighted, frozen=True, kw_only=True):
    units: Count

    def output_shape(self, inputs: Shape) -> Shape:
        return (*inputs[:-1], self.units)

    def kernel(self, inputs: Shape) -> Shape:
        return inputs[-1], self.units


class Conv2D(_Weighted, frozen=True, kw_only=True):
    """Channels last."""

    filters: Count
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    dilation_rate: Size = 1
    groups: Count = 1

    def output_shape(self, inputs: Shape) -> Shape:
        maps = maps_of(inputs)[2]
        if maps % self.groups or self.filters % self.groups:
            raise InputError(
                f"groups: {self.groups} groups divide neither or only one of the {maps} input "
                f"channels and the {self.filters} maps; both are needed"
            )
        return (*self.positions(inputs), self.filters)

    def kernel(self, inputs: Shape) -> Shape:
        return (*pair(self.kernel_size), inputs[-1] // self.groups, self.filters)


class _ByMap(Layer, frozen=True, kw_only=True):
    """A convolution that makes `depth_multiplier` maps of each map by itself."""

    per_pair: ClassVar[int] = 2

    activation: str | None = None
    use_bias: bool = True
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    dilation_rate: Size = 1
    depth_multiplier: Count = 1

    def by_map(self, inputs: Shape) -> Conv2D:
        """Return the convolution in groups of one map that computes the same, without a bias."""
        names = ("kernel_size", "strides", "padding", "dilation_rate")
        values: Any = {name: getattr(self, name) for name in names}
        filters = maps_of(inputs)[2] * self.depth_multiplier
        return Conv2D(**values, filters=filters, groups=inputs[2], use_bias=False)


class DepthwiseConv2D(_ByMap, frozen=True, kw_only=True):
    def output_shape(self, inputs: Shape) -> Shape:
        return self.by_map(inputs).output_shape(inputs)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        kernel = (*pair(self.kernel_size), inputs[-1], self.depth_multiplier)
        bias = {"bias": self.output_shape(inputs)[-1:]} if self.use_bias else {}
        return {"kernel": kernel, **bias}

    def pairs(self, inputs: Shape) -> int:
        return self.by_map(inputs).pairs(inputs)


class SeparableConv2D(_ByMap, frozen=True, kw_only=True):
    """Each map by itself, then sums of the maps at each place."""

    filters: Count

    def output_shape(self, inputs: Shape) -> Shape:
        return (*self.by_map(inputs).output_shape(inputs)[:2], self.filters)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        middle = self.by_map(inputs).filters
        shapes: dict[str, Shape] = {
            "depthwise_kernel": (*pair(self.kernel_size), inputs[-1], self.depth_multiplier),
            "pointwise_kernel": (1, 1, middle, self.filters),
        }
        return shapes | ({"bias": (self.filters,)} if self.use_bias else {})

    def pairs(self, inputs: Shape) -> int:
        first = self.by_map(inputs)
        *places, middle = first.output_shape(inputs)
        return first.pairs(inputs) + math.prod((*places, middle, self.filters))


class ConnectionTableConv2D(_Kernel, frozen=True, kw_only=True):
    connection_table: Table
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    padding_value: Finite = 0.0

    def __post_init__(self) -> None:
        """Raise InputError for a table with rows of several lengths, or that leaves a map alone."""
        table = self.connection_table
        lengths = {len(row) for row in table}
        if len(lengths) != 1 or lengths == {0}:
            raise InputError("connection_table: should hold rows of 0 and 1, all of one length")
        for what, lines in (("row", table), ("column", zip(*table, strict=True))):
            for number, line in enumerate(lines):
                if not any(line):
                    raise InputError(
                        f"connection_table: {what} {number} has no 1: the map is alone"
                    )

    def output_shape(self, inputs: Shape) -> Shape:
        rows, filters = len(self.connection_table), len(self.connection_table[0])
        if rows != maps_of(inputs)[2]:
            raise InputError(f"connection_table: has {rows} rows, but {inputs[2]} maps reach it")
        return (*self.positions(inputs), filters)

    def kernel(self, inputs: Shape) -> Shape:
        return (*pair(self.kernel_size), sum(map(sum, self.connection_table)))


class UnitBiasConv2D(ConnectionTableConv2D, frozen=True, kw_only=True):
    """With a bias for each unit."""

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"kernel": self.kernel(inputs), "bias": self.output_shape(inputs)}


class AveragePooling2D(Layer, frozen=True, kw_only=True):
    per_pair: ClassVar[int] = 1

    pool_size: Size
    strides: Size | None = None
    padding: Padding = "valid"


class MaxPooling2D(AveragePooling2D, frozen=True, kw_only=True):
    pool_size: Size = 2


class GlobalAveragePooling2D(Layer, frozen=True, kw_only=True):
    per_pair: ClassVar[int] = 1

    def output_shape(self, inputs: Shape) -> Shape:
        return (maps_of(inputs)[2],)

    def pairs(self, inputs: Shape) -> int:
        return math.prod(inputs)


class TrainableSubsampling(Layer, frozen=True, kw_only=True):
    pool_size: Size = 2
    reduction: Literal["sum", "mean"] = "sum"
    coefficient_initializer: KerasObject | None = None
    bias_initializer: KerasObject | None = None

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"coefficient": inputs[-1:], "bias": inputs[-1:]}

    def operations(self, inputs: Shape) -> int:  # sum, times the coefficient, plus the bias
        return self.connections(inputs)


class Flatten(Layer, frozen=True, kw_only=True):
    def output_shape(self, inputs: Shape) -> Shape:
        return (math.prod(inputs),)


class ZeroPadding2D(Layer, frozen=True, kw_only=True):
    padding: Margins = 1

    def output_shape(self, inputs: Shape) -> Shape:
        return (*self.positions(inputs), inputs[-1])


class BatchNormalization(Layer, frozen=True, kw_only=True):
    """Of the last axis."""

    fixed: ClassVar[tuple[str, ...]] = ("moving_mean", "moving_variance")
    per_value: ClassVar[int] = 2

    momentum: Rate = 0.99
    epsilon: Epsilon = 0.001
    center: bool = True
    scale: bool = True

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        names = [*["gamma"] * self.scale, *["beta"] * self.center, *self.fixed]
        return dict.fromkeys(names, inputs[-1:])


class LocalResponseNormalization(Layer, frozen=True, kw_only=True):
    k: Finite = 2.0
    n: Count = 5
    alpha: Finite = 1e-4
    beta: Finite = 0.75

    def __post_init__(self) -> None:
        if self.n % 2 == 0:
            raise InputError(f"n: {self.n} should be an odd number of channels")

    def operations(self, inputs: Shape) -> int:  # squares added, scaled, offset, power, division
        return math.prod(inputs) * (self.n + 4)


class Rescaling(Layer, frozen=True, kw_only=True):
    per_value: ClassVar[int] = 2

    scale: Finite | tuple[Finite, ...]
    offset: Finite | tuple[Finite, ...] = 0.0


class Normalization(Layer, frozen=True, kw_only=True):
    """With a mean and a variance that are known."""

    per_value: ClassVar[int] = 2

    mean: Finite | tuple[Finite, ...]
    variance: Finite | tuple[Finite, ...]


class Activation(Layer, frozen=True, kw_only=True):
    activation: str


class ReLU(Layer, frozen=True, kw_only=True):
    max_value: Finite | None = None
    negative_slope: Finite = 0.0
    threshold: Finite = 0.0


class PReLU(Layer, frozen=True, kw_only=True):
    """With slopes below 0 that are learnt, one along each of the shared axes (1 is the first)."""

    shared_axes: tuple[Count, ...] | None = None

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        shared = self.shared_axes or ()
        return {"alpha": tuple(1 if n in shared else size for n, size in enumerate(inputs, 1))}


class ScaledTanh(Layer, frozen=True, kw_only=True):
    amplitude: Finite = 1.7159
    slope: Finite = 2 / 3


class Dropout(Layer, frozen=True, kw_only=True):
    """Which does nothing but in training."""

    rate: Rate


class EuclideanRBF(Layer, frozen=True, kw_only=True):
    """Its codes are no weights."""

    per_pair: ClassVar[int] = 3  # difference, square, sum

    codes: tuple[tuple[Finite, ...], ...]

    def output_shape(self, inputs: Shape) -> Shape:
        lengths = {len(code) for code in self.codes}
        if lengths != {inputs[-1]}:
            raise InputError(f"codes: of {sorted(lengths)} features, but {inputs[-1]} reach them")
        return (*inputs[:-1], len(self.codes))

    def pairs(self, inputs: Shape) -> int:
        return math.prod(inputs) * len(self.codes)


class SCells(Layer, frozen=True, kw_only=True):
    """Of the synapses, one a cell is inhibitory."""

    fixed: ClassVar[tuple[str, ...]] = ("a", "b")
    per_pair: ClassVar[int] = 2
    strides: ClassVar[int] = 1  # neighbouring cells see neighbouring areas

    planes: Count
    area: Count
    padding: tuple[Sides, ...] = ((0, 0), (0, 0))
    selectivity: Positive = 1.5
    learning_selectivity: Positive | None = None
    reinforcement: Positive = 16.0
    column: Count = 5
    decay: Share = 0.9
    initial: Positive = 0.1

    def output_shape(self, inputs: Shape) -> Shape:
        return (*self.positions(inputs), self.planes)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"a": (self.area, self.area, inputs[-1], self.planes), "b": (self.planes,)}

    def pairs(self, inputs: Shape) -> int:
        return math.prod(self.output_shape(inputs)) * self.area**2 * inputs[-1]

    def operations(self, inputs: Shape) -> int:
        # Squares, and their sums over the planes and over the area, for the V-cells.
        energy = 2 * math.prod(inputs) + 2 * math.prod(self.positions(inputs)) * self.area**2
        return self.per_pair * self.pairs(inputs) + energy


class CCells(Layer, frozen=True, kw_only=True):
    per_pair: ClassVar[int] = 2

    area: Count
    strides: Count = 1
    padding: tuple[Sides, ...] = ((0, 0), (0, 0))
    saturation: Positive = 0.5
    decay: Share = 0.8


# Other layers of Keras that keep shapes and have no weights: the fields of their structures. A
# builder makes one by KINDS["ELU"](name=...).
OTHERS: dict[str, list[Any]] = {
    "AlphaDropout": [("rate", Rate)],
    "ELU": [("alpha", Finite, 1.0)],
    "GaussianDropout": [("rate", Rate)],
    "GaussianNoise": [("stddev", Annotated[float, msgspec.Meta(ge=0, lt=1e30)])],
    "LeakyReLU": [("negative_slope", Finite, 0.3)],
    "Softmax": [],  # over the last axis
    "SpatialDropout2D": [("rate", Rate)],
}
# The kinds of `modelzoo.networks.layers`; all others are Keras'.
OURS = {
    "CCells", "ConnectionTableConv2D", "EuclideanRBF", "LocalResponseNormalization", "SCells",
    "ScaledTanh", "TrainableSubsampling", "UnitBiasConv2D",
}  # fmt: skip
KINDS: dict[str, type[Layer]] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Layer) and value is not Layer
    if not name.startswith("_")
}
for _name, _fields in OTHERS.items():
    _kind: Any = msgspec.defstruct(_name, _fields, bases=(Layer,), frozen=True, kw_only=True)
    KINDS[_name] = _kind

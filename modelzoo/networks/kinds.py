"""The kinds of layers that a network is described with: arguments, shapes, weights, arithmetic.

A class here has the name, the arguments and the defaults of the layer that it stands for: Keras'
own, or one of `modelzoo.layers`. It computes nothing but numbers about the layer, and starts no
framework. Shapes are without the batch: (height, width, maps), or (units,).
"""

import math
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from modelzoo.errors import InputError

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

    Attributes:
        name: of the layer.
        dtype: of its arithmetic; None for that of the network.
    """

    fixed: ClassVar[tuple[str, ...]] = ()  # weights that no gradient changes

    name: str = ""
    dtype: Literal["float32"] | None = None

    @property
    def kind(self) -> str:
        """The name of the class, here and in Keras."""
        return type(self).__name__

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the layer that differ from its defaults, without its name."""
        given = {}
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.name != "name" and value != field.default:
                given[field.encode_name] = value
        return given

    @property
    def window(self) -> tuple[int, int] | None:
        """(height, width) of what a unit sees of each map; None if it sees no window."""
        fields = ("kernel_size", "pool_size", "area")
        sizes = [getattr(self, field) for field in fields if hasattr(self, field)]
        return pair(sizes[0]) if sizes else None

    @property
    def steps(self) -> tuple[int, int] | None:
        """(vertical, horizontal) distance of neighbouring windows."""
        strides = getattr(self, "strides", None)
        if strides is None and self.window:  # S-cells move by 1, poolings by their window
            return (1, 1) if hasattr(self, "area") else self.window
        return None if strides is None else pair(strides)

    def output_shape(self, inputs: Shape) -> Shape:
        """Return the shape that becomes of an input's.

        Raises:
            InputError: the layer takes no input of this shape.
        """
        return inputs

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        """Return the shape of each weight, in the order in which Keras keeps them."""
        return {}

    def operations(self, inputs: Shape) -> int:
        """Return the floating-point operations for one image, forward.

        A multiplication, an addition, a comparison and a power are one each, so a weight with its
        sum is two, and the bias takes the place of the first sum. Activation functions are not
        counted, nor is what only moves values or only happens in training.
        """
        return 0

    def connections(self, inputs: Shape) -> int:
        """Return the pairs of a unit and a value that it takes, its bias included."""
        return 0


class _Kernel(Layer, frozen=True, kw_only=True):
    """A layer whose units weigh what they see with a kernel, and perhaps add a bias."""

    kernel_initializer: KerasObject | None = None
    bias_initializer: KerasObject | None = None

    def operations(self, inputs: Shape) -> int:
        *sides, _ = self.output_shape(inputs)
        return 2 * math.prod(sides) * math.prod(self.weights(inputs)["kernel"])

    def connections(self, inputs: Shape) -> int:
        biases = math.prod(self.output_shape(inputs)) if "bias" in self.weights(inputs) else 0
        return self.operations(inputs) // 2 + biases


class _Weighted(_Kernel, frozen=True, kw_only=True):
    """What Keras' own layers with a kernel have in common."""

    activation: str | None = None
    use_bias: bool = True
    kernel_regularizer: KerasObject | None = None
    bias_regularizer: KerasObject | None = None


class Dense(_Weighted, frozen=True, kw_only=True):
    """`keras.layers.Dense`."""

    units: Count

    def output_shape(self, inputs: Shape) -> Shape:
        return (*inputs[:-1], self.units)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        bias = {"bias": (self.units,)} if self.use_bias else {}
        return {"kernel": (inputs[-1], self.units), **bias}


class Conv2D(_Weighted, frozen=True, kw_only=True):
    """`keras.layers.Conv2D`, channels last."""

    filters: Count
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    dilation_rate: Size = 1
    groups: Count = 1

    def output_shape(self, inputs: Shape) -> Shape:
        height, width, maps = maps_of(inputs)
        if maps % self.groups or self.filters % self.groups:
            raise InputError(
                f"groups: {self.groups} groups divide neither or only one of the {maps} input "
                f"channels and the {self.filters} maps; both are needed"
            )
        spread = zip(pair(self.kernel_size), pair(self.dilation_rate), strict=True)
        window = tuple((size - 1) * rate + 1 for size, rate in spread)
        sides = slide((height, width), window, pair(self.strides), self.padding)
        return (*sides, self.filters)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        kernel = (*pair(self.kernel_size), inputs[-1] // self.groups, self.filters)
        return {"kernel": kernel, **({"bias": (self.filters,)} if self.use_bias else {})}


class ConnectionTableConv2D(_Kernel, frozen=True, kw_only=True):
    """`modelzoo.layers.connection_table_conv2d.ConnectionTableConv2D`."""

    connection_table: Table
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    padding_value: Finite = 0.0

    def output_shape(self, inputs: Shape) -> Shape:
        height, width, maps = maps_of(inputs)
        rows, filters = check_table(self.connection_table)
        if rows != maps:
            raise InputError(f"connection_table: has {rows} rows, but {maps} maps reach it")
        window, strides = pair(self.kernel_size), pair(self.strides)
        return (*slide((height, width), window, strides, self.padding), filters)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        joined = sum(map(sum, self.connection_table))
        return {
            "kernel": (*pair(self.kernel_size), joined),
            "bias": self.bias_shape(self.output_shape(inputs)),
        }

    def bias_shape(self, outputs: Shape) -> Shape:
        """Return the shape of the bias: one for each output map."""
        return outputs[-1:]


class UnitBiasConv2D(ConnectionTableConv2D, frozen=True, kw_only=True):
    """`modelzoo.layers.unit_bias_conv2d.UnitBiasConv2D`: a bias for each unit."""

    def bias_shape(self, outputs: Shape) -> Shape:
        return outputs


class _Pooling(Layer, frozen=True, kw_only=True):
    """A window that moves over each map by itself."""

    pool_size: Size
    strides: Size | None = None
    padding: Padding = "valid"

    def output_shape(self, inputs: Shape) -> Shape:
        height, width, maps = maps_of(inputs)
        window = pair(self.pool_size)
        strides = window if self.strides is None else pair(self.strides)
        return (*slide((height, width), window, strides, self.padding), maps)

    def operations(self, inputs: Shape) -> int:
        return math.prod(self.output_shape(inputs)) * math.prod(pair(self.pool_size))

    def connections(self, inputs: Shape) -> int:
        return self.operations(inputs)


class MaxPooling2D(_Pooling, frozen=True, kw_only=True):
    """`keras.layers.MaxPooling2D`."""

    pool_size: Size = 2


class AveragePooling2D(_Pooling, frozen=True, kw_only=True):
    """`keras.layers.AveragePooling2D`."""


class GlobalAveragePooling2D(Layer, frozen=True, kw_only=True):
    """`keras.layers.GlobalAveragePooling2D`."""

    def output_shape(self, inputs: Shape) -> Shape:
        return (maps_of(inputs)[2],)

    def operations(self, inputs: Shape) -> int:
        return math.prod(inputs)

    def connections(self, inputs: Shape) -> int:
        return math.prod(inputs)


class TrainableSubsampling(Layer, frozen=True, kw_only=True):
    """`modelzoo.layers.trainable_subsampling.TrainableSubsampling`."""

    pool_size: Size = 2
    reduction: Literal["sum", "mean"] = "sum"
    coefficient_initializer: KerasObject | None = None
    bias_initializer: KerasObject | None = None

    def output_shape(self, inputs: Shape) -> Shape:
        height, width, maps = maps_of(inputs)
        window = pair(self.pool_size)
        return (*slide((height, width), window, window, "valid"), maps)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"coefficient": inputs[-1:], "bias": inputs[-1:]}

    def operations(self, inputs: Shape) -> int:  # sum, times the coefficient, plus the bias
        return math.prod(self.output_shape(inputs)) * (math.prod(pair(self.pool_size)) + 1)

    def connections(self, inputs: Shape) -> int:
        return self.operations(inputs)


class Flatten(Layer, frozen=True, kw_only=True):
    """`keras.layers.Flatten`."""

    def output_shape(self, inputs: Shape) -> Shape:
        return (math.prod(inputs),)


class ZeroPadding2D(Layer, frozen=True, kw_only=True):
    """`keras.layers.ZeroPadding2D`."""

    padding: Margins = 1

    def output_shape(self, inputs: Shape) -> Shape:
        height, width, maps = maps_of(inputs)
        rows, columns = margins(self.padding)
        return height + sum(rows), width + sum(columns), maps


class BatchNormalization(Layer, frozen=True, kw_only=True):
    """`keras.layers.BatchNormalization`, of the last axis."""

    fixed: ClassVar[tuple[str, ...]] = ("moving_mean", "moving_variance")

    momentum: Rate = 0.99
    epsilon: Epsilon = 0.001
    center: bool = True
    scale: bool = True

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        names = [*["gamma"] * self.scale, *["beta"] * self.center, *self.fixed]
        return dict.fromkeys(names, inputs[-1:])

    def operations(self, inputs: Shape) -> int:
        return 2 * math.prod(inputs)


class LocalResponseNormalization(Layer, frozen=True, kw_only=True):
    """`modelzoo.layers.local_response_normalization.LocalResponseNormalization`."""

    k: Finite = 2.0
    n: Count = 5
    alpha: Finite = 1e-4
    beta: Finite = 0.75

    def operations(self, inputs: Shape) -> int:  # squares added, scaled, offset, power, division
        return math.prod(inputs) * (self.n + 4)


class Rescaling(Layer, frozen=True, kw_only=True):
    """`keras.layers.Rescaling`."""

    scale: Finite | tuple[Finite, ...]
    offset: Finite | tuple[Finite, ...] = 0.0

    def operations(self, inputs: Shape) -> int:
        return 2 * math.prod(inputs)


class Normalization(Layer, frozen=True, kw_only=True):
    """`keras.layers.Normalization` with a mean and a variance that are known."""

    mean: Finite | tuple[Finite, ...]
    variance: Finite | tuple[Finite, ...]

    def operations(self, inputs: Shape) -> int:
        return 2 * math.prod(inputs)


class Activation(Layer, frozen=True, kw_only=True):
    """`keras.layers.Activation`."""

    activation: str


class ReLU(Layer, frozen=True, kw_only=True):
    """`keras.layers.ReLU`."""

    max_value: Finite | None = None
    negative_slope: Finite = 0.0
    threshold: Finite = 0.0


class LeakyReLU(Layer, frozen=True, kw_only=True):
    """`keras.layers.LeakyReLU`."""

    negative_slope: Finite = 0.3


class ELU(Layer, frozen=True, kw_only=True):
    """`keras.layers.ELU`."""

    alpha: Finite = 1.0


class Softmax(Layer, frozen=True, kw_only=True):
    """`keras.layers.Softmax`, over the last axis."""


class ScaledTanh(Layer, frozen=True, kw_only=True):
    """`modelzoo.layers.scaled_tanh.ScaledTanh`."""

    amplitude: Finite = 1.7159
    slope: Finite = 2 / 3


class Dropout(Layer, frozen=True, kw_only=True):
    """`keras.layers.Dropout`; like the next four, it does nothing but in training."""

    rate: Rate


class SpatialDropout2D(Layer, frozen=True, kw_only=True):
    """`keras.layers.SpatialDropout2D`."""

    rate: Rate


class AlphaDropout(Layer, frozen=True, kw_only=True):
    """`keras.layers.AlphaDropout`."""

    rate: Rate


class GaussianDropout(Layer, frozen=True, kw_only=True):
    """`keras.layers.GaussianDropout`."""

    rate: Rate


class GaussianNoise(Layer, frozen=True, kw_only=True):
    """`keras.layers.GaussianNoise`."""

    stddev: Annotated[float, msgspec.Meta(ge=0, lt=1e30)]


class EuclideanRBF(Layer, frozen=True, kw_only=True):
    """`modelzoo.layers.euclidean_rbf.EuclideanRBF`; its codes are no weights."""

    codes: tuple[tuple[Finite, ...], ...]

    def output_shape(self, inputs: Shape) -> Shape:
        lengths = {len(code) for code in self.codes}
        if lengths != {inputs[-1]}:
            raise InputError(f"codes: of {sorted(lengths)} features, but {inputs[-1]} reach them")
        return (*inputs[:-1], len(self.codes))

    def operations(self, inputs: Shape) -> int:  # difference, square, sum
        return 3 * self.connections(inputs)

    def connections(self, inputs: Shape) -> int:
        return math.prod(inputs) * len(self.codes)


class SCells(Layer, frozen=True, kw_only=True):
    """`modelzoo.layers.s_cells.SCells`."""

    fixed: ClassVar[tuple[str, ...]] = ("a", "b")

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
        sides = _padded(inputs, self.padding)
        return (*slide(sides, pair(self.area), (1, 1), "valid"), self.planes)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"a": (self.area, self.area, inputs[-1], self.planes), "b": (self.planes,)}

    def operations(self, inputs: Shape) -> int:
        height, width, _ = self.output_shape(inputs)
        # Squares, and their sums over the planes and over the area, for the V-cells.
        energy = 2 * math.prod(inputs) + 2 * height * width * self.area**2
        return 2 * height * width * math.prod(self.weights(inputs)["a"]) + energy

    def connections(self, inputs: Shape) -> int:  # excitatory synapses, and one inhibitory
        return math.prod(self.output_shape(inputs)) * (self.area**2 * inputs[-1] + 1)


class CCells(Layer, frozen=True, kw_only=True):
    """`modelzoo.layers.c_cells.CCells`."""

    area: Count
    strides: Count = 1
    padding: tuple[Sides, ...] = ((0, 0), (0, 0))
    saturation: Positive = 0.5
    decay: Share = 0.8

    def output_shape(self, inputs: Shape) -> Shape:
        sides = _padded(inputs, self.padding)
        return (*slide(sides, pair(self.area), pair(self.strides), "valid"), inputs[-1])

    def operations(self, inputs: Shape) -> int:
        return 2 * self.connections(inputs)

    def connections(self, inputs: Shape) -> int:
        return math.prod(self.output_shape(inputs)) * self.area**2


KINDS: dict[str, type[Layer]] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Layer) and value is not Layer
    if not name.startswith("_")
}


def maps_of(inputs: Shape) -> tuple[int, int, int]:
    """Return (height, width, maps), or raise InputError."""
    if len(inputs) != 3:
        raise InputError(f"takes maps with a height and a width, but {inputs[-1]} units reach it")
    return inputs[0], inputs[1], inputs[2]


def pair(size: Any) -> tuple[int, int]:
    """Return (height, width) from n or (height, width)."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def margins(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) from n, (rows, columns) or themselves."""
    rows, columns = pair(padding) if isinstance(padding, int) else padding
    return pair(rows), pair(columns)


def slide(size: Shape, window: Shape, strides: Shape, padding: str) -> tuple[int, int]:
    """Return the (height, width) that a window leaves, by the usual formulas for both paddings.

    Raises:
        InputError: the window does not fit.
    """
    if padding == "same":
        return -(-size[0] // strides[0]), -(-size[1] // strides[1])
    if window[0] > size[0] or window[1] > size[1]:
        raise InputError(
            f"its {window[0]}x{window[1]} window is larger than the {size[0]}x{size[1]} that "
            "reach it; use a larger input_shape, a smaller window, fewer layers or padding: same"
        )
    return (size[0] - window[0]) // strides[0] + 1, (size[1] - window[1]) // strides[1] + 1


def check_table(table: Any) -> tuple[int, int]:
    """Return how many maps a connection table joins (input maps, output maps).

    Raises:
        InputError: its rows are not of one length, or it leaves a map alone.
    """
    if not table or not table[0] or {len(row) for row in table} != {len(table[0])}:
        raise InputError("connection_table: should hold rows of 0 and 1, all of one length")
    if any(isinstance(each, bool) or each not in (0, 1) for row in table for each in row):
        raise InputError("connection_table: should hold nothing but 0 and 1")
    for what, lines in (("row", table), ("column", zip(*table, strict=True))):
        for number, line in enumerate(lines):
            if not any(line):
                raise InputError(
                    f"connection_table: {what} {number} has no 1: that map would be alone"
                )
    return len(table), len(table[0])


def _padded(inputs: Shape, padding: tuple[Sides, ...]) -> tuple[int, int]:
    height, width, _ = maps_of(inputs)
    (top, bottom), (left, right) = padding
    return height + top + bottom, width + left + right

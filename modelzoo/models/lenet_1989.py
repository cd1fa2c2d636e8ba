"""The convolutional network of LeCun et al. (1989), which read zip codes: 9,760 parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelzoo.models.plan import check_input_shape, check_parameters, check_table, positive

if TYPE_CHECKING:
    import keras

# Ours, since the paper keeps its own to itself: H2 map k sees the eight maps k, k + 1, ... of H1,
# counted in a circle, so that each map of H1 is seen by eight maps of H2, too.
EIGHT_OF_TWELVE = tuple(
    tuple(int((row - column) % 12 < 8) for column in range(12)) for row in range(12)
)


def lenet_1989(
    input_shape: Sequence[int] = (16, 16, 1),
    num_classes: int = 10,
    *,
    connection_table: Sequence[Sequence[int]] = EIGHT_OF_TWELVE,
    hidden_units: int = 30,
    name: str = "lenet_1989",
) -> keras.Model:
    """Build the network: H1 and H2 share kernels but not biases, H3 and the output are dense.

    H1 and H2 move by 2 pixels and see a background of -1 beyond the border of their input. All
    units, also those of the output, are squashed by 1.7159 tanh(2/3 x).

    Args:
        input_shape: [height, width, channels] of a picture.
        num_classes: output units.
        connection_table: 0 or 1 in a row for each map of H1 and a column for each map of H2,
            which says what H2 sees of H1.
        hidden_units: of H3.
        name: name of the model.

    Input shape: (batch, height, width, channels), float; background -1, foreground 1.

    Output shape: (batch, num_classes); activations between -1.7159 and 1.7159, no probabilities.
    The right unit should be at +1, the others at -1: `BipolarMeanSquaredError`.

    Returns:
        An uncompiled `keras.Model`. With the defaults it has 9,760 parameters, all trainable:
        H1 1,068, H2 2,592, H3 5,790, output 310; and 64,660 connections.

    Raises:
        InputError: an argument is out of range.

    Reference:
        LeCun, Boser, Denker, Henderson, Howard, Hubbard, Jackel (1989), Backpropagation applied
        to handwritten zip code recognition, Neural Computation 1(4), 541-551.

    Deviations from the paper:
        which 8 of the 12 maps H2 sees is not printed; ours: 8 neighbours in a circle.
        a scaled tanh without its constants; ours: 1.7159 and 2/3, those of 1998.
        which side gets the odd row of the border is not printed; ours: 1 before and 2 after.
        start of the biases not singled out; ours: 0.
    """
    height, width, channels = check_input_shape(input_shape)
    maps, filters = check_table("connection_table", connection_table)
    h3_inputs = -(-height // 4) * -(-width // 4) * filters
    biases = -(-height // 2) * -(-width // 2) * maps + h3_inputs  # one for each unit
    parameters = 25 * (channels * maps + maps * filters) + biases
    hidden = positive("hidden_units", hidden_units)
    parameters += h3_inputs * hidden + hidden * positive("num_classes", num_classes)
    check_parameters(parameters)

    from keras import Input, Model, layers  # only now: signatures are read without a framework

    from modelzoo.initializers import FanInUniform
    from modelzoo.layers.scaled_tanh import ScaledTanh
    from modelzoo.layers.unit_bias_conv2d import UnitBiasConv2D

    h2_inputs = [25 * sum(column) for column in zip(*connection_table, strict=True)]
    by_kernel = [inputs for inputs in h2_inputs for _ in range(inputs // 25)]

    def shared(table: Sequence[Sequence[int]], fan_in: int | Sequence[int], name: str) -> Any:
        """Return a layer that moves 5x5 kernels by 2 over a picture with background around it."""
        return UnitBiasConv2D(
            table,
            5,
            strides=2,
            padding="same",
            padding_value=-1.0,
            kernel_initializer=FanInUniform(fan_in),
            name=name,
        )

    h1 = shared([[1] * maps] * channels, 25 * channels, "H1")
    h2 = shared(connection_table, by_kernel, "H2")
    h3 = layers.Dense(hidden_units, kernel_initializer=FanInUniform(h3_inputs), name="H3")
    # float32 even under mixed precision: the scores decide between classes
    output = layers.Dense(
        num_classes, kernel_initializer=FanInUniform(hidden_units), dtype="float32", name="output"
    )
    inputs = Input(tuple(input_shape), name="input")  # 16x16x1
    x = ScaledTanh(name="H1_activation")(h1(inputs))  # 8x8x12
    x = ScaledTanh(name="H2_activation")(h2(x))  # 4x4x12
    x = layers.Flatten(name="flatten")(x)  # 192
    x = ScaledTanh(name="H3_activation")(h3(x))  # 30
    scores = ScaledTanh(dtype="float32", name="output_activation")(output(x))  # 10
    return Model(inputs, scores, name=name)

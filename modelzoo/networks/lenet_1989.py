"""The convolutional network of LeCun et al. (1989), which read zip codes: 9,760 parameters."""

from collections.abc import Sequence
from typing import Any

from modelzoo.networks.kinds import Dense, Flatten, ScaledTanh, UnitBiasConv2D, check_table
from modelzoo.networks.layer import Count, Layer, Table
from modelzoo.networks.lenet5_1998 import fan_in, inputs_by_kernel
from modelzoo.networks.network import Network, check_input_shape

# Ours, since the paper keeps its own to itself: H2 map k sees the eight maps k, k + 1, ... of H1,
# counted in a circle, so that each map of H1 is seen by eight maps of H2, too.
EIGHT_OF_TWELVE = tuple(
    tuple(int((row - column) % 12 < 8) for column in range(12)) for row in range(12)
)


def lenet_1989(
    input_shape: Sequence[int] = (16, 16, 1),
    num_classes: Count = 10,
    *,
    connection_table: Table = EIGHT_OF_TWELVE,
    hidden_units: Count = 30,
    name: str = "lenet_1989",
) -> Network:
    """Build the network: H1 and H2 share kernels but not biases, H3 and the output are dense.

    H1 and H2 move by 2 pixels and see a background of -1 beyond the border of their input. All
    units, also those of the output, are squashed by 1.7159 tanh(2/3 x).

    Args:
        input_shape: [height, width, channels] of an image.
        num_classes: output units.
        connection_table: 0 or 1 in a row for each map of H1 and a column for each map of H2,
            which says what H2 sees of H1.
        hidden_units: of H3.
        name: name of the model.

    Input shape: (batch, height, width, channels), float; background -1, foreground 1.

    Output shape: (batch, num_classes); activations between -1.7159 and 1.7159, no probabilities.
    The right unit should be at +1, the others at -1: `BipolarMeanSquaredError`.

    Returns:
        The network's description. With the defaults it has 9,760 parameters, all trainable:
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
    _, _, channels = check_input_shape(input_shape)
    maps, _ = check_table(connection_table)
    shared: dict[str, Any] = {
        "kernel_size": 5, "strides": 2, "padding": "same", "padding_value": -1.0
    }  # fmt: skip
    body: tuple[Layer, ...] = (
        UnitBiasConv2D(
            name="H1",
            connection_table=((1,) * maps,) * channels,
            kernel_initializer=fan_in(25 * channels),
            **shared,
        ),
        ScaledTanh(name="H1_activation"),  # 8x8x12
        UnitBiasConv2D(
            name="H2",
            connection_table=connection_table,
            kernel_initializer=fan_in(inputs_by_kernel(connection_table)),
            **shared,
        ),
        ScaledTanh(name="H2_activation"),  # 4x4x12
        Flatten(name="flatten"),  # 192
    )
    (h3_inputs,) = Network(name, tuple(input_shape), body).shapes[-1]
    head: tuple[Layer, ...] = (
        Dense(name="H3", units=hidden_units, kernel_initializer=fan_in(h3_inputs)),
        ScaledTanh(name="H3_activation"),  # 30
        # float32 even under mixed precision: the scores decide between classes
        Dense(
            name="output",
            units=num_classes,
            kernel_initializer=fan_in(hidden_units),
            dtype="float32",
        ),
        ScaledTanh(name="output_activation", dtype="float32"),  # 10
    )
    return Network(name, tuple(input_shape), body + head)

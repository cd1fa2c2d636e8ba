"""LeNet (1989) and LeNet-5 (1998) as their papers describe them."""

from collections.abc import Sequence
from typing import Any, Literal

from modelzoo.networks.kinds import (
    ConnectionTableConv2D,
    Conv2D,
    Dense,
    EuclideanRBF,
    Flatten,
    Rescaling,
    ScaledTanh,
    TrainableSubsampling,
    UnitBiasConv2D,
)
from modelzoo.networks.layer import Count, Layer, Table
from modelzoo.networks.network import Network, check_count, check_input_shape
from modelzoo.support.errors import InputError

# Ours, since the paper keeps its own to itself: H2 map k sees the eight maps k, k + 1, ... of H1,
# counted in a circle, so that each map of H1 is seen by eight maps of H2, too.
EIGHT_OF_TWELVE = tuple(
    tuple(int((row - column) % 12 < 8) for column in range(12)) for row in range(12)
)
# Table I of the paper: a row for each map of S2, a column for each map of C3.
TABLE_I = (
    (1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1),
    (1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1),
    (1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1),
    (0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1),
    (0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1),
    (0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1),
)
CODE_LENGTH = 12 * 7  # units in F6, pixels of a bitmap
# Drawn for this project. The paper shows its own bitmaps in a figure; these are not a copy of them.
DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...##..  .#####.  .#####.  ....##.  #######  ...###.  #######  .#####.  .#####.
.##.##.  ..###..  ##...##  ##...##  ...###.  ##.....  ..##...  .....##  ##...##  ##...##
##...##  .####..  .....##  .....##  ..####.  ##.....  .##....  .....##  ##...##  ##...##
##...##  ...##..  .....##  .....##  .##.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  ....##.  ..####.  ##..##.  ######.  ##.###.  ....##.  .#####.  .######
##...##  ...##..  ...##..  .....##  ##..##.  .....##  ###..##  ...##..  ##...##  .....##
##...##  ...##..  ..##...  .....##  #######  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  .##....  .....##  ....##.  .....##  ##...##  ..##...  ##...##  ....##.
.##.##.  ...##..  ##.....  ##...##  ....##.  ##...##  ##...##  ..##...  ##...##  ...##..
..###..  .######  #######  .#####.  ....##.  .#####.  .#####.  ..##...  .#####.  .###...
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


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
    maps = len(connection_table)
    shared: dict[str, Any] = {
        "kernel_size": 5, "strides": 2, "padding": "same", "padding_value": -1.0
    }  # fmt: skip
    layers: tuple[Layer, ...] = (
        UnitBiasConv2D(
            name="H1",
            connection_table=((1,) * maps,) * channels,
            kernel_initializer=_fan_in(25 * channels),
            **shared,
        ),
        ScaledTanh(name="H1_activation"),  # 8x8x12
        UnitBiasConv2D(
            name="H2",
            connection_table=connection_table,
            kernel_initializer=_fan_in(_inputs_by_kernel(connection_table)),
            **shared,
        ),
        ScaledTanh(name="H2_activation"),  # 4x4x12
        Flatten(name="flatten"),  # 192
        Dense(name="H3", units=hidden_units, kernel_initializer="FanInUniform"),
        ScaledTanh(name="H3_activation"),  # 30
        # float32 even under mixed precision: the scores decide between classes
        Dense(name="output", units=num_classes, kernel_initializer="FanInUniform", dtype="float32"),
        ScaledTanh(name="output_activation", dtype="float32"),  # 10
    )
    return Network(name, tuple(input_shape), layers)


def lenet5_1998(
    input_shape: Sequence[int] = (32, 32, 1),
    num_classes: Count = 10,
    *,
    connection_table: Table = TABLE_I,
    codes: Literal["digits", "random"] = "digits",
    name: str = "lenet5_1998",
) -> Network:
    """Build LeNet-5: C1 S2 C3 S4 C5 F6, each squashed by 1.7159 tanh(2/3 x), then RBF units.

    The layer `output` gives the paper's penalties, squared distances of F6 to the code of each
    class, of which the smallest wins. The network's own output, `score`, is their negative, so
    that here as everywhere the largest wins; it is what `MAPCriterion` takes.

    Args:
        input_shape: [height, width, channels] of an image, at least 32x32.
        num_classes: output units; at most 10 with the codes "digits".
        connection_table: 0 or 1 in a row for each map of C1 and S2, and a column for each map of
            C3 and S4, which says what C3 sees of S2. The default is the paper's table I.
        codes: "digits", 7x12 bitmaps of +1 and -1, or "random" codes of the same length, for
            other classes than digits.
        name: name of the model.

    Input shape: (batch, height, width, channels), float; background -0.1, foreground 1.175.

    Output shape: (batch, num_classes); scores up to 0, no probabilities.

    Returns:
        The network's description. With the defaults it has 60,000 parameters, all trainable:
        C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164; and 340,908 connections.

    Raises:
        InputError: an argument is out of range, or a window does not fit.

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document
        recognition, Proceedings of the IEEE 86(11), 2278-2324, sections II.B and II.C.

    Deviations from the paper:
        outputs are penalties, the smallest wins; ours: their negative, the largest wins.
        bitmaps of its figure 3; ours: drawn again in the same 7x12.
        start of the biases not singled out; ours: 0.
    """
    check_count("the network", num_classes * CODE_LENGTH, "parameters")
    layers: tuple[Layer, ...] = (
        Conv2D(
            name="C1",
            filters=len(connection_table),
            kernel_size=5,
            kernel_initializer="FanInUniform",
        ),
        ScaledTanh(name="C1_activation"),  # 28x28x6
        TrainableSubsampling(name="S2", coefficient_initializer=_fan_in(4)),
        ScaledTanh(name="S2_activation"),  # 14x14x6
        ConnectionTableConv2D(
            name="C3",
            connection_table=connection_table,
            kernel_size=5,
            kernel_initializer=_fan_in(_inputs_by_kernel(connection_table)),
        ),
        ScaledTanh(name="C3_activation"),  # 10x10x16
        TrainableSubsampling(name="S4", coefficient_initializer=_fan_in(4)),
        ScaledTanh(name="S4_activation"),  # 5x5x16
        Conv2D(name="C5", filters=120, kernel_size=5, kernel_initializer="FanInUniform"),
        ScaledTanh(name="C5_activation"),  # 1x1x120
        Flatten(name="flatten"),
        Dense(name="F6", units=CODE_LENGTH, kernel_initializer="FanInUniform"),
        ScaledTanh(name="F6_activation"),  # 84
        # float32 even under mixed precision: penalties are sums of 84 squares
        EuclideanRBF(name="output", codes=class_codes(codes, num_classes), dtype="float32"),
        Rescaling(name="score", scale=-1.0, dtype="float32"),
    )
    return Network(name, tuple(input_shape), layers)


def class_codes(kind: str, num_classes: int) -> Any:
    """Return what the output units compare F6 with: a row of 84 signs, +1 or -1, for each class.

    The codes "digits" are +1 for ink and -1 for ground, row by row of a bitmap; "random" ones have
    equal chances, and are the same on every machine.
    """
    if kind == "random":
        import numpy as np  # takes longer to import than all of the configurations

        signs = np.random.RandomState(0).randint(0, 2, (num_classes, CODE_LENGTH))
        return (2 * signs - 1).tolist()
    if num_classes > 10:
        raise InputError(
            f"codes: there are bitmaps of ten digits, not of {num_classes} classes; "
            "choose codes: random"
        )
    rows = [line.split() for line in DIGITS.strip().split("\n")]
    bitmaps = ["".join(bitmap) for bitmap in zip(*rows, strict=True)]
    return [[1 if mark == "#" else -1 for mark in each] for each in bitmaps[:num_classes]]


def _fan_in(inputs: int | Sequence[int]) -> dict[str, Any]:
    return {"class_name": "FanInUniform", "config": {"fan_in": inputs}}


def _inputs_by_kernel(table: Table) -> list[int]:
    """Return for each 5x5 kernel the inputs of its units: in table I 75, 100 or 150."""
    joined = [sum(column) for column in zip(*table, strict=False)]
    return [25 * maps for maps in joined for _ in range(maps)]

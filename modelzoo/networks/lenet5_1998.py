"""LeNet-5 as its paper describes it: 60,000 trainable parameters."""

from collections.abc import Sequence
from typing import Any, Literal

from modelzoo.networks.digit_codes import CODE_HEIGHT, CODE_WIDTH, digit_codes, random_codes
from modelzoo.networks.kinds import (
    ConnectionTableConv2D,
    Conv2D,
    Dense,
    EuclideanRBF,
    Flatten,
    Rescaling,
    ScaledTanh,
    TrainableSubsampling,
    check_table,
)
from modelzoo.networks.layer import Count, Layer, Table
from modelzoo.networks.network import Network, check_count, check_input_shape
from modelzoo.support.errors import InputError

# Table I of the paper: a row for each map of S2, a column for each map of C3.
TABLE_I = (
    (1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1),
    (1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1),
    (1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1),
    (0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1),
    (0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1),
    (0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1),
)


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
    _, _, channels = check_input_shape(input_shape)
    maps, filters = check_table(connection_table)
    body: tuple[Layer, ...] = (
        Conv2D(name="C1", filters=maps, kernel_size=5, kernel_initializer=fan_in(25 * channels)),
        ScaledTanh(name="C1_activation"),  # 28x28x6
        TrainableSubsampling(name="S2", coefficient_initializer=fan_in(4)),
        ScaledTanh(name="S2_activation"),  # 14x14x6
        ConnectionTableConv2D(
            name="C3",
            connection_table=connection_table,
            kernel_size=5,
            kernel_initializer=fan_in(inputs_by_kernel(connection_table)),
        ),
        ScaledTanh(name="C3_activation"),  # 10x10x16
        TrainableSubsampling(name="S4", coefficient_initializer=fan_in(4)),
        ScaledTanh(name="S4_activation"),  # 5x5x16
        Conv2D(name="C5", filters=120, kernel_size=5, kernel_initializer=fan_in(25 * filters)),
        ScaledTanh(name="C5_activation"),  # 1x1x120
        Flatten(name="flatten"),
    )
    (f6_inputs,) = Network(name, tuple(input_shape), body).shapes[-1]
    check_count("the network", num_classes * CODE_HEIGHT * CODE_WIDTH, "parameters")
    head: tuple[Layer, ...] = (
        Dense(name="F6", units=CODE_HEIGHT * CODE_WIDTH, kernel_initializer=fan_in(f6_inputs)),
        ScaledTanh(name="F6_activation"),  # 84
        # float32 even under mixed precision: penalties are sums of 84 squares
        EuclideanRBF(name="output", codes=_codes(codes, num_classes), dtype="float32"),
        Rescaling(name="score", scale=-1.0, dtype="float32"),
    )
    return Network(name, tuple(input_shape), body + head)


def fan_in(inputs: int | Sequence[int]) -> dict[str, Any]:
    """Return the papers' initializer for units with so many inputs."""
    return {"class_name": "FanInUniform", "config": {"fan_in": inputs}}


def inputs_by_kernel(table: Table) -> list[int]:
    """Return for each 5x5 kernel the inputs of its units: in table I 75, 100 or 150."""
    joined = [sum(column) for column in zip(*table, strict=True)]
    return [25 * maps for maps in joined for _ in range(maps)]


def _codes(kind: str, num_classes: int) -> Any:
    if kind == "random":
        return random_codes(num_classes)
    if kind != "digits":
        raise InputError(f"codes: {kind!r} is not one of digits, random")
    if num_classes > 10:
        raise InputError(
            f"codes: there are bitmaps of ten digits, not of {num_classes} classes; "
            "choose codes: random"
        )
    return digit_codes()[:num_classes]

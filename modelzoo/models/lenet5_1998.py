"""LeNet-5 as its paper describes it: 60,000 trainable parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from modelzoo.errors import InputError
from modelzoo.models.digit_codes import CODE_HEIGHT, CODE_WIDTH, digit_codes, random_codes
from modelzoo.models.plan import check_input_shape, check_parameters, check_table, positive, slide

if TYPE_CHECKING:
    import keras

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
    num_classes: int = 10,
    *,
    connection_table: Sequence[Sequence[int]] = TABLE_I,
    codes: Literal["digits", "random"] = "digits",
    name: str = "lenet5_1998",
) -> keras.Model:
    """Build LeNet-5: C1 S2 C3 S4 C5 F6, each squashed by 1.7159 tanh(2/3 x), then RBF units.

    The layer `output` gives the paper's penalties, squared distances of F6 to the code of each
    class, of which the smallest wins. The network's own output, `score`, is their negative, so
    that here as everywhere the largest wins; it is what `MAPCriterion` takes.

    Args:
        input_shape: [height, width, channels] of a picture, at least 32x32.
        num_classes: output units; at most 10 with the codes "digits".
        connection_table: 0 or 1 in a row for each map of C1 and S2, and a column for each map of
            C3 and S4, which says what C3 sees of S2. The default is the paper's table I.
        codes: "digits", 7x12 bitmaps of +1 and -1, or "random" codes of the same length, for
            other classes than digits.
        name: name of the model.

    Input shape: (batch, height, width, channels), float; background -0.1, foreground 1.175.

    Output shape: (batch, num_classes); scores up to 0, no probabilities.

    Returns:
        An uncompiled `keras.Model`. With the defaults it has 60,000 parameters, all trainable:
        C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164; and 340,908 connections.

    Raises:
        InputError: an argument is out of range, or a window does not fit.

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document
        recognition, Proceedings of the IEEE 86(11), 2278-2324, sections II.B and II.C.

    Deviations from the paper:
        outputs are penalties, the smallest wins; ours: their negative, the largest wins.
        bitmaps of its figure 3; ours: drawn anew in the same 7x12.
        start of the biases not singled out; ours: 0.
    """
    height, width, channels = check_input_shape(input_shape)
    maps, filters = check_table("connection_table", connection_table)
    size = slide((height, width), (5, 5), (1, 1), "valid", "C1")
    size = slide(size, (2, 2), (2, 2), "valid", "S2")
    size = slide(size, (5, 5), (1, 1), "valid", "C3")
    size = slide(size, (2, 2), (2, 2), "valid", "S4")
    size = slide(size, (5, 5), (1, 1), "valid", "C5")
    code_length = CODE_HEIGHT * CODE_WIDTH
    parameters = 25 * (channels * maps + maps * filters + filters * 120)
    parameters += (120 * size[0] * size[1] + positive("num_classes", num_classes)) * code_length
    check_parameters(parameters)
    output_codes = _codes(codes, num_classes)

    from keras import Input, Model, layers  # only now: signatures are read without a framework

    from modelzoo.initializers import FanInUniform
    from modelzoo.layers.connection_table_conv2d import ConnectionTableConv2D
    from modelzoo.layers.euclidean_rbf import EuclideanRBF
    from modelzoo.layers.scaled_tanh import ScaledTanh
    from modelzoo.layers.trainable_subsampling import TrainableSubsampling

    c1_inputs, c5_inputs, f6_inputs = 25 * channels, 25 * filters, 120 * size[0] * size[1]
    c3_inputs = [25 * sum(column) for column in zip(*connection_table, strict=True)]
    # a kernel of C3 belongs to units with 75, 100 or 150 inputs
    by_kernel = [inputs for inputs in c3_inputs for _ in range(inputs // 25)]
    inputs = Input(tuple(input_shape), name="input")  # 32x32x1
    trained = (
        layers.Conv2D(maps, 5, kernel_initializer=FanInUniform(c1_inputs), name="C1"),  # 28x28x6
        TrainableSubsampling(coefficient_initializer=FanInUniform(4), name="S2"),  # 14x14x6
        ConnectionTableConv2D(
            connection_table, 5, kernel_initializer=FanInUniform(by_kernel), name="C3"
        ),  # 10x10x16
        TrainableSubsampling(coefficient_initializer=FanInUniform(4), name="S4"),  # 5x5x16
        layers.Conv2D(120, 5, kernel_initializer=FanInUniform(c5_inputs), name="C5"),  # 1x1x120
        layers.Dense(code_length, kernel_initializer=FanInUniform(f6_inputs), name="F6"),  # 84
    )
    x = inputs
    for layer in trained:
        if layer.name == "F6":
            x = layers.Flatten(name="flatten")(x)
        x = ScaledTanh(name=f"{layer.name}_activation")(layer(x))
    # float32 even under mixed precision: penalties are sums of 84 squares
    penalties = EuclideanRBF(output_codes, dtype="float32", name="output")(x)
    scores = layers.Rescaling(-1.0, dtype="float32", name="score")(penalties)
    return Model(inputs, scores, name=name)


def _codes(kind: str, num_classes: int) -> list[list[int]]:
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

"""LeNet-5 as it is built today: softmax and cross-entropy for the RBF output and MAP loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelzoo.models.plan import (
    ConvPadding,
    Padding,
    Pooling,
    Size,
    check_layers,
    check_size,
    per_layer,
    plan_stages,
    positive,
    rates,
)

if TYPE_CHECKING:
    import keras


def lenet5(
    input_shape: Sequence[int] = (28, 28, 1),
    num_classes: int = 10,
    *,
    conv_maps: Sequence[int] = (6, 16),
    kernel_size: Size = 5,
    strides: Size = 1,
    conv_padding: ConvPadding | Sequence[ConvPadding] = "valid",
    conv_activation: str | Sequence[str] = "tanh",
    pooling: Pooling | Sequence[Pooling] = "average",
    pool_size: Size = 2,
    pool_strides: int | Sequence[int | Sequence[int] | None] | None = None,
    pool_padding: Padding | Sequence[Padding] = "valid",
    pool_activation: str | Sequence[str] = "linear",
    dense_units: Sequence[int] = (120, 84),
    dense_activation: str | Sequence[str] = "sigmoid",
    dropout: float | Sequence[float] = 0.0,
    output_activation: str = "softmax",
    name: str = "lenet5",
) -> keras.Model:
    """Build LeNet-5 (adapted) and the many networks that people publish under its name.

    Layers take the paper's names: C1 S2 C3 S4 for convolutions and subsampling, F5 F6 for the
    fully connected layers (a third convolution of 120 maps is C5), then `output`.
    Wherever a list is allowed, it holds one value a layer; a single value serves all layers.

    Args:
        input_shape: [height, width, channels] of a picture.
        num_classes: units of the output layer.
        conv_maps: feature maps of each convolution.
        kernel_size: n or, in a list, [height, width].
        strides: of the convolutions.
        conv_padding: "valid", "same", or a number of rows and columns of zeros on every side.
        conv_activation: name of a Keras activation.
        pooling: "average", "max" or "none", after each convolution.
        pool_size: pooling window.
        pool_strides: None for the size of the window, so that windows do not overlap.
        pool_padding: "valid" or "same".
        pool_activation: name of a Keras activation; "linear" for none. The paper squashes here.
        dense_units: units of each hidden fully connected layer; may be empty.
        dense_activation: name of a Keras activation.
        dropout: share of units dropped after each hidden fully connected layer, in [0, 1).
        output_activation: name of a Keras activation.
        name: name of the model.

    Input shape: (batch, height, width, channels), float, scaled as the configuration says.

    Output shape: (batch, num_classes); with "softmax", probabilities that sum to 1.

    Returns:
        An uncompiled `keras.Model`. With the defaults it has 44,426 parameters.

    Raises:
        InputError: an argument is out of range or immense, or a window does not fit.

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document
        recognition, Proceedings of the IEEE 86(11), 2278-2324.

    Deviations from the paper, in the defaults: 28x28 input, not padded to 32x32; plain tanh, not
    1.7159 tanh(2x/3); average pooling without a coefficient and bias a map and without a
    squashing function; C3 sees all maps of S2, not those of Table I; 120 sigmoid units fully
    connected to S4 (F5) for the convolution C5; sigmoid F6; softmax for the RBF units.
    """
    stages = plan_stages(
        input_shape,
        conv_maps,
        kernel_size=kernel_size,
        strides=strides,
        padding=conv_padding,
        pooling=pooling,
        pool_size=pool_size,
        pool_strides=pool_strides,
        pool_padding=pool_padding,
    )
    conv_activations = per_layer("conv_activation", conv_activation, len(stages))
    pool_activations = per_layer("pool_activation", pool_activation, len(stages))
    hidden = check_layers("dense_units", dense_units)
    dense_activations = per_layer("dense_activation", dense_activation, hidden)
    dropouts = rates("dropout", dropout, len(dense_units))
    units_of = [positive("dense_units", units) for units in dense_units]
    check_size(input_shape, stages, [*units_of, positive("num_classes", num_classes)])

    from keras import Input, Model, layers  # only now: signatures are read without a framework

    pools = {"average": layers.AveragePooling2D, "max": layers.MaxPooling2D}
    inputs = Input(tuple(input_shape), name="input")
    x = inputs
    number = 0  # C1 S2 C3 ...: the paper numbers layers, not kinds of layers
    activations = zip(conv_activations, pool_activations, strict=True)
    for stage, (activation, squashing) in zip(stages, activations, strict=True):
        number += 1
        if stage.zeros:
            x = layers.ZeroPadding2D(stage.zeros, name=f"C{number}_padding")(x)
        x = layers.Conv2D(
            stage.filters,
            stage.kernel_size,
            strides=stage.strides,
            padding=stage.padding,
            activation=activation,
            name=f"C{number}",
        )(x)
        if stage.pooling != "none":
            number += 1
            x = pools[stage.pooling](
                stage.pool_size,
                strides=stage.pool_strides,
                padding=stage.pool_padding,
                name=f"S{number}",
            )(x)
            if squashing != "linear":
                x = layers.Activation(squashing, name=f"S{number}_activation")(x)
    x = layers.Flatten(name="flatten")(x)
    for units, activation, rate in zip(units_of, dense_activations, dropouts, strict=True):
        number += 1
        x = layers.Dense(units, activation=activation, name=f"F{number}")(x)
        if rate:
            x = layers.Dropout(rate, name=f"dropout{number}")(x)
    # float32 even under mixed precision: a softmax in 8 or 11 bits loses small probabilities
    outputs = layers.Dense(
        num_classes, activation=output_activation, dtype="float32", name="output"
    )(x)
    return Model(inputs, outputs, name=name)

"""AlexNet: five convolutions, three poolings and three fully connected layers, at any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelzoo.models.plan import (
    ConvPadding,
    KerasObject,
    Normalization,
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

GAUSSIAN: dict[str, Any] = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01}}


def alexnet(
    input_shape: Sequence[int] = (227, 227, 3),
    num_classes: int = 1000,
    *,
    conv_maps: Sequence[int] = (96, 256, 384, 384, 256),
    kernel_size: Size = (11, 5, 3, 3, 3),
    strides: Size = (4, 1, 1, 1, 1),
    conv_padding: ConvPadding | Sequence[ConvPadding] = ("valid", "same", "same", "same", "same"),
    groups: int | Sequence[int] = (1, 2, 1, 2, 2),
    activation: str | Sequence[str] = "relu",
    normalization: Normalization | Sequence[Normalization] = (
        "local_response",
        "local_response",
        "none",
        "none",
        "none",
    ),
    pooling: Pooling | Sequence[Pooling] = ("max", "max", "none", "none", "max"),
    pool_size: Size = 3,
    pool_strides: int | Sequence[int | Sequence[int] | None] | None = 2,
    pool_padding: Padding | Sequence[Padding] = "valid",
    dense_units: Sequence[int] = (4096, 4096),
    dense_activation: str | Sequence[str] = "relu",
    feature_dropout: float = 0.0,
    dropout: float | Sequence[float] = 0.5,
    output_activation: str = "softmax",
    kernel_initializer: KerasObject | Sequence[KerasObject] = GAUSSIAN,
    bias_initializer: KerasObject | Sequence[KerasObject] = (
        "Zeros",  # conv1
        "Ones",  # conv2
        "Zeros",  # conv3
        "Ones",  # conv4
        "Ones",  # conv5
        "Ones",  # fc6
        "Ones",  # fc7
        "Zeros",  # fc8
    ),
    kernel_regularizer: KerasObject | None = None,
    name: str = "alexnet",
) -> keras.Model:
    """Build AlexNet, by default with the paper's two towers, and its adaptations to small pictures.

    Layers: conv1 norm1 pool1 conv2 ... conv5 pool5, then fc6 drop6 fc7 drop7 fc8. Normalisation
    and pooling follow the activation, as in the paper. Wherever a list is allowed, it holds one
    value a layer; a single value serves all layers.

    Args:
        input_shape: [height, width, channels] of a picture.
        num_classes: units of the output layer.
        conv_maps: feature maps of each convolution.
        kernel_size: n or, in a list, [height, width].
        strides: of the convolutions.
        conv_padding: "valid", "same", or a number of rows and columns of zeros on every side.
        groups: towers that a convolution is divided into; 1 joins all maps.
        activation: name of a Keras activation, for the convolutions.
        normalization: "batch", "local_response" or "none", after each convolution.
        pooling: "average", "max" or "none", after each convolution.
        pool_size: pooling window.
        pool_strides: smaller than the window for overlapping pooling; None for the window's size.
        pool_padding: "valid" or "same".
        dense_units: units of each hidden fully connected layer; may be empty.
        dense_activation: name of a Keras activation.
        feature_dropout: share of the flattened features dropped before fc6, in [0, 1).
        dropout: share of units dropped after each hidden fully connected layer, in [0, 1).
        output_activation: name of a Keras activation.
        kernel_initializer: a Keras initializer, by name or {class_name, config}; a list holds one
            for each convolution, each hidden fully connected layer and the output.
        bias_initializer: the same for the biases.
        kernel_regularizer: a Keras regularizer of all kernels, not of the biases. L2 with half the
            rate of the paper's weight decay gives its update rule exactly, since the gradient
            passes through the momentum; the weight decay of Keras' SGD does not.
        name: name of the model.

    Input shape: (batch, height, width, channels), float, scaled as the configuration says.

    Output shape: (batch, num_classes); with "softmax", probabilities that sum to 1.

    Returns:
        An uncompiled `keras.Model`. With the defaults it has 60,965,224 parameters.

    Raises:
        InputError: an argument is out of range, a window does not fit, or groups do not divide.

    Reference:
        Krizhevsky, Sutskever, Hinton (2012), ImageNet classification with deep convolutional
        neural networks, NIPS 25.

    Deviations from the paper, in the defaults: 227x227 input where the paper prints 224x224, which
    its own 55x55 maps rule out; the two towers are groups of convolutions on one device; dropout
    scales what is left by 1 / (1 - rate) in training, the paper scales everything by 1 - rate in
    use.
    """
    stages = plan_stages(
        input_shape,
        conv_maps,
        kernel_size=kernel_size,
        strides=strides,
        padding=conv_padding,
        groups=groups,
        normalization=normalization,
        pooling=pooling,
        pool_size=pool_size,
        pool_strides=pool_strides,
        pool_padding=pool_padding,
    )
    activations = per_layer("activation", activation, len(stages))
    hidden = check_layers("dense_units", dense_units)
    dense_activations = per_layer("dense_activation", dense_activation, hidden)
    (feature_rate,) = rates("feature_dropout", feature_dropout, 1)
    dropouts = rates("dropout", dropout, len(dense_units))
    units_of = [positive("dense_units", units) for units in dense_units]
    check_size(input_shape, stages, [*units_of, positive("num_classes", num_classes)])
    weighted = len(stages) + len(units_of) + 1
    starts = [
        {"kernel_initializer": kernel, "bias_initializer": bias}
        for kernel, bias in zip(
            per_layer("kernel_initializer", kernel_initializer, weighted),
            per_layer("bias_initializer", bias_initializer, weighted),
            strict=True,
        )
    ]

    from keras import Input, Model, layers  # only now: signatures are read without a framework

    from modelzoo.layers.local_response_normalization import LocalResponseNormalization

    norms = {"batch": layers.BatchNormalization, "local_response": LocalResponseNormalization}
    pools = {"average": layers.AveragePooling2D, "max": layers.MaxPooling2D}
    inputs = Input(tuple(input_shape), name="input")
    x = inputs
    for number, (stage, activation) in enumerate(zip(stages, activations, strict=True), start=1):
        if stage.zeros:
            x = layers.ZeroPadding2D(stage.zeros, name=f"pad{number}")(x)
        x = layers.Conv2D(
            stage.filters,
            stage.kernel_size,
            strides=stage.strides,
            padding=stage.padding,
            groups=stage.groups,
            activation=activation,
            kernel_regularizer=kernel_regularizer,
            name=f"conv{number}",
            **starts[number - 1],
        )(x)
        if stage.normalization != "none":
            x = norms[stage.normalization](name=f"norm{number}")(x)
        if stage.pooling != "none":
            x = pools[stage.pooling](
                stage.pool_size,
                strides=stage.pool_strides,
                padding=stage.pool_padding,
                name=f"pool{number}",
            )(x)
    x = layers.Flatten(name="flatten")(x)
    if feature_rate:
        x = layers.Dropout(feature_rate, name=f"drop{len(stages)}")(x)
    dense = zip(units_of, dense_activations, dropouts, strict=True)
    for number, (units, activation, rate) in enumerate(dense, start=len(stages) + 1):
        x = layers.Dense(
            units,
            activation=activation,
            kernel_regularizer=kernel_regularizer,
            name=f"fc{number}",
            **starts[number - 1],
        )(x)
        if rate:
            x = layers.Dropout(rate, name=f"drop{number}")(x)
    # float32 even under mixed precision: a softmax in 8 or 11 bits loses small probabilities
    outputs = layers.Dense(
        num_classes,
        activation=output_activation,
        kernel_regularizer=kernel_regularizer,
        dtype="float32",
        name=f"fc{weighted}",
        **starts[-1],
    )(x)
    return Model(inputs, outputs, name=name)

"""AlexNet: five convolutions, three poolings and three fully connected layers, at any size."""

from collections.abc import Sequence
from typing import Any

from modelzoo.networks.kinds import (
    BatchNormalization,
    Dropout,
    Flatten,
    LocalResponseNormalization,
)
from modelzoo.networks.layer import Count, KerasObject, Layer, Padding, Rate
from modelzoo.networks.network import Network
from modelzoo.networks.stages import (
    ConvPadding,
    Counts,
    KerasObjects,
    Normalization,
    Pooling,
    Rates,
    Size,
    Strides,
    Words,
    classify,
    connect,
    convolve,
    per_layer,
    pool,
)

NORMALIZATIONS: dict[str, type[Layer]] = {
    "batch": BatchNormalization,
    "local_response": LocalResponseNormalization,
}
GAUSSIAN: dict[str, Any] = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01}}


def alexnet(
    input_shape: Sequence[int] = (227, 227, 3),
    num_classes: Count = 1000,
    *,
    conv_maps: Counts = (96, 256, 384, 384, 256),
    kernel_size: Size = (11, 5, 3, 3, 3),
    strides: Size = (4, 1, 1, 1, 1),
    conv_padding: ConvPadding | Sequence[ConvPadding] = ("valid", "same", "same", "same", "same"),
    groups: Count | Counts = (1, 2, 1, 2, 2),
    activation: Words = "relu",
    normalization: Normalization | Sequence[Normalization] = (
        "local_response",
        "local_response",
        "none",
        "none",
        "none",
    ),
    pooling: Pooling | Sequence[Pooling] = ("max", "max", "none", "none", "max"),
    pool_size: Size = 3,
    pool_strides: Strides = 2,
    pool_padding: Padding | Sequence[Padding] = "valid",
    dense_units: Counts = (4096, 4096),
    dense_activation: Words = "relu",
    feature_dropout: Rate = 0.0,
    dropout: Rates = 0.5,
    output_activation: str = "softmax",
    kernel_initializer: KerasObjects = GAUSSIAN,
    bias_initializer: KerasObjects = (
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
) -> Network:
    """Build AlexNet, by default with the paper's two towers, and its adaptations to small images.

    Layers: conv1 norm1 pool1 conv2 ... conv5 pool5, then fc6 drop6 fc7 drop7 fc8. Normalisation
    and pooling follow the activation, as in the paper. Wherever a list is allowed, it holds one
    value a layer; a single value serves all layers.

    Args:
        input_shape: [height, width, channels] of an image.
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
        The network's description. With the defaults it has 60,965,224 parameters.

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
    stages = per_layer(
        locals(),
        "conv_maps kernel_size strides conv_padding groups activation "
        "normalization pooling pool_size pool_strides pool_padding",
    )
    hidden = per_layer(locals(), "dense_units dense_activation dropout")
    count = len(stages) + len(hidden) + 1
    starts = per_layer(locals(), "kernel_initializer bias_initializer", count=count)
    weighted = [{**vars(start), "kernel_regularizer": kernel_regularizer} for start in starts]
    layers: list[Layer] = []
    for number, stage in enumerate(stages, start=1):
        layers += convolve(
            f"conv{number}",
            f"pad{number}",
            stage,
            groups=stage.groups,
            activation=stage.activation,
            **weighted[number - 1],
        )
        if stage.normalization != "none":
            layers.append(NORMALIZATIONS[stage.normalization](name=f"norm{number}"))
        layers += pool(f"pool{number}", stage)
    layers.append(Flatten(name="flatten"))
    if feature_dropout:
        layers.append(Dropout(name=f"drop{len(stages)}", rate=feature_dropout))
    for number, each in enumerate(hidden, start=len(stages) + 1):
        layers += connect(f"fc{number}", f"drop{number}", each, **weighted[number - 1])
    layers.append(classify(f"fc{count}", num_classes, output_activation, **weighted[-1]))
    return Network(name, tuple(input_shape), tuple(layers))

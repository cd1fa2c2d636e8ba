"""Networks of stages, LeNet-5 as it is built today and AlexNet, and what their builders share.

Arguments are given once for all layers, or in a list with one a layer.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal

from modelzoo.networks.kinds import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    LocalResponseNormalization,
    MaxPooling2D,
    ZeroPadding2D,
)
from modelzoo.networks.layer import Count, KerasObject, Layer, Padding, Rate, Side
from modelzoo.networks.network import Network
from modelzoo.support.errors import InputError

ConvPadding = Padding | Side  # a number: so many rows and columns of zeros on every side
Pooling = Literal["average", "max", "none"]
Normalization = Literal["batch", "local_response", "none"]
# One size for all layers, or a list with one a layer, where a size is n or [height, width].
Size = Count | Sequence[Count | Sequence[Count]]
Strides = Count | Sequence[Count | Sequence[Count] | None] | None
Counts = Sequence[Count]
Rates = Rate | Sequence[Rate]
Words = str | Sequence[str]
KerasObjects = KerasObject | Sequence[KerasObject]

POOLS: dict[str, type[AveragePooling2D]] = {"average": AveragePooling2D, "max": MaxPooling2D}
NORMALIZATIONS: dict[str, type[Layer]] = {
    "batch": BatchNormalization,
    "local_response": LocalResponseNormalization,
}
GAUSSIAN: dict[str, Any] = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01}}


def lenet5(
    input_shape: Sequence[int] = (28, 28, 1),
    num_classes: Count = 10,
    *,
    conv_maps: Counts = (6, 16),
    kernel_size: Size = 5,
    strides: Size = 1,
    conv_padding: ConvPadding | Sequence[ConvPadding] = "valid",
    conv_activation: Words = "tanh",
    pooling: Pooling | Sequence[Pooling] = "average",
    pool_size: Size = 2,
    pool_strides: Strides = None,
    pool_padding: Padding | Sequence[Padding] = "valid",
    pool_activation: Words = "linear",
    dense_units: Counts = (120, 84),
    dense_activation: Words = "sigmoid",
    dropout: Rates = 0.0,
    output_activation: str = "softmax",
    name: str = "lenet5",
) -> Network:
    """Build LeNet-5 (adapted) and the many networks that people publish under its name.

    Layers take the paper's names: C1 S2 C3 S4 for convolutions and subsampling, F5 F6 for the
    fully connected layers (a third convolution of 120 maps is C5), then `output`.
    Wherever a list is allowed, it holds one value a layer; a single value serves all layers.

    Args:
        input_shape: [height, width, channels] of an image.
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
        The network's description. With the defaults it has 44,426 parameters.

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
    stages = per_layer(
        locals(),
        "conv_maps kernel_size strides conv_padding conv_activation "
        "pooling pool_size pool_strides pool_padding pool_activation",
    )
    hidden = per_layer(locals(), "dense_units dense_activation dropout")
    layers: list[Layer] = []
    number = 0  # C1 S2 C3 ...: the paper numbers layers, not kinds of layers
    for stage in stages:
        number += 1
        activation = stage.conv_activation
        layers += convolve(f"C{number}", f"C{number}_padding", stage, activation=activation)
        if stage.pooling != "none":
            number += 1
            layers += pool(f"S{number}", stage)
            if stage.pool_activation != "linear":
                squashed = f"S{number}_activation"
                layers.append(Activation(name=squashed, activation=stage.pool_activation))
    layers.append(Flatten(name="flatten"))
    for each in hidden:
        number += 1
        layers += connect(f"F{number}", f"dropout{number}", each)
    layers.append(classify("output", num_classes, output_activation))
    return Network(name, tuple(input_shape), tuple(layers))


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
    and pooling follow the activation, as in the paper. Arguments and shapes are those of `lenet5`,
    except for these:

        groups: towers that a convolution is divided into; 1 joins all maps.
        activation: name of a Keras activation, for the convolutions.
        normalization: "batch", "local_response" or "none", after each convolution.
        feature_dropout: share of the flattened features dropped before fc6, in [0, 1).
        kernel_initializer: a Keras initializer, by name or {class_name, config}; a list holds one
            for each convolution, each hidden fully connected layer and the output.
        bias_initializer: the same for the biases.
        kernel_regularizer: a Keras regularizer of all kernels, not of the biases. L2 with half the
            rate of the paper's weight decay gives its update rule exactly, since the gradient
            passes through the momentum; the weight decay of Keras' SGD does not.

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
        own = {"groups": stage.groups, "activation": stage.activation, **weighted[number - 1]}
        layers += convolve(f"conv{number}", f"pad{number}", stage, **own)
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


def per_layer(
    arguments: Mapping[str, Any], names: str, count: int | None = None
) -> list[SimpleNamespace]:
    """Return the arguments of these names for each layer, as attributes.

    There are `count` layers, by default as many as the first argument has values. A list of
    another length raises InputError.
    """
    given = {name: arguments[name] for name in names.split()}
    if count is None:
        first = next(iter(given.values()))
        count = len(first) if isinstance(first, list | tuple) else 1
    layers = [SimpleNamespace() for _ in range(count)]
    for name, value in given.items():
        values = value if isinstance(value, list | tuple) else [value] * count
        if len(values) != count:
            raise InputError(f"{name}: {len(values)} values for {count} layers; give 1 or {count}")
        for layer, each in zip(layers, values, strict=True):
            setattr(layer, name, tuple(each) if isinstance(each, list) else each)
    return layers


def convolve(name: str, margin: str, stage: SimpleNamespace, **arguments: Any) -> list[Layer]:
    """Return a stage's convolution, behind zeros, a layer `margin`, where padding is a number."""
    padding, layers = stage.conv_padding, list[Layer]()
    if isinstance(padding, int):
        layers += [ZeroPadding2D(name=margin, padding=padding)] if padding else []
        padding = "valid"
    sizes = {"kernel_size": stage.kernel_size, "strides": stage.strides, "padding": padding}
    return [*layers, Conv2D(name=name, filters=stage.conv_maps, **sizes, **arguments)]


def pool(name: str, stage: SimpleNamespace) -> list[Layer]:
    """Return a stage's pooling, if it has one."""
    if stage.pooling == "none":
        return []
    size, strides, padding = stage.pool_size, stage.pool_strides, stage.pool_padding
    return [POOLS[stage.pooling](name=name, pool_size=size, strides=strides, padding=padding)]


def connect(name: str, drop: str, each: SimpleNamespace, **arguments: Any) -> list[Layer]:
    """Return a hidden fully connected layer, and its dropout, called `drop`, if it has one."""
    units, activation = each.dense_units, each.dense_activation
    layers: list[Layer] = [Dense(name=name, units=units, activation=activation, **arguments)]
    return layers + ([Dropout(name=drop, rate=each.dropout)] if each.dropout else [])


def classify(name: str, num_classes: int, activation: str, **arguments: Any) -> Layer:
    """Return the output layer, in float32: a softmax in 8 or 11 bits loses small probabilities."""
    return Dense(name=name, units=num_classes, activation=activation, dtype="float32", **arguments)

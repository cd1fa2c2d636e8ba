"""LeNet-5 as it is built today: softmax and cross-entropy for the RBF output and MAP loss."""

from collections.abc import Sequence

from modelzoo.networks.kinds import Activation, Flatten
from modelzoo.networks.layer import Count, Layer, Padding
from modelzoo.networks.network import Network
from modelzoo.networks.stages import (
    ConvPadding,
    Counts,
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

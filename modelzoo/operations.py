"""How much arithmetic a network does: the additions and multiplications of its layers."""

from __future__ import annotations

import math

import keras
from keras import layers

from modelzoo.layers.c_cells import CCells
from modelzoo.layers.connection_table_conv2d import ConnectionTableConv2D
from modelzoo.layers.euclidean_rbf import EuclideanRBF
from modelzoo.layers.local_response_normalization import LocalResponseNormalization
from modelzoo.layers.s_cells import SCells
from modelzoo.layers.trainable_subsampling import TrainableSubsampling


def operations(layer: keras.layers.Layer) -> int | None:
    """Return the floating-point operations of a layer for one picture, forward.

    A multiplication, an addition, a comparison and a power are one operation each, so a weight with
    its sum is two, and the bias takes the place of the first sum. Activation functions, which cost
    little where matrices are large, are not counted; neither is what only moves values, or what
    only happens in training.

    Args:
        layer: of a network that was built; its input and output shapes are known.

    Returns:
        The number; None for a layer with weights that is none of those that our networks have.
    """
    *sides, channels = layer.output.shape[1:]
    positions = math.prod(sides)
    outputs = positions * channels
    match layer:
        case layers.Conv2D() | layers.Dense() | ConnectionTableConv2D():
            return 2 * positions * math.prod(layer.kernel.shape)
        case layers.MaxPooling2D() | layers.AveragePooling2D():
            return outputs * math.prod(layer.pool_size)
        case TrainableSubsampling():  # sum, times the coefficient, plus the bias
            return outputs * (math.prod(layer.pool_size) + 1)
        case layers.BatchNormalization() | layers.Rescaling():
            return 2 * outputs
        case LocalResponseNormalization():  # n squares added, scaled, offset, power, division
            return outputs * (layer.n + 4)
        case EuclideanRBF():  # difference, square, sum
            return 3 * layer.codes.size
        case SCells():  # excitation; squares, and their sums over the planes and over the area
            energy = 2 * math.prod(layer.input.shape[1:]) + 2 * positions * layer.area**2
            return 2 * positions * math.prod(layer.a.shape) + energy
        case CCells():
            return 2 * outputs * layer.area**2
    return None if layer.weights else 0


def total_operations(network: keras.Model) -> int | None:
    """Return the operations of a whole network for one picture; None where a layer's are unknown.

    Example:
        >>> total_operations(modelzoo.build("lenet5"))
        567760
    """
    counts = [operations(layer) for layer in network.layers]
    return None if None in counts else sum(count or 0 for count in counts)


def training_operations(network: keras.Model) -> int | None:
    """Return the operations of a training step for one picture, without the optimizer's.

    Backward, each layer does its forward work once more for the gradient by its inputs, and once
    more for that by its weights. The first layer with weights needs only the latter.

    Returns:
        The number; None where a layer's operations are unknown, no weight has a gradient, or the
        network brings its own learning rule.
    """
    total = total_operations(network)
    trained = [layer for layer in network.layers if layer.trainable_weights]
    if total is None or not trained or type(network).train_step is not keras.Model.train_step:
        return None
    weighted = sum(operations(layer) or 0 for layer in trained)
    return 2 * total + weighted - (operations(trained[0]) or 0)

"""The derivative of a described network by its images, with NumPy alone: no framework starts.

Every layer's derivative is that of `modelzoo.networks.reference`. Layers are as in use, not in
training: dropout passes everything on, and batch normalisation has fixed statistics.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from modelzoo.networks import reference
from modelzoo.networks.forward import UNCHANGED, Forward, is_computed
from modelzoo.networks.layer import pair
from modelzoo.networks.network import Network
from modelzoo.networks.reference import neocognitron
from modelzoo.networks.reference.windows import Array, laid_out, margins

# Of a layer, its inputs, the derivative by its outputs before their activation, and its weights.
Gradient = Callable[..., Array]


def is_differentiated(network: Network) -> bool:
    """Whether NumPy computes the derivative of every layer of a network that it computes."""
    return is_computed(network, GRADIENTS, ACTIVATIONS)


def input_gradient(forward: Forward, images: np.ndarray, upstream: np.ndarray) -> Array:
    """Return the derivative by the images, (n, height, width, channels).

    `upstream` is that by the outputs, (n, ...). The network `is_differentiated`.
    """
    values = [np.asarray(images, "float32")]
    values += [outputs for _, outputs in forward.features(images)]
    derivative: Array = np.asarray(upstream, "float32")
    layers = zip(forward.network.layers, forward.weights, values, values[1:], strict=False)
    for layer, weights, inputs, outputs in reversed(list(layers)):
        activation = "softmax" if layer.kind == "Softmax" else getattr(layer, "activation", None)
        derivative = ACTIVATIONS[activation or "linear"](outputs, derivative)
        derivative = GRADIENTS[layer.kind](layer, inputs, derivative, **weights)
    return derivative


def _window(function: Callable[..., Array]) -> Gradient:
    return lambda layer, x, up: function(x, up, layer.window, layer.steps, layer.padding)


def _conv2d(layer: Any, x: Array, up: Array, kernel: Array, bias: Array | None = None) -> Array:
    if table := getattr(layer, "connection_table", ()):
        kernel = laid_out(kernel, table)
    down, across = pair(getattr(layer, "dilation_rate", 1))
    spread = np.zeros((*layer.span, *kernel.shape[2:]), kernel.dtype)
    spread[::down, ::across] = kernel
    options = (getattr(layer, "groups", 1), getattr(layer, "padding_value", 0.0))
    return reference.conv2d_gradient(x, spread, up, layer.steps, layer.padding, *options)[0]


def _depthwise(layer: Any, x: Array, up: Array, kernel: Array, bias: Array | None = None) -> Array:
    one = layer.by_map(x.shape[1:])
    return _conv2d(one, x, up, kernel.reshape(one.kernel(x.shape[1:])))


def _batch_normalization(layer: Any, x: Array, up: Array, **weights: Array) -> Array:
    deviation = np.sqrt(weights["moving_variance"] + np.float32(layer.epsilon))
    return up * weights.get("gamma", np.float32(1)) / deviation


def _subsampling(layer: Any, x: Array, up: Array, coefficient: Array, bias: Array) -> Array:
    scale = coefficient / (np.prod(layer.window) if layer.reduction == "mean" else 1)
    return reference.trainable_subsampling_gradient(x, scale, up, layer.window)[0]


def _s_cells(layer: Any, x: Array, up: Array, a: Array, b: Array) -> Array:
    c = neocognitron.v_cell_weights(layer.area, layer.decay, x.shape[-1])
    return neocognitron.s_cells_gradient(x, a, b, c, up, layer.selectivity, layer.padding)[0]


def _c_cells(layer: Any, x: Array, up: Array) -> Array:
    d = neocognitron.fall_off(layer.area, layer.decay)
    return neocognitron.c_cells_gradient(x, d, up, layer.saturation, layer.strides, layer.padding)


def _zero_padding2d(layer: Any, x: Array, up: Array) -> Array:
    (top, _), (left, _) = margins(x.shape[1:3], 1, 1, layer.padding)
    return up[:, top : top + x.shape[1], left : left + x.shape[2]]


# By the outputs of an activation and the derivative by them.
ACTIVATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "linear": lambda y, up: up,
    "relu": lambda y, up: up * (y > 0),
    "sigmoid": lambda y, up: up * y * (1 - y),
    "softmax": lambda y, up: y * (up - (up * y).sum(axis=-1, keepdims=True)),
    "tanh": lambda y, up: up * (1 - y * y),
}
GRADIENTS: dict[str, Gradient] = {
    "AveragePooling2D": _window(reference.average_pool2d_gradient),
    "BatchNormalization": _batch_normalization,
    "CCells": _c_cells,
    "ConnectionTableConv2D": _conv2d,
    "Conv2D": _conv2d,
    "Dense": lambda layer, x, up, kernel, bias=None: up @ kernel.T,
    "DepthwiseConv2D": _depthwise,
    "ELU": lambda layer, x, up: up * np.where(x > 0, 1, layer.alpha * np.exp(np.minimum(x, 0))),
    "EuclideanRBF": lambda layer, x, up: reference.euclidean_rbf_gradient(
        x, np.float32(layer.codes), up
    ),
    "Flatten": lambda layer, x, up: reference.flatten_gradient(x, up),
    "GlobalAveragePooling2D": lambda layer, x, up: np.broadcast_to(
        up[:, None, None] / np.float32(np.prod(x.shape[1:3])), x.shape
    ),
    "LeakyReLU": lambda layer, x, up: up * np.where(x > 0, 1, layer.negative_slope),
    "LocalResponseNormalization": lambda layer, x, up: (
        reference.local_response_normalization_gradient(
            x, up, layer.k, layer.n, layer.alpha, layer.beta
        )
    ),
    "MaxPooling2D": _window(reference.max_pool2d_gradient),
    "Normalization": lambda layer, x, up: (
        up / np.maximum(np.sqrt(np.float32(layer.variance)), np.float32(1e-7))
    ),
    "PReLU": lambda layer, x, up, alpha: up * np.where(x > 0, 1, alpha),
    "Rescaling": lambda layer, x, up: up * np.float32(layer.scale),
    "SCells": _s_cells,
    "ScaledTanh": lambda layer, x, up: reference.scaled_tanh_gradient(
        x, up, layer.amplitude, layer.slope
    ),
    "SeparableConv2D": lambda layer, x, up, depthwise_kernel, pointwise_kernel, **_: _depthwise(
        layer, x, up @ pointwise_kernel[0, 0].T, depthwise_kernel
    ),
    "Softmax": lambda layer, x, up: up,
    "TrainableSubsampling": _subsampling,
    "UnitBiasConv2D": _conv2d,
    "ZeroPadding2D": _zero_padding2d,
    **dict.fromkeys(UNCHANGED, lambda layer, x, up: up),
}

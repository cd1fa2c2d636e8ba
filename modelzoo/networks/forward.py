"""A described network computed by NumPy alone, with the arrays of a file: no framework starts.

The formulas are those of `modelzoo.networks.reference`, which stays the readable one; what is
written otherwise here is faster, and tests compare both with Keras. All is float32, channels last.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np

from modelzoo.networks import reference
from modelzoo.networks.layer import Layer, Shape, pair
from modelzoo.networks.network import Network
from modelzoo.networks.reference.neocognitron import fall_off, v_cell_weights
from modelzoo.networks.reference.windows import Array, Margin, laid_out, margins
from modelzoo.support.environment import usable_cores

Step = Callable[[Array], Array]
AT_ONCE = 2**20  # values that a layer makes of the images that are computed together: 4 MB
SHORT = 8  # values: shorter lines of a window are gathered by index, longer ones copied


class Forward:
    """A network for which `is_computed` holds, with its weights.

    `arrays` are those of each layer that has any, in Keras' order, as `weights.reader.arrays_for`
    returns them.
    """

    def __init__(self, network: Network, arrays: Iterable[Sequence[np.ndarray]] = ()) -> None:
        self.network, given = network, iter(arrays)
        self.steps: list[tuple[str, Step]] = []
        self.weights: list[dict[str, Array]] = []
        largest = prod(network.input_shape)
        for layer, inputs in network.with_inputs:
            names = layer.weights(inputs)
            weights = dict(zip(names, map(_float32, next(given)), strict=True)) if names else {}
            self.weights.append(weights)
            self.steps.append((layer.name, _step(layer, inputs, weights)))
            window = (*layer.positions(inputs), *layer.window) if layer.window else inputs[:-1]
            largest = max(largest, prod(inputs), prod(window) * inputs[-1])
        self.batch_size = max(1, AT_ONCE // largest)

    def predict(self, images: np.ndarray) -> Array:
        """Return the outputs, (n, units), for images (n, height, width, channels)."""
        if len(images) <= self.batch_size:
            return self._outputs(images)
        parts = [images[at : at + self.batch_size] for at in range(0, len(images), self.batch_size)]
        from threadpoolctl import threadpool_limits

        # Each core computes other images. Threads of BLAS would take the cores from one another.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(usable_cores()) as threads:
            return np.concatenate(list(threads.map(self._outputs, parts)))

    def features(self, images: np.ndarray) -> Iterator[tuple[str, Array]]:
        """Yield the name and the outputs of each layer, from the input on."""
        x = _float32(images)
        for name, step in self.steps:
            x = step(x)
            yield name, x

    def _outputs(self, images: np.ndarray) -> Array:
        outputs = _float32(images)
        for _, step in self.steps:
            outputs = step(outputs)
        return outputs


def _step(layer: Layer, inputs: Shape, weights: dict[str, Array]) -> Step:
    """Return what computes a layer, its activation included."""
    step = STEPS[layer.kind](layer, inputs, **weights)
    activation = getattr(layer, "activation", None)
    if activation in (None, "linear"):
        return step
    function = ACTIVATIONS[activation]
    return lambda x: function(step(x))


def _float32(array: np.ndarray) -> Array:
    return np.ascontiguousarray(array, "float32")


# Convolution


def _columns(shape: Shape, window: Shape, strides: Shape, rates: Shape, places: Shape) -> Step:
    """Return what makes a row of the values of each window, (n * places, values).

    The images have a shape of (height, width, maps), their margins included.
    """
    maps, line = shape[2], shape[1] * shape[2]
    sizes: Shape = (*places, *window, maps)
    steps: Shape = (strides[0] * line, strides[1] * maps, rates[0] * line, rates[1] * maps, 1)
    if rates[1] == 1:  # what a line of the window holds lies together
        sizes, steps = (*places, window[0], window[1] * maps), (*steps[:3], 1)
    if sizes[-1] >= SHORT:
        return lambda x: _strided(x, sizes, steps).reshape(len(x) * prod(places), -1)
    numbers = np.arange(prod(shape)).reshape(1, *shape)
    indices = _strided(numbers, sizes, steps).reshape(prod(places), -1)
    return lambda x: x.reshape(len(x), -1).take(indices, axis=1).reshape(-1, indices.shape[1])


def _strided(x: Array, sizes: Shape, steps: Shape) -> Array:
    """Return a view of contiguous images, (n, *sizes); the steps count values."""
    strides = [x.itemsize * step for step in (prod(x.shape[1:]), *steps)]
    return np.ndarray((len(x), *sizes), x.dtype, x, 0, strides)


def _surrounded(x: Array, around: tuple[Margin, Margin], value: float = 0.0) -> Array:
    """Return images with rows and columns of one value around them."""
    (top, bottom), (left, right) = around
    if not (top or bottom or left or right):
        return np.ascontiguousarray(x)
    images, height, width, maps = x.shape
    padded = np.full((images, top + height + bottom, left + width + right, maps), value, x.dtype)
    padded[:, top : top + height, left : left + width] = x
    return padded


def _conv2d(layer: Any, inputs: Shape, kernel: Array, bias: Array | None = None) -> Step:
    """Return what weighs every window with a kernel, group by group, and adds the bias."""
    if table := getattr(layer, "connection_table", ()):
        kernel = laid_out(kernel, table)
    value = getattr(layer, "padding_value", 0.0)
    groups, rates = getattr(layer, "groups", 1), pair(getattr(layer, "dilation_rate", 1))
    window, depth, strides = kernel.shape[:2], kernel.shape[2], layer.steps
    around = margins(inputs[:2], layer.span, strides, layer.padding)
    sides = (inputs[0] + sum(around[0]), inputs[1] + sum(around[1]))
    *places, filters = layer.output_shape(inputs)
    columns = _columns((*sides, depth), window, strides, rates, tuple(places))
    matrices = [
        np.ascontiguousarray(each.reshape(-1, filters // groups))
        for each in np.split(kernel, groups, axis=3)
    ]

    def step(x: Array) -> Array:
        padded = _surrounded(x, around, value)
        if groups == 1:  # for one image, each call of NumPy counts
            sums = columns(padded) @ matrices[0]
        else:
            parts = map(np.ascontiguousarray, np.split(padded, groups, axis=3))
            pairs = zip(parts, matrices, strict=True)
            sums = np.concatenate([columns(part) @ matrix for part, matrix in pairs], axis=1)
        if bias is not None and bias.ndim == 1:
            sums += bias
        return sums.reshape(len(x), *places, filters)

    return step if bias is None or bias.ndim == 1 else lambda x: step(x) + bias


def _depthwise_conv2d(layer: Any, inputs: Shape, kernel: Array, bias: Array | None = None) -> Step:
    one = layer.by_map(inputs)
    return _conv2d(one, inputs, kernel.reshape(one.kernel(inputs)), bias)


def _separable_conv2d(layer: Any, inputs: Shape, **weights: Array) -> Step:
    by_map = _depthwise_conv2d(layer, inputs, weights["depthwise_kernel"])
    kernel, bias = weights["pointwise_kernel"][0, 0], weights.get("bias", np.float32(0))
    return lambda x: by_map(x) @ kernel + bias


# Pooling


def _places(layer: Any, inputs: Shape, fill: float = 0.0) -> Callable[[Array], Iterator[Array]]:
    """Return what yields, for each place of a window, the values there in all windows."""
    window, strides = layer.window, layer.steps
    around = margins(inputs[:2], window, strides, getattr(layer, "padding", "valid"))
    counts = layer.positions(inputs)
    down, across = ((count - 1) * stride + 1 for count, stride in zip(counts, strides, strict=True))

    def places(x: Array) -> Iterator[Array]:
        padded = _surrounded(x, around, fill)
        for top, left in np.ndindex(*window):
            yield padded[:, top : top + down : strides[0], left : left + across : strides[1]]

    return places


def _pooled(layer: Any, inputs: Shape, combine: Callable[..., Array], fill: float = 0) -> Step:
    """Return what combines the values of each window."""
    places = _places(layer, inputs, fill)

    def step(x: Array) -> Array:
        values = places(x)
        pooled = next(values).copy()
        for each in values:
            combine(pooled, each, out=pooled)
        return pooled

    return step


def _blurred(layer: Any, inputs: Shape, weights: Array) -> Step:
    """Return what adds up the values of each window, those of every place times its weight."""
    places, weights = _places(layer, inputs), _float32(weights.ravel())
    return lambda x: sum(each * by for each, by in zip(places(x), weights, strict=True))


def _average_pooling2d(layer: Any, inputs: Shape) -> Step:
    summed = _pooled(layer, inputs, np.add)
    inside = summed(np.ones((1, *inputs), "float32"))  # a window that overhangs has fewer
    return lambda x: summed(x) / inside


def _trainable_subsampling(layer: Any, inputs: Shape, coefficient: Array, bias: Array) -> Step:
    summed = _pooled(layer, inputs, np.add)
    scale = coefficient / (prod(layer.window) if layer.reduction == "mean" else 1)
    return lambda x: summed(x) * scale + bias


# Units, normalisation, cells


def _batch_normalization(layer: Any, inputs: Shape, **weights: Array) -> Step:
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    scale = weights.get("gamma", np.float32(1)) / np.sqrt(variance + np.float32(layer.epsilon))
    offset = weights.get("beta", np.float32(0)) - mean * scale
    return lambda x: x * scale + offset


def _normalization(layer: Any, inputs: Shape) -> Step:
    mean = np.float32(layer.mean)
    deviation = np.maximum(np.sqrt(np.float32(layer.variance)), np.float32(1e-7))
    return lambda x: (x - mean) / deviation


def _local_response_normalization(layer: Any, inputs: Shape) -> Step:
    half, maps = layer.n // 2, inputs[-1]
    k, alpha, beta = map(np.float32, (layer.k, layer.alpha, layer.beta))

    def step(x: Array) -> Array:
        squares = x * x
        activity = squares.copy()
        for shift in range(1, min(half, maps - 1) + 1):
            activity[..., shift:] += squares[..., :-shift]
            activity[..., :-shift] += squares[..., shift:]
        activity *= alpha
        activity += k
        root = np.sqrt(activity)  # to the power of 3/4 by two roots, which take less time
        return x / (root * np.sqrt(root) if beta == 0.75 else activity**beta)

    return step


def _relu(layer: Any, inputs: Shape) -> Step:
    slope, threshold, most = layer.negative_slope, layer.threshold, layer.max_value

    def step(x: Array) -> Array:
        y = np.where(x >= threshold, x, np.float32(slope) * (x - np.float32(threshold)))
        return y if most is None else np.minimum(y, np.float32(most))

    return step


def _s_cells(layer: Any, inputs: Shape, a: Array, b: Array) -> Step:
    excitation = _conv2d(layer, inputs, a)
    c = v_cell_weights(layer.area, layer.decay, inputs[-1])
    energy = _blurred(layer, (*inputs[:2], 1), c)
    r = np.float32(layer.selectivity)
    efficacy = 2 * r / (1 + r) * b

    def step(x: Array) -> Array:
        inhibition = np.sqrt(energy((x * x).sum(axis=-1, keepdims=True)))
        ratio = (1 + excitation(x)) / (1 + efficacy * inhibition)
        return r * np.maximum(ratio - 1, 0)

    return step


def _c_cells(layer: Any, inputs: Shape) -> Step:
    blurred = _blurred(layer, inputs, fall_off(layer.area, layer.decay))
    saturation = np.float32(layer.saturation)

    def step(x: Array) -> Array:
        above = 1 + blurred(x)
        excess = np.maximum(above / above.mean(axis=-1, keepdims=True) - 1, 0)
        return excess / (saturation + excess)

    return step


def _leaky(slope: float) -> Step:
    return lambda x: np.where(x > 0, x, np.float32(slope) * x)


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, 0)))


ACTIVATIONS: dict[str, Step] = {
    "elu": _elu,
    "exponential": np.exp,
    "hard_sigmoid": lambda x: np.clip(x / np.float32(6) + np.float32(0.5), 0, 1),
    "leaky_relu": _leaky(0.2),
    "linear": lambda x: x,
    "log_softmax": lambda x: np.log(reference.softmax(x)),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: np.float32(1.0507009873554805) * _elu(x, 1.6732632423543772),
    "sigmoid": reference.sigmoid,
    "silu": lambda x: x * reference.sigmoid(x),
    "softmax": reference.softmax,
    "softplus": lambda x: np.logaddexp(x, np.float32(0)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "swish": lambda x: x * reference.sigmoid(x),
    "tanh": np.tanh,
}
UNCHANGED = (  # what acts in training only, and an activation, which follows every layer alike
    "Activation", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout2D",
)  # fmt: skip
STEPS: dict[str, Callable[..., Step]] = {
    "AveragePooling2D": _average_pooling2d,
    "BatchNormalization": _batch_normalization,
    "CCells": _c_cells,
    "ConnectionTableConv2D": _conv2d,
    "Conv2D": _conv2d,
    "Dense": lambda layer, _, kernel, bias=None: (
        lambda x: x @ kernel if bias is None else x @ kernel + bias
    ),
    "DepthwiseConv2D": _depthwise_conv2d,
    "ELU": lambda layer, _: lambda x: _elu(x, layer.alpha),
    "EuclideanRBF": lambda layer, _: lambda x: reference.euclidean_rbf(x, np.float32(layer.codes)),
    "Flatten": lambda layer, _: reference.flatten,
    "GlobalAveragePooling2D": lambda layer, _: lambda x: x.mean(axis=(1, 2)),
    "LeakyReLU": lambda layer, _: _leaky(layer.negative_slope),
    "LocalResponseNormalization": _local_response_normalization,
    "MaxPooling2D": lambda layer, inputs: _pooled(layer, inputs, np.maximum, -np.inf),
    "Normalization": _normalization,
    "PReLU": lambda layer, _, alpha: lambda x: np.where(x > 0, x, alpha * x),
    "ReLU": _relu,
    "Rescaling": lambda layer, _: lambda x: x * np.float32(layer.scale) + np.float32(layer.offset),
    "SCells": _s_cells,
    "ScaledTanh": lambda layer, _: lambda x: reference.scaled_tanh(x, layer.amplitude, layer.slope),
    "SeparableConv2D": _separable_conv2d,
    "Softmax": lambda layer, _: reference.softmax,
    "TrainableSubsampling": _trainable_subsampling,
    "UnitBiasConv2D": _conv2d,
    "ZeroPadding2D": lambda layer, inputs: (
        lambda x: _surrounded(x, margins(inputs[:2], 1, 1, layer.padding))
    ),
    **dict.fromkeys(UNCHANGED, lambda layer, inputs: lambda x: x),
}


def is_computed(
    network: Network, kinds: Container[str] = STEPS, activations: Container[str] = ACTIVATIONS
) -> bool:
    """Whether NumPy computes every layer of a network."""
    return all(
        layer.kind in kinds and (getattr(layer, "activation", None) or "linear") in activations
        for layer in network.layers
    )

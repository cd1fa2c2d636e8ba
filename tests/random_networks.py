"""The packaged networks, random ones of every builder, and what Keras builds of them."""

import contextlib
import random
from typing import Any

import numpy as np

from modelzoo.config import list_models, load_config
from modelzoo.networks import BUILDERS, Network
from modelzoo.networks.keras_objects import to_keras
from modelzoo.support.errors import InputError
from modelzoo.weights.reader import weighted_layers

ACTIVATIONS = ("relu", "tanh", "sigmoid", "linear", "elu")

_NAMES = {str(load_config(name).model): name for name in reversed(list_models())}
PACKAGED = sorted(_NAMES.values())  # a name of each network; others are other recipes for it


def random_network(builder: str, rng: random.Random) -> Network:
    """Return the description of a network with random arguments that fit each other."""
    return BUILDERS[builder](**random_arguments(builder, rng))


def random_arguments(builder: str, rng: random.Random) -> dict[str, Any]:
    """Return the arguments of a network that can be built, of less than 300,000 parameters."""
    while True:
        arguments = DRAWN[builder](rng)
        with contextlib.suppress(InputError):
            if BUILDERS[builder](**arguments).parameters < 300_000:
                return arguments


def draw_weights(model: Any, generator: np.random.Generator) -> None:
    """Give a Keras model random weights, those positive that have to be."""
    for layer in weighted_layers(model):
        drawn = [generator.normal(0.1, 0.3, each.shape) for each in layer.weights]
        if type(layer).__name__ in ("SCells", "BatchNormalization"):  # synapses, variances
            drawn = [np.abs(each) for each in drawn]
        layer.set_weights(drawn)


def _shape(rng: random.Random, least: int, most: int) -> list[int]:
    return [rng.randint(least, most), rng.randint(least, most), rng.choice((1, 2, 3))]


def _some(rng: random.Random, count: int, choose: Any) -> Any:
    """Return one value, or a list with one a layer."""
    return choose() if rng.random() < 0.4 else [choose() for _ in range(count)]


def _chain(rng: random.Random, count: int, hidden: int) -> dict[str, Any]:
    """Return what `lenet5` and `alexnet` share."""

    def size(most: int) -> Any:
        return rng.randint(1, most) if rng.random() < 0.7 else [rng.randint(1, most), 2]

    return {
        "input_shape": _shape(rng, 9, 40),
        "num_classes": rng.randint(1, 12),
        "kernel_size": [size(5) for _ in range(count)],
        "strides": [size(2) for _ in range(count)],
        "conv_padding": _some(rng, count, lambda: rng.choice(("valid", "same", 0, 1, 2))),
        "pooling": _some(rng, count, lambda: rng.choice(("average", "max", "none"))),
        "pool_size": [size(3) for _ in range(count)],
        "pool_strides": [rng.choice((None, 1, 2, [2, 1])) for _ in range(count)],
        "pool_padding": _some(rng, count, lambda: rng.choice(("valid", "same"))),
        "dense_units": [rng.randint(1, 20) for _ in range(hidden)],
        "dense_activation": _some(rng, hidden, lambda: rng.choice(ACTIVATIONS)),
        "dropout": _some(rng, hidden, lambda: rng.choice((0.0, 0.5))),
    }


def _lenet5(rng: random.Random) -> dict[str, Any]:
    count, hidden = rng.randint(0, 3), rng.randint(0, 3)
    return _chain(rng, count, hidden) | {
        "conv_maps": [rng.randint(1, 8) for _ in range(count)],
        "conv_activation": _some(rng, count, lambda: rng.choice(ACTIVATIONS)),
        "pool_activation": _some(rng, count, lambda: rng.choice(("linear", "tanh"))),
    }


def _alexnet(rng: random.Random) -> dict[str, Any]:
    count, hidden = rng.randint(1, 4), rng.randint(0, 2)
    norms = ("batch", "local_response", "none")
    return _chain(rng, count, hidden) | {
        "conv_maps": [rng.choice((2, 4, 8)) for _ in range(count)],
        "groups": [1, *(rng.choice((1, 2)) for _ in range(count - 1))],
        "activation": _some(rng, count, lambda: rng.choice(ACTIVATIONS)),
        "normalization": _some(rng, count, lambda: rng.choice(norms)),
        "feature_dropout": rng.choice((0.0, 0.3)),
        "bias_initializer": "Zeros",
    }


def _table(rng: random.Random) -> list[list[int]]:
    rows, columns = rng.randint(1, 6), rng.randint(1, 8)
    return [[int(rng.random() < 0.6) for _ in range(columns)] for _ in range(rows)]


def _lenet5_1998(rng: random.Random) -> dict[str, Any]:
    return {
        "input_shape": _shape(rng, 32, 40),
        "num_classes": rng.randint(1, 12),
        "connection_table": _table(rng),
        "codes": rng.choice(("digits", "random")),
    }


def _lenet_1989(rng: random.Random) -> dict[str, Any]:
    return {
        "input_shape": _shape(rng, 1, 24),
        "num_classes": rng.randint(1, 12),
        "connection_table": _table(rng),
        "hidden_units": rng.randint(1, 30),
    }


def _neocognitron(rng: random.Random) -> dict[str, Any]:
    count = rng.randint(1, 3)
    return {
        "input_shape": _shape(rng, 4, 18),
        "num_classes": rng.randint(1, 6),
        "planes": _some(rng, count, lambda: rng.randint(1, 8)),
        "s_size": [rng.randint(1, 18) for _ in range(count)],
        "s_area": _some(rng, count, lambda: rng.randint(1, 7)),
        "c_size": [rng.randint(1, 12) for _ in range(count)],
        "c_area": _some(rng, count, lambda: rng.randint(1, 7)),
        "c_strides": _some(rng, count, lambda: rng.randint(1, 3)),
        "selectivity": 2.0,
        "reinforcement": 4.0,
        "column": 3,
        "s_decay": 0.9,
        "initial": 0.1,
    }


def _sequential(rng: random.Random) -> dict[str, Any]:
    side = lambda most: rng.choice((rng.randint(1, most), [rng.randint(1, most), 1]))  # noqa: E731
    kinds = [
        lambda: ("Conv2D", {"filters": 4, "kernel_size": side(4), "strides": side(2)}),
        lambda: ("Conv2D", {"filters": 3, "kernel_size": 3, "dilation_rate": 2}),
        lambda: ("Conv2D", {"filters": 2, "kernel_size": 2, "use_bias": False, "padding": "same"}),
        lambda: ("DepthwiseConv2D", {"kernel_size": side(3), "depth_multiplier": 2}),
        lambda: ("SeparableConv2D", {"filters": 3, "kernel_size": 2, "padding": "same"}),
        lambda: ("PReLU", {"shared_axes": rng.choice((None, [1, 2]))}),
        lambda: ("MaxPooling2D", {"strides": side(2)}),
        lambda: ("AveragePooling2D", {"pool_size": side(3), "padding": "same"}),
        lambda: ("BatchNormalization", {"scale": rng.random() < 0.5, "center": False}),
        lambda: ("ZeroPadding2D", {"padding": rng.choice((1, [1, 2], [[0, 1], [2, 0]]))}),
        lambda: ("TrainableSubsampling", {"reduction": "mean"}),
        lambda: ("LocalResponseNormalization", {"n": 3}),
        lambda: (rng.choice(("ReLU", "LeakyReLU", "ELU", "Softmax", "ScaledTanh")), {}),
        lambda: (rng.choice(("Dropout", "SpatialDropout2D", "AlphaDropout")), {"rate": 0.2}),
        lambda: ("GaussianNoise", {"stddev": 0.1}),
        lambda: ("Rescaling", {"scale": 0.5, "offset": -1}),
    ]
    chosen = [rng.choice(kinds)() for _ in range(rng.randint(0, 8))]
    chosen.append((rng.choice(("Flatten", "GlobalAveragePooling2D")), {}))
    chosen += [("Dense", {"units": 7, "activation": "relu"}), ("Dense", {})]
    layers = [{"class_name": name, "config": config} for name, config in chosen]
    return {"input_shape": _shape(rng, 8, 24), "num_classes": 5, "layers": layers}


DRAWN = {
    "alexnet": _alexnet,
    "lenet5": _lenet5,
    "lenet5_1998": _lenet5_1998,
    "lenet_1989": _lenet_1989,
    "neocognitron": _neocognitron,
    "sequential": _sequential,
}


def check_against_keras(network: Network, model: Any = None) -> None:
    """Hold a description's shapes, parameters and weights against the model that Keras builds."""
    model = model or to_keras(network)
    rows = network.rows()
    assert [row["name"] for row in rows] == [layer.name for layer in model.layers]
    for row, layer in zip(rows, model.layers, strict=True):
        trainable = sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
        found = [list(layer.output.shape[1:]), layer.count_params(), trainable]
        assert [row["output_shape"], row["parameters"], row["trainable_parameters"]] == found
    for (each, inputs), layer in zip(network.with_inputs, model.layers[1:], strict=True):
        shapes = [tuple(weight.shape) for weight in layer.weights]
        assert list(each.weights(inputs).values()) == shapes, each.name
    assert network.parameters == model.count_params()
    assert model.name == network.name

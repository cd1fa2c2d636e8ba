"""Build a described network with Keras, layer by layer, under the description's names."""

from math import prod
from typing import Any

import keras

from modelzoo.networks import layers
from modelzoo.networks.keras_objects import check_activation, make
from modelzoo.networks.kinds import OURS
from modelzoo.networks.layer import Layer
from modelzoo.networks.network import ROW_KEYS, Network
from modelzoo.networks.self_organization import SelfOrganizing


def to_keras(network: Network) -> keras.Model:
    """Return the network as an uncompiled Keras model, its weights drawn by its initializers.

    Input shape: (batch, height, width, channels), float.

    Raises:
        InputError: an activation, an initializer or a regularizer that Keras does not know.
    """
    inputs = keras.Input(network.input_shape, name="input")
    outputs = inputs
    for layer in network.layers:
        outputs = keras_layer(layer)(outputs)
    if network.learns_alone:
        steps = network.organizing_steps
        return SelfOrganizing(inputs, outputs, steps=steps, name=network.name)
    return keras.Model(inputs, outputs, name=network.name)


def keras_layer(layer: Layer) -> keras.layers.Layer:
    """Return one layer, not yet built."""
    arguments: dict[str, Any] = {}
    for key, value in layer.arguments.items():
        where = f"{layer.name}: {key}"
        for kind in ("initializer", "regularizer"):
            if key.endswith(kind):
                value = make(kind, value, where)
        if key == "activation":
            check_activation(value, where)
        arguments[key] = value
    module: Any = layers if layer.kind in OURS else keras.layers
    made: keras.layers.Layer = getattr(module, layer.kind)(name=layer.name, **arguments)
    return made


def keras_rows(model: keras.Model) -> list[dict[str, Any]]:
    """Return what is known of the layers of a Keras model, under the keys of `Network.rows`."""
    unknown = dict.fromkeys(ROW_KEYS)
    return [
        {
            **unknown,
            "name": layer.name,
            "type": type(layer).__name__,
            "output_shape": list(layer.output.shape[1:]),
            "parameters": layer.count_params(),
            "trainable_parameters": sum(prod(each.shape) for each in layer.trainable_weights),
        }
        for layer in model.layers
    ]

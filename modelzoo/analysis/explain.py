"""What a network sees in an image: features of its layers, and what influences a prediction.

Everything here runs on TensorFlow, JAX and PyTorch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from modelzoo.config import Config
from modelzoo.data.preprocessor import Preprocessor
from modelzoo.support.errors import InputError, suggest


def on_pictures(network: keras.Model, config: Config) -> keras.Model:
    """Put the configuration's `data.preprocessing` before a network, or before its scores.

    The model takes images as they are stored, float32 (batch, height, width, channels) in 0..255,
    shares the network's weights, and lets gradients flow to the images.
    """
    pictures = keras.Input(config.image_shape, name="pictures", dtype="float32")
    prepared = Preprocessor(config.data.preprocessing)(pictures)
    return keras.Model(pictures, network(prepared), name=f"{network.name}_on_pictures")


def before_softmax(network: keras.Model) -> keras.Model:
    """Return the network without the softmax at its end: its scores, of any size.

    Their gradients do not fade where the network is certain. A network that ends with scores is
    returned as it is; else the layers are shared, but for the last, whose weights are copied.
    """
    last = network.layers[-1]
    if getattr(last, "activation", None) is not keras.activations.softmax:
        return network
    scores = type(last).from_config({**last.get_config(), "activation": "linear"})
    model = keras.Model(network.inputs, scores(last.input), name=f"{network.name}_scores")
    scores.set_weights(last.get_weights())
    return model


def features(
    network: keras.Model,
    images: np.ndarray,
    layers: Sequence[str] | None = None,
    *,
    batch_size: int = 256,
) -> dict[str, np.ndarray]:
    """Do the work of `modelzoo.features` for a functional `keras.Model`."""
    known = {layer.name: layer for layer in network.layers}
    if layers is None:
        kinds = keras.layers.InputLayer
        layers = [name for name, layer in known.items() if not isinstance(layer, kinds)]
    for name in layers:
        if name not in known:
            raise InputError(f"{network.name} has no layer {name!r}{suggest(name, list(known))}")
    taps = keras.Model(network.inputs, {name: known[name].output for name in layers})
    outputs = taps.predict(images, batch_size=batch_size, verbose=0)
    return {name: np.asarray(outputs[name], "float32") for name in layers}


def input_gradient(
    function: Callable[[Any], Any], images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a function of images, (n,), and their gradients by the images, float32.

    The function takes a float32 tensor of the shape of `images`, (n, height, width, channels), and
    is made of Keras operations; the value of one image must not depend on another's.
    """
    images = np.asarray(images, "float32")
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        given = tf.convert_to_tensor(images)
        with tf.GradientTape() as tape:
            tape.watch(given)
            values = function(given)
        gradients = tape.gradient(values, given)
    elif backend == "jax":
        import jax

        values, backward = jax.vjp(function, jax.numpy.asarray(images))
        (gradients,) = backward(jax.numpy.ones_like(values))
    else:
        import torch

        given = keras.ops.convert_to_tensor(images).requires_grad_()
        values = function(given)
        (gradients,) = torch.autograd.grad(values.sum(), given)
    return keras.ops.convert_to_numpy(values), keras.ops.convert_to_numpy(gradients)


def saliency(
    network: keras.Model, images: np.ndarray, classes: np.ndarray | None = None
) -> np.ndarray:
    """Do the work of `modelzoo.saliency` for a Keras model, whose softmax is left out.

    To ask about images as they are stored, pass `on_pictures(before_softmax(network), …)`.
    """
    scores = before_softmax(network)
    images = np.asarray(images, "float32")
    if classes is None:
        classes = np.asarray(scores.predict(images, verbose=0)).argmax(axis=1)
    chosen = keras.ops.one_hot(np.asarray(classes), scores.output_shape[-1])
    _, gradients = input_gradient(
        lambda given: keras.ops.sum(scores(given, training=False) * chosen, axis=-1), images
    )
    return np.abs(gradients).max(axis=-1)

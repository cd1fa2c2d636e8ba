"""Custom layers against plain NumPy, forward and gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from modelzoo.networks import reference
from modelzoo.networks.layers.local_response_normalization import LocalResponseNormalization


@pytest.mark.parametrize(
    ("channels", "settings"),
    [(8, {}), (3, {}), (7, {"k": 1.0, "n": 3, "alpha": 0.3, "beta": 0.6}), (4, {"n": 1})],
)
def test_local_response_normalization_agrees_with_numpy(channels, settings):
    """Forward or gradient differs from the paper's formula, the edges of the channels included."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(0, 3, (2, 3, 4, channels))
    upstream = generator.normal(size=inputs.shape)
    layer = LocalResponseNormalization(dtype="float64", **settings)
    x = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x)
    gradient = tape.gradient(outputs, x, output_gradients=tf.constant(upstream))
    expected = reference.local_response_normalization(inputs, **settings)
    expected_gradient = reference.local_response_normalization_gradient(
        inputs, upstream, **settings
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-10)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-8, atol=1e-12)


def test_local_response_normalization_agrees_with_tensorflow():
    """TensorFlow's own operation has the same formula, with alpha not divided by n."""
    inputs = np.random.default_rng(0).normal(0, 9, (2, 3, 3, 9)).astype("float32")
    expected = tf.nn.local_response_normalization(inputs, 2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(LocalResponseNormalization()(inputs), expected, rtol=1e-5)


def test_local_response_normalization_is_saved_with_its_settings():
    """A saved network would normalise differently."""
    layer = LocalResponseNormalization(k=1.0, n=3, alpha=0.5, beta=0.25)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert (again.k, again.n, again.alpha, again.beta) == (1.0, 3, 0.5, 0.25)
    assert again(keras.Input((4, 4, 8))).shape == (None, 4, 4, 8)


def test_an_even_neighbourhood_is_refused():
    """It would not be centred on its channel."""
    with pytest.raises(ValueError, match="odd"):
        LocalResponseNormalization(n=4)

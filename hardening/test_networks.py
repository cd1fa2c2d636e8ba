"""Two hundred random networks of each builder, and the largest of the zoo in full."""

import random

import keras
import numpy as np
import pytest
from PIL import Image
from random_networks import DRAWN, PACKAGED, check_against_keras, random_network
from test_engine import real_images
from test_forward import check
from test_models import LARGE, TABLES

from modelzoo.api import build
from modelzoo.config import load_config
from modelzoo.training.prepare import scale_images


@pytest.mark.parametrize("builder", DRAWN)
def test_random_networks_are_what_keras_builds(builder: str) -> None:
    """Shapes, parameters, and the shape of every weight."""
    rng = random.Random(f"two hundred of {builder}")
    for _ in range(200):
        check_against_keras(random_network(builder, rng))


@pytest.mark.parametrize("name", PACKAGED)
def test_numpy_answers_as_keras_for_real_images(name):
    """Layer by layer, and its gradient: 200 images, or 4 for the networks of ImageNet's size."""
    network = load_config(name).network
    assert network is not None
    height, width, channels = network.input_shape
    count, size = (200, height) if height <= 32 else (4, 32)
    images = [
        Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.BILINEAR)
        for image in real_images((size, size, channels), count)
    ]
    scaled = np.reshape(images, (count, *network.input_shape)).astype("float32") / 255
    check(network, seed=0, images=scaled)


@pytest.mark.parametrize("name", [name for name in TABLES if TABLES[name][1] > LARGE])
def test_a_large_network_works_in_full(name, tmp_path):
    """Its probabilities, its saved weights and a step of training; some 2 GB of memory."""
    keras.utils.set_random_seed(0)
    model, config = build(name), load_config(name)
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]), np.uint8)
    prepared = scale_images(config, images)
    before = np.asarray(model(prepared))
    assert before.shape == (2, 1000) and np.allclose(before.sum(axis=1), 1, atol=1e-5)
    model.save_weights(tmp_path / "a.weights.h5")
    # Far below the recipe's rate, which is for batches of 128.
    model.compile(keras.optimizers.SGD(0.0003), "sparse_categorical_crossentropy")
    losses = model.fit(prepared, np.array([3, 7]), epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.load_weights(tmp_path / "a.weights.h5")
    assert np.array_equal(model(prepared), before)

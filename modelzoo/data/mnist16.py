"""MNIST as LeCun et al. (1989) would have had it: as many images as theirs, of 16x16 pixels."""

from dataclasses import replace

import numpy as np

from modelzoo.data.resize import convert
from modelzoo.data.source import Dataset
from modelzoo.errors import InputError

TRAINING_IMAGES, TEST_IMAGES = 7291, 2007  # of the paper's zip codes
SEED = 1989


def make_mnist16(mnist: Dataset) -> Dataset:
    """Choose 7,291 of MNIST's training images and 2,007 of its test images, and shrink them.

    The choice is plain random by a fixed seed; the size changes by bilinear resizing with
    antialiasing. A digit that fills 20x20 of 28x28 pixels fills 11x11 of 16x16.

    Raises:
        InputError: there are fewer images than that.
    """
    if len(mnist.y_train) < TRAINING_IMAGES or len(mnist.y_test) < TEST_IMAGES:
        raise InputError(
            f"mnist16 is chosen from {TRAINING_IMAGES:,} or more training and {TEST_IMAGES:,} or "
            f"more test images; the mnist here has {len(mnist.y_train):,} and "
            f"{len(mnist.y_test):,}\nPut the whole MNIST in its place."
        )
    # RandomState, because NumPy promises that its stream will never change.
    random = np.random.RandomState(SEED)
    train = random.permutation(len(mnist.y_train))[:TRAINING_IMAGES]
    test = random.permutation(len(mnist.y_test))[:TEST_IMAGES]
    return replace(
        mnist,
        name="mnist16",
        x_train=convert(mnist.x_train[train], (16, 16, 1)),
        y_train=mnist.y_train[train],
        x_test=convert(mnist.x_test[test], (16, 16, 1)),
        y_test=mnist.y_test[test],
        note="7,291 training and 2,007 test images of MNIST, brought to 16x16 pixels: as many as "
        "the zip codes of LeCun et al. (1989), but not those.",
    )

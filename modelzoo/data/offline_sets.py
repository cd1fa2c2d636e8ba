"""The data sets that packages carry, that we draw, or that are made of another one."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from modelzoo.data import fukushima_digits
from modelzoo.data.class_names import DIGITS, SHAPES
from modelzoo.data.npz import read_arrays
from modelzoo.data.resize import convert
from modelzoo.data.shapes import draw_shapes
from modelzoo.data.source import Dataset
from modelzoo.errors import InputError, reason_of
from modelzoo.requirements import check_installed

MNIST5K = Path(__file__).parent / "files" / "mnist5k.npz"  # its source and licence lie beside it
# Of the rows of 784 pixels and a label: figures measured on mnist5k hold for these only.
MNIST5K_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"
MNIST16_TRAINING, MNIST16_TEST = 7291, 2007  # the zip codes of LeCun et al. (1989)


def load_mnist5k() -> Dataset:
    """Load the 5,000 MNIST digits that come with the package: 4,000 to train, 1,000 to test.

    Every fifth digit of each class is a test digit: 100 a class.
    """
    try:
        arrays = read_arrays(MNIST5K, ("pixels", "labels"))
        pixels, labels = arrays["pixels"], arrays["labels"]
        rows = np.column_stack([pixels.reshape(5000, 784), labels])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"mnist5k can't be read from {MNIST5K}: {reason_of(error)}\nInstall the package again."
        ) from error
    if hashlib.sha256(rows.tobytes()).hexdigest() != MNIST5K_SHA256:
        raise InputError(
            f"{MNIST5K} does not hold the 5,000 digits of mnist5k\nInstall the package again."
        )
    return _split(
        "mnist5k",
        pixels[..., np.newaxis],
        labels.astype(np.int64),
        "5,000 digits of MNIST's training set, 1,000 of them to test: "
        "weights trained on MNIST have seen them all.",
    )


def load_digits() -> Dataset:
    """Load scikit-learn's 1,797 digits of 8x8 pixels: every fifth of each class is a test digit."""
    check_installed("the data set digits", "sklearn")
    from sklearn import datasets

    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]  # 0..16 in 8x8
    return _split(
        "digits",
        pixels,
        bunch.target.astype(np.int64),
        "1,797 digits of 8x8 pixels that scikit-learn carries: these are not MNIST's.",
    )


def load_shapes() -> Dataset:
    """Draw 5,000 shapes to train on and 1,000 to test."""
    x_train, y_train = draw_shapes(5000, seed=1)
    x_test, y_test = draw_shapes(1000, seed=2)
    note = "Shapes drawn by modelzoo, not photographs."
    return Dataset("shapes", x_train, y_train, x_test, y_test, SHAPES, note)


def load_fukushima_digits() -> Dataset:
    """Draw five digits: 20 times each at random places to train, and everywhere to test."""
    x_train, y_train = fukushima_digits.presentations()
    everywhere = [
        fukushima_digits.at_every_position(fukushima_digits.draw(digit))
        for digit in range(len(fukushima_digits.CLASSES))
    ]
    y_test = np.repeat(np.arange(len(everywhere)), [len(pictures) for pictures in everywhere])
    note = "Five digits drawn by modelzoo; the test pictures are the same digits at other places."
    names = fukushima_digits.CLASSES
    x_test = np.concatenate(everywhere)
    return Dataset("fukushima_digits", x_train, y_train, x_test, y_test, names, note)


def make_mnist16(mnist: Dataset) -> Dataset:
    """Make MNIST as LeCun et al. (1989) would have had it: 7,291 and 2,007 images of 16x16 pixels.

    The choice is plain random by a fixed seed; the size changes by bilinear resizing with
    antialiasing. A digit that fills 20x20 of 28x28 pixels fills 11x11 of 16x16.

    Raises:
        InputError: there are fewer images than that.
    """
    if len(mnist.y_train) < MNIST16_TRAINING or len(mnist.y_test) < MNIST16_TEST:
        raise InputError(
            f"mnist16 is chosen from {MNIST16_TRAINING:,} or more training and {MNIST16_TEST:,} or "
            f"more test images; the mnist here has {len(mnist.y_train):,} and "
            f"{len(mnist.y_test):,}\nPut the whole MNIST in its place."
        )
    # RandomState, because NumPy promises that its stream will never change.
    random = np.random.RandomState(1989)
    train = random.permutation(len(mnist.y_train))[:MNIST16_TRAINING]
    test = random.permutation(len(mnist.y_test))[:MNIST16_TEST]
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


def _split(name: str, pixels: np.ndarray, labels: np.ndarray, note: str) -> Dataset:
    """Set aside every fifth picture of each class, and mix the rest."""
    is_test = np.zeros(len(labels), bool)
    for label in range(len(DIGITS)):
        is_test[np.flatnonzero(labels == label)[::5]] = True
    # The files are sorted by class or by writer, and a validation set may be cut from the end.
    # RandomState, because NumPy promises that its stream will never change.
    train = np.random.RandomState(0).permutation(np.flatnonzero(~is_test))
    x_test, y_test = pixels[is_test], labels[is_test]
    return Dataset(name, pixels[train], labels[train], x_test, y_test, DIGITS, note)

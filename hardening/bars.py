"""A small data set that a network can learn in a second: noisy images of one bright bar."""

from pathlib import Path

import numpy as np


def draw_bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy 28x28 images of one bright bar, whose height is the class, 0 to 9."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 + 2 * label : 5 + 2 * label, 4:24] = 220
    return images, labels.astype("uint8")


def write_bars(folder: Path) -> Path:
    """Make a data folder that holds the data set `bars`: 200 training, 60 test images."""
    folder.mkdir()
    (x_train, y_train), (x_test, y_test) = draw_bars(200, 0), draw_bars(60, 1)
    np.savez(folder / "bars.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return folder

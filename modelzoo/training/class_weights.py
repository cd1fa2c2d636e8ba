"""How many images each class has, and weights that let all classes count as much."""

from collections.abc import Mapping
from typing import Literal

import numpy as np


def images_per_class(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of images of each class, (classes,)."""
    return np.bincount(labels, minlength=classes)


def class_weights(
    chosen: Mapping[int, float] | Literal["balanced"] | None, labels: np.ndarray, classes: int
) -> dict[int, float] | None:
    """Return a weight for each class, as `keras.Model.fit` takes them.

    Args:
        chosen: `fit.class_weight`: weights by class number, of which those left out are 1, or
            "balanced": in inverse proportion to the images of each class, with a mean of 1 over
            all images, as scikit-learn computes it.
        labels: class numbers of the training images, those for validation left out.
        classes: units of the network's output.

    Returns:
        None if there are no weights. A class without images has the weight 1, which nothing uses.
    """
    if chosen is None:
        return None
    if chosen != "balanced":
        return {label: float(chosen.get(label, 1.0)) for label in range(classes)}
    counts = images_per_class(labels, classes)
    present = int((counts > 0).sum())
    return {
        label: len(labels) / (present * int(count)) if count else 1.0
        for label, count in enumerate(counts)
    }

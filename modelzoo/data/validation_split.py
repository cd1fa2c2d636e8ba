"""Which of the training images are kept for validation."""

import numpy as np

from modelzoo.errors import InputError

SPLIT_SEED = 0  # the validation images are the same for every seed of a run


def split_validation(labels: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions for training and for validation, each class in its proportion.

    Args:
        labels: class numbers, (n,).
        size: a share if a float, a number of images if an int.

    Raises:
        InputError: nothing would be left to train on.
    """
    count = round(len(labels) * size) if isinstance(size, float) else size
    if count >= len(labels):
        raise InputError(
            f"data.validation_split: {size} leaves none of the {len(labels)} training images"
        )
    shuffled = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels, minlength=1)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(labels))  # where an image stands within its class, from 0 to 1
    rank[by_class] = (np.arange(len(labels)) - first + 0.5) / np.repeat(counts, counts)
    chosen = shuffled[np.argsort(rank[shuffled], kind="stable")]
    return np.sort(chosen[count:]), np.sort(chosen[:count])

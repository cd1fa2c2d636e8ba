"""What a trial of an imported network needs: images to choose by, and the network itself."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from modelzoo.data.source import Dataset
from modelzoo.data.validation_split import split_validation
from modelzoo.errors import InputError
from modelzoo.importing.pixels import Forward
from modelzoo.importing.recognise import Plan
from modelzoo.models import BUILDERS
from modelzoo.weights.reader import assign_arrays

VALIDATION_IMAGES = 5_000
SMALL = ((200, 24), (1000, 6), (VALIDATION_IMAGES, 0))
LARGE = ((100, 8), (500, 3), (2000, 0))  # rounds for networks of more than 5 million parameters


def validation_images(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return a few thousand training pictures and labels, each class in its proportion, mixed."""
    count = min(VALIDATION_IMAGES, len(data.y_train) // 2)
    _, chosen = split_validation(data.y_train, count)
    chosen = np.random.default_rng(0).permutation(chosen)
    return np.asarray(data.x_train[chosen]), data.y_train[chosen]


def rounds_for(parameters: int) -> Sequence[tuple[int, int]]:
    """Return how many images are used in each round of trials."""
    return LARGE if parameters > 5_000_000 else SMALL


def network_of(plan: Plan, where: str) -> keras.Model:
    """Return the network of a plan with its arrays.

    Raises:
        InputError: the arrays do not fit what the plan says.
    """
    try:
        network = BUILDERS[plan.builder](**plan.model)
    except InputError as error:
        raise InputError(f"{where}: cannot be built: {error}") from None
    assign_arrays(network, plan.arrays, where)
    return network


def forward_of(network: keras.Model) -> Forward:
    """Return a function from prepared pictures to the network's output, in NumPy."""

    def forward(pictures: np.ndarray) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(network(pictures, training=False)))

    return forward

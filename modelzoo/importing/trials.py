"""What a trial of an imported network needs: images to choose by, and the network itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from modelzoo.data.source import Dataset
from modelzoo.data.validation_split import split_validation
from modelzoo.errors import InputError
from modelzoo.importing.pixels import KEPT_BYTES, Forward
from modelzoo.importing.recognise import Plan
from modelzoo.networks import BUILDERS
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


def is_poor(accuracy: float, labels: np.ndarray) -> bool:
    """Whether an accuracy is in the lowest third of what lies between chance and all right.

    Chance is to always give the class that most of the labels have.
    """
    chance = float(np.bincount(labels).max() / len(labels))
    return accuracy < chance + (1 - chance) / 3


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


class Activated:
    """A chain of layers whose activations change from call to call.

    The layers before the first activation that a call changes are not computed again.

    Args:
        network: of our builders, whose layers form a chain.
    """

    def __init__(self, network: keras.Model) -> None:
        self.layers = network.layers[1:]  # without the input
        self.taking = [
            index
            for index, layer in enumerate(self.layers)
            if layer.weights and hasattr(layer, "activation")
        ]
        self.kept: dict[int, tuple[np.ndarray, tuple[str, ...], list[Any]]] = {}

    def __call__(self, pictures: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """Return the outputs for prepared pictures with the activations of these names.

        Args:
            pictures: float32 (n, h, w, c), which nothing changes afterwards.
            names: of the activation of each convolution and dense layer.
        """
        _, before, inputs = self.kept.pop(id(pictures), (pictures, (), []))
        changed = next(
            (i for i, (new, old) in enumerate(zip(names, before, strict=False)) if new != old), 0
        )
        inputs = inputs[: changed + 1]  # of the layers in `taking`, as far as they stay the same
        position = self.taking[changed] if inputs else 0
        value = inputs.pop() if inputs else pictures
        for index in range(position, len(self.layers)):
            if index in self.taking:
                inputs.append(value)
                name = names[self.taking.index(index)]
                self.layers[index].activation = keras.activations.get(name)
            value = self.layers[index](value)
        if 4 * sum(math.prod(each.shape) for each in inputs) < KEPT_BYTES:
            self.kept = dict([*self.kept.items()][-1:])  # of two batches
            self.kept[id(pictures)] = (pictures, names, inputs)
        return np.asarray(keras.ops.convert_to_numpy(value))


def forward_of(network: keras.Model) -> Forward:
    """Return a function from prepared pictures to the network's output, in NumPy."""

    def forward(pictures: np.ndarray) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(network(pictures, training=False)))

    return forward

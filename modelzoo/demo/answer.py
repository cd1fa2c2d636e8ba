"""What a network says of one picture: its values, the features of its layers, an adversarial copy.

Knows nothing of the page that shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from msgspec.structs import asdict

from modelzoo.analysis.attacks import fgsm
from modelzoo.analysis.explain import before_softmax, on_pictures
from modelzoo.api import class_names
from modelzoo.data.images import PreparedImage, read_image
from modelzoo.training.evaluation import is_uncertain, unit_of
from modelzoo.training.resolve import Source

# Layers that pass their input on unchanged once a network is trained.
SAME_VALUES = (keras.layers.InputLayer, keras.layers.Dropout, keras.layers.Flatten)


@dataclass(frozen=True)
class Answer:
    """A network's answer to a picture.

    Attributes:
        values: (classes,), probabilities or scores.
        features: what each layer puts out, (height, width, maps) or (units,), in their order.
    """

    values: np.ndarray
    features: dict[str, np.ndarray]


@dataclass(frozen=True)
class Adversarial:
    """A picture that was changed to be taken for something else.

    Attributes:
        pixels: float32 in 0..255, (height, width, channels).
        values: (classes,), the network's answer to it.
    """

    pixels: np.ndarray
    values: np.ndarray


class Network:
    """A trained network that answers one picture at a time.

    Its functions are traced once, for a batch of one, when it is made.

    Args:
        source: the network with its weights.

    Attributes:
        unit: what its values are; values that do not sum to 1 are scores.
        kinds: the class of each layer whose features are shown, by its name.
    """

    def __init__(self, source: Source) -> None:
        self.config = config = source.config
        self.class_names, self.shape = class_names(config), source.config.image_shape
        model = source.build()
        shown = [layer for layer in model.layers if not isinstance(layer, SAME_VALUES)]
        self.kinds = {layer.name: type(layer).__name__ for layer in shown}
        outputs = [*(layer.output for layer in shown), model.output]
        self._all_outputs = on_pictures(keras.Model(model.inputs, outputs), config)
        self._scores = _traced(on_pictures(before_softmax(model), config))
        blank = np.zeros(self.shape, np.uint8)
        values = self.answer(blank).values
        self.adversarial(blank, label=0, strength=0.1)
        self.unit = unit_of(values[np.newaxis])

    def prepare(self, picture: bytes) -> PreparedImage:
        """Bring what is in a picture file to the network's input, as `modelzoo.predict` does.

        Raises:
            InputError: it is not a picture, damaged, or too large.
        """
        return read_image(picture, self.shape, **asdict(self.config.image))

    def answer(self, pixels: np.ndarray) -> Answer:
        """Return the answer to a picture (height, width, channels) in 0..255."""
        batch = np.asarray(pixels, "float32")[np.newaxis]
        *features, values = [
            np.asarray(output[0], "float32") for output in self._all_outputs.predict_on_batch(batch)
        ]
        return Answer(values, dict(zip(self.kinds, features, strict=True)))

    def is_uncertain(self, answer: Answer) -> bool | None:
        """Whether the largest probability of an answer is small; None for scores."""
        return is_uncertain(map(float, answer.values), self.unit)

    def adversarial(self, pixels: np.ndarray, label: int, strength: float) -> Adversarial:
        """Return the picture changed so that a class becomes less likely.

        Args:
            pixels: (height, width, channels) in 0..255.
            label: the class, such as the network's own answer.
            strength: the most that a pixel changes, as a share (0..1) of 0..255.
        """
        batch = np.asarray(pixels, "float32")[np.newaxis]
        changed = fgsm(self._scores, batch, np.array([label]), strength)[0]
        return Adversarial(changed, self.answer(changed).values)


def _traced(model: keras.Model) -> Callable[..., Any]:
    """Return what calls a network quickly, also where its gradient is asked for.

    One operation after the other, as a model runs when it is called, LeNet-5 spends most of its
    time between them. TensorFlow makes one function of them all, and another of their gradients.
    """
    if keras.backend.backend() != "tensorflow":
        return model
    import tensorflow as tf

    return tf.function(lambda given, training=False: model(given, training=training))

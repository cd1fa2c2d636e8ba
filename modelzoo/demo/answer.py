"""What a network says of one image: its values, the features of its layers, an adversarial copy.

Knows nothing of the page that shows it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from modelzoo.analysis.attacks import fgsm
from modelzoo.analysis.explain import before_softmax, on_pictures
from modelzoo.api import class_names
from modelzoo.training.evaluation import unit_of
from modelzoo.training.resolve import Source

# Layers that pass their input on unchanged once a network is trained.
SAME_VALUES = (keras.layers.InputLayer, keras.layers.Dropout, keras.layers.Flatten)


class Network:
    """A trained network that answers one image at a time.

    Its functions are traced once, for a batch of one, when it is made.

    Args:
        source: the network with its weights.

    Attributes:
        unit: what its values are; values that do not sum to 1 are scores.
        kinds: the class of each layer whose features are shown, by its name.
    """

    def __init__(self, source: Source) -> None:
        self.config = config = source.config
        self.class_names = class_names(config)
        model = source.build()
        shown = [layer for layer in model.layers if not isinstance(layer, SAME_VALUES)]
        self.kinds = {layer.name: type(layer).__name__ for layer in shown}
        outputs = [*(layer.output for layer in shown), model.output]
        self._all_outputs = on_pictures(keras.Model(model.inputs, outputs), config)
        self._scores: Any = on_pictures(before_softmax(model), config)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # One operation after the other, LeNet-5 spends most of its time between them.
            # TensorFlow makes one function of them all, and another of their gradients.
            self._scores = tf.function(self._scores.__call__)
        blank = np.zeros(config.image_shape, np.uint8)
        values, _ = self.answer(blank)
        self.adversarial(blank, label=0, strength=0.1)
        self.unit = unit_of(values[np.newaxis])

    def answer(self, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the answer to an image (height, width, channels) in 0..255, and the features.

        Returns:
            Probabilities or scores, (classes,); and what each layer puts out, (height, width, maps)
            or (units,), in their order.
        """
        outputs = self._all_outputs.predict_on_batch(np.asarray(pixels, "float32")[np.newaxis])
        *features, values = [np.asarray(output[0], "float32") for output in outputs]
        return values, dict(zip(self.kinds, features, strict=True))

    def adversarial(self, pixels: np.ndarray, label: int, strength: float) -> np.ndarray:
        """Return the image changed so that a class becomes less likely, float32 in 0..255.

        Args:
            pixels: (height, width, channels) in 0..255.
            label: the class, such as the network's own answer.
            strength: the most that a pixel changes, as a share (0..1) of 0..255.
        """
        return fgsm(self._scores, pixels[np.newaxis], np.array([label]), strength)[0]

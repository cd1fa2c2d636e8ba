"""What happens to images before the network: layers for all, for training, and ten crops."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from modelzoo.networks import keras_objects
from modelzoo.networks.layers import RandomPatch
from modelzoo.networks.network import check_count

MIXING_LAYERS = ("MixUp", "CutMix")  # which change labels, too
CROPS = 10  # patches of an image whose predictions are averaged, as AlexNet was tested


class Preprocessor:
    """The layers that every image passes before the network, and those for training images.

    Both are Keras layers by class name and configuration, as in the section `data`; augmentation
    comes first, on pixels of 0..255.
    """

    def __init__(self, preprocessing: Sequence[Any] = (), augmentation: Sequence[Any] = ()) -> None:
        self.layers = _make_layers(preprocessing, "data.preprocessing")
        self.augmentation = _make_layers(augmentation, "data.augmentation")

    def __call__(self, images: Any) -> Any:
        """Return float32 images as the network expects them, from uint8 ones."""
        images = keras.ops.cast(images, "float32")
        for index, layer in enumerate(self.layers):
            _check_size(layer, images.shape, f"data.preprocessing.{index}")
            images = layer(images)
        return images

    def to_numpy(self, images: np.ndarray) -> np.ndarray:
        """Return what a call returns, as a NumPy array in float32."""
        return np.asarray(keras.ops.convert_to_numpy(self(images)))

    def augment(self, images: Any, labels: Any, seeds: Any) -> tuple[Any, Any]:
        """Return a training batch, changed at random; MixUp and CutMix change the labels too.

        Pixels are 0..255; `seeds` is the row of `batch_seeds` for this batch.
        """
        if not self.augmentation:
            return images, labels
        # No variable is written: batches may be made at the same time.
        mapping = [
            (state, keras.ops.cast(seeds[index], state.dtype))
            for index, state in enumerate(self._random_states())
        ]
        with keras.StatelessScope(state_mapping=mapping):
            for index, layer in enumerate(self.augmentation):
                _check_size(layer, images.shape, f"data.augmentation.{index}")
                if not isinstance(layer, RandomPatch):  # which cuts bytes as well as floats, faster
                    images = keras.ops.cast(images, "float32")
                if type(layer).__name__ in MIXING_LAYERS:
                    mixed = layer({"images": images, "labels": labels}, training=True)
                    images, labels = mixed["images"], mixed["labels"]
                else:
                    images = layer(images, training=True)
        return images, labels

    def batch_seeds(self, seed: int, epoch: int, steps: int) -> np.ndarray:
        """Return the random state of each augmentation layer for each batch of an epoch.

        uint32, (steps, states, 2). No two follow from each other: PyTorch's
        generators take the sum of the two words, which neighbouring numbers would share.
        """
        states = len(self._random_states())
        # Trailing zeros would make no difference to SeedSequence, and the order has [seed, epoch].
        words = np.random.SeedSequence([seed, epoch, 1]).generate_state(steps * states * 2)
        return words.reshape(steps, states, 2)

    def _random_states(self) -> list[Any]:
        return [
            variable
            for layer in self.augmentation
            for variable in layer.variables
            if variable.name == "seed_generator_state"
        ]


def ten_crops(images: Any, height: int, width: int) -> Any:
    """Return the four corners of each image and its centre, then the mirror image of each.

    Images of at least `height` x `width` give (10 n, height, width, channels), ten patches in a
    row for each. Reference: Krizhevsky, Sutskever, Hinton (2012), section 4.1.
    """
    rows, columns = images.shape[1] - height, images.shape[2] - width
    corners = [(top, left) for top in (0, rows) for left in (0, columns)]
    patches = [
        images[:, top : top + height, left : left + width]
        for top, left in [*corners, (rows // 2, columns // 2)]
    ]
    patches += [keras.ops.flip(patch, axis=2) for patch in patches]
    return keras.ops.reshape(keras.ops.stack(patches, axis=1), (-1, height, width, images.shape[3]))


def _check_size(layer: Any, shape: Sequence[int | None], where: str) -> None:
    """Refuse a layer that would make immense images, before it takes memory for them."""
    try:
        made = layer.compute_output_shape((None, *shape[1:]))
    except (NotImplementedError, AttributeError, TypeError, ValueError):
        return  # a layer that does not say, or takes no images: it will complain itself
    if isinstance(made, tuple) and None not in made[1:]:
        check_count(where, math.prod(made[1:]))


def _make_layers(specs: Sequence[Any], where: str) -> list[Any]:
    return [
        keras_objects.make("layer", spec, f"{where}.{index}") for index, spec in enumerate(specs)
    ]

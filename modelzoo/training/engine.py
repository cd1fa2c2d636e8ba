"""What computes a network's outputs: NumPy, or a framework where one is asked for or is needed.

Starting a framework takes seconds; what NumPy computes from the description of a network, and the
arrays of a file, differs from it in the last digits of float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from modelzoo.config import Config
from modelzoo.data.source import ImageSource
from modelzoo.networks import Network, reference
from modelzoo.networks.forward import Forward, is_computed
from modelzoo.networks.network import read_layers
from modelzoo.networks.reference import losses
from modelzoo.support.errors import InputError
from modelzoo.weights.reader import arrays_for
from modelzoo.weights.stored import read_stored

if TYPE_CHECKING:
    from modelzoo.training.resolve import Source

AT_ONCE = 1024  # images read and scaled together
CROSS_ENTROPIES = (
    "CategoricalCrossentropy", "SparseCategoricalCrossentropy",
    "categorical_crossentropy", "sparse_categorical_crossentropy",
)  # fmt: skip
Loss = Callable[[np.ndarray, np.ndarray], float]  # of outputs (n, classes) and labels (n,)


@dataclass(frozen=True)
class NumPyEngine:
    """A network with its weights that NumPy computes.

    Attributes:
        preprocessing: from images in 0..255 to what the network takes.
        network: from there to its scores: the outputs, or what goes into a softmax at the end.
        softmax: whether the network ends in one.
    """

    preprocessing: Forward
    network: Forward
    softmax: bool

    @property
    def description(self) -> str:
        """What computes, for people."""
        return f"NumPy {np.__version__}"

    def predict(self, images: ImageSource) -> np.ndarray:
        """Return the outputs, float32 (n, classes), for uint8 images (n, height, width, channels).

        Raises:
            InputError: an image of a folder cannot be read.
        """
        return self.outputs(self.scores(images))

    def scores(self, images: ImageSource) -> np.ndarray:
        """Return the outputs before a softmax at the end, if there is one."""
        parts = [images[at : at + AT_ONCE] for at in range(0, len(images), AT_ONCE)]
        prepared = map(self.preprocessing.predict, parts)
        return np.concatenate([self.network.predict(each) for each in prepared])

    def outputs(self, scores: np.ndarray) -> np.ndarray:
        """Return the outputs that follow from scores."""
        return reference.softmax(scores) if self.softmax else scores

    def loss(self, spec: Any) -> Loss | None:
        """Return the loss that a configuration names, of scores; None if only Keras computes it."""
        name, config = (spec, {}) if isinstance(spec, str) else (spec["class_name"], spec["config"])
        if name == "MAPCriterion" and set(config) <= {"j"}:
            return lambda scores, labels: losses.map_criterion(-scores, labels, config.get("j", 1))
        if name == "BipolarMeanSquaredError" and not config:
            return losses.bipolar_mean_squared_error
        if name not in CROSS_ENTROPIES or set(config) - {"from_logits", "label_smoothing"}:
            return None
        if config.get("from_logits", False) == self.softmax:
            return None
        smoothing = config.get("label_smoothing", 0.0)
        return lambda scores, labels: _cross_entropy(scores, labels, smoothing)


def numpy_engine(source: Source, device: str = "auto") -> NumPyEngine | None:
    """Return what computes a network by NumPy; None where a framework has to, or is asked for.

    Raises:
        InputError: the weights cannot be read, or belong to another network.
    """
    config = source.config
    preprocessing, network = _preprocessing(config), config.network
    if (
        device.startswith("gpu")
        or config.is_asked("trainer.backend")
        or preprocessing is None
        or network is None
        or not is_computed(network)
    ):
        return None
    arrays = arrays_for(network, read_stored(source.weights))
    scores = _before_softmax(network)
    return NumPyEngine(Forward(preprocessing), Forward(scores, arrays), scores is not network)


def _preprocessing(config: Config) -> Network | None:
    """Return the layers before the network; None if NumPy does not compute them all."""
    try:
        layers = read_layers(config.data.preprocessing, "data.preprocessing")
        described = Network("preprocessing", config.image_shape, layers)
    except InputError:  # a layer that only Keras has; a wrong argument, of which Keras will tell
        return None
    made = (described.input_shape, *described.shapes)[-1]
    return described if made == tuple(config.model.input_shape) and is_computed(described) else None


def _before_softmax(network: Network) -> Network:
    """Return a network without the softmax at its end, or as it is."""
    *layers, last = network.layers
    if last.kind == "Softmax" or getattr(last, "activation", None) == "softmax":
        if last.kind not in ("Softmax", "Activation"):
            layers.append(msgspec.structs.replace(last, activation=None))
        return replace(network, layers=tuple(layers))
    return network


def _cross_entropy(scores: np.ndarray, labels: np.ndarray, smoothing: float) -> float:
    """Return the mean cross-entropy of the softmax of scores, in which nothing underflows."""
    largest = scores.max(axis=1, keepdims=True)
    logarithms = scores - largest
    logarithms -= np.log(np.exp(logarithms).sum(axis=1, keepdims=True))
    right = logarithms[np.arange(len(labels)), labels]
    return float(-((1 - smoothing) * right + smoothing * logarithms.mean(axis=1)).mean())

"""What computes a network's outputs: NumPy, or a framework where one is asked for or is needed.

Starting a framework takes seconds; what NumPy computes from the description of a network, and the
arrays of a file, differs from it in the last digits of float32. Golden outputs tell whether an
engine computes the network that was measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import msgspec
import numpy as np

from modelzoo.config import Config
from modelzoo.config.published import Golden
from modelzoo.data.source import Dataset, ImageSource
from modelzoo.networks import Network, reference
from modelzoo.networks.backward import input_gradient, is_differentiated
from modelzoo.networks.forward import Forward, is_computed
from modelzoo.networks.layer import KerasObject, read_spec
from modelzoo.networks.network import read_layers
from modelzoo.support.errors import InputError, RunError
from modelzoo.training.device import start_framework
from modelzoo.training.evaluation import Scores
from modelzoo.training.prepare import scale_images

if TYPE_CHECKING:
    from modelzoo.data.pipeline import Patch
    from modelzoo.training.resolve import Source

AT_ONCE = 2**22  # values of the images that are read and scaled together: 16 MB of float32
CROSS_ENTROPIES = (
    "CategoricalCrossentropy", "SparseCategoricalCrossentropy",
    "categorical_crossentropy", "sparse_categorical_crossentropy",
)  # fmt: skip
Loss = Callable[[np.ndarray, np.ndarray], float]  # of scores (n, classes) and labels (n,)
Engine: TypeAlias = "NumPyEngine | KerasEngine"


@dataclass(frozen=True)
class NumPyEngine:
    """A network with its weights, computed by NumPy."""

    preprocessing: Forward  # from images in 0..255 to what the network takes
    network: Forward  # to its outputs, or to what goes into a softmax at the end
    softmax: bool  # whether the network ends in one
    loss: Loss | None  # None if only Keras computes it
    description: ClassVar[str] = f"NumPy {np.__version__}"

    @property
    def parameters(self) -> int:
        """The numbers that the network's weights hold."""
        return self.network.network.parameters

    def predict(self, images: ImageSource) -> np.ndarray:
        """Return float32 (n, classes) for uint8 images (n, height, width, channels)."""
        return self.outputs(self._scores(images))

    def score(self, data: Dataset) -> Scores:
        """Score the test images of a data set; there has to be a loss."""
        began, labels = time.perf_counter(), data.y_test
        scores = self._scores(data.x_test)
        outputs = self.outputs(scores)
        return Scores(
            split="test",
            loss=self.loss(scores, labels) if self.loss else math.nan,
            accuracy=float((outputs.argmax(axis=1) == labels).mean()),
            labels=labels,
            probabilities=outputs,
            seconds=time.perf_counter() - began,
        )

    def _scores(self, images: ImageSource) -> np.ndarray:
        size = max(1, AT_ONCE // math.prod(images.shape[1:]))
        parts = (images[at : at + size] for at in range(0, len(images), size))
        prepared = map(self.preprocessing.predict, parts)
        return np.concatenate([self.network.predict(each) for each in prepared])

    @property
    def is_differentiated(self) -> bool:
        """Whether NumPy also computes the derivative by the images."""
        return all(map(is_differentiated, (self.preprocessing.network, self.network.network)))

    def input_gradient(self, images: np.ndarray, upstream: np.ndarray) -> np.ndarray:
        """Return the derivative by images in 0..255, from that by what `network` makes of them."""
        prepared = self.preprocessing.predict(images)
        upstream = input_gradient(self.network, prepared, upstream)
        return input_gradient(self.preprocessing, images, upstream)

    def outputs(self, scores: np.ndarray) -> np.ndarray:
        """Return the network's outputs, of what `network` makes: before a softmax."""
        return reference.softmax(scores) if self.softmax else scores


class KerasEngine:
    """A network with its weights, computed by a framework, which this starts."""

    def __init__(self, source: Source, device: str = "auto") -> None:
        self.config, backend = source.config, source.config.trainer.backend
        self.device = start_framework(backend, device)
        self.description = f"{backend} on {self.device.name}"
        with self.device.scope():
            self.network = source.build()
        self.parameters: int = self.network.count_params()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return float32 (n, classes) for uint8 images (n, height, width, channels)."""
        with self.device.scope():
            scaled = scale_images(self.config, images)
            return np.asarray(self.network.predict(scaled, verbose=0), "float32")

    def score(self, data: Dataset, split: str, patch: Patch = None) -> Scores:
        """Score a split of a data set, see `modelzoo.training.evaluation.score`."""
        from modelzoo.data.pipeline import InputPipeline
        from modelzoo.training.evaluation import compile_for_scoring, score

        with self.device.scope():
            num_classes = self.config.model.num_classes
            pipeline = InputPipeline(data, self.config.data, num_classes=num_classes)
            compile_for_scoring(self.network, self.config)
            if not pipeline.images_in(split):
                raise InputError(f"{data.name}: has no images in the {split} split")
            return score(self.network, pipeline, split, patch)


def start_engine(source: Source, device: str = "auto") -> Engine:
    """Return what computes a network: NumPy, if it can and no framework or GPU is asked for."""
    config = source.config
    is_asked = device not in ("auto", "cpu") or config.is_asked("trainer.backend")
    if not is_asked and config.trainer.precision == "float32":
        preprocessing, forward = described_preprocessing(config), source.forward(_before_softmax)
        if preprocessing and forward:
            softmax = forward.network != config.network
            loss = _loss(config.compile.loss, softmax)
            return NumPyEngine(Forward(preprocessing), forward, softmax, loss)
    return KerasEngine(source, device)


def described_preprocessing(config: Config) -> Network | None:
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


def _loss(spec: KerasObject, softmax: bool) -> Loss | None:
    """Return the loss that a configuration names, of scores; None if only Keras computes it."""
    name, given = read_spec(spec, "compile.loss")
    if softmax and name in CROSS_ENTROPIES and set(given) <= {"label_smoothing"}:
        return partial(_cross_entropy, smoothing=given.get("label_smoothing", 0.0))
    if not softmax and name == "MAPCriterion" and set(given) <= {"j"}:
        return lambda scores, labels: reference.map_criterion(-scores, labels, given.get("j", 1))
    if not softmax and name == "BipolarMeanSquaredError" and not given:
        return reference.bipolar_mean_squared_error
    return None


def _cross_entropy(scores: np.ndarray, labels: np.ndarray, smoothing: float) -> float:
    """Return the mean cross-entropy of the softmax of scores, in which nothing underflows."""
    largest = scores.max(axis=1, keepdims=True)
    logarithms = scores - largest
    logarithms -= np.log(np.exp(logarithms).sum(axis=1, keepdims=True))
    right = logarithms[np.arange(len(labels)), labels]
    return float(-((1 - smoothing) * right + smoothing * logarithms.mean(axis=1)).mean())


def golden_images(seed: int, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return images of soft blobs: uint8, (count, *shape).

    NumPy promises that RandomState gives the same bits in every version, as it does not for
    `default_rng`. Blocks of 4x4 pixels let the convolutions see more than noise.
    """
    random = np.random.RandomState(seed)
    height, width = -(-shape[0] // 4), -(-shape[1] // 4)
    coarse = random.randint(0, 256, (count, height, width, *shape[2:]), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)[:, : shape[0], : shape[1]]


def make_golden(config: Config, weights: Path, seed: int = 0, count: int = 2) -> Golden:
    """Return the golden outputs of a file of weights, to be written into the YAML."""
    from modelzoo.training.resolve import Source

    engine = start_engine(Source(config, weights, config.name))
    images = golden_images(seed, count, config.image_shape)
    rows = engine.predict(images).astype("float64").round(6)
    # Scores may be hundreds, and rounding moves them by so much more than probabilities.
    tolerance = 1e-4 if np.abs(rows).max() <= 1 else 0.01
    return Golden(seed=seed, outputs=rows.tolist(), tolerance=tolerance)


def check_golden(config: Config, engine: Engine, golden: Golden) -> float:
    """Return the largest difference from the golden outputs; a RunError, if it is too large."""
    wanted = np.asarray(golden.outputs)
    found = engine.predict(golden_images(golden.seed, len(wanted), config.image_shape))
    if found.shape != wanted.shape:
        raise RunError(f"{config.name}: answers {found.shape}, golden outputs are {wanted.shape}")
    difference = float(np.abs(found - wanted).max())
    if not difference <= golden.tolerance:
        raise RunError(
            f"{config.name}: answers differ from the golden outputs by {difference:.2g}, "
            f"more than {golden.tolerance:.2g}: this is not the network that was measured"
        )
    return difference

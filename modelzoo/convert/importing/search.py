"""Find what a foreign file does not say: trials on labelled images that the test set does not hold.

The right activations, paddings, poolings and pixels give far better scores than wrong ones.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, NamedTuple

import keras
import numpy as np

from modelzoo.config.sections import entry_shape
from modelzoo.convert.importing.candidates import ACTIVATIONS, activations_of, with_activations
from modelzoo.data.preprocessor import Preprocessor
from modelzoo.data.source import Dataset, ImageShape, convert, split_validation
from modelzoo.networks import Network
from modelzoo.networks.keras_objects import to_keras
from modelzoo.networks.layer import Shape
from modelzoo.weights.reader import Arrays, fill

MORE_ACTIVATIONS = (*ACTIVATIONS, "elu", "selu", "leaky_relu", "softplus", "silu")
VALIDATION_IMAGES = 5_000
# How many images decide at first, later and at last, and how many ways go on.
SMALL = ((200, 24), (1000, 6), (VALIDATION_IMAGES, 0))
LARGE = ((100, 8), (500, 3), (2000, 0))  # of networks with more than 5 million parameters
CHUNK = 500  # images in a forward pass
TIE = 0.001  # accuracies closer than this are decided by the loss
KEPT_BYTES = 400_000_000  # of values in networks
KEPT_PARAMETERS = 20_000_000  # of the networks that are built at the same time
# How many candidates each step of the search leaves to the next.
PLAIN, PAIRS, STARTS, FINALISTS = 24, 8, 4, 2
MAX_MIXED = 300  # activations of a single network; 4 layers of 4 have 256
MAX_PASSES = 4
LOSS_FLOOR, ODDITY = 0.01, 0.1  # see Search._cost
# Means and standard deviations of 0..1 that people copy from one another, by number of colours.
USUAL_MOMENTS: dict[int, dict[str, tuple[list[float], list[float]]]] = {
    1: {"(x / 255 - 0.1307) / 0.3081": ([0.1307], [0.3081])},  # PyTorch's example of MNIST
    3: {
        "standardised as ImageNet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        "standardised as CIFAR-10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    },
}


class Score(NamedTuple):
    """What a candidate reached on how many images."""

    accuracy: float
    loss: float
    images: int


@dataclass(frozen=True)
class Candidate:
    """A network, by its place among those that are possible, and a way to prepare its images."""

    place: int
    activations: tuple[str, ...]
    pixels: Pixels

    def varied(self, layers: Sequence[int], names: Sequence[str]) -> list[Candidate]:
        """Return the same with each of `names` in each of these layers."""
        choices = [names if n in layers else (name,) for n, name in enumerate(self.activations)]
        return [replace(self, activations=each) for each in itertools.product(*choices)]


class Search:
    """Trials of networks, activations and pixels on training images that are set aside.

    The networks, the plainest first, all have the same weights; `arrays` are those of each.
    """

    def __init__(
        self, networks: Sequence[Network], arrays: Sequence[Arrays], data: Dataset
    ) -> None:
        self.networks, self.arrays = networks, arrays
        count = min(VALIDATION_IMAGES, len(data.y_train) // 2)
        _, chosen = split_validation(data.y_train, count)
        chosen = np.random.default_rng(0).permutation(chosen)
        self.images, self.labels = np.asarray(data.x_train[chosen]), data.y_train[chosen]
        parameters = networks[0].parameters
        self.rounds = LARGE if parameters > 5_000_000 else SMALL
        largest = max(math.prod(shape) for network in networks for shape in network.shapes)
        kept = max(1, KEPT_BYTES // (4 * CHUNK * largest))
        built = max(1, KEPT_PARAMETERS // max(parameters, 1))
        self._usual = functools.cache(functools.partial(usual_pixels, self.images))
        self._runs = functools.lru_cache(built)(self._built)
        self._sums = functools.lru_cache(kept)(self._computed)
        self._prepared = functools.lru_cache(kept)(self._preprocessed)
        self.score = functools.cache(self._scored)

    def pixels(self, place: int) -> list[Pixels]:
        """Return the usual ways to prepare images for a network."""
        return self._usual(self.networks[place].input_shape)

    def best_pixels(self) -> list[tuple[Pixels, Score]]:
        """Score all ways to prepare images for the first network, the best on more and more."""
        names = activations_of(self.networks[0])
        left = [Candidate(0, names, each) for each in self.pixels(0)]
        scored: list[tuple[Candidate, Score]] = []
        for count, keep in self.rounds:
            scored = [(each, self.score(each, count)) for each in left]
            scored.sort(key=lambda pair: (-pair[1].accuracy, pair[1].loss))
            left = [each for each, _ in scored[:keep]]
        near = sum(score.accuracy > scored[0][1].accuracy - TIE for _, score in scored)
        scored[:near] = sorted(scored[:near], key=lambda pair: pair[1].loss)
        return [(each.pixels, score) for each, score in scored]

    def best(self, activations: Sequence[tuple[str, ...]]) -> tuple[Network, Score]:
        """Return the network that scores best, and how it scores.

        The same activation in all convolutions, and in all dense layers, shows which networks
        and pixels are worth a closer look: with these, each layer gets an activation of its own.
        From the best, one thing at a time is changed while that helps.
        """
        (few, _), (some, _), (many, _) = self.rounds
        plain = [
            Candidate(place, names, pixels)
            for place in range(len(self.networks))
            for pixels in self.pixels(place)[:2]  # 0..1 and 0..255
            for names in activations
        ]
        each_way = [
            replace(each, pixels=pixels)
            for each in self._best(plain, few // 2, PLAIN)
            for pixels in self.pixels(each.place)
        ]
        layers = [i for i, names in enumerate(zip(*activations, strict=True)) if len({*names}) > 1]
        better = self._best(each_way, few, PAIRS, attrgetter("place", "pixels"))
        if len(ACTIVATIONS) ** len(layers) <= MAX_MIXED:
            mixed = [new for each in better for new in each.varied(layers, ACTIVATIONS)]
            better = self._best(mixed, few // 2, PAIRS, attrgetter("place", "pixels"))
        pair = 2 if self.rounds is SMALL else 1
        # The best on so many images; how many activations change at a time, on how many images.
        for count, keep, width, images in (
            (few, STARTS, 1, few), (some, FINALISTS, pair, few), (some, FINALISTS, 1, some)
        ):  # fmt: skip
            runs = [layers[i : i + width] for i in range(len(layers) - width + 1)]
            kept = self._best(better, count, keep, attrgetter("pixels"))
            better = [self._improved(each, runs, images) for each in kept]
        (best,) = self._best(better, many, 1)
        network = with_activations(self.networks[best.place], best.activations)
        return network, self.score(best, many)

    def _best(
        self,
        candidates: Sequence[Candidate],
        count: int,
        keep: int,
        kind: Callable[[Candidate], Any] = lambda it: it,
    ) -> list[Candidate]:
        """Return the best few by their cost on `count` images, one of each kind."""
        best: dict[Any, Candidate] = {}
        distinct = dict.fromkeys(candidates)
        for each in sorted(distinct, key=lambda it: (self._cost(it, count), it.place)):
            best.setdefault(kind(each), each)
        return list(best.values())[:keep]

    def _improved(self, best: Candidate, runs: Sequence[list[int]], count: int) -> Candidate:
        """Return a candidate that no change of a run of layers, of pixels or network betters."""
        for _ in range(MAX_PASSES):
            before = best
            for run in runs:
                (best,) = self._best(best.varied(run, MORE_ACTIVATIONS), count, 1)
            shape = self.networks[best.place].input_shape
            others = [
                replace(best, place=place)
                for place, other in enumerate(self.networks)
                if other.input_shape == shape  # or its pixels do not fit
            ]
            # A few images that are all right seem best with the largest pixels, which only make
            # the network surer: ways to prepare them are compared on more.
            if count > self.rounds[0][0]:
                others += [replace(best, pixels=each) for each in self.pixels(best.place)]
            (best,) = self._best([best, *others], count, 1)
            if best == before:
                break
        return best

    def _cost(self, candidate: Candidate, count: int) -> float:
        """Return the loss on `count` images, and more for a network that people seldom build.

        Beside a right network are others that score the same: softplus in place of relu, say.
        """
        names = candidate.activations[:-1]
        convs = sum(layer.kind == "Conv2D" for layer in self.networks[candidate.place].layers)
        kinds = len(set(names[:convs])) + len(set(names[convs:]))
        odd = kinds + len(set(names) - set(ACTIVATIONS))
        # Padded images and padded convolutions are the same but for rounding: the plainest wins.
        loss = self.score(candidate, count).loss
        return round((loss + LOSS_FLOOR) * (1 + ODDITY * odd), 5) if math.isfinite(loss) else loss

    def _scored(self, candidate: Candidate, count: int) -> Score:
        labels = self.labels[:count]
        place, names, pixels = candidate.place, candidate.activations, candidate.pixels
        sums = [
            self._sums(place, pixels, (start, min(start + CHUNK, len(labels))), names)
            for start in range(0, len(labels), CHUNK)
        ]
        outputs = np.concatenate([keras.ops.convert_to_numpy(each) for each in sums])
        outputs = outputs.astype("float64")
        if not np.isfinite(outputs).all():
            return Score(0.0, math.inf, len(labels))
        if (outputs < 0).any() or not np.allclose(outputs.sum(axis=1), 1, atol=1e-2):
            outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            outputs /= outputs.sum(axis=1, keepdims=True)
        probability = outputs[np.arange(len(labels)), labels]
        loss = float(-np.log(np.maximum(probability, 1e-7)).mean())
        return Score(float((outputs.argmax(axis=1) == labels).mean()), loss, len(labels))

    def _computed(
        self, place: int, pixels: Pixels, part: tuple[int, int], names: tuple[str, ...]
    ) -> Any:
        """Return what the activations of these names lead to: the sums that the next one takes.

        Candidates that begin alike have the same sums, and the last of them are kept.
        """
        if names:
            sums = self._sums(place, pixels, part, names[:-1])
            values = keras.activations.get(names[-1])(sums)
        else:
            values = self._prepared(pixels, self.networks[place].input_shape, part)
        for layer in self._runs(place)[len(names)]:
            values = layer(values)
        return values

    def _preprocessed(self, pixels: Pixels, shape: Shape, part: tuple[int, int]) -> Any:
        images = convert(self.images[slice(*part)], entry_shape(shape, pixels.layers))
        return Preprocessor(pixels.layers)(images)

    def _built(self, place: int) -> list[list[Any]]:
        """Return a network's layers, divided after each whose activation varies; it is linear."""
        network = self.networks[place]
        model = to_keras(with_activations(network, ["linear"] * len(activations_of(network))))
        fill(model, self.arrays[place])
        runs: list[list[Any]] = [[]]
        for layer, described in zip(model.layers[1:], network.layers, strict=True):
            runs[-1].append(layer)
            if getattr(described, "activation", None):
                runs.append([])
        return runs


def is_poor(accuracy: float, labels: np.ndarray) -> bool:
    """Whether an accuracy is in the lowest third between that of the most frequent class and 1."""
    chance = float(np.bincount(labels).max() / len(labels))
    return accuracy < chance + (1 - chance) / 3


@dataclass(frozen=True)
class Pixels:
    """One way to prepare images."""

    name: str  # such as "0..1"
    geometry: str  # "as they are", "padded by 2 to 32x32", "resized to 32x32"
    layers: list[Any] = field(compare=False)  # for `data.preprocessing`

    def __str__(self) -> str:
        return f"pixels {self.name}, {self.geometry}"


def usual_pixels(images: np.ndarray, shape: ImageShape) -> list[Pixels]:
    """Return the usual ways to bring uint8 images (n, h, w, c) to a network's input.

    Scalings: 0..1, 0..255, -1..1, -0.5..0.5, standardised by the mean and deviation of these
    images (also for each colour), and by those of `USUAL_MOMENTS`. Other sizes: padded with
    black, where that is possible on all sides alike, or resized.
    """
    height, width, channels = shape
    rows, columns = height - images.shape[1], width - images.shape[2]
    plain = _scalings(images, channels)
    where = f"resized to {height}x{width}" if rows or columns else "as they are"
    ways = [Pixels(name, where, layers) for name, layers in plain.items()]
    if rows != columns or rows <= 0 or rows % 2:
        return ways
    pad = {"class_name": "ZeroPadding2D", "config": {"padding": rows // 2}}
    where = f"padded by {rows // 2} to {height}x{width}"
    padded: list[Pixels] = []
    for name, layers in plain.items():
        padded.append(Pixels(name, where, [pad, *layers]))
        if name not in ("0..1", "0..255"):  # there, black is not 0
            padded.append(Pixels(name, f"{where} after scaling", [*layers, pad]))
    share = images.shape[1] * images.shape[2] / (height * width)
    for name, layers in _scalings(images, channels, share).items():
        if name.startswith("standardised"):
            padded.append(Pixels(f"{name} with its padding", where, [pad, *layers]))
    return padded + ways


def _scalings(images: np.ndarray, channels: int, share: float = 1.0) -> dict[str, list[Any]]:
    """Return the layers of each usual scaling; `share` of a padded image is not black."""
    moments = {
        "0..1": ([0.0], [1.0]),
        "0..255": ([0.0], [1 / 255]),
        "-1..1": ([0.5], [0.5]),
        "-0.5..0.5": ([0.5], [1.0]),
        **USUAL_MOMENTS.get(channels, {}),
    }
    own = _moments(images, share)
    if not any(np.allclose(own, usual, atol=0.005) for usual in moments.values()):
        moments["standardised"] = own
    if channels > 1 and images.shape[3] == channels:
        each = [_moments(images[..., index], share) for index in range(channels)]
        colours = [mean for (mean,), _ in each], [deviation for _, (deviation,) in each]
        moments["standardised by colour"] = colours
    scalings = {name: _standardising(*values) for name, values in moments.items()}
    return scalings | {"0..255": []}


def _standardising(means: list[float], deviations: list[float]) -> list[dict[str, Any]]:
    """Return the layer that takes means from pixels of 0..1, and divides by deviations."""
    if len(means) == 1:
        scaled = {"scale": 1 / (255 * deviations[0])}
        if means[0]:
            scaled["offset"] = -means[0] / deviations[0]
        return [{"class_name": "Rescaling", "config": scaled}]
    means, variances = [255 * mean for mean in means], [(255 * each) ** 2 for each in deviations]
    return [{"class_name": "Normalization", "config": {"mean": means, "variance": variances}}]


def _moments(images: np.ndarray, share: float) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of pixels in 0..1, with black added around."""
    counts = np.bincount(images.ravel(), minlength=256) / images.size * share
    values = np.arange(256)
    mean = float(counts @ values)
    deviation = max(float(np.sqrt(counts @ values**2 - mean**2)), 1e-3)
    return [mean / 255], [deviation / 255]

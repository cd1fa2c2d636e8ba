"""Find what a foreign file does not say: trials on labelled images that the test set does not hold.

The right activations, paddings, poolings and pixels give far better scores than wrong ones.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import keras
import numpy as np

from modelzoo.config.sections import entry_shape
from modelzoo.convert.importing import candidates
from modelzoo.convert.importing.description import FLAT_BY_PIXEL
from modelzoo.convert.importing.imported import Imported, Score
from modelzoo.data.preprocessor import Preprocessor
from modelzoo.data.source import Dataset, convert, split_validation
from modelzoo.networks import Network, reference
from modelzoo.networks.keras_objects import to_keras
from modelzoo.networks.layer import Shape
from modelzoo.support.errors import InputError
from modelzoo.weights.reader import Arrays, fill, in_pixel_order

MORE_ACTIVATIONS = (*candidates.ACTIVATIONS, "elu", "selu", "leaky_relu", "softplus", "silu")
VALIDATION_IMAGES = 5_000
# How many images decide at first, later and at last, and how many ways go on.
SMALL = ((200, 24), (1000, 6), (VALIDATION_IMAGES, 0))
LARGE = ((100, 8), (500, 3), (2000, 0))  # of networks with more than 5 million parameters
CHUNK = 500  # images in a forward pass
TIE = 0.0022  # a share of the best accuracy; nearer ones are decided by habit, and by the loss
KEPT_BYTES = 400_000_000  # of values in networks
KEPT_PARAMETERS = 20_000_000  # of the networks that are built at the same time
# How many candidates each step of the search leaves to the next.
PLAIN, PAIRS, STARTS, FINALISTS = 24, 8, 4, 2
MAX_MIXED = 300  # activations of a single network; 4 layers of 4 have 256
MAX_PASSES = 4
LOSS_FLOOR, ODDITY = 0.01, 0.1  # see Search._cost


def guess_network(found: Imported) -> Network:
    """Return the network that the shapes tell, with the rest as given or as it scores best."""
    stored, config, data, given = found.stored, found.config, found.data, found.model is not None
    said = [config.is_asked(f"model.{key}") for key in ("conv_activation", "dense_activation")]
    if not given and data is None and not all(said):
        raise InputError(
            f"{stored.path}: holds weights only: it does not say its activations, padding and "
            "pooling\n--dataset NAME tries them on validation images; --model NAME takes them from "
            "a configuration,\nand --set model.conv_activation=tanh (and so on) says them"
        )
    natural = None if data is None else data.image_shape
    networks = candidates.possible_networks(stored, config, given=given, natural=natural)
    names = candidates.possible_activations(stored, config, given=given or data is None)
    plain = [layer.arrays for layer in stored.layers]
    by_channel = stored.is_torch
    if data is None:
        network = candidates.with_activations(networks[0], names[0])
        why = "the plainest that fits the shapes"
    else:
        begun: list[tuple[float, Search, list[Candidate], bool]] = []
        # Keras' `channels_first` is rare: it is tried if nothing else scores.
        for by_channel in (True,) if stored.is_torch else (False, True):
            arrays = [in_pixel_order(each, plain) if by_channel else plain for each in networks]
            search = Search(networks, arrays, data)
            starts = search.begin(names)
            reached = search.score(starts[0], search.rounds[0][0])
            begun.append((reached.accuracy, search, starts, by_channel))
            if not is_poor(reached.accuracy, search.labels):
                break
        tried = []
        for _, search, starts, by_channel in sorted(begun, key=lambda each: -each[0]):
            tried.append((*search.finish(starts), by_channel))
            if not is_poor(tried[-1][1].accuracy, search.labels):
                break
        network, reached, by_channel = max(tried, key=lambda each: each[1].accuracy)
        why = (
            f"the best of what its shapes allow, accuracy {reached.accuracy:.4f} on "
            f"{reached.images:,} validation images of {data.name}"
        )
    *inner, last = candidates.activations_of(network)
    flattened = ", flattened channel by channel" if by_channel else ""
    found.assumptions += [
        f"{candidates.in_words(network)}{flattened}: {why}",
        f"activations {', '.join(inner)}: {why}",
        f"{last} at the output: not said by the file, as usual",
    ]
    if any(layer.kind == "BatchNormalization" for layer in stored.layers):
        epsilon = "0.00001" if stored.is_torch else "0.001"
        found.assumptions.append(f"{epsilon} is added to the variances of batch normalisation")
    found.arrays = in_pixel_order(network, plain) if by_channel else plain
    if by_channel and FLAT_BY_PIXEL not in found.rewritten:
        found.rewritten.append(FLAT_BY_PIXEL)
    return network


def fit_pixels(found: Imported, network: Network, data: Dataset) -> None:
    """Try the usual scalings and paddings, and take the one that fits."""
    search = Search([network], [found.arrays], data)
    found.tried = search.best_pixels(pads_itself=found.stored.is_torch)
    best, reached = found.tried[0]
    values = {"data": {"preprocessing": best.layers}}
    found.config = found.config.with_values(values, "the import", asked=False)
    found.assumptions.append(
        f"{best}: the best of {len(search.ways[0])} ways on {reached.images:,} validation images "
        f"of {data.name} (accuracy {reached.accuracy:.4f})"
    )


@dataclass(frozen=True)
class Candidate:
    """A network, by its place among those that are possible, and a way to prepare its images."""

    place: int
    activations: tuple[str, ...]
    pixels: candidates.Pixels

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
        shapes = [network.input_shape for network in networks]
        usual = {shape: candidates.usual_pixels(self.images, shape) for shape in set(shapes)}
        self.ways = [usual[shape] for shape in shapes]  # to prepare images for each network
        parameters = networks[0].parameters
        self.rounds = LARGE if parameters > 5_000_000 else SMALL
        largest = max(math.prod(shape) for network in networks for shape in network.shapes)
        kept = max(1, KEPT_BYTES // (4 * CHUNK * largest))
        built = max(1, KEPT_PARAMETERS // max(parameters, 1))
        self._runs = functools.lru_cache(built)(self._built)
        self._sums = functools.lru_cache(kept)(self._computed)
        self._prepared = functools.lru_cache(kept)(self._preprocessed)
        self._resized = functools.lru_cache(kept)(self._converted)
        self.score = functools.cache(self._scored)

    def best_pixels(self, *, pads_itself: bool) -> list[tuple[candidates.Pixels, Score]]:
        """Score all ways to prepare images for the first network, the best on more and more.

        In networks that pad images themselves, as PyTorch's convolutions do, that follows scaling.
        """
        names = candidates.activations_of(self.networks[0])
        left = [Candidate(0, names, each) for each in self.ways[0]]
        scored: list[tuple[Candidate, Score]] = []
        for count, keep in self.rounds:
            scored = [(each, self.score(each, count)) for each in left]
            scored.sort(key=lambda pair: (-pair[1].accuracy, pair[1].loss))
            left = [each for each, _ in scored[:keep]]
        near = sum(score.accuracy > scored[0][1].accuracy * (1 - TIE) for _, score in scored)
        scored[:near] = sorted(
            scored[:near],
            key=lambda pair: (
                pair[0].pixels.own,
                pads_itself and "after scaling" not in pair[0].pixels.geometry,
                pair[1].loss,
            ),
        )
        return [(each.pixels, score) for each, score in scored]

    def begin(self, activations: Sequence[tuple[str, ...]]) -> list[Candidate]:
        """Return the candidates from which `finish` starts, the best first.

        The same activation in all convolutions, and in all dense layers, shows which networks
        and pixels are worth a closer look: with these, each layer gets an activation of its own.
        """
        few = self.rounds[0][0]
        plain = [
            Candidate(place, names, pixels)
            for place in range(len(self.networks))
            for pixels in self.ways[place][:2]  # 0..1 and 0..255
            for names in activations
        ]
        each_way = [
            replace(each, pixels=pixels)
            for each in self._best(plain, few // 2, PLAIN)
            for pixels in self.ways[each.place]
        ]
        self.layers = layers = [
            i for i, names in enumerate(zip(*activations, strict=True)) if len({*names}) > 1
        ]
        better = self._best(each_way, few, PAIRS, "place", "pixels")
        if len(candidates.ACTIVATIONS) ** len(layers) <= MAX_MIXED:
            mixed = [new for each in better for new in each.varied(layers, candidates.ACTIVATIONS)]
            better = self._best(mixed, few // 2, PAIRS, "place", "pixels")
        return better

    def finish(self, better: list[Candidate]) -> tuple[Network, Score]:
        """Return the network that scores best, and how it scores.

        From the best that `begin` found, one thing at a time is changed while that helps.
        """
        (few, _), (some, _), (many, _) = self.rounds
        layers = self.layers
        pair = 2 if self.rounds is SMALL else 1
        # The best on so many images; how many activations change at a time, on how many images.
        for count, keep, width, images in (
            (few, STARTS, 1, few), (some, FINALISTS, pair, few), (some, FINALISTS, 1, some)
        ):  # fmt: skip
            runs = [layers[i : i + width] for i in range(len(layers) - width + 1)]
            kept = self._best(better, count, keep, "pixels")
            better = [self._improved(each, runs, images) for each in kept]
        (best,) = self._best(better, many, 1)
        network = candidates.with_activations(self.networks[best.place], best.activations)
        return network, self.score(best, many)

    def _best(
        self, several: Sequence[Candidate], count: int, keep: int, *fields: str
    ) -> list[Candidate]:
        """Return the best few by their cost on `count` images, that differ in one of `fields`."""
        best: dict[Any, Candidate] = {}
        kind = attrgetter(*(fields or ("place", "activations", "pixels")))
        for each in sorted(several, key=lambda it: (self._cost(it, count), it.place)):
            best.setdefault(kind(each), each)
        return list(best.values())[:keep]

    def _improved(self, best: Candidate, runs: Sequence[list[int]], count: int) -> Candidate:
        """Return a candidate that no change of a run of layers, of pixels or network betters."""
        for _ in range(MAX_PASSES):
            before = best
            for run in runs:
                (best,) = self._best(best.varied(run, MORE_ACTIVATIONS), count, 1)
            shape = self.networks[best.place].input_shape  # for which its pixels are
            places = (n for n, other in enumerate(self.networks) if other.input_shape == shape)
            others = [replace(best, place=place) for place in places]
            # A few images that are all right seem best with the largest pixels, which only make
            # the network surer: ways to prepare them are compared on more.
            if count > self.rounds[0][0]:
                others += [replace(best, pixels=each) for each in self.ways[best.place]]
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
        odd = kinds + len(set(names) - set(candidates.ACTIVATIONS))
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
            outputs = reference.softmax(outputs)
        probability = outputs[np.arange(len(labels)), labels]
        loss = float(-np.log(np.maximum(probability, 1e-7)).mean())
        return Score(float((outputs.argmax(axis=1) == labels).mean()), loss, len(labels))

    def _computed(
        self, place: int, pixels: candidates.Pixels, part: tuple[int, int], names: tuple[str, ...]
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

    def _preprocessed(self, pixels: candidates.Pixels, shape: Shape, part: tuple[int, int]) -> Any:
        images = self._resized(entry_shape(shape, pixels.layers), part)
        return Preprocessor(pixels.layers)(images)

    def _converted(self, shape: tuple[int, int, int], part: tuple[int, int]) -> np.ndarray:
        return convert(self.images[slice(*part)], shape)

    def _built(self, place: int) -> list[list[Any]]:
        """Return a network's layers, divided after each whose activation varies; it is linear."""
        network = self.networks[place]
        linear = ["linear"] * len(candidates.activations_of(network))
        model = to_keras(candidates.with_activations(network, linear))
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

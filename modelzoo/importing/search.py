"""Search for the network of a weights-only file among those that its shapes allow."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from modelzoo.importing.foreign import in_pixel_order
from modelzoo.importing.guess import activations_of, with_activations
from modelzoo.importing.pixels import (
    KEPT_BYTES,
    SMALL,
    Images,
    Pixels,
    Score,
    rounds_for,
    usual_pixels,
)
from modelzoo.networks import Network
from modelzoo.networks.to_keras import to_keras
from modelzoo.weights.reader import assign_arrays

ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
MORE_ACTIVATIONS = (*ACTIVATIONS, "elu", "selu", "leaky_relu", "softplus", "silu")
KEPT_PARAMETERS = 20_000_000  # of the networks that are built at the same time
# How many candidates each step of the search leaves to the next.
PLAIN, PAIRS, MIXED, STARTS, FINALISTS = 24, 8, 24, 4, 2
MAX_MIXED = 300  # activations of a single network; 4 layers of 4 have 256
MAX_PASSES = 4
LOSS_FLOOR, ODDITY = 0.01, 0.1  # see Search._cost


@dataclass(frozen=True)
class Candidate:
    """A network that the shapes allow, by its place among them, and a way to prepare its images."""

    place: int
    activations: tuple[str, ...]
    pixels: Pixels

    def with_activations(
        self, layers: Sequence[int], names: Sequence[str] = MORE_ACTIVATIONS
    ) -> list[Candidate]:
        """Return the same with each of `names` in each of these layers."""
        choices = [
            names if index in layers else (name,) for index, name in enumerate(self.activations)
        ]
        return [replace(self, activations=each) for each in itertools.product(*choices)]


class Search:
    """Trials of networks, activations and pixels on validation images.

    Args:
        options: the networks, the plainest first; all have the same weights.
        arrays: the weights, in the file's order.
        images: what to try them on.
        by_channel: whether the maps were flattened channel by channel.
    """

    def __init__(
        self,
        options: Sequence[Network],
        arrays: Sequence[np.ndarray],
        images: Images,
        *,
        by_channel: bool,
    ) -> None:
        self.options, self.images = options, images
        self.arrays = [
            in_pixel_order(each, arrays) if by_channel else list(arrays) for each in options
        ]
        parameters = options[0].parameters
        self.rounds = rounds_for(parameters)
        built = max(1, KEPT_PARAMETERS // max(parameters, 1))
        self._forward = functools.lru_cache(built)(self._built)
        self._pixels = functools.cache(functools.partial(usual_pixels, images.images))
        self.score = functools.cache(self._scored)

    def best(self, activations: Sequence[tuple[str, ...]]) -> Candidate:
        """Return the network that scores best.

        The same activation in all convolutions, and in all dense layers, shows which networks
        and pixels are worth a closer look: with these, each layer gets an activation of its own.
        From the best, one thing at a time is changed while that helps.
        """
        (few, _), (some, _), (many, _) = self.rounds
        plain = [
            Candidate(place, names, pixels)
            for place, network in enumerate(self.options)
            for names in activations
            for pixels in self._pixels(network.input_shape)[:2]  # 0..1 and 0..255
        ]
        each_way = [
            new for each in self._best(plain, few // 2, PLAIN) for new in self._other_ways(each)
        ]
        varied = [i for i, names in enumerate(zip(*activations, strict=True)) if len({*names}) > 1]
        closer = self._best(each_way, few, PAIRS, lambda it: (it.place, it.pixels))
        if len(ACTIVATIONS) ** len(varied) <= MAX_MIXED:
            closer = [new for each in closer for new in each.with_activations(varied, ACTIVATIONS)]
        better = self._best(closer, few // 2, MIXED)
        pair = 2 if self.rounds is SMALL else 1
        # The best on so many images; how many activations change at a time, on how many images.
        for count, keep, width, images in (
            (few, STARTS, 1, few), (some, FINALISTS, pair, few), (some, FINALISTS, 1, some)
        ):  # fmt: skip
            runs = [varied[i : i + width] for i in range(len(varied) - width + 1)]
            kept = self._best(better, count, keep, lambda it: it.pixels)
            better = [self._improved(each, runs, images) for each in kept]
        return self._best(better, many, 1)[0]

    def network(self, candidate: Candidate) -> Network:
        """Return a candidate's network."""
        return with_activations(self.options[candidate.place], candidate.activations)

    def _best(
        self,
        candidates: Sequence[Candidate],
        count: int,
        keep: int,
        kind: Callable[[Candidate], Any] = lambda it: it,
    ) -> list[Candidate]:
        """Return the best few by their cost on `count` images, one of each kind."""
        best: dict[Any, Candidate] = {}
        for each in sorted(
            dict.fromkeys(candidates), key=lambda it: (self._cost(it, count), it.place)
        ):
            best.setdefault(kind(each), each)
        return list(best.values())[:keep]

    def _improved(self, best: Candidate, runs: Sequence[list[int]], count: int) -> Candidate:
        """Return a candidate that no change of a run of layers, of pixels or network betters."""
        for _ in range(MAX_PASSES):
            before = best
            for run in runs:
                best = self._best([best, *best.with_activations(run)], count, 1)[0]
            shape = self.options[best.place].input_shape
            others = [
                replace(best, place=place)
                for place, other in enumerate(self.options)
                if other.input_shape == shape  # or its pixels do not fit
            ]
            # A few images that are all right seem best with the largest pixels, which only make
            # the network surer: ways to prepare them are compared on more.
            ways = self._other_ways(best) if count > self.rounds[0][0] else []
            best = self._best([best, *others, *ways], count, 1)[0]
            if best == before:
                break
        return best

    def _cost(self, candidate: Candidate, count: int) -> float:
        """Return the loss on `count` images, and more for a network that people seldom build.

        Beside a right network are others that score the same: softplus in place of relu, say.
        """
        names = candidate.activations[:-1]
        convs = sum(layer.kind == "Conv2D" for layer in self.options[candidate.place].layers)
        kinds = len(set(names[:convs])) + len(set(names[convs:]))
        odd = kinds + len(set(names) - set(ACTIVATIONS))
        # Padded images and padded convolutions are the same but for rounding: the plainest wins.
        loss = self.score(candidate, count).loss
        return round((loss + LOSS_FLOOR) * (1 + ODDITY * odd), 5) if math.isfinite(loss) else loss

    def _other_ways(self, candidate: Candidate) -> list[Candidate]:
        shape = self.options[candidate.place].input_shape
        return [replace(candidate, pixels=each) for each in self._pixels(shape)]

    def _scored(self, candidate: Candidate, count: int) -> Score:
        forward = self._forward(candidate.place)
        names = candidate.activations
        return self.images.score(lambda images: forward(images, names), candidate.pixels, count)

    def _built(self, place: int) -> Activated:
        return Activated(self.options[place], self.arrays[place])


class Activated:
    """A network whose activations change from call to call.

    The layers before the first activation that a call changes are not computed again.

    Args:
        network: described; each activation of its layers may change.
        arrays: its weights.
    """

    def __init__(self, network: Network, arrays: Sequence[np.ndarray]) -> None:
        model = to_keras(with_activations(network, ["tanh"] * len(activations_of(network))))
        assign_arrays(model, arrays, network.name)
        self.layers = model.layers[1:]  # without the input
        self.taking = [
            index
            for index, layer in enumerate(network.layers)
            if getattr(layer, "activation", None)
        ]
        self.kept: dict[int, tuple[np.ndarray, tuple[str, ...], list[Any]]] = {}

    def __call__(self, images: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """Return the outputs for prepared images with the activations of these names.

        Args:
            images: float32 (n, h, w, c), which nothing changes afterwards.
            names: of the activation of each convolution and dense layer.
        """
        _, before, inputs = self.kept.pop(id(images), (images, (), []))
        pairs = enumerate(zip(names, before, strict=False))
        changed = next((place for place, (new, old) in pairs if new != old), 0)
        inputs = inputs[: changed + 1]  # of the layers in `taking`, as far as they stay the same
        position = self.taking[changed] if inputs else 0
        value = inputs.pop() if inputs else images
        for index in range(position, len(self.layers)):
            if index in self.taking:
                inputs.append(value)
                name = names[self.taking.index(index)]
                self.layers[index].activation = keras.activations.get(name)
            value = self.layers[index](value)
        if 4 * sum(math.prod(each.shape) for each in inputs) < KEPT_BYTES:
            self.kept = dict([*self.kept.items()][-1:])  # of two batches
            self.kept[id(images)] = (images, names, inputs)
        return np.asarray(keras.ops.convert_to_numpy(value))

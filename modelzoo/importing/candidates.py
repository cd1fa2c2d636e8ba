"""Search for the network of a weights-only file among those that its shapes allow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelzoo.data.source import Dataset
from modelzoo.importing.guess import Geometry, complete
from modelzoo.importing.pixels import Pictures, Pixels, Trial, usual_pixels
from modelzoo.importing.recognise import recognise
from modelzoo.importing.steps import Step
from modelzoo.importing.trials import SMALL, Activated, network_of, rounds_for, validation_images

ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
MORE_ACTIVATIONS = (*ACTIVATIONS, "elu", "selu", "leaky_relu", "softplus", "silu")
KEPT_PARAMETERS = 20_000_000  # of the networks that are built at the same time
# How many candidates each step of the search leaves to the next.
PLAIN, PAIRS, MIXED, STARTS, FINALISTS = 24, 8, 24, 4, 2
MAX_MIXED = 300  # activations of a single network; 4 layers of 4 have 256
MAX_PASSES = 4
LOSS_FLOOR, ODDITY = 0.01, 0.1  # see _Search._cost


@dataclass(frozen=True)
class Candidate:
    """A network that the shapes allow, and a way to prepare its pictures."""

    geometry: Geometry
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


@dataclass(frozen=True)
class Found:
    """A candidate, and what it reached on how many images."""

    candidate: Candidate
    accuracy: float
    loss: float
    images: int


class Search:
    """Trials of geometries, activations and pixels on validation images."""

    def __init__(self, skeleton: list[Step], data: Dataset, where: str) -> None:
        self.skeleton, self.where = skeleton, where
        self.pictures = Pictures(*validation_images(data))
        self.parameters = sum(array.size for step in skeleton for array in step.arrays)
        self.rounds = rounds_for(self.parameters)
        self.built: dict[Geometry, Activated] = {}
        self.ways: dict[tuple[int, int, int], list[Pixels]] = {}
        self.latest: Geometry | None = None
        self.places: dict[Geometry, int] = {}  # the plainest first
        self.scored: dict[tuple[Candidate, int], Found] = {}

    def best(self, options: Sequence[Geometry], activations: Sequence[tuple[str, ...]]) -> Found:
        """Return the network that scores best.

        The same activation in all convolutions, and in all dense layers, shows which geometries
        and pixels are worth a closer look: with these, each layer gets an activation of its own.
        From the best, one thing at a time is changed while that helps.
        """
        (few, _), (some, _), (many, _) = self.rounds
        self.places = {geometry: place for place, geometry in enumerate(options)}
        plain = [
            Candidate(geometry, names, pixels)
            for geometry in options
            for names in activations
            for pixels in self._pixels(geometry)
            if pixels.name in ("0..1", "0..255") and "resized" not in pixels.geometry
        ]
        each_way = [
            new for each in self._best(plain, few // 2, PLAIN) for new in self._other_ways(each)
        ]
        varied = [i for i, names in enumerate(zip(*activations, strict=True)) if len({*names}) > 1]
        closer = self._best(each_way, few, PAIRS, lambda it: (it.geometry, it.pixels))
        if len(ACTIVATIONS) ** len(varied) <= MAX_MIXED:
            closer = [new for each in closer for new in each.with_activations(varied, ACTIVATIONS)]
        better = self._best(closer, few // 2, MIXED)
        pair = 2 if self.rounds is SMALL else 1
        # The best on so many images; how many activations change at a time, on how many images.
        for count, keep, width, images in (
            (few, STARTS, 1, few), (some, FINALISTS, pair, few), (some, FINALISTS, 1, some)
        ):  # fmt: skip
            better = [
                self._improved(each, options, _runs(varied, width), images)
                for each in self._best(better, count, keep)
            ]
        return self._score(self._best(better, many, 1)[0], many)

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
            dict.fromkeys(candidates),
            key=lambda it: (self._cost(it, count), self.places[it.geometry]),
        ):
            best.setdefault(kind(each), each)
        return list(best.values())[:keep]

    def _improved(
        self, best: Candidate, options: Sequence[Geometry], runs: Sequence[list[int]], count: int
    ) -> Candidate:
        """Return a candidate that no change of a run of layers, of pixels or geometry betters."""
        for _ in range(MAX_PASSES):
            before = best
            for run in runs:
                others = best.with_activations(run)
                best = self._best([best, *others], count, 1)[0]
            others = [replace(best, geometry=other) for other in options if _fits(best, other)]
            others += self._other_ways(best)
            best = self._best([best, *others], count, 1)[0]
            if best == before:
                break
        return best

    def _cost(self, candidate: Candidate, count: int) -> float:
        """Return the loss on `count` images, and more for a network that people seldom build.

        Beside a right network are others that score the same: softplus in place of relu, say.
        """
        names = candidate.activations[:-1]
        convs = len(candidate.geometry.paddings)
        kinds = len(set(names[:convs])) + len(set(names[convs:]))
        odd = kinds + len(set(names) - set(ACTIVATIONS))
        loss = self._score(candidate, count).loss
        if not math.isfinite(loss):
            return math.inf
        # Padded pictures and padded convolutions are the same but for rounding: the plainest wins.
        return round((loss + LOSS_FLOOR) * (1 + ODDITY * odd), 5)

    def _pixels(self, geometry: Geometry) -> list[Pixels]:
        shape = geometry.input_shape
        if shape not in self.ways:
            self.ways[shape] = usual_pixels(self.pictures.images, shape)
            if all("resized" in pixels.geometry for pixels in self.ways[shape]):
                renamed = [replace(each, geometry="brought to size") for each in self.ways[shape]]
                self.ways[shape] = renamed
        return self.ways[shape]

    def _other_ways(self, candidate: Candidate) -> list[Candidate]:
        return [replace(candidate, pixels=each) for each in self._pixels(candidate.geometry)]

    def _score(self, candidate: Candidate, count: int) -> Found:
        if (candidate, count) not in self.scored:
            forward = self._network(candidate.geometry)
            trial = Trial("", candidate.pixels, lambda batch: forward(batch, candidate.activations))
            outcome = self.pictures.score(trial, count)
            found = Found(candidate, outcome.accuracy, outcome.loss, outcome.images)
            self.scored[candidate, count] = found
        return self.scored[candidate, count]

    def _network(self, geometry: Geometry) -> Activated:
        if geometry != self.latest and self.latest in self.built:
            self.built[self.latest].kept.clear()
        self.latest = geometry
        if geometry not in self.built:
            while len(self.built) >= max(1, KEPT_PARAMETERS // max(self.parameters, 1)):
                self.built.pop(next(iter(self.built)))
            layers = sum(step.kind in ("conv", "dense") for step in self.skeleton)
            names = ["tanh"] * (layers - 1) + ["softmax"]
            steps = complete(self.skeleton, geometry, names)
            plan = recognise(steps, geometry.input_shape, Path(self.where))
            self.built[geometry] = Activated(network_of(plan, self.where))
        return self.built[geometry]


def _runs(layers: Sequence[int], length: int) -> list[list[int]]:
    """Return each `length` layers in a row."""
    return [list(layers[i : i + length]) for i in range(len(layers) - length + 1)]


def _fits(candidate: Candidate, geometry: Geometry) -> bool:
    return candidate.geometry.input_shape == geometry.input_shape  # or its pixels do not

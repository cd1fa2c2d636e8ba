"""Find the network of a weights-only file: what its shapes leave open is tried, or is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from modelzoo.config import Config
from modelzoo.data.source import Dataset
from modelzoo.errors import InputError
from modelzoo.importing.guess import Choices, Geometry, complete, geometries, read_skeleton
from modelzoo.importing.pixels import Pixels, Trial, score_trials, usual_pixels
from modelzoo.importing.recognise import Plan, recognise
from modelzoo.importing.steps import Step
from modelzoo.importing.trials import network_of, rounds_for, validation_images
from modelzoo.training.prepare import build_network
from modelzoo.weights.hdf5 import CheckedFile, open_checked
from modelzoo.weights.layouts import Stored
from modelzoo.weights.reader import load_weights, weighted_layers

ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
MORE_ACTIVATIONS = (*ACTIVATIONS, "elu", "selu", "leaky_relu", "softplus", "silu")
KEPT_PARAMETERS = 20_000_000  # of the networks that are built at the same time


def plan_by_configuration(
    checked: CheckedFile, stored: Stored, given: Config, assumptions: list[str]
) -> Plan | None:
    """Return the configuration's own network with the file's arrays; None if they do not fit.

    Raises:
        InputError: they do not, and the network is none whose settings `find_network` could vary.
    """
    network = build_network(given)
    try:
        load_weights(network, checked.path)
    except InputError:
        if "pooling" not in given["model"]:
            raise
        return None
    arrays = [
        np.asarray(keras.ops.convert_to_numpy(weight))
        for layer in weighted_layers(network)
        for weight in layer.weights
    ]
    assumptions.append(
        f"activations, padding, pooling and input size as in {given.name}, whose arrays have the "
        "same shapes; the file does not say them"
    )
    arguments = {k: v for k, v in given.builder_arguments.items() if k != "name"}
    return Plan(given["model"]["builder"], arguments, arrays)


def find_network(
    checked: CheckedFile,
    stored: Stored,
    config: Config,
    given: bool,
    data: Dataset | None,
    assumptions: list[str],
) -> Plan:
    """Return the network that the shapes tell, with the rest as given or as it scores best.

    Args:
        checked: the file.
        stored: its layers.
        config: what is given: a configuration's own values if `given`, else those set by hand.
        given: whether a configuration was named.
        data: whose validation images choose among what is left; None if there are none.
        assumptions: what was chosen is added here.

    Raises:
        InputError: nothing fits, or nothing can decide.
    """
    path = checked.path
    if not given and data is None and not _says_enough(config):
        raise InputError(
            f"{path}: holds weights only: it does not say its activations, padding and pooling\n"
            "--dataset NAME tries them on validation images; --model NAME takes them from a "
            "configuration,\nand --set model.conv_activation=tanh (and so on) says them"
        )
    with open_checked(path) as again:  # not in the search: its errors are not the file's
        skeleton = read_skeleton(again, stored)
    fixed = config if given else None
    options = geometries(skeleton, stored, _choices(config, fixed, data), path)
    activations = _activations(skeleton, config, given or data is None)
    if data is None:
        first, names = options[0], activations[0]
        _explain(first, names, "the plainest that fits the shapes, as given", assumptions)
        return recognise(complete(skeleton, first, names), first.input_shape, path)
    search = _Search(skeleton, data, str(path))
    best, accuracy, count = search.best(options, activations)
    geometry, names = best.geometry, best.activations
    why = f"the best of what its shapes allow, accuracy {accuracy:.4f} on {count:,} validation "
    _explain(geometry, names, f"{why}images of {data.name}", assumptions)
    return recognise(complete(skeleton, geometry, names), geometry.input_shape, path)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network that the shapes allow, and a way to prepare its pictures."""

    geometry: Geometry
    activations: tuple[str, ...]
    pixels: Pixels

    def with_activation(self, index: int, name: str) -> Candidate:
        """Return the same with another activation in one layer."""
        before, after = self.activations[:index], self.activations[index + 1 :]
        return replace(self, activations=(*before, name, *after))


class _Search:
    """Trials of geometries and activations on validation images."""

    def __init__(self, skeleton: list[Step], data: Dataset, where: str) -> None:
        self.skeleton, self.where = skeleton, where
        self.images, self.labels = validation_images(data)
        self.parameters = sum(array.size for step in skeleton for array in step.arrays)
        self.rounds = rounds_for(self.parameters)
        self.built: dict[Geometry, Any] = {}
        self.ways: dict[tuple[int, int, int], list[Pixels]] = {}

    def best(
        self, options: Sequence[Geometry], activations: Sequence[tuple[str, ...]]
    ) -> tuple[Candidate, float, int]:
        """Return the network that scores best, its accuracy and on how many images."""
        (few, keep), (some, _), (many, _) = self.rounds
        candidates = [
            Candidate(geometry, names, pixels)
            for geometry in options
            for names in activations
            for pixels in self._pixels(geometry)
            if pixels.name in ("0..1", "0..255") and "resized" not in pixels.geometry
        ]
        ranked = self._ranked(candidates, few // 2)[:keep]
        # The same networks with all ways to prepare pictures, then the best few of these.
        ranked = self._ranked([new for each, *_ in ranked for new in self._other_ways(each)], few)
        ranked = self._ranked([each for each, *_ in ranked[:6]], some)
        best, accuracy, _ = ranked[0]
        if len(activations) > 1:  # then one layer at a time
            for index in range(len(best.activations) - 1):
                others = [best.with_activation(index, other) for other in MORE_ACTIVATIONS]
                other, now, _ = self._ranked(others, some)[0]
                if now > accuracy + 0.002:
                    best, accuracy = other, now
        return self._ranked([best], many)[0]

    def _pixels(self, geometry: Geometry) -> list[Pixels]:
        shape = geometry.input_shape
        if shape not in self.ways:
            self.ways[shape] = usual_pixels(self.images, shape)
            if all("resized" in pixels.geometry for pixels in self.ways[shape]):
                renamed = [replace(each, geometry="brought to size") for each in self.ways[shape]]
                self.ways[shape] = renamed
        return self.ways[shape]

    def _other_ways(self, candidate: Candidate) -> list[Candidate]:
        return [replace(candidate, pixels=each) for each in self._pixels(candidate.geometry)]

    def _ranked(
        self, candidates: Sequence[Candidate], count: int
    ) -> list[tuple[Candidate, float, int]]:
        """Score each candidate; return the best way of each network, the best network first."""
        trials = [self._trial(each) for each in candidates]
        outcomes = score_trials(trials, self.images, self.labels, ((count, 0),))
        of_trial = {id(trial): each for trial, each in zip(trials, candidates, strict=True)}
        found: dict[Any, tuple[Candidate, float, int]] = {}
        for outcome in outcomes:
            candidate = of_trial[id(outcome.trial)]
            key = (candidate.geometry, candidate.activations)
            found.setdefault(key, (candidate, outcome.accuracy, outcome.images))
        return list(found.values())

    def _trial(self, candidate: Candidate) -> Trial:
        geometry, names, pixels = candidate.geometry, candidate.activations, candidate.pixels

        def forward(pictures: np.ndarray) -> np.ndarray:
            network = self._network(geometry)
            kernels = [layer for layer in weighted_layers(network) if hasattr(layer, "activation")]
            for layer, name in zip(kernels, names, strict=False):
                layer.activation = keras.activations.get(name)
            return np.asarray(keras.ops.convert_to_numpy(network(pictures, training=False)))

        return Trial(f"{geometry}, {'/'.join(names)}, pixels {pixels.name}", pixels, forward)

    def _network(self, geometry: Geometry) -> Any:
        if geometry not in self.built:
            while len(self.built) >= max(1, KEPT_PARAMETERS // max(self.parameters, 1)):
                self.built.pop(next(iter(self.built)))
            layers = sum(step.kind in ("conv", "dense") for step in self.skeleton)
            names = ["tanh"] * (layers - 1) + ["softmax"]
            steps = complete(self.skeleton, geometry, names)
            plan = recognise(steps, geometry.input_shape, Path(self.where))
            self.built[geometry] = network_of(plan, self.where)
        return self.built[geometry]


def _choices(config: Config, given: Config | None, data: Dataset | None) -> Choices:
    """Return what may be tried: what is said by hand or by a configuration is not."""
    model = config["model"]

    def said(key: str) -> bool:
        return given is not None or config.is_set(f"model.{key}")

    own = (model["input_shape"][0], model["input_shape"][1])
    if said("input_shape"):
        sizes = [own]
    else:
        native = () if data is None else (data.image_shape[:2],)
        sizes = list(dict.fromkeys((*native, (28, 28), (32, 32))))
    values: dict[str, Any] = {"sizes": sizes}
    if config.is_set("model.conv_padding"):
        values["paddings"] = _distinct(model["conv_padding"])
    if said("pooling"):
        values["poolings"] = [p for p in _distinct(model["pooling"]) if p != "none"] or ["average"]
    if said("pool_size"):
        values["pools"] = [*((n, n) for n in _distinct(model["pool_size"])), None]
    return Choices(**values)


def _distinct(value: Any) -> list[Any]:
    return list(dict.fromkeys(value if isinstance(value, list) else [value]))


def _activations(skeleton: list[Step], config: Config, said: bool) -> list[tuple[str, ...]]:
    """Return the activations to try, one for each convolution and dense layer."""
    model = config["model"]
    convs = sum(step.kind == "conv" for step in skeleton)
    dense = sum(step.kind == "dense" for step in skeleton) - 1
    key = "conv_activation" if "conv_activation" in model else "activation"

    def options(name: str, count: int) -> list[tuple[str, ...]]:
        if not count:
            return [()]
        if said or config.is_set(f"model.{name}"):
            value = model[name]
            one = value if isinstance(value, list) else [value] * count
            if len(one) == count:
                return [tuple(one)]
        return [(activation,) * count for activation in ACTIVATIONS]

    output = model["output_activation"]
    return [
        (*first, *second, output)
        for first in options(key, convs)
        for second in options("dense_activation", dense)
    ]


def _says_enough(config: Config) -> bool:
    return config.is_set("model.conv_activation") and config.is_set("model.dense_activation")


def _explain(geometry: Geometry, names: Sequence[str], why: str, assumptions: list[str]) -> None:
    assumptions.append(f"{geometry}: {why}")
    assumptions.append(f"activations {', '.join(names[:-1])}: {why}")
    assumptions.append(f"{names[-1]} at the output: not said by the file, as usual")

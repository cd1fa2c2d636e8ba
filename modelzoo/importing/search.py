"""Find the network of a weights-only file: what its shapes leave open is tried, or is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from modelzoo.config import Config
from modelzoo.data.source import Dataset
from modelzoo.errors import InputError
from modelzoo.importing.candidates import ACTIVATIONS, Found, Search
from modelzoo.importing.foreign import FLAT_BY_PIXEL, Foreign
from modelzoo.importing.guess import Choices, Geometry, complete, geometries
from modelzoo.importing.recognise import Plan, recognise
from modelzoo.importing.steps import Step
from modelzoo.importing.trials import (
    is_poor,
)
from modelzoo.training.prepare import build_network
from modelzoo.weights.reader import load_weights, weighted_layers


def plan_by_configuration(foreign: Foreign, given: Config, assumptions: list[str]) -> Plan | None:
    """Return the configuration's own network with the file's arrays; None if they do not fit.

    Raises:
        InputError: they do not, and the network is none whose settings `find_network` could vary.
    """
    network = build_network(given)
    try:
        load_weights(network, foreign.path)
    except InputError:
        if foreign.is_torch or not hasattr(given.model, "pooling"):
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
    return Plan(given.model.builder, arguments, arrays, notes=list(foreign.notes))


def find_network(
    foreign: Foreign, config: Config, given: bool, data: Dataset | None, assumptions: list[str]
) -> Plan:
    """Return the network that the shapes tell, with the rest as given or as it scores best.

    Args:
        foreign: the file.
        config: what is given: a configuration's own values if `given`, else those set by hand.
        given: whether a configuration was named.
        data: whose validation images choose among what is left; None if there are none.
        assumptions: what was chosen is added here.

    Raises:
        InputError: nothing fits, or nothing can decide.
    """
    path = foreign.path
    if not given and data is None and not _says_enough(config):
        raise InputError(
            f"{path}: holds weights only: it does not say its activations, padding and pooling\n"
            "--dataset NAME tries them on validation images; --model NAME takes them from a "
            "configuration,\nand --set model.conv_activation=tanh (and so on) says them"
        )
    skeleton = foreign.skeleton()  # not in the search: its errors are not the file's
    choices = _choices(config, config if given else None, data)
    activations = _activations(skeleton, config, given or data is None)
    if data is None:
        choices = replace(choices, by_channel=foreign.is_torch)
        geometry = geometries(skeleton, foreign.layer_names, choices, path)[0]
        names, why = activations[0], "the plainest that fits the shapes, as given"
    else:
        found = _searched(foreign, skeleton, choices, activations, data)
        geometry, names = found.candidate.geometry, found.candidate.activations
        why = (
            f"the best of what its shapes allow, accuracy {found.accuracy:.4f} on "
            f"{found.images:,} validation images of {data.name}"
        )
    _explain(geometry, names, why, assumptions)
    plan = recognise(complete(skeleton, geometry, names), geometry.input_shape, path)
    plan.notes[:0] = foreign.notes or ([FLAT_BY_PIXEL] if geometry.by_channel else [])
    return plan


def _searched(
    foreign: Foreign,
    skeleton: list[Step],
    choices: Choices,
    activations: Sequence[tuple[str, ...]],
    data: Dataset,
) -> Found:
    """Return the network that scores best on validation images.

    Keras' `channels_first` is rare: a file of Keras is taken to have it if nothing else scores.
    """
    found: list[Found] = []
    for by_channel in (True,) if foreign.is_torch else (False, True):
        choices = replace(choices, by_channel=by_channel)
        options = geometries(skeleton, foreign.layer_names, choices, foreign.path)
        search = Search(skeleton, data, str(foreign.path))
        found.append(search.best(options, activations))
        if not is_poor(found[-1].accuracy, search.pictures.labels):
            break
    return max(found, key=lambda each: each.accuracy)


def _choices(config: Config, given: Config | None, data: Dataset | None) -> Choices:
    """Return what may be tried: what is said by hand or by a configuration is not."""
    model = config.model

    def said(key: str) -> bool:
        return given is not None or config.is_asked(f"model.{key}")

    own = (model.input_shape[0], model.input_shape[1])
    if said("input_shape"):
        sizes = [own]
    else:
        native = () if data is None else (data.image_shape[:2],)
        sizes = list(dict.fromkeys((*native, (28, 28), (32, 32))))
    values: dict[str, Any] = {"sizes": sizes}
    if config.is_asked("model.conv_padding"):
        values["paddings"] = _distinct(model.conv_padding)
    if said("pooling"):
        values["poolings"] = [p for p in _distinct(model.pooling) if p != "none"] or ["average"]
    if said("pool_size"):
        values["pools"] = [*((n, n) for n in _distinct(model.pool_size)), None]
    return Choices(**values)


def _distinct(value: Any) -> list[Any]:
    return list(dict.fromkeys(value if isinstance(value, list) else [value]))


def _activations(skeleton: list[Step], config: Config, said: bool) -> list[tuple[str, ...]]:
    """Return the activations to try, one for each convolution and dense layer."""
    model = config.model
    convs = sum(step.kind == "conv" for step in skeleton)
    dense = sum(step.kind == "dense" for step in skeleton) - 1
    key = "conv_activation" if hasattr(model, "conv_activation") else "activation"

    def options(name: str, count: int) -> list[tuple[str, ...]]:
        if not count:
            return [()]
        if said or config.is_asked(f"model.{name}"):
            value = getattr(model, name)
            one = value if isinstance(value, list) else [value] * count
            if len(one) == count:
                return [tuple(one)]
        return [(activation,) * count for activation in ACTIVATIONS]

    output = model.output_activation
    return [
        (*first, *second, output)
        for first in options(key, convs)
        for second in options("dense_activation", dense)
    ]


def _says_enough(config: Config) -> bool:
    return config.is_asked("model.conv_activation") and config.is_asked("model.dense_activation")


def _explain(geometry: Geometry, names: Sequence[str], why: str, assumptions: list[str]) -> None:
    assumptions.append(f"{geometry}: {why}")
    assumptions.append(f"activations {', '.join(names[:-1])}: {why}")
    assumptions.append(f"{names[-1]} at the output: not said by the file, as usual")

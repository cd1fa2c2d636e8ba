"""Find the network of a weights-only file: what its shapes leave open is tried, or is given."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from modelzoo.config import Config
from modelzoo.data.source import Dataset
from modelzoo.errors import InputError
from modelzoo.importing.foreign import FLAT_BY_PIXEL, Foreign, Weighted, in_pixel_order
from modelzoo.importing.guess import (
    Choices,
    activations_of,
    in_words,
    possible_networks,
    with_activations,
)
from modelzoo.importing.pixels import Images, is_poor
from modelzoo.importing.search import ACTIVATIONS, Search
from modelzoo.networks import Network
from modelzoo.networks.to_keras import to_keras
from modelzoo.weights.reader import load_weights, weighted_layers


def with_network(
    foreign: Foreign, config: Config, given: bool, data: Dataset | None, assumptions: list[str]
) -> tuple[Network, Foreign]:
    """Return a file's network and weights: as described, as given, or as they score best.

    Args:
        foreign: the file.
        config: what is given: a configuration's own values if `given`, else those set by hand.
        given: whether a configuration was named.
        data: whose validation images choose among what is left; None if there are none.
        assumptions: what was chosen is added here.

    Raises:
        InputError: nothing fits, or nothing can decide.
    """
    if foreign.network is not None:
        if foreign.described_by:
            assumptions.append(f"the network as {foreign.described_by} describes it")
        return foreign.network, foreign
    found = _by_configuration(foreign, config, assumptions) if given else None
    return found or _by_shapes(foreign, config, given, data, assumptions)


def _by_configuration(
    foreign: Foreign, config: Config, assumptions: list[str]
) -> tuple[Network, Foreign] | None:
    """Return the configuration's own network with the file's arrays; None if they do not fit.

    Raises:
        InputError: they do not, and the network is none whose settings can be varied.
    """
    network = config.network
    if network is None:
        raise InputError(f"{config.name}: its builder gives no description of a network")
    model = to_keras(network)
    try:
        load_weights(model, foreign.path)
    except InputError:
        if foreign.is_torch or not hasattr(config.model, "pooling"):
            raise
        return None
    arrays = [
        np.asarray(keras.ops.convert_to_numpy(weight))
        for layer in weighted_layers(model)
        for weight in layer.weights
    ]
    assumptions.append(
        f"activations, padding, pooling and input size as in {config.name}, whose arrays have the "
        "same shapes; the file does not say them"
    )
    return network, replace(foreign, arrays=arrays)


def _by_shapes(
    foreign: Foreign, config: Config, given: bool, data: Dataset | None, assumptions: list[str]
) -> tuple[Network, Foreign]:
    """Return the network that the shapes tell, with the rest as given or as it scores best."""
    path = foreign.path
    said = [config.is_asked(f"model.{key}") for key in ("conv_activation", "dense_activation")]
    if not given and data is None and not all(said):
        raise InputError(
            f"{path}: holds weights only: it does not say its activations, padding and pooling\n"
            "--dataset NAME tries them on validation images; --model NAME takes them from a "
            "configuration,\nand --set model.conv_activation=tanh (and so on) says them"
        )
    weighted = foreign.weighted()
    choices = _choices(config, given, data)
    names = _activations(weighted, config, given or data is None)
    options = possible_networks(weighted, foreign.layer_names, choices, path)
    arrays = [array for layer in weighted for array in layer.arrays]
    by_channel = foreign.is_torch
    if data is None:
        network, why = with_activations(options[0], names[0]), "the plainest that fits the shapes"
    else:
        images = Images(data)
        tried = []
        # Keras' `channels_first` is rare: it is tried if nothing else scores.
        for by_channel in (True,) if foreign.is_torch else (False, True):
            search = Search(options, arrays, images, by_channel=by_channel)
            best = search.best(names)
            score = search.score(best, search.rounds[-1][0])
            tried.append((score, by_channel, search.network(best)))
            if not is_poor(score.accuracy, images.labels):
                break
        score, by_channel, network = max(tried, key=lambda each: each[0].accuracy)
        why = (
            f"the best of what its shapes allow, accuracy {score.accuracy:.4f} on "
            f"{score.images:,} validation images of {data.name}"
        )
    *inner, last = activations_of(network)
    flattened = ", flattened channel by channel" if by_channel else ""
    assumptions += [
        f"{in_words(network)}{flattened}: {why}",
        f"activations {', '.join(inner)}: {why}",
        f"{last} at the output: not said by the file, as usual",
    ]
    if by_channel:
        arrays = in_pixel_order(network, arrays)
    notes = foreign.notes or ([FLAT_BY_PIXEL] if by_channel else [])
    return network, replace(foreign, arrays=arrays, notes=notes)


def _choices(config: Config, given: bool, data: Dataset | None) -> Choices:
    """Return what may be tried: what is said by hand or by a configuration is not."""
    model = config.model

    def said(key: str) -> bool:
        return given or config.is_asked(f"model.{key}")

    sizes = [(28, 28), (32, 32)] if data is None else [data.image_shape[:2], (28, 28), (32, 32)]
    if said("input_shape"):
        sizes = [(model.input_shape[0], model.input_shape[1])]
    choices = Choices(list(dict.fromkeys(sizes)))
    if config.is_asked("model.conv_padding"):
        choices = replace(choices, paddings=_distinct(model.conv_padding))
    if said("pooling"):
        kinds = [kind for kind in _distinct(model.pooling) if kind != "none"]
        choices = replace(choices, poolings=kinds or ["average"])
    if said("pool_size"):
        pools = [*((n, n) for n in _distinct(model.pool_size)), None]
        choices = replace(choices, pools=pools)
    return choices


def _distinct(value: Any) -> list[Any]:
    return list(dict.fromkeys(value if isinstance(value, list) else [value]))


def _activations(weighted: Sequence[Weighted], config: Config, said: bool) -> list[tuple[str, ...]]:
    """Return the activations to try, one for each convolution and dense layer."""
    model = config.model
    key = "conv_activation" if hasattr(model, "conv_activation") else "activation"

    def options(name: str, count: int) -> list[tuple[str, ...]]:
        value = getattr(model, name) if said or config.is_asked(f"model.{name}") else None
        one = value if isinstance(value, list) else [value] * count
        if value is not None and len(one) == count:
            return [tuple(one)]
        return [(activation,) * count for activation in ACTIVATIONS] if count else [()]

    kinds = [layer.kind for layer in weighted]
    first = options(key, kinds.count("Conv2D"))
    second = options("dense_activation", kinds.count("Dense") - 1)
    return [
        (*convs, *dense, model.output_activation)
        for convs, dense in itertools.product(first, second)
    ]

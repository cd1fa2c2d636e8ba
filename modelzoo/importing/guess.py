"""Work out the networks that the shapes and names of a weights-only file leave possible.

Such a file tells the convolutions, their maps and kernels, and the units of dense layers. It does
not tell activations, padding, strides, the kind of pooling or the input's size.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from modelzoo.errors import InputError
from modelzoo.importing.foreign import Weighted
from modelzoo.importing.keras_layers import named
from modelzoo.networks import Network
from modelzoo.networks.kinds import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
)
from modelzoo.networks.layer import Layer, Shape, slide
from modelzoo.networks.stages import POOLS

MAX_NETWORKS = 40
MAX_CONVOLUTIONS = 12
MAX_CHAINS = 20_000  # that are sorted; the plainest come first as it is
POOL_NAMES = {"max_pooling2d": "max", "average_pooling2d": "average"}
OTHER_NAMES = (
    "conv2d", "dense", "flatten", "dropout", "activation", "batch_normalization", "input",
    "input_layer", "re_lu", "leaky_re_lu", "zero_padding2d", "softmax", "rescaling",
)  # fmt: skip


NORM = ["BatchNormalization"]


class Stage(NamedTuple):
    """What shapes do not tell of a convolution; `pool` is (window, stride), or None."""

    padding: str
    stride: int
    pool: tuple[int, int] | None


@dataclass(frozen=True)
class Choices:
    """What may be tried; one value each where a person or a configuration has said it."""

    sizes: Sequence[tuple[int, int]]
    paddings: Sequence[str] = ("valid", "same")
    poolings: Sequence[str] = ("average", "max")
    pools: Sequence[tuple[int, int] | None] = ((2, 2), (3, 2), None)


def possible_networks(
    weighted: Sequence[Weighted], layer_names: Sequence[str], choices: Choices, path: Path
) -> list[Network]:
    """Return the networks that the shapes leave possible, all linear, the plainest first.

    Args:
        weighted: the layers with weights.
        layer_names: of all layers in order, if the file says them: Keras' own names tell poolings.
        choices: what may be tried.
        path: of the file, for messages.

    Raises:
        InputError: nothing fits, or a name stands for a layer that is not known.
    """
    convs = [layer for layer in weighted if layer.kind == "Conv2D"]
    if len(convs) > MAX_CONVOLUTIONS:
        raise InputError(f"{path}: {len(convs)} convolutions; name the network with --model")
    inputs = next(layer for layer in weighted if layer.kind == "Dense").arrays[0].shape[0]
    channels = convs[0].arrays[0].shape[2] if convs else 1
    hints = _pool_hints(layer_names, convs, path)
    poolings = sorted({hint for hint in hints or () if hint}) or choices.poolings
    normed = any(layer.kind in NORM for layer in weighted)
    stages = [
        [
            Stage(*stage)
            for stage in itertools.product(
                choices.paddings,
                (1,) if max(conv.arrays[0].shape[:2]) < 7 else (1, 2, 4),  # large kernels leap
                [p for p in choices.pools if not hints or (p is None) == (hints[place] is None)],
            )
        ]
        for place, conv in enumerate(convs)
    ]
    found = [
        (_oddity(chain, place), (*size, channels), chain, pooling, norm_first)
        for place, size in enumerate(choices.sizes)
        for chain in _chains(convs, stages, size, inputs)
        for pooling in (poolings if any(stage.pool for stage in chain) else poolings[:1])
        for norm_first in ((True, False) if normed else (True,))
    ]
    if not found:
        sizes = ", ".join("x".join(map(str, size)) for size in choices.sizes)
        raise InputError(
            f"{path}: no padding and pooling of its {len(convs)} convolutions leads from {sizes} "
            f"to the {inputs:,} inputs of its first dense layer\n"
            "Name the network with --model, or set its input with --set model.input_shape=[H,W,C]"
        )
    found.sort(key=lambda each: each[0])
    return [
        Network("imported", shape, _layers(weighted, chain, pooling, norm_first))
        for _, shape, chain, pooling, norm_first in found[:MAX_NETWORKS]
    ]


def activations_of(network: Network) -> tuple[str, ...]:
    """Return the activation of each convolution and dense layer."""
    given = (getattr(layer, "activation", None) for layer in network.layers)
    return tuple(activation for activation in given if activation)


def with_activations(network: Network, names: Sequence[str]) -> Network:
    """Return a network with an activation for each convolution and dense layer."""
    rest = iter(names)
    layers = [
        msgspec.structs.replace(layer, activation=next(rest))
        if getattr(layer, "activation", None)
        else layer
        for layer in network.layers
    ]
    return Network(network.name, network.input_shape, tuple(layers))


def in_words(network: Network) -> str:
    """Return what a guess has chosen: the input, paddings and strides, and poolings."""
    said = [f"input {'x'.join(map(str, network.input_shape))}"]
    for layer in network.layers:
        padding = getattr(layer, "padding", "")
        size = "/".join(str(pair[0]) for pair in (layer.window, layer.steps) if pair)
        said += [f"{layer.kind} {size} {padding}"] if padding else []
    return ", ".join(said)


def _chains(
    convs: Sequence[Weighted], stages: Sequence[Sequence[Stage]], size: Shape, inputs: int
) -> Sequence[tuple[Stage, ...]]:
    """Return the stages that lead from an input's size to the inputs of the first dense layer."""
    maps = convs[-1].arrays[0].shape[-1] if convs else 1

    @cache
    def onward(place: int, size: Shape) -> Sequence[tuple[Stage, ...]]:
        if place == len(convs):
            return [()] if size[0] * size[1] * maps == inputs else []
        window = convs[place].arrays[0].shape[:2]
        found: list[tuple[Stage, ...]] = []
        for stage in stages[place]:
            try:
                left = slide(size, window, (stage.stride,) * 2, stage.padding)
                if stage.pool:
                    left = slide(left, stage.pool[:1] * 2, stage.pool[1:] * 2, "valid")
            except InputError:
                continue
            found += [(stage, *rest) for rest in onward(place + 1, left)]
        return found[:MAX_CHAINS]

    return onward(0, size)


def _layers(
    weighted: Sequence[Weighted], chain: Sequence[Stage], pooling: str, norm_first: bool
) -> tuple[Layer, ...]:
    """Return all layers, each activation linear; `norm_first`: before normalisation or after."""
    layers: list[tuple[str, Layer]] = []
    kinds, stages = [each.kind for each in weighted], iter(chain)
    pool = None
    for place, each in enumerate(weighted):
        before, normed = kinds[place - 1] if place else "", kinds[place + 1 : place + 2] == NORM
        if each.kind in NORM:
            layers.append((each.name, BatchNormalization()))
            if norm_first and before not in ("", *NORM):
                layers.append(("", Activation(activation="linear")))
        else:
            kernel, *bias = each.arrays
            values: dict[str, Any] = {"use_bias": bool(bias)}
            values["activation"] = None if normed and norm_first else "linear"
            if each.kind == "Conv2D":
                stage = next(stages)
                pool = stage.pool
                height, width, _, filters = kernel.shape
                size = height if height == width else (height, width)
                values |= {"filters": filters, "kernel_size": size, "padding": stage.padding}
                layers.append((each.name, Conv2D(strides=stage.stride, **values)))
            else:
                if not any(isinstance(layer, Flatten | Dense) for _, layer in layers):
                    layers.append(("", Flatten()))
                layers.append((each.name, Dense(units=kernel.shape[1], **values)))
        if pool and not normed:
            window, step = pool
            strides = None if step == window else step
            layers.append(("", POOLS[pooling](pool_size=window, strides=strides)))
            pool = None
    return named(layers)


def _pool_hints(
    layer_names: Sequence[str], convs: Sequence[Weighted], path: Path
) -> list[str | None] | None:
    """Return the pooling after each convolution by the names that Keras gives; None if unknown."""
    kinds = [re.sub(r"_?\d+$", "", name.rpartition("/")[2]) for name in layer_names]
    for name, kind in zip(layer_names, kinds, strict=True):
        if "lambda" in kind.lower():
            raise InputError(
                f"{path}: layer {name!r:.80} is a Lambda by its name: what it computes is code, "
                "which a file of weights does not hold"
            )
    if not {*POOL_NAMES, "flatten"} & set(kinds) or set(kinds) - {*POOL_NAMES, *OTHER_NAMES}:
        return None
    names = [conv.name for conv in convs]
    hints: list[str | None] = []
    for name, kind in zip(layer_names, kinds, strict=True):
        if name in names:
            hints.append(None)
        elif kind in POOL_NAMES and hints:
            hints[-1] = POOL_NAMES[kind]
    return hints if len(hints) == len(convs) else None


def _oddity(chain: Sequence[Stage], size: int) -> tuple[int, ...]:
    """Return what to sort by: few kinds of padding and pooling, sizes in the order given."""
    paddings = [stage.padding for stage in chain]
    pools = [stage.pool for stage in chain if stage.pool]
    unusual = sum(pool != (2, 2) for pool in pools)
    return unusual, len({*paddings}) + len({*pools}), size, paddings.count("same")

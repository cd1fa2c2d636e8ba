"""The networks that the shapes and names of a weights-only file leave possible.

Such a file tells the convolutions, their maps and kernels, and the units of dense layers. It does
not tell activations, padding, strides, the kind of pooling or the input's size.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from modelzoo.config import Config
from modelzoo.convert.importing.foreign import Foreign
from modelzoo.convert.importing.keras_layers import named
from modelzoo.networks import Network
from modelzoo.networks.kinds import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
)
from modelzoo.networks.layer import Layer, Shape
from modelzoo.networks.stages import POOLS as POOL_KINDS
from modelzoo.support.errors import InputError

POOLS: list[dict[str, Any]] = [{"pool_size": 2}, {"pool_size": 3, "strides": 2}]
ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
MAX_NETWORKS = 40
MAX_CONVOLUTIONS = 12
MAX_CHAINS = 20_000  # that are sorted; the plainest come first as it is
POOL_NAMES = {"max_pooling2d": "max", "average_pooling2d": "average"}
OTHER_NAMES = (
    "conv2d", "dense", "flatten", "dropout", "activation", "batch_normalization", "input",
    "input_layer", "re_lu", "leaky_re_lu", "zero_padding2d", "softmax", "rescaling",
)  # fmt: skip
Chain = tuple[tuple[str, Layer], ...]  # layers with the names that they have in the file


def possible_activations(foreign: Foreign, config: Config, *, given: bool) -> list[tuple[str, ...]]:
    """Return the activations to try, one for each convolution and dense layer.

    Args:
        foreign: the file.
        config: what it says is not varied.
        given: whether all of it counts, or only what was set by hand.
    """
    model = config.model

    def options(key: str, count: int) -> list[tuple[str, ...]]:
        value = getattr(model, key) if given or config.is_asked(f"model.{key}") else None
        names = value if isinstance(value, list) else [value] * count
        if value is not None and len(names) == count:
            return [tuple(names)]
        return [(name,) * count for name in ACTIVATIONS] if count else [()]

    kinds = [layer.kind for layer in foreign.weighted]
    key = "conv_activation" if hasattr(model, "conv_activation") else "activation"
    convolutions = options(key, kinds.count("Conv2D"))
    dense = options("dense_activation", kinds.count("Dense") - 1)
    return [(*a, *b, model.output_activation) for a, b in itertools.product(convolutions, dense)]


def possible_networks(
    foreign: Foreign, config: Config, *, given: bool, natural: Shape | None
) -> list[Network]:
    """Return the networks that a file's shapes leave possible, all linear, the plainest first.

    Args:
        foreign: the file.
        config: what it says is not varied.
        given: whether all of it counts, or only what was set by hand.
        natural: the shape of the images that decide; None if there are none.

    Raises:
        InputError: nothing fits, or a name stands for a layer that is not known.
    """
    _check_chain(foreign)
    model = config.model

    def is_said(key: str) -> bool:
        return hasattr(model, key) and (given or config.is_asked(f"model.{key}"))

    sizes = [tuple(shape[:2]) for shape in ([natural] if natural else [])] + [(28, 28), (32, 32)]
    sizes = [tuple(model.input_shape[:2])] if is_said("input_shape") else _distinct(sizes)
    by_hand = config.is_asked("model.conv_padding")
    paddings = _distinct(model.conv_padding) if by_hand else ["valid", "same"]
    pools = POOLS
    if is_said("pool_size"):
        pools = [{"pool_size": size} for size in _distinct(model.pool_size)]
    poolings = _distinct(model.pooling) if is_said("pooling") else ["average", "max"]
    poolings = [kind for kind in poolings if kind in POOL_KINDS] or ["average"]
    poolings = sorted(set(_pool_hints(foreign) or ()) - {""}) or poolings
    kernels = {each.kind: each.arrays[0].shape for each in reversed(foreign.weighted)}
    maps = kernels["Conv2D"][2] if "Conv2D" in kernels else 1
    normed = any(each.kind == "BatchNormalization" for each in foreign.weighted)
    found: list[tuple[tuple[int, ...], Shape, Chain]] = []
    for pooling, norm_first in itertools.product(poolings, (True, False) if normed else (True,)):
        options = _options(foreign, paddings, POOL_KINDS[pooling], pools, norm_first)
        for place, size in enumerate(sizes):
            shape = (*size, maps)
            chains = enumerate(_chains(foreign, options, shape))
            found += [((*_oddity(chain, place), number), shape, chain) for number, chain in chains]
    if not found:
        texts = ", ".join("x".join(map(str, size)) for size in sizes)
        raise InputError(
            f"{foreign.path}: no padding and pooling of its convolutions leads from {texts} "
            f"to the {kernels['Dense'][0]:,} inputs of its first dense layer\n"
            "Name the network with --model, or set its input with --set model.input_shape=[H,W,C]"
        )
    found.sort(key=lambda each: each[0])
    distinct = dict.fromkeys((shape, chain) for _, shape, chain in found)
    return [
        Network("imported", shape, named(list(chain)))
        for shape, chain in itertools.islice(distinct, MAX_NETWORKS)
    ]


def activations_of(network: Network) -> tuple[str, ...]:
    """Return the activation of each layer that has one."""
    given = (getattr(layer, "activation", None) for layer in network.layers)
    return tuple(activation for activation in given if activation)


def with_activations(network: Network, names: Sequence[str]) -> Network:
    """Return a network with these in place of `activations_of`."""
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


def _check_chain(foreign: Foreign) -> None:
    """Raise an InputError unless convolutions come before dense layers, of which there is one."""
    path = foreign.path
    for layer in foreign.weighted:
        if not layer.kind:
            shapes = str([array.shape for array in layer.arrays])
            raise InputError(
                f"{path}: {layer.name!r:.80} has arrays of {shapes:.100}, which fit no layer"
            )
    kinds = [each.kind for each in foreign.weighted if each.kind != "BatchNormalization"]
    if "Dense" not in kinds or kinds != sorted(kinds):  # "Conv2D" < "Dense"
        raise InputError(f"{path}: is no chain of convolutions and dense layers")
    if (count := kinds.count("Conv2D")) > MAX_CONVOLUTIONS:
        raise InputError(f"{path}: {count} convolutions; name the network with --model")


def _options(
    foreign: Foreign,
    paddings: Sequence[Any],
    pool_kind: type[Layer],
    pools: Sequence[dict[str, Any]],
    norm_first: bool,
) -> list[list[Chain]]:
    """Return what may stand for each layer with weights: it, and what follows, all linear.

    Args:
        foreign: the file.
        paddings: of convolutions.
        pool_kind: of poolings.
        pools: the arguments of each.
        norm_first: whether an activation follows a normalisation, or goes before it.
    """
    hints = _pool_hints(foreign)
    weighted = foreign.weighted
    options: list[list[Chain]] = []
    linear: Chain = (("", Activation(activation="linear")),)
    for place, each in enumerate(weighted):
        kernel, before = each.arrays[0].shape, [other.kind for other in weighted[:place]]
        if each.kind == "BatchNormalization":  # one after another layer was placed with it
            alone = before[-1:] in ([], ["BatchNormalization"])
            options.append([((each.name, BatchNormalization()),) if alone else ()])
            continue
        end: Chain = ()
        values: dict[str, Any] = {"use_bias": len(each.arrays) > 1, "activation": "linear"}
        if [other.kind for other in weighted[place + 1 : place + 2]] == ["BatchNormalization"]:
            end = ((weighted[place + 1].name, BatchNormalization()), *linear[: int(norm_first)])
            values["activation"] = None if norm_first else "linear"
        if each.kind == "Dense":
            start: Chain = () if "Dense" in before else (("", Flatten()),)
            options.append([(*start, (each.name, Dense(units=kernel[1], **values)), *end)])
            continue
        values |= {"filters": kernel[3], "kernel_size": kernel[0]}
        if kernel[0] != kernel[1]:
            values["kernel_size"] = kernel[:2]
        ends: list[Chain] = [(*end, ("", pool_kind(**pool))) for pool in pools]
        ends.append(end)
        if hints:
            ends = ends[:-1] if hints[before.count("Conv2D")] else ends[-1:]
        options.append(
            [
                ((each.name, Conv2D(**values, strides=stride, padding=padding)), *end)
                for padding in paddings
                for stride in ((1,) if max(kernel[:2]) < 7 else (1, 2, 4))  # large kernels leap
                for end in ends
            ]
        )
    return options


def _chains(foreign: Foreign, options: Sequence[Sequence[Chain]], shape: Shape) -> list[Chain]:
    """Return the chains of options that lead from an input to the kernels of all dense layers."""

    @cache
    def onward(place: int, shape: Shape) -> list[Chain]:
        if place == len(options):
            return [()]
        kernel = foreign.weighted[place].arrays[0].shape
        found: list[Chain] = []
        for chain in options[place]:
            if after := _shape_after(chain, shape, kernel):
                found += [(*chain, *rest) for rest in onward(place + 1, after)]
        return found[:MAX_CHAINS]

    return onward(0, shape)


def _shape_after(chain: Chain, shape: Shape, kernel: Shape) -> Shape | None:
    """Return the shape behind layers; None if it does not fit, or their kernel differs."""
    try:
        for _, layer in chain:
            if layer.weights(shape).get("kernel", kernel) != kernel:
                return None
            shape = layer.output_shape(shape)
    except InputError:
        return None
    return shape


def _pool_hints(foreign: Foreign) -> list[str] | None:
    """Return the pooling after each convolution as Keras names it, or ""; None if unknown."""
    names = foreign.layer_names
    kinds = [re.sub(r"_?\d+$", "", name.rpartition("/")[2]) for name in names]
    for name, kind in zip(names, kinds, strict=True):
        if "lambda" in kind.lower():
            raise InputError(
                f"{foreign.path}: layer {name!r:.80} is a Lambda by its name: what it computes is "
                "code, which a file of weights does not hold"
            )
    if not {*POOL_NAMES, "flatten"} & set(kinds) or set(kinds) - {*POOL_NAMES, *OTHER_NAMES}:
        return None
    convolutions = [each.name for each in foreign.weighted if each.kind == "Conv2D"]
    hints: list[str] = []
    for name, kind in zip(names, kinds, strict=True):
        if name in convolutions:
            hints.append("")
        elif kind in POOL_NAMES and hints:
            hints[-1] = POOL_NAMES[kind]
    return hints if len(hints) == len(convolutions) else None


def _oddity(chain: Chain, size: int) -> tuple[int, ...]:
    """Return what to sort by: few kinds of padding and pooling, sizes in the order given."""
    paddings = [layer.padding for _, layer in chain if isinstance(layer, Conv2D)]
    pools = [(layer.window, layer.steps) for _, layer in chain if "Pooling" in layer.kind]
    unusual = sum(pool != ((2, 2), (2, 2)) for pool in pools)
    return unusual, len({*paddings}) + len({*pools}), size, paddings.count("same")


def _distinct(values: Any) -> list[Any]:
    return list(dict.fromkeys(values if isinstance(values, list) else [values]))

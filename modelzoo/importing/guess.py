"""Work out a network from nothing but the shapes and names of its arrays.

A weights-only file tells the convolutions, their maps and kernels, and the units of dense layers.
It does not tell activations, padding, the kind of pooling or the input's size: here are the
networks that its shapes leave possible.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelzoo.errors import InputError
from modelzoo.importing.steps import Step
from modelzoo.networks.kinds import slide
from modelzoo.weights.layouts import by_pixel

MAX_GEOMETRIES = 40
POOL_NAMES = {"max_pooling2d": "max", "average_pooling2d": "average"}
OTHER_NAMES = (
    "conv2d", "dense", "flatten", "dropout", "activation", "batch_normalization", "input",
    "input_layer", "re_lu", "leaky_re_lu", "zero_padding2d", "softmax", "rescaling",
)  # fmt: skip


@dataclass(frozen=True)
class Geometry:
    """What shapes leave open of a chain of convolutions.

    Attributes:
        input_shape: (height, width, channels).
        paddings: of each convolution, "valid" or "same".
        strides: of each convolution.
        pools: (window, stride) after each convolution, or None.
        pooling: "average" or "max".
        norm_first: whether batch normalisation comes before the activation.
        by_channel: (height, width, maps) that are made flat channel by channel, as in PyTorch and
            in Keras with `channels_first`; None: pixel by pixel.
    """

    input_shape: tuple[int, int, int]
    paddings: tuple[str, ...]
    strides: tuple[tuple[int, int], ...]
    pools: tuple[tuple[int, int] | None, ...]
    pooling: str
    norm_first: bool
    by_channel: tuple[int, int, int] | None = None

    def __str__(self) -> str:
        """Return it in words."""
        height, width, channels = self.input_shape
        pools = ", ".join("none" if p is None else f"{p[0]}/{p[1]}" for p in self.pools)
        text = f"input {height}x{width}x{channels}, padding {', '.join(self.paddings)}"
        text = f"{text}, {self.pooling} pooling {pools}"
        return f"{text}, made flat channel by channel" if self.by_channel else text


@dataclass(frozen=True)
class Choices:
    """What may be tried; one value each where a person or a configuration has said it."""

    sizes: Sequence[tuple[int, int]]
    paddings: Sequence[str] = ("valid", "same")
    poolings: Sequence[str] = ("average", "max")
    pools: Sequence[tuple[int, int] | None] = ((2, 2), (3, 2), None)
    strides: Sequence[int] = (1,)
    by_channel: bool = False


def geometries(
    skeleton: list[Step], layer_names: Sequence[str], choices: Choices, path: Path
) -> list[Geometry]:
    """Return what the shapes leave possible, the plainest first.

    Args:
        skeleton: the layers with weights.
        layer_names: of all layers in order, if the file says them: Keras' own names tell poolings.
        choices: what may be tried.
        path: of the file, for messages.

    Raises:
        InputError: nothing fits, or a name stands for a layer that is not known.
    """
    convs = [step for step in skeleton if step.kind == "conv"]
    inputs = next(step for step in skeleton if step.kind == "dense").arrays[0].shape[0]
    channels = convs[0].arrays[0].shape[2] if convs else 1
    maps = convs[-1].arrays[1].size if convs else channels
    hints = _pool_hints(layer_names, convs, path)
    poolings = sorted({hint for hint in hints or () if hint}) or choices.poolings
    norms = (True, False) if any(step.kind == "norm" for step in skeleton) else (True,)
    after_each = [
        [p for p in choices.pools if (p is None) == (hint is None)] if hints else choices.pools
        for hint in (hints or [None] * len(convs))
    ]
    stride_choices = [  # large kernels often take large steps
        choices.strides if max(conv.arrays[0].shape[:2]) < 7 else (*choices.strides, 2, 4)
        for conv in convs
    ]
    found: list[Geometry] = []
    for size in choices.sizes:
        for paddings in itertools.product(choices.paddings, repeat=len(convs)):
            for strides in itertools.product(*stride_choices):
                pairs = tuple((s, s) for s in strides)
                for pools in itertools.product(*after_each):
                    left = _final_size(size, convs, paddings, pairs, pools)
                    if left is None or left[0] * left[1] * maps != inputs:
                        continue
                    kinds = poolings if any(pools) else poolings[:1]
                    for pooling, first in itertools.product(kinds, norms):
                        shape = (*size, channels)
                        by_channel = (*left, maps) if choices.by_channel else None
                        found.append(
                            Geometry(shape, paddings, pairs, pools, pooling, first, by_channel)
                        )
    if not found:
        sizes = ", ".join("x".join(map(str, size)) for size in choices.sizes)
        raise InputError(
            f"{path}: no padding and pooling of its {len(convs)} convolutions leads from {sizes} "
            f"to the {inputs:,} inputs of its first dense layer\n"
            "Name the network with --model, or set its input with --set model.input_shape=[H,W,C]"
        )
    found.sort(key=lambda each: _oddity(each, choices))
    return found[:MAX_GEOMETRIES]


def complete(skeleton: list[Step], geometry: Geometry, activations: Sequence[str]) -> list[Step]:
    """Return all steps of a network: the skeleton, with what a geometry and activations add."""
    steps: list[Step] = []
    names = iter(activations)
    conv, activation = -1, "linear"
    for index, step in enumerate(skeleton):
        arrays = list(step.arrays)
        follower = skeleton[index + 1] if index + 1 < len(skeleton) else None
        normed = follower is not None and follower.kind == "norm"
        if step.kind == "norm":
            steps.append(Step("norm", step.name, dict(step.settings), arrays))
            if geometry.norm_first:
                steps.append(Step("act", step.name, {"activation": activation}))
            if skeleton[index - 1].kind == "conv":
                steps += _pool(geometry, conv)
            continue
        activation = next(names)
        settings: dict[str, Any] = {
            "activation": "linear" if normed and geometry.norm_first else activation
        }
        if step.kind == "conv":
            conv += 1
            settings |= {"padding": geometry.paddings[conv], "strides": geometry.strides[conv]}
            settings["groups"] = 1
        elif not any(each.kind in ("flatten", "dense") for each in steps):
            steps.append(Step("flatten", "flatten"))
            if geometry.by_channel is not None:
                arrays[0] = by_pixel(arrays[0], *geometry.by_channel)
        steps.append(Step(step.kind, step.name, settings, arrays))
        if step.kind == "conv" and not normed:
            steps += _pool(geometry, conv)
    return steps


def _pool(geometry: Geometry, conv: int) -> Iterator[Step]:
    pool = geometry.pools[conv]
    if pool is not None:
        window, stride = pool
        yield Step("pool", f"pool{conv + 1}", {
            "pooling": geometry.pooling,
            "size": (window, window),
            "strides": (stride, stride),
            "padding": "valid",
        })  # fmt: skip


def _final_size(
    size: tuple[int, int],
    convs: list[Step],
    paddings: Sequence[str],
    strides: Sequence[tuple[int, int]],
    pools: Sequence[tuple[int, int] | None],
) -> tuple[int, int] | None:
    try:
        for conv, padding, stride, pool in zip(convs, paddings, strides, pools, strict=True):
            kernel = conv.arrays[0].shape
            size = slide(size, (kernel[0], kernel[1]), stride, padding)
            if pool is not None:
                size = slide(size, (pool[0], pool[0]), (pool[1], pool[1]), "valid")
    except InputError:
        return None
    return size


def _pool_hints(
    layer_names: Sequence[str], convs: list[Step], path: Path
) -> list[str | None] | None:
    """Return the pooling after each convolution by the names that Keras gives; None if unknown."""
    kinds = [re.sub(r"_?\d+$", "", name.rpartition("/")[2]) for name in layer_names]
    for name, kind in zip(layer_names, kinds, strict=True):
        if "lambda" in kind.lower():
            raise InputError(
                f"{path}: layer {name!r:.80} is a Lambda by its name: what it computes is code, "
                "which a file of weights does not hold"
            )
    if not any(kind in POOL_NAMES or kind == "flatten" for kind in kinds):
        return None
    if any(kind not in POOL_NAMES and kind not in OTHER_NAMES for kind in kinds):
        return None
    names = [conv.name for conv in convs]
    hints: list[str | None] = []
    for name, kind in zip(layer_names, kinds, strict=True):
        if name in names:
            hints.append(None)
        elif kind in POOL_NAMES and hints:
            hints[-1] = POOL_NAMES[kind]
    return hints if len(hints) == len(convs) else None


def _oddity(geometry: Geometry, choices: Choices) -> tuple[int, ...]:
    """Return what to sort by: few kinds of padding and pooling, sizes in the order given."""
    size = list(choices.sizes).index(geometry.input_shape[:2])
    kinds = len(set(geometry.paddings)) + len({p for p in geometry.pools if p})
    unusual = sum(p not in (None, (2, 2)) for p in geometry.pools)
    return unusual, kinds, size, sum(p == "same" for p in geometry.paddings)

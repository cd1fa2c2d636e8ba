"""What a foreign file leaves possible: networks for its shapes, and ways to prepare pixels.

A file of weights tells the convolutions, their maps and kernels, and the units of dense layers. It
does not tell activations, padding, strides, the kind of pooling or the input's size.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from msgspec.structs import replace

from modelzoo.config import Config, list_models, load_config
from modelzoo.convert.importing.description import named
from modelzoo.networks import Network
from modelzoo.networks.kinds import Activation, BatchNormalization, Conv2D, Dense, Flatten
from modelzoo.networks.layer import Layer, Shape
from modelzoo.networks.stages import POOLS as POOL_KINDS
from modelzoo.support.errors import InputError
from modelzoo.weights.stored import Stored

POOLS: list[dict[str, Any]] = [{"pool_size": 2}, {"pool_size": 3, "strides": 2}]
ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
LINEAR = Activation(activation="linear")
MAX_NETWORKS = 40
MAX_CONVOLUTIONS = 12
MAX_CHAINS = 20_000  # that are sorted; the plainest come first as it is
POOL_NAMES = {"max_pooling2d": "max", "average_pooling2d": "average"}
OTHER_NAMES = (
    "conv2d", "dense", "flatten", "dropout", "activation", "batch_normalization", "input",
    "input_layer", "re_lu", "leaky_re_lu", "zero_padding2d", "softmax", "rescaling",
)  # fmt: skip
Chain = tuple[Layer, ...]  # under the names that they have in the file
# Means and standard deviations of 0..1 that people copy from one another, by number of colours.
USUAL_MOMENTS: dict[int, dict[str, tuple[list[float], list[float]]]] = {
    1: {"(x / 255 - 0.1307) / 0.3081": ([0.1307], [0.3081])},  # PyTorch's example of MNIST
    3: {
        "standardised as ImageNet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        "standardised as CIFAR-10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    },
}


def packaged_network(stored: Stored) -> str | None:
    """Return the packaged network that a file by its kernels is of, if files say no more.

    Of PyTorch, it is one that publishes such a file; of Caffe, one for ImageNet.
    """
    kernels = [layer.shapes[0] for layer in stored.layers if layer.kind == "Conv2D"]
    for name in list_models() if stored.is_torch or stored.is_caffe else ():
        config = load_config(name)
        known = any(entry.format == "torch" for entry in config.weights)
        if stored.is_caffe:
            known = config.data.dataset == "imagenet"
        if known and config.network and kernels == kernels_of(config.network):
            return name
    return None


def kernels_of(network: Network) -> list[Shape]:
    """Return the shapes of the kernels of all convolutions."""
    convolutions = (each for each in network.with_inputs if each[0].kind == "Conv2D")
    return [layer.weights(inputs)["kernel"] for layer, inputs in convolutions]


def possible_activations(stored: Stored, config: Config, *, given: bool) -> list[tuple[str, ...]]:
    """Return the activations to try, one for each convolution and dense layer.

    What `config` says is not varied: all of it if it was `given`, else what was set by hand.
    """
    kinds = [layer.kind for layer in stored.layers]
    first = "conv_activation" if hasattr(config.model, "conv_activation") else "activation"
    counts = {first: kinds.count("Conv2D"), "dense_activation": kinds.count("Dense") - 1}
    options = []
    for key, count in counts.items():
        said = _said(config, key, given)
        names = tuple(said * count if len(said) == 1 else said)
        varied = [(name,) * count for name in ACTIVATIONS]
        options.append([names] if len(names) == count else varied)
    last = config.model.output_activation
    return [(*inner, *outer, last) for inner, outer in itertools.product(*options)]


def possible_networks(
    stored: Stored, config: Config, *, given: bool, natural: Shape | None
) -> list[Network]:
    """Return the networks that a file's shapes leave possible, all linear, the plainest first."""
    _check_chain(stored)
    hints = _pool_hints(stored)
    fixed = _said(config, "input_shape", given)
    shapes = [fixed] if fixed else [natural or (28, 28), (28, 28), (32, 32)]
    sizes = list(dict.fromkeys(tuple(shape[:2]) for shape in shapes))
    paddings = [*dict.fromkeys(_said(config, "conv_padding", False))] or ["valid", "same"]
    pool_sizes = dict.fromkeys(_said(config, "pool_size", given))
    pools = [{"pool_size": size} for size in pool_sizes] or POOLS
    said = POOL_KINDS.keys() & _said(config, "pooling", given)
    poolings = sorted(set(hints or ()) - {""} or said or POOL_KINDS)
    kernels = {each.kind: each.arrays[0].shape for each in reversed(stored.layers)}
    maps = kernels["Conv2D"][2] if "Conv2D" in kernels else 1
    normed = "BatchNormalization" in kernels
    found: list[tuple[tuple[int, ...], Shape, Chain]] = []
    for pooling, norm_first in itertools.product(poolings, (True, False)[: 1 + normed]):
        ends: list[Chain] = [*((POOL_KINDS[pooling](**pool),) for pool in pools), ()]
        options = _options(stored, paddings, ends, hints, norm_first=norm_first)
        for place, size in enumerate(sizes):
            shape = (*size, maps)
            chains = enumerate(_chains(stored, options, shape))
            found += [((*_oddity(chain, place), number), shape, chain) for number, chain in chains]
    if not found:
        texts = ", ".join("x".join(map(str, size)) for size in sizes)
        raise InputError(
            f"{stored.path}: no padding and pooling of its convolutions leads from {texts} "
            f"to the {kernels['Dense'][0]:,} inputs of its first dense layer\n"
            "Name the network with --model, or set its input with --set model.input_shape=[H,W,C]"
        )
    found.sort(key=lambda each: each[0])
    distinct = [*dict.fromkeys((shape, chain) for _, shape, chain in found)][:MAX_NETWORKS]
    return [Network("imported", shape, named(chain)) for shape, chain in distinct]


def activations_of(network: Network) -> tuple[str, ...]:
    """Return the activation of each layer that has one."""
    given = (getattr(layer, "activation", None) for layer in network.layers)
    return tuple(activation for activation in given if activation)


def with_activations(network: Network, names: Sequence[str]) -> Network:
    """Return a network with these in place of `activations_of`."""
    rest = iter(names)
    layers = tuple(
        replace(layer, activation=next(rest)) if getattr(layer, "activation", None) else layer
        for layer in network.layers
    )
    return Network(network.name, network.input_shape, layers)


def in_words(network: Network) -> str:
    """Return what a guess has chosen: the input, paddings and strides, and poolings."""
    said = [f"input {'x'.join(map(str, network.input_shape))}"]
    for layer in network.layers:
        padding = getattr(layer, "padding", "")
        size = "/".join(str(pair[0]) for pair in (layer.window, layer.steps) if pair)
        said += [f"{layer.kind} {size} {padding}"] if padding else []
    return ", ".join(said)


def _check_chain(stored: Stored) -> None:
    """Raise an InputError unless convolutions come before dense layers, of which there is one."""
    for layer in stored.layers:
        if not layer.kind:
            shapes = f"{layer.label!r:.80} has arrays of {layer.shapes!s:.100}"
            raise InputError(
                f"{stored.path}: {shapes}, which fit no layer that is recognised by its arrays: "
                "Conv2D, Dense, BatchNormalization"
            )
    kinds = [each.kind for each in stored.layers if each.kind != "BatchNormalization"]
    if "Dense" not in kinds or kinds != sorted(kinds):  # "Conv2D" < "Dense"
        raise InputError(f"{stored.path}: is no chain of convolutions and dense layers")
    if (count := kinds.count("Conv2D")) > MAX_CONVOLUTIONS:
        raise InputError(f"{stored.path}: {count} convolutions; name the network with --model")


def _options(
    stored: Stored,
    paddings: Sequence[Any],
    ends: Sequence[Chain],
    hints: Sequence[str] | None,
    *,
    norm_first: bool,
) -> list[list[Chain]]:
    """Return what may stand for each layer with weights: it, and what follows, all linear.

    With `norm_first`, an activation follows a normalisation, else it goes before it. A convolution
    ends with one of `ends`, the last of which is no pooling; `hints` as from `_pool_hints`.
    """
    layers = stored.layers
    kinds = [each.kind for each in layers] + [""]
    options: list[list[Chain]] = []
    epsilon = 1e-5 if stored.is_torch else 1e-3  # as each library has it by default
    for place, each in enumerate(layers):
        before, kernel = kinds[:place], each.arrays[0].shape
        if each.kind == "BatchNormalization":  # one after another layer was placed with it
            alone = before[-1:] in ([], ["BatchNormalization"])
            options.append(
                [(BatchNormalization(name=each.label, epsilon=epsilon),) if alone else ()]
            )
            continue
        normed = kinds[place + 1] == "BatchNormalization"
        norm: Chain = ()
        if normed:
            after = BatchNormalization(name=layers[place + 1].label, epsilon=epsilon)
            norm = (after, *[LINEAR] * norm_first)
        activation = None if normed and norm_first else "linear"
        values: Any = {"name": each.label, "use_bias": len(each.arrays) > 1}
        values["activation"] = activation
        if each.kind == "Dense":
            flatten = () if "Dense" in before else (Flatten(),)
            options.append([(*flatten, Dense(units=kernel[1], **values), *norm)])
            continue
        size = kernel[0] if kernel[0] == kernel[1] else kernel[:2]
        values |= {"filters": kernel[3], "kernel_size": size}
        leaps = (1,) if max(kernel[:2]) < 7 else (1, 2, 4)  # large kernels leap
        pools = ends
        if hints:
            pools = ends[:-1] if hints[before.count("Conv2D")] else ends[-1:]
        options.append(
            [
                (Conv2D(**values, strides=stride, padding=padding), *norm, *pool)
                for padding, stride, pool in itertools.product(paddings, leaps, pools)
            ]
        )
    return options


def _chains(stored: Stored, options: Sequence[Sequence[Chain]], shape: Shape) -> list[Chain]:
    """Return the chains of options that lead from an input to the kernels of all dense layers."""

    @cache
    def onward(place: int, shape: Shape) -> list[Chain]:
        if place == len(options):
            return [()]
        kernel = stored.layers[place].arrays[0].shape
        found: list[Chain] = []
        for chain in options[place]:
            if after := _shape_after(chain, shape, kernel):
                found += [(*chain, *rest) for rest in onward(place + 1, after)]
        return found[:MAX_CHAINS]

    return onward(0, shape)


def _shape_after(chain: Chain, shape: Shape, kernel: Shape) -> Shape | None:
    """Return the shape behind layers; None if it does not fit, or their kernel differs."""
    try:
        for layer in chain:
            if layer.weights(shape).get("kernel", kernel) != kernel:
                return None
            shape = layer.output_shape(shape)
    except InputError:
        return None
    return shape


def _pool_hints(stored: Stored) -> list[str] | None:
    """Return the pooling after each convolution as Keras names it, or ""; None if unknown."""
    names = stored.layer_names
    kinds = [re.sub(r"_?\d+$", "", name.rpartition("/")[2]) for name in names]
    if code := [name for name in names if "lambda" in name.lower()]:
        raise InputError(
            f"{stored.path}: layer {code[0]!r:.80} is a Lambda by its name: what it computes is "
            "code, which a file of weights does not hold"
        )
    if not {*POOL_NAMES, "flatten"} & set(kinds) or set(kinds) - {*POOL_NAMES, *OTHER_NAMES}:
        return None
    convolutions = [each.label for each in stored.layers if each.kind == "Conv2D"]
    hints: list[str] = []
    for name, kind in zip(names, kinds, strict=True):
        if name in convolutions:
            hints.append("")
        elif kind in POOL_NAMES and hints:
            hints[-1] = POOL_NAMES[kind]
    return hints if len(hints) == len(convolutions) else None


def _oddity(chain: Chain, size: int) -> tuple[int, ...]:
    """Return what to sort by: few kinds of padding and pooling, sizes in the order given."""
    paddings = [layer.padding for layer in chain if isinstance(layer, Conv2D)]
    pools = [(layer.window, layer.steps) for layer in chain if "Pooling" in layer.kind]
    unusual = sum(pool != ((2, 2), (2, 2)) for pool in pools)
    return unusual, len({*paddings}) + len({*pools}), size, paddings.count("same")


def _said(config: Config, key: str, given: bool) -> list[Any]:
    """Return what a configuration says of its network if that is not to be varied, else []."""
    is_fixed = given or config.is_asked(f"model.{key}")
    value = getattr(config.model, key, None) if is_fixed else None
    return value if isinstance(value, list) else [value] * (value is not None)


@dataclass(frozen=True)
class Pixels:
    """One way to prepare images."""

    name: str  # such as "0..1"
    geometry: str  # "as they are", "padded by 2 to 32x32", "resized to 32x32"
    layers: list[Any] = field(compare=False)  # for `data.preprocessing`

    @property
    def own(self) -> bool:
        """Whether its numbers are of the images at hand, not those that people copy."""
        return re.fullmatch(r"standardised( by colour)?( with its padding)?", self.name) is not None

    def __str__(self) -> str:
        return f"pixels {self.name}, {self.geometry}"


def usual_pixels(images: np.ndarray, shape: Shape) -> list[Pixels]:
    """Return the usual ways to bring uint8 images (n, h, w, c) to a network's input.

    Each scaling of `_scalings`; other sizes are padded with black, where that is possible on all
    sides alike, or resized.
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
    own = _moments(images.reshape(-1, 1), share)
    if not any(np.allclose(own, usual, atol=0.005) for usual in moments.values()):
        moments["standardised"] = own
    if channels > 1 and images.shape[3] == channels:
        moments["standardised by colour"] = _moments(images, share)
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
    """Return mean and standard deviation of each channel in 0..1, with black added around."""
    means, deviations, values = [], [], np.arange(256)
    for channel in np.moveaxis(images, -1, 0):
        counts = np.bincount(channel.ravel(), minlength=256) / channel.size * share
        mean = float(counts @ values)
        means.append(mean / 255)
        deviations.append(max(float(np.sqrt(counts @ values**2 - mean**2)), 1e-3) / 255)
    return means, deviations

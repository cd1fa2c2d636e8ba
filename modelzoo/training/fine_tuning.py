"""Begin a training with the weights of another one, and keep some of its layers as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.config import Config, list_models, load_config
from modelzoo.config.sources import without_password
from modelzoo.support.errors import InputError, suggest
from modelzoo.support.hashes import sha256_of
from modelzoo.weights.find import find_weights, named_weights
from modelzoo.weights.reader import load_weights, weighted_layers

if TYPE_CHECKING:
    import keras

ALL_BUT_HEAD = "all-but-head"


@dataclass(frozen=True)
class Start:
    """The weights that a training starts from.

    Attributes:
        name: what `trainer.weights` should say to find them again: "lenet5/mnist", or a path.
        path: of the file.
        sha256: of the file.
    """

    name: str
    path: Path
    sha256: str


def find_start(config: Config, *, allow_unverified: bool = False) -> Start | None:
    """Return the weights that `trainer.weights` names, or None. Starts no framework.

    They are a published name of this network, NETWORK/NAME of another configuration, the path of a
    file or of a run's folder, or an address.

    Raises:
        InputError: there are no such weights, or not with the hash in `trainer.weights_sha256`.
    """
    weights, sha256 = config.trainer.weights, config.trainer.weights_sha256
    if weights is None:
        return None
    network, _, name = weights.rpartition("/")
    source = config
    if network in list_models() and any(w.name == name for w in load_config(network).weights):
        source, weights = load_config(network), name
    published = named_weights(source, weights)
    path = find_weights(
        source,
        weights,
        sha256=None if published else sha256,
        allow_unverified=allow_unverified,
    )
    found = sha256_of(path)
    if sha256 not in (None, found):
        raise InputError(
            f"{path}: is another file than the one with the SHA-256 {sha256} "
            "(trainer.weights_sha256)"
        )
    if published:
        packaged = source.name in list_models() and published in load_config(source.name).weights
        # A run's folder does not hold the YAML that somebody has written weights into.
        weights = f"{source.name}/{published.name}" if packaged else str(path)
    return Start(without_password(weights), path, found)  # it is written into the run's files


def head_of(network: keras.Model, num_classes: int) -> Any:
    """Return the layer whose units stand for the classes; None if they have no weights."""
    last = weighted_layers(network)[-1]
    return last if last.weights[-1].shape[-1] == num_classes else None


def load_start(network: keras.Model, start: Start, num_classes: int) -> str:
    """Copy the weights into the network, and say in words what was copied.

    A head for another number of classes keeps the weights that it was initialised with.

    Raises:
        InputError: any other layer differs; the network is unchanged then.
    """
    head = head_of(network, num_classes)
    units = load_weights(network, start.path, new_head=head is not None)
    message = f"starting from {start.name} (SHA-256 {start.sha256})"
    if units is None:
        return message
    return f"{message}\n{head.name}: {units} -> {num_classes} classes, newly initialised"


def freeze(network: keras.Model, patterns: str | Sequence[str], num_classes: int) -> list[str]:
    """Keep layers from being trained; return their names.

    A frozen batch normalisation works with the statistics that it has.

    Args:
        network: not compiled yet.
        patterns: names of layers, in which * stands for anything, or "all-but-head".
        num_classes: by which the head is known.

    Raises:
        InputError: a pattern fits no layer that has weights, or nothing is left to be trained.
    """
    layers = weighted_layers(network)
    head = head_of(network, num_classes)
    frozen: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if pattern == ALL_BUT_HEAD and head is None:
            raise InputError(
                f"trainer.freeze: {network.name} has no layer with a unit for each class, which "
                f"{ALL_BUT_HEAD} would leave; name the layers"
            )
        names = {
            layer.name
            for layer in layers
            if (layer is not head if pattern == ALL_BUT_HEAD else fnmatchcase(layer.name, pattern))
        }
        if not names:
            near = suggest(pattern, [ALL_BUT_HEAD, *(layer.name for layer in layers)])
            raise InputError(f"trainer.freeze: no layer with weights is called {pattern!r}{near}")
        frozen |= names
    for layer in layers:
        layer.trainable = layer.name not in frozen
    if not network.trainable_variables:
        raise InputError("trainer.freeze: every layer is frozen; nothing is left to be trained")
    return [layer.name for layer in layers if layer.name in frozen]

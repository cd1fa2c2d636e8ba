"""Begin a training with the weights of another one, and keep some of its layers as they are."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.config import Config, list_models, load_config
from modelzoo.config.published import without_password
from modelzoo.support.errors import InputError, suggest
from modelzoo.support.hashes import sha256_of
from modelzoo.weights.find import find_weights, named_weights
from modelzoo.weights.reader import load_weights, weighted_layers

if TYPE_CHECKING:
    import keras

ALL_BUT_HEAD = "all-but-head"


def find_start(config: Config, *, allow_unverified: bool = False) -> tuple[Config, Path | None]:
    """Find the weights that `trainer.weights` names, and return their file, if they name any.

    They are a published name of this network, NETWORK/NAME of another configuration, the path of a
    file or of a run's folder, or an address. The configuration that is returned says how to find
    the same ones again, and their SHA-256. Starts no framework.
    """
    weights, sha256 = config.trainer.weights, config.trainer.weights_sha256
    if weights is None:
        return config, None
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
    # What is written into the run's files names no password.
    values = {"weights": without_password(weights), "weights_sha256": found}
    return config.with_values({"trainer": values}, "the start"), path


def head_of(network: keras.Model, num_classes: int) -> Any:
    """Return the layer whose units stand for the classes; None if they have no weights."""
    last = weighted_layers(network)[-1]
    return last if last.weights[-1].shape[-1] == num_classes else None


def load_start(network: keras.Model, path: Path, config: Config) -> str:
    """Copy the weights that `find_start` found into the network, and say what was copied.

    A head for another number of classes keeps the weights that it was initialised with.
    """
    classes, trainer = config.model.num_classes, config.trainer
    head = head_of(network, classes)
    units = load_weights(network, path, new_head=head is not None)
    message = f"starting from {trainer.weights} (SHA-256 {trainer.weights_sha256})"
    if units is None:
        return message
    return f"{message}\n{head.name}: {units} -> {classes} classes, newly initialised"


def freeze(network: keras.Model, patterns: str | Sequence[str], num_classes: int) -> list[str]:
    """Keep layers from being trained; return their names.

    A frozen batch normalisation works with the statistics that it has.

    Args:
        network: not compiled yet.
        patterns: names of layers, in which * stands for anything, or "all-but-head".
        num_classes: by which the head is known.
    """
    layers, head = weighted_layers(network), head_of(network, num_classes)
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

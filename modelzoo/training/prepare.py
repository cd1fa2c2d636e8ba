"""Make what a configuration names: network, data set, input pipeline, weights of classes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from msgspec.structs import asdict

from modelzoo.config import Config, list_models, load_config
from modelzoo.config.published import without_password
from modelzoo.data.checking import usable
from modelzoo.data.datasets import load_dataset
from modelzoo.networks import BUILDERS, Network
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.files import sha256_of
from modelzoo.training.device import start_framework
from modelzoo.weights.store import find_weights, named_weights

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from modelzoo.data.source import Dataset

SMALL_SPLIT = 0.2  # share of a data set that is too small for its configuration


def build_network(config: Config) -> keras.Model:
    """Build a configuration's network in its precision."""
    network = config.network
    if "keras" not in sys.modules:
        start_framework(os.environ.get("KERAS_BACKEND") or config.trainer.backend)

    import keras

    from modelzoo.networks.keras_objects import keras_arguments, to_keras

    keras_arguments(config.builder_arguments, f"{config.name}: model.")  # before Keras reads them
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.trainer.precision)
    try:
        if network is not None:
            return to_keras(network)
        built = BUILDERS[config.model.builder](**config.builder_arguments)
        return to_keras(built) if isinstance(built, Network) else built
    except InputError as error:
        raise InputError(f"{config.name}: model: {error}") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{config.name}: model: Keras refuses it: {reason_of(error)}") from None
    finally:
        keras.config.set_dtype_policy(before)


def open_dataset(
    config: Config,
    notify: Callable[[str], None],
    *,
    is_new: bool = False,
    console: Console | None = None,
) -> tuple[Dataset, Config]:
    """Load a configuration's data set, or its replacement; return it with a configuration for it.

    If `is_new`, the network is about to be trained, and gets the data set's classes; else it has to
    have as many. A folder of images is looked through before, or if bad ones shall be left out;
    `console` shows the progress.
    """
    name, skip = config.data.dataset, config.data.skip_bad_images
    check = partial(usable, skip=skip, console=console) if is_new or skip else None
    # Files of any size are fitted as `image` says; arrays were prepared by whoever published them.
    data = load_dataset(
        name, image_shape=config.image_shape, notify=notify, check=check, **asdict(config.image)
    )
    if data.name != name:
        config = config.with_dataset(data.name)
    return data, fit_config_to_data(config, data, notify if is_new else None)


def fit_config_to_data(
    config: Config, data: Dataset, notify: Callable[[str], None] | None
) -> Config:
    """Return the configuration with as many validation images as a small data set can spare.

    With `notify`, the network is about to be trained: it gets the data set's class names, and as
    many classes, unless their number was set by hand.
    """
    classes, images = len(data.class_names), len(data.y_train)
    values: dict[str, Any] = {}
    if notify is not None:
        values["data"] = {"class_names": list(data.class_names)}
        if config.model.num_classes != classes and not config.is_asked("model.num_classes"):
            notify(f"{data.name} has {classes} classes: model.num_classes is set to {classes}")
            values["model"] = {"num_classes": classes}
    if "model" not in values:
        check_classes(data, config, config.name)
    split = config.data.validation_split
    asked = isinstance(split, float) or config.is_asked("data.validation_split")
    if not asked and 2 * split > images:
        values.setdefault("data", {})["validation_split"] = SMALL_SPLIT
        if notify is not None:
            notify(
                f"{data.name} has {images:,} training images: a fifth of them, not {split:,}, is "
                "kept for validation (data.validation_split)"
            )
    return config.with_values(values, f"the data set {data.name}", asked=False)


def check_classes(data: Dataset, config: Config, name: str) -> None:
    """Raise an InputError if a data set has more classes than the network called `name`."""
    outputs, classes = config.model.num_classes, len(data.class_names)
    if outputs < classes:
        raise InputError(
            f"{name}: model.num_classes: {outputs} is too few for the {classes} classes of "
            f"{data.name}"
        )


def class_weights(
    chosen: Mapping[int, float] | Literal["balanced"] | None, labels: np.ndarray, classes: int
) -> dict[int, float] | None:
    """Return a weight for each class, as `keras.Model.fit` takes them, of `fit.class_weight`.

    Classes left out have the weight 1. "balanced" is in inverse proportion to the images of each
    class, with a mean of 1 over all images, as scikit-learn computes it, and 1 without images.
    """
    if chosen is None:
        return None
    if chosen != "balanced":
        return {label: float(chosen.get(label, 1.0)) for label in range(classes)}
    counts = np.bincount(labels, minlength=classes)
    present = int((counts > 0).sum())
    return {
        label: len(labels) / (present * int(count)) if count else 1.0
        for label, count in enumerate(counts)
    }


def scale_images(config: Config, images: np.ndarray) -> np.ndarray:
    """Do the work of `modelzoo.preprocess`."""
    from modelzoo.data.preprocessor import Preprocessor

    images = _with_channels(images)
    opened, wanted = config.image_shape, tuple(config.model.input_shape)
    # A layer that crops would silently enlarge them, or take their middle.
    if config.data.image_size and images.shape[1:3] not in (opened[:2], wanted[:2]):
        raise InputError(
            f"preprocess: images are {images.shape[1]}x{images.shape[2]}, but {config.name} "
            f"opens them at {opened[0]}x{opened[1]} (data.image_size)"
        )
    prepared = Preprocessor(config.data.preprocessing).to_numpy(images)
    if prepared.shape[1:] != wanted:
        raise InputError(
            f"preprocess: images of {images.shape[1:]} become {prepared.shape[1:]}, "
            f"but {config.name} takes {wanted}"
        )
    return prepared


def stored_images(config: Config, images: np.ndarray) -> np.ndarray:
    """Return images as a network's preprocessing takes them, (n, height, width, channels)."""
    images = _with_channels(images)
    if images.shape[1:] != config.image_shape:
        raise InputError(f"images of {images.shape[1:]}; {config.name} takes {config.image_shape}")
    return images


def _with_channels(images: np.ndarray) -> np.ndarray:
    """Return images as they are stored in four dimensions; refuse those that are scaled already."""
    images = np.asarray(images)
    if images.dtype != np.uint8:
        is_float = images.dtype.kind == "f" and images.size > 0
        if not (is_float and images.min() >= 0 and 1 < images.max() <= 255):
            raise InputError(
                f"images should be uint8, or float in 0..255, not {images.dtype} of other values; "
                "those from 0 to 1 count as scaled already"
            )
        images = images.astype("float32", copy=False)
    if images.ndim not in (3, 4):
        raise InputError(f"images should be (n, height, width, channels), not {images.shape}")
    return images[..., np.newaxis] if images.ndim == 3 else images


def find_start(config: Config, *, allow_unverified: bool = False) -> tuple[Config, Path | None]:
    """Find the weights that `trainer.weights` names, and return their file, if they name any.

    The configuration that is returned says how to find the same ones again, and their SHA-256.
    Starts no framework.
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

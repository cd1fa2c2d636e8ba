"""What a network sees in images, by the engine that computes it: NumPy, or a framework."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.config import Config
from modelzoo.support.errors import InputError, suggest
from modelzoo.training.engine import Engine, KerasEngine, NumPyEngine, start_engine
from modelzoo.training.prepare import scale_images, stored_images
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:
    import keras

UNCHANGED = ("InputLayer", "Dropout", "Flatten")  # layers that pass their input on, once trained


def features(
    model: str | Path | Config | keras.Model,
    images: np.ndarray,
    layers: Sequence[str] | None = None,
    *,
    weights: str | Path | None = None,
    batch_size: int = 256,
    device: str = "auto",
) -> dict[str, np.ndarray]:
    """Return what layers of a network put out.

    By a name NumPy computes them, where it has the network's layers and no framework or GPU is
    asked for.

    Args:
        model: NAME or NAME/WEIGHTS, a path to a YAML, the folder of a run, or a configuration; or
            a functional `keras.Model`.
        images: as they are stored, (n, height, width) or (n, height, width, channels), uint8 or
            float in 0..255; for a `keras.Model` as `preprocess` returns them, (n, *input_shape).
        layers: names of layers, in the order wanted; by default all but the input, from it on.
        weights: as for `load`; a `keras.Model` has its own.
        batch_size: images computed at once.
        device: as for `Trainer`.

    Returns:
        float32 arrays (n, *output shape) by the name of their layer.

    Raises:
        InputError: the network has no such layer, or does not take the images.

    Examples:
        >>> digits = modelzoo.load_dataset("mnist5k").x_test[:2]
        >>> maps = modelzoo.features("lenet5/mnist", digits)
        >>> maps["C1"].shape, maps["F6"].shape
        ((2, 24, 24, 6), (2, 84))
    """
    if not isinstance(model, str | Path | Config):
        from modelzoo.analysis import explain

        return explain.features(model, images, layers, batch_size=batch_size)
    source = resolve(model, weights)
    pictures = stored_images(source.config, images)
    return _features(source, start_engine(source, device), pictures, layers, batch_size)


def saliency(
    model: str | Path | Config | keras.Model,
    images: np.ndarray,
    classes: np.ndarray | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
) -> np.ndarray:
    """Return how much each pixel moves the prediction: the size of the score's gradient.

    Args:
        model: as for `features`. A softmax at the end of the network is left out.
        images: as for `features`.
        classes: (n,), the class whose score is followed; by default the one that is predicted.
        weights: as for `load`; a `keras.Model` has its own.
        device: as for `Trainer`.

    Returns:
        (n, height, width), float32, from 0: the largest of the channels. By a name, it is the
        change of the score for one grey value more.

    Raises:
        InputError: the network does not take the images.

    Reference:
        Simonyan, Vedaldi, Zisserman (2014), Deep inside convolutional networks, section 3.

    Examples:
        >>> digits = modelzoo.load_dataset("mnist5k").x_test[:2]
        >>> modelzoo.saliency("lenet5/mnist", digits).shape
        (2, 28, 28)
    """
    if not isinstance(model, str | Path | Config):
        from modelzoo.analysis import explain

        return explain.saliency(model, images, classes)
    source = resolve(model, weights)
    pictures = stored_images(source.config, images)
    return _saliency(source, _differentiating(source, device), pictures, classes)


@dataclass(frozen=True)
class Seen:
    """What was seen in an image, float32 arrays by the name of their layer."""

    features: dict[str, np.ndarray]
    kinds: dict[str, str]  # of all layers
    outputs: np.ndarray  # (classes,)
    saliency: np.ndarray  # (height, width)


def see(
    source: Source, pixels: np.ndarray, layers: Sequence[str] | None = None, device: str = "auto"
) -> Seen:
    """Compute a network for one image, uint8 (height, width, channels).

    `layers` are by default all that change their input, but for the last; an InputError names one
    that the network lacks.
    """
    engine, pictures = _differentiating(source, device), pixels[np.newaxis]
    described = source.config.network
    if described and isinstance(engine, NumPyEngine):
        kinds = {layer.name: layer.kind for layer in described.layers}
    elif isinstance(engine, KerasEngine):
        kinds = {layer.name: type(layer).__name__ for layer in engine.network.layers}
    *inner, last = kinds
    chosen = layers or [name for name in inner if kinds[name] not in UNCHANGED]
    found = _features(source, engine, pictures, [*chosen, last])
    classes = found[last].argmax(axis=1)
    saliency = _saliency(source, engine, pictures, classes)[0]
    return Seen({name: found[name][0] for name in chosen}, kinds, found[last][0], saliency)


def _differentiating(source: Source, device: str) -> Engine:
    """Return what computes a network and its gradient by the images."""
    engine = start_engine(source, device)
    if isinstance(engine, KerasEngine) or engine.is_differentiated:
        return engine
    return KerasEngine(source, device)


def _features(
    source: Source,
    engine: Engine,
    images: np.ndarray,
    layers: Sequence[str] | None = None,
    batch_size: int = 256,
) -> dict[str, np.ndarray]:
    if isinstance(engine, KerasEngine):
        from modelzoo.analysis import explain

        with engine.device.scope():
            prepared = scale_images(source.config, images)
            return explain.features(engine.network, prepared, layers, batch_size=batch_size)
    described = source.config.network or engine.network.network
    known = [layer.name for layer in described.layers]
    layers = known if layers is None else list(layers)
    for name in layers:
        if name not in known:
            raise InputError(f"{source.config.name} has no layer {name!r}{suggest(name, known)}")
    found: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    for part in _parts(images, batch_size):
        computed = dict(engine.network.features(engine.preprocessing.predict(part)))
        *_, scores = computed.values()
        computed[known[-1]] = engine.outputs(scores)
        for name in found:
            found[name].append(computed[name])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _saliency(
    source: Source, engine: Engine, images: np.ndarray, classes: np.ndarray | None
) -> np.ndarray:
    if classes is None:
        classes = engine.predict(images).argmax(axis=1)
    if isinstance(engine, NumPyEngine):
        (count,) = engine.network.network.shapes[-1]
        chosen = np.eye(count, dtype="float32")[np.asarray(classes)]
        parts = zip(_parts(images), _parts(chosen), strict=True)
        gradients = [engine.input_gradient(*part) for part in parts]
        return np.abs(np.concatenate(gradients)).max(axis=-1)
    from modelzoo.analysis import explain

    with engine.device.scope():
        by_pictures = explain.on_pictures(explain.before_softmax(engine.network), source.config)
        return explain.saliency(by_pictures, images, classes)


def _parts(images: np.ndarray, size: int = 256) -> Iterator[np.ndarray]:
    return (images[start : start + size] for start in range(0, len(images), size))

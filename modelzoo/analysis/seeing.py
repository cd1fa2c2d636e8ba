"""What a network sees in one image, by the engine that computes it: NumPy, or a framework."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelzoo.networks import Network
from modelzoo.support.errors import InputError, suggest
from modelzoo.training.engine import KerasEngine, NumPyEngine, start_engine
from modelzoo.training.prepare import scale_images
from modelzoo.training.resolve import Source

UNCHANGED = ("InputLayer", "Dropout", "Flatten")  # layers that pass their input on, once trained
Found = tuple[dict[str, str], dict[str, np.ndarray], np.ndarray]  # kinds, features, saliency


@dataclass(frozen=True)
class Seen:
    """What was seen, float32 arrays by the name of their layer."""

    features: dict[str, np.ndarray]
    kinds: dict[str, str]  # of all layers
    outputs: np.ndarray  # (classes,)
    saliency: np.ndarray  # (height, width): see `explain.saliency`


def see(
    source: Source, pixels: np.ndarray, layers: Sequence[str] | None = None, device: str = "auto"
) -> Seen:
    """Compute a network for one image, uint8 (height, width, channels).

    `layers` are by default all that change their input, but for the last; an InputError names one
    that the network lacks.
    """
    engine, described, pictures = start_engine(source, device), source.config.network, pixels[None]
    if isinstance(engine, NumPyEngine) and described and engine.is_differentiated:
        kinds, found, saliency = _by_numpy(engine, described, pictures)
    else:
        engine = engine if isinstance(engine, KerasEngine) else KerasEngine(source, device)
        kinds, found, saliency = _by_keras(engine, pictures)
    *inner, last = kinds
    chosen = layers or [name for name in inner if kinds[name] not in UNCHANGED]
    for name in chosen:
        if name not in found:
            raise InputError(f"{source.config.name} has no layer {name!r}{suggest(name, found)}")
    return Seen({name: found[name][0] for name in chosen}, kinds, found[last][0], saliency[0])


def _by_numpy(engine: NumPyEngine, described: Network, pictures: np.ndarray) -> Found:
    found = dict(engine.network.features(engine.preprocessing.predict(pictures)))
    *_, scores = found.values()
    found[described.layers[-1].name] = engine.outputs(scores)
    chosen = np.eye(scores.shape[1])[scores.argmax(axis=1)]
    saliency = np.abs(engine.input_gradient(pictures, chosen)).max(axis=-1)
    return {layer.name: layer.kind for layer in described.layers}, found, saliency


def _by_keras(engine: KerasEngine, pictures: np.ndarray) -> Found:
    from modelzoo.analysis import explain

    network, config = engine.network, engine.config
    with engine.device.scope():
        found = explain.features(network, scale_images(config, pictures))
        *_, outputs = found.values()
        by_pictures = explain.on_pictures(explain.before_softmax(network), config)
        saliency = explain.saliency(by_pictures, pictures, outputs.argmax(axis=1))
    return {layer.name: type(layer).__name__ for layer in network.layers}, found, saliency

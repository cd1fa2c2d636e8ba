"""Complete an import: the configuration around a network, its pixels, its score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from msgspec.structs import asdict

from modelzoo.config import Config, list_models, load_config
from modelzoo.data.datasets import load_dataset_or_fallback, takes_image_options
from modelzoo.data.source import Dataset
from modelzoo.errors import InputError
from modelzoo.importing.foreign import Foreign
from modelzoo.importing.imported import Imported
from modelzoo.importing.pixels import Images, is_poor, usual_pixels
from modelzoo.importing.weights_only import with_network
from modelzoo.networks import Network
from modelzoo.networks.layer import maps_of
from modelzoo.networks.network import as_specs
from modelzoo.training.evaluation import compile_for_scoring, score
from modelzoo.training.prepare import (
    build_network,
    open_dataset,
    open_pipeline,
)
from modelzoo.weights.reader import assign_arrays


def fit_file(
    foreign: Foreign,
    model: str | Path | None,
    dataset: str | None,
    overrides: Sequence[str],
    name: str,
    notify: Callable[[str], None],
) -> Imported:
    """Return the whole import but its files; the arguments are those of `import_file`."""
    config = load_config(model or "lenet5", dataset=dataset if model else None, overrides=overrides)
    if model is not None and foreign.classes is not None:
        config = _with(config, {"model": {"num_classes": foreign.classes}})
    data = None if dataset is None else load_images(dataset, config, notify)
    assumptions: list[str] = []
    network, foreign = with_network(foreign, config, model is not None, data, assumptions)
    # Another data set, where the one that was asked for can't be reached.
    config = _config_for(network, model, data.name if data else None, overrides)
    config = dataclasses.replace(config, name=name)
    found = Imported(config, foreign.arrays, equal_network(network), list(foreign.notes))
    found.layout, found.version = foreign.layout, foreign.version
    found.assumptions = assumptions
    if data is None:
        found.assumptions.append(
            f"data.preprocessing as in {model or _base_of(network)}; the file does not say how its "
            "pixels were scaled (--dataset tries it)"
        )
        return found
    classes = network.shapes[-1][0]
    if classes < len(data.class_names):
        raise InputError(
            f"{data.name} has {len(data.class_names)} classes, but {foreign.path} has {classes}"
        )
    found.dataset, found.note = data.name, data.note
    split = config.data.validation_split
    if isinstance(split, int) and 2 * split > len(data.y_train):
        found.config = _with(found.config, {"data": {"validation_split": 0.1}})
    # A packaged network's own way of preparing images is published with its weights.
    if not config.is_asked("data.preprocessing") and not foreign.packaged:
        _fit_pixels(found, network, data)
    _score_once(found, notify)
    return found


def load_images(name: str, config: Config, notify: Callable[[str], None]) -> Dataset:
    """Return a data set with its images as they are; those of a folder at the network's size."""
    if takes_image_options(name):
        options = asdict(config.image) | {"image_shape": config.image_shape}
        return load_dataset_or_fallback(name, notify=notify, **options)
    return load_dataset_or_fallback(name, notify=notify)


def equal_network(network: Network) -> str:
    """Return the packaged network that gives the same outputs with the same weights, or ""."""
    same = (name for name, other in _packaged_networks() if other.computes_like(network))
    return next(same, "")


@cache
def _packaged_networks() -> list[tuple[str, Network]]:
    described = ((name, load_config(name).network) for name in list_models())
    return [(name, network) for name, network in described if network is not None]


def _fit_pixels(found: Imported, network: Network, data: Dataset) -> None:
    """Try the usual scalings and paddings, and take the one that fits."""
    model = build_network(found.config)
    assign_arrays(model, found.arrays, found.config.name)

    def forward(images: np.ndarray) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))

    images = Images(data)
    ways = usual_pixels(images.images, maps_of(network.input_shape))
    scored = images.best_pixels(forward, ways, network.parameters)
    best, reached = scored[0]
    found.scaling, found.geometry, found.ways = best.name, best.geometry, len(ways)
    found.config = _with(found.config, {"data": {"preprocessing": best.layers}})
    found.assumptions.append(
        f"pixels {best.name}, {best.geometry}: the best of {len(ways)} ways on "
        f"{reached.images:,} validation images of {data.name} (accuracy {reached.accuracy:.4f})"
    )
    found.tried = [
        {
            "label": f"pixels {pixels.name}, {pixels.geometry}",
            "accuracy": round(each.accuracy, 4),
            "loss": round(each.loss, 4),
            "images": each.images,
        }
        for pixels, each in scored
    ]


def _score_once(found: Imported, notify: Callable[[str], None]) -> None:
    """Score the test set, once, as `modelzoo evaluate` would."""
    # It was opened before, with notices.
    data, config = open_dataset(found.config, lambda message: None)
    network = build_network(found.config)
    assign_arrays(network, found.arrays, found.dataset)
    compile_for_scoring(network, found.config)
    scores = score(network, open_pipeline(config, data), "test")
    found.scores = scores
    if is_poor(scores.accuracy, scores.labels):
        tried = (
            f"none of the {found.ways} ways to prepare pixels fits"
            if found.ways
            else "its pixels are prepared as given"
        )
        found.warning = (
            f"accuracy {scores.accuracy:.4f} on {data.name} is close to chance: {tried}. Was it "
            "trained on other data, or is the network another one (--model, --set model.KEY)?"
        )
        notify(found.warning)


def _base_of(network: Network) -> str:
    """Return the packaged network whose recipe and data suit a network."""
    large = any(
        layer.kind == "BatchNormalization" or getattr(layer, "groups", 1) > 1
        for layer in network.layers
    )
    return "alexnet" if large else "lenet5"


def _config_for(
    network: Network, model: str | Path | None, dataset: str | None, overrides: Sequence[str]
) -> Config:
    """Return a complete configuration: the network as it is, the rest as its base has it."""
    colour = network.input_shape[2] > 1
    if dataset is None and model is None:
        dataset = "cifar10" if colour else "mnist"
    others = [text for text in overrides if not text.strip().startswith("model.")]
    config = load_config(model or _base_of(network), dataset=dataset, overrides=others)
    values: dict[str, Any] = {
        "model": {
            "builder": "sequential",
            "input_shape": list(network.input_shape),
            "num_classes": network.shapes[-1][0],
            "layers": as_specs(network.layers),
        }
    }
    if model is None and colour:
        values["image"] = {"fit": "cover", "ink": "as_is"}
    if _output_activation(network) not in ("softmax", "sigmoid"):
        loss = {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}
        values["compile"] = {"loss": loss}  # its outputs are no probabilities
    return _with(config, values)


def _output_activation(network: Network) -> str:
    """Return the name of the last layer's activation, in small letters."""
    last = network.layers[-1]
    return getattr(last, "activation", None) or last.kind.lower()


def _with(config: Config, values: dict[str, Any]) -> Config:
    return dataclasses.replace(config.with_found(values, "the import"), name=config.name)

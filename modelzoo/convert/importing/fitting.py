"""Complete an import: the network of weights alone, the configuration around it, pixels, score."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from modelzoo.api import evaluate
from modelzoo.config import Config, list_models, load_config
from modelzoo.convert.importing.candidates import (
    activations_of,
    in_words,
    packaged_network,
    possible_activations,
    possible_networks,
    with_activations,
)
from modelzoo.convert.importing.description import FLAT_BY_PIXEL
from modelzoo.convert.importing.imported import Imported
from modelzoo.convert.importing.search import Search, is_poor
from modelzoo.data.datasets import load_dataset, takes_image_options
from modelzoo.data.source import Dataset
from modelzoo.networks import Network
from modelzoo.networks.network import as_specs
from modelzoo.support.errors import InputError
from modelzoo.training.prepare import fit_config_to_data
from modelzoo.training.resolve import Source, configure
from modelzoo.weights.reader import arrays_for, in_pixel_order


def fit_file(
    found: Imported,
    model: str | Path | None,
    dataset: str | None,
    overrides: Sequence[str],
    notify: Callable[[str], None],
) -> None:
    """Complete an import but for its files; the arguments are those of `import_file`."""
    given, config = model is not None, found.config
    if given and found.stored.is_torch:
        classes = found.stored.layers[-1].shapes[-1][-1]
        config = _with(config, {"model": {"num_classes": classes}})
    data = None
    if dataset is not None:  # its images as they are; those of a folder at the network's size
        options = asdict(config.image) | {"image_shape": config.image_shape}
        options = options if takes_image_options(dataset) else {}
        data = load_dataset(dataset, notify=notify, **options)
    network = found.network
    if network is None and given:
        network = _by_configuration(found, config)
    if network is None:
        network = _by_shapes(found, config, given, data)
    # Another data set, where the one that was asked for can't be reached.
    chosen = _config_for(network, model, data.name if data else None, overrides)
    found.config = dataclasses.replace(chosen, name=found.yaml.stem)
    packages = ((each, load_config(each).network) for each in list_models())
    equal = (each for each, other in packages if other and other.computes_like(network))
    found.equals = next(equal, None)
    if data is None:
        found.assumptions.append(
            f"data.preprocessing as in {model or _base_of(network)}; the file does not say how its "
            "pixels were scaled (--dataset tries it)"
        )
        return
    found.data = data
    found.config = fit_config_to_data(found.config, data, None)
    # A packaged network's own way of preparing images is published with its weights.
    published = packaged_network(found.stored)
    if not config.is_asked("data.preprocessing") and not published:
        _fit_pixels(found, network, data)


def _by_configuration(found: Imported, config: Config) -> Network | None:
    """Return the configuration's own network for the file's arrays; None if they do not fit."""
    network = config.network
    if network is None:
        raise InputError(f"{config.name}: its builder gives no description of a network")
    try:
        found.arrays = arrays_for(network, found.stored)
    except InputError:
        if found.stored.is_torch or not hasattr(config.model, "pooling"):
            raise
        return None
    found.assumptions.append(
        f"activations, padding, pooling and input size as in {config.name}, whose arrays have the "
        "same shapes; the file does not say them"
    )
    return network


def _by_shapes(found: Imported, config: Config, given: bool, data: Dataset | None) -> Network:
    """Return the network that the shapes tell, with the rest as given or as it scores best."""
    stored = found.stored
    said = [config.is_asked(f"model.{key}") for key in ("conv_activation", "dense_activation")]
    if not given and data is None and not all(said):
        raise InputError(
            f"{stored.path}: holds weights only: it does not say its activations, padding and "
            "pooling\n--dataset NAME tries them on validation images; --model NAME takes them from "
            "a configuration,\nand --set model.conv_activation=tanh (and so on) says them"
        )
    natural = None if data is None else data.image_shape
    networks = possible_networks(stored, config, given=given, natural=natural)
    names = possible_activations(stored, config, given=given or data is None)
    plain = [layer.arrays for layer in stored.layers]
    by_channel = stored.is_torch
    if data is None:
        network, why = with_activations(networks[0], names[0]), "the plainest that fits the shapes"
    else:
        tried = []
        # Keras' `channels_first` is rare: it is tried if nothing else scores.
        for by_channel in (True,) if stored.is_torch else (False, True):
            arrays = [in_pixel_order(each, plain) if by_channel else plain for each in networks]
            search = Search(networks, arrays, data)
            tried.append((*search.best(names), by_channel))
            if not is_poor(tried[-1][1].accuracy, search.labels):
                break
        network, reached, by_channel = max(tried, key=lambda each: each[1].accuracy)
        why = (
            f"the best of what its shapes allow, accuracy {reached.accuracy:.4f} on "
            f"{reached.images:,} validation images of {data.name}"
        )
    *inner, last = activations_of(network)
    flattened = ", flattened channel by channel" if by_channel else ""
    found.assumptions += [
        f"{in_words(network)}{flattened}: {why}",
        f"activations {', '.join(inner)}: {why}",
        f"{last} at the output: not said by the file, as usual",
    ]
    found.arrays = in_pixel_order(network, plain) if by_channel else plain
    if by_channel and FLAT_BY_PIXEL not in found.rewritten:
        found.rewritten.append(FLAT_BY_PIXEL)
    return network


def _config_for(
    network: Network, model: str | Path | None, dataset: str | None, overrides: Sequence[str]
) -> Config:
    """Return a complete configuration: the network as it is, the rest as its base has it."""
    if network.organizing_steps:  # its own builder says how it learns, a list of layers does not
        return configure(model, dataset=dataset, overrides=overrides)[0]
    colour = network.input_shape[2] > 1
    if dataset is None and model is None:
        dataset = "cifar10" if colour else "mnist"
    others = [text for text in overrides if not text.strip().startswith("model.")]
    config, _ = configure(model or _base_of(network), dataset=dataset, overrides=others)
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
    last = network.layers[-1]
    if (getattr(last, "activation", None) or last.kind.lower()) not in ("softmax", "sigmoid"):
        loss = {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}
        values["compile"] = {"loss": loss}  # its outputs are no probabilities
    return _with(config, values)


def _base_of(network: Network) -> str:
    """Return the packaged network whose recipe and data suit a network."""
    large = any(
        layer.kind == "BatchNormalization" or getattr(layer, "groups", 1) > 1
        for layer in network.layers
    )
    return "alexnet" if large else "lenet5"


def _fit_pixels(found: Imported, network: Network, data: Dataset) -> None:
    """Try the usual scalings and paddings, and take the one that fits."""
    search = Search([network], [found.arrays], data)
    found.tried = search.best_pixels()
    best, reached = found.tried[0]
    found.config = _with(found.config, {"data": {"preprocessing": best.layers}})
    found.assumptions.append(
        f"{best}: the best of {len(search.pixels(0))} ways on {reached.images:,} validation images "
        f"of {data.name} (accuracy {reached.accuracy:.4f})"
    )


def score_once(found: Imported, data: Dataset, notify: Callable[[str], None]) -> None:
    """Score what was written on the test set, once."""
    source = Source(found.config, found.weights, found.config.name)
    # The data set was opened before, with notices.
    found.scores = scores = evaluate(source, notify=lambda message: None).scores
    if is_poor(scores.accuracy, scores.labels):
        tried = "no usual way to prepare pixels fits"
        if not found.tried:
            tried = "its pixels are prepared as given"
        found.warning = (
            f"accuracy {scores.accuracy:.4f} on {data.name} is close to chance: {tried}. Was it "
            "trained on other data, or is the network another one (--model, --set model.KEY)?"
        )
        notify(found.warning)


def _with(config: Config, values: dict[str, Any]) -> Config:
    return config.with_values(values, "the import", asked=False)

"""Find the network of a PyTorch state dict, which holds nothing but names, shapes and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from modelzoo.config import Config, list_models, load_config
from modelzoo.errors import InputError
from modelzoo.importing.fitting import score_once
from modelzoo.importing.imported import Imported
from modelzoo.importing.recognise import Plan
from modelzoo.training.prepare import build_network
from modelzoo.weights.from_torch import classes_of, read_for
from modelzoo.weights.reader import weighted_layers
from modelzoo.weights.state_dict import StateDict, open_state_dict

NOTES = [
    "kernels: from (outputs, inputs, height, width) to (height, width, inputs, outputs)",
    "the first dense layer's inputs: from channel by channel to pixel by pixel",
]


def fit_state_dict(
    path: Path,
    given: Config | None,
    dataset: str | None,
    overrides: Sequence[str],
    name: str,
    notify: Callable[[str], None],
) -> Imported:
    """Return the whole import of a `.pth` file but its files.

    Args:
        path: of the state dict.
        given: the configuration of its network; None for one that publishes weights of this form.
        dataset: on whose test images the outcome is scored, once.
        overrides: "SECTION.KEY=VALUE"; they win.
        name: of the outcome.
        notify: called with each notice.

    Raises:
        InputError: the file cannot be read, or is no network's that is known.
    """
    with open_state_dict(path) as state:
        config = given or _packaged(state, dataset, overrides)
        # What was set by hand wins, here as everywhere.
        classes = {"model": {"num_classes": classes_of(state)}}
        config = config.with_values(classes, "the import", found=True)
        network = build_network(config)
        arrays = read_for(network, weighted_layers(network), state)
    source = config.name
    config = config.with_values({"model": {"name": name[:60]}}, "the import", found=True)
    plan = Plan(config["model"]["builder"], config["model"], arrays, notes=list(NOTES))
    assumed = (
        f"activations, padding, pooling and pixels as in {source}, whose arrays have the same "
        "shapes; the file does not say them"
    )
    found = Imported(dataclasses.replace(config, name=name), plan, "PyTorch state dict")
    found.assumptions.append(assumed)
    if dataset is not None:
        found.dataset = dataset
        score_once(found, notify)
    return found


def _packaged(state: StateDict, dataset: str | None, overrides: Sequence[str]) -> Config:
    """Return the packaged network that has the file's maps, and whose state dict is published."""
    found = [tensor.shape[0] for tensor in state.tensors.values() if len(tensor.shape) == 4]
    known: dict[str, list[int]] = {}
    for name in list_models():
        config = load_config(name, dataset=dataset, overrides=overrides)
        if any(entry.format == "torch" for entry in config.weights):
            known[name] = list(config["model"]["conv_maps"])
            if known[name] == found:
                return config
    maps = "; ".join(f"{name} has {_listed(each)}" for name, each in known.items())
    raise InputError(
        f"{state.path}: has convolutions of {_listed(found)} maps, as no network whose state dict "
        f"is published: {maps}\n--model NAME names the network that it belongs to"
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "no"

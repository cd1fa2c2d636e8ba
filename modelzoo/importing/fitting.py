"""Find out what a file does not say: by a configuration, by hand, or on validation images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelzoo.config import Config, load_config
from modelzoo.config.entry import entry_shape
from modelzoo.data.datasets import load_dataset_or_fallback, takes_image_options
from modelzoo.data.source import Dataset
from modelzoo.errors import InputError
from modelzoo.importing.foreign import Foreign
from modelzoo.importing.imported import Imported
from modelzoo.importing.pixels import (
    Outcome,
    Pictures,
    Pixels,
    Trial,
    score_trials,
    usual_pixels,
)
from modelzoo.importing.recognise import Plan
from modelzoo.importing.search import find_network, plan_by_configuration
from modelzoo.importing.trials import (
    forward_of,
    is_poor,
    network_of,
    rounds_for,
    validation_images,
)
from modelzoo.training.prepare import build_network, fit_split, open_dataset, open_pipeline
from modelzoo.weights.reader import assign_arrays


@dataclass(frozen=True)
class Request:
    """What a person asks an import for.

    Attributes:
        given: the configuration that stands for what the file does not say.
        model: its name.
        dataset: on whose validation images everything is tried that the file does not say.
        overrides: "SECTION.KEY=VALUE"; they win.
        name: of the outcome.
        notify: called with each notice.
    """

    given: Config | None
    model: str | Path | None
    dataset: str | None
    overrides: Sequence[str]
    name: str
    notify: Callable[[str], None]


def fit_file(foreign: Foreign, request: Request) -> Imported:
    """Return the whole import but its files."""
    assumptions: list[str] = []
    given, dataset, notify = request.given, request.dataset, request.notify
    if given is not None and foreign.classes is not None:
        given = _with(given, {"model": {"num_classes": foreign.classes}})
    by_hand = given or load_config("lenet5", overrides=request.overrides)
    data = None if dataset is None else load_images(dataset, by_hand, notify)
    plan = foreign.plan
    if foreign.described_by:
        assumptions.append(f"the network as {foreign.described_by} describes it")
    if plan is None and given is not None:
        plan = plan_by_configuration(foreign, given, assumptions)
    if plan is None:
        plan = find_network(foreign, by_hand, given is not None, data, assumptions)
    # Another data set, where the one that was asked for can't be reached.
    config = _config_for(plan, request, data.name if data else None, foreign.path)
    found = Imported(config, plan, foreign.layout, foreign.version, assumptions)
    if data is None:
        pixels = f"data.preprocessing as in {request.model or config.model.builder}"
        found.assumptions.append(
            f"{pixels}; the file does not say how its pixels were scaled (--dataset tries it)"
        )
        if plan.preprocessing:
            layers = [*config.data.preprocessing, *plan.preprocessing]
            found.config = _with(config, {"data": {"preprocessing": layers}})
        return found
    if config.model.num_classes < len(data.class_names):
        raise InputError(
            f"{data.name} has {len(data.class_names)} classes, but {foreign.path} has "
            f"{config.model.num_classes}"
        )
    found.dataset, found.note = data.name, data.note
    split = config.data.validation_split
    if isinstance(split, int) and 2 * split > len(data.y_train):
        found.config = _with(found.config, {"data": {"validation_split": 0.1}})
    # A packaged network's own way of preparing pictures is published with its weights.
    if not config.is_asked("data.preprocessing") and not foreign.packaged:
        _fit_pixels(found, data)
    _score_once(found, notify)
    return found


def load_images(name: str, config: Config, notify: Callable[[str], None]) -> Dataset:
    """Return a data set with its pictures as they are; those of a folder at the network's size."""
    if takes_image_options(name):
        return open_dataset(config.with_values({"data": {"dataset": name}}, "--dataset"), notify)
    return load_dataset_or_fallback(name, notify=notify)


def describe_outcomes(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return outcomes as plain values, for JSON and for the head of the YAML."""
    return [
        {
            "label": each.trial.label,
            "accuracy": round(each.accuracy, 4),
            "loss": round(each.loss, 4),
            "images": each.images,
        }
        for each in outcomes
    ]


def _fit_pixels(found: Imported, data: Dataset) -> None:
    """Try the usual scalings and paddings, and take the one that fits."""
    plan = found.plan
    network = network_of(plan, str(found.dataset))
    shape = entry_shape(plan.model["input_shape"], plan.preprocessing)
    images, labels = validation_images(data)
    forward = forward_of(network)
    trials = [
        Trial(f"pixels {pixels.name}, {pixels.geometry}", pixels, forward)
        for pixels in usual_pixels(images, shape)
    ]
    rounds = rounds_for(network.count_params())
    outcomes = score_trials(trials, Pictures(images, labels, plan.preprocessing), rounds)
    best: Pixels = outcomes[0].trial.pixels
    found.scaling, found.geometry = best.name, best.geometry
    found.ways = len(trials)
    found.tried = describe_outcomes(outcomes)
    layers = [*best.layers, *plan.preprocessing]
    found.config = _with(found.config, {"data": {"preprocessing": layers}})
    count = outcomes[0].images
    found.assumptions.append(
        f"pixels {best.name}, {best.geometry}: the best of {len(trials)} ways on {count:,} "
        f"validation images of {data.name} (accuracy {outcomes[0].accuracy:.4f})"
    )


def _score_once(found: Imported, notify: Callable[[str], None]) -> None:
    """Score the test set, once, as `modelzoo evaluate` would."""
    from modelzoo.training.evaluation import compile_for_scoring, score

    data = open_dataset(found.config, lambda message: None)  # it was opened before, with notices
    network = build_network(found.config)
    assign_arrays(network, found.plan.arrays, found.dataset)
    compile_for_scoring(network, found.config)
    scores = score(network, open_pipeline(fit_split(found.config, data), data), "test")
    found.scores = scores
    if is_poor(scores.accuracy, scores.labels):
        tried = (
            f"none of the {found.ways} ways to prepare pixels fits"
            if found.ways
            else ("its pixels are prepared as given")
        )
        found.warning = (
            f"accuracy {scores.accuracy:.4f} on {data.name} is close to chance: {tried}. Was it "
            "trained on other data, or is the network another one (--model, --set model.KEY)?"
        )
        notify(found.warning)


def _config_for(plan: Plan, request: Request, dataset: str | None, path: Path) -> Config:
    """Return a complete configuration: the plan's network, the rest as its base has it."""
    given, model, name = request.given, request.model, request.name
    if given is not None and given.model.builder != plan.builder:
        raise InputError(
            f"--model {model}: is built by {given.model.builder}, but {path} holds a network "
            f"that {plan.builder} builds; leave --model out"
        )
    colour = plan.model["input_shape"][2] == 3
    values: dict[str, Any] = {"model": {**plan.model, "name": name[:60]}}
    if dataset is None and given is None:
        dataset = "cifar10" if colour else "mnist"
    config = load_config(model or plan.builder, dataset=dataset, overrides=request.overrides)
    if given is None and colour:
        values["image"] = {"fit": "cover", "ink": "as_is"}
    if plan.model["output_activation"] not in ("softmax", "sigmoid"):
        loss = {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}
        values["compile"] = {"loss": loss}  # its outputs are no probabilities
    return dataclasses.replace(_with(config, values), name=name)


def _with(config: Config, values: dict[str, Any]) -> Config:
    return dataclasses.replace(config.with_found(values, "the import"), name=config.name)

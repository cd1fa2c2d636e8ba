"""The finished runs that results/ keeps, from which scripts/update_docs.py writes its tables."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelzoo.config import Config, list_models, load_config
from modelzoo.support.errors import InputError
from modelzoo.support.files import write_text

RESULTS = Path(__file__).resolve().parents[1] / "results"
KEPT = ("metrics.json", "history.csv", "config.yaml")
NAME = re.compile("[a-z0-9_]{1,64}")  # of a data set; it becomes a folder's name, too
# What decides the outcome of a run; titles and published weights do not.
DECISIVE = ("model", "data", "compile", "fit")


@dataclass(frozen=True)
class Result:
    """A finished run, kept in results/."""

    config: str
    folder: Path
    metrics: dict[str, Any]

    @property
    def group(self) -> tuple[str, str, int]:
        """What runs that differ only in their seed have in common."""
        return self.config, self.metrics["dataset"], self.metrics["epochs"]

    @property
    def command(self) -> str:
        """The command that repeats the run, without its seed."""
        config = load_config(self.config)
        command = f"python -m train --model {self.config}"
        dataset = self.metrics["dataset"]
        if dataset != config.data.dataset:
            command += f" --dataset {dataset}"
            config = config.with_dataset(dataset)
        planned = yaml.safe_load((self.folder / "config.yaml").read_text("utf-8"))
        if planned["fit"]["epochs"] != config.fit.epochs:
            command += f" --epochs {planned['fit']['epochs']}"
        if self.metrics["precision"] != config.trainer.precision:
            command += f" --precision {self.metrics['precision']}"
        schedule = _schedule_override(planned, config)
        return command + schedule


def _schedule_override(planned: dict[str, Any], config: Config) -> str:
    """Return the --set options for what a shorter run changes in the learning rate's schedule."""
    key = "compile.optimizer.config.learning_rate.config"
    given = planned["compile"]["optimizer"]["config"]["learning_rate"]
    usual = config.compile.optimizer["config"]["learning_rate"]
    if not isinstance(given, dict) or not isinstance(usual, dict):
        return ""
    given, usual = given["config"], usual["config"]
    return "".join(
        f" --set {key}.{name}={value}" for name, value in given.items() if usual[name] != value
    )


def add(run: Path, name: str | None = None) -> Path:
    """Keep what a finished run says of itself, after comparing its recipe with the packaged one.

    Raises:
        InputError: the run is not finished, or cannot be repeated by a packaged configuration.
    """
    try:
        metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{run}: is no finished run: {error}") from None
    named = isinstance(metrics, dict) and isinstance(metrics.get("dataset"), str)
    counts = [metrics.get(key) for key in ("epochs", "seed")] if named else [None]
    if not all(type(count) is int for count in counts) or not NAME.fullmatch(metrics["dataset"]):
        raise InputError(f"{run}: metrics.json does not say which data set, epochs and seed")
    name = name or metrics["model"]
    if name not in list_models():
        raise InputError(f"{run}: {name!r:.80} is not a packaged configuration")
    ran, packaged = load_config(run), load_config(name, dataset=metrics["dataset"])
    for section in DECISIVE:
        given, usual = _comparable(ran.sections[section]), _comparable(packaged.sections[section])
        if given != usual:
            raise InputError(f"{run}: its {section} differs from {name}'s: {given} and {usual}")
    epochs, seed = metrics["epochs"], metrics["seed"]
    folder = RESULTS / name / f"{metrics['dataset']}-{epochs}-epochs-seed-{seed}"
    for file in KEPT:
        lines = (run / file).read_text("utf-8").splitlines(keepends=True)
        # The head of a configuration names a path of the machine that it was written on.
        write_text(folder / file, "".join(line for line in lines if not line.startswith("#")))
    return folder


def _comparable(section: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a command line may change and the results name: epochs and their schedule."""
    kept = {k: v for k, v in section.items() if k not in ("epochs", "class_names")}
    optimizer = kept.get("optimizer")
    if isinstance(optimizer, dict):
        settings = dict(optimizer.get("config", {}))
        rate = settings.get("learning_rate")
        if isinstance(rate, dict):
            lengths = ("decay_steps", "warmup_steps")
            values = {k: v for k, v in rate["config"].items() if k not in lengths}
            settings["learning_rate"] = {**rate, "config": values}
        kept["optimizer"] = {**optimizer, "config": settings}
    return kept


def results() -> list[Result]:
    """Return all kept results, by configuration, data set, epochs and seed."""
    found = [
        Result(path.parents[1].name, path.parent, json.loads(path.read_text("utf-8")))
        for path in RESULTS.glob("*/*/metrics.json")
    ]
    return sorted(found, key=lambda each: (*each.group, each.metrics["seed"]))


def grouped(found: Sequence[Result]) -> list[list[Result]]:
    """Return results that differ only in their seed together."""
    groups: dict[tuple[str, str, int], list[Result]] = {}
    for each in found:
        groups.setdefault(each.group, []).append(each)
    return list(groups.values())

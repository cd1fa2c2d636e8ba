"""The finished runs that results/ keeps, from which scripts/update_docs.py writes its tables."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from modelzoo.config import Config, list_models, load_config
from modelzoo.config.layers import read_yaml
from modelzoo.support.errors import InputError
from modelzoo.support.files import write_text
from modelzoo.support.version import ARITHMETIC

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

    @cached_property
    def is_current(self) -> bool:
        """Whether the arithmetic and the recipe that made it are still those of the code."""
        if self.metrics.get("arithmetic") != ARITHMETIC:
            return False
        try:
            check_packaged(load_config(self.folder), self.config, str(self.folder))
        except InputError:
            return False
        return True

    @cached_property
    def command(self) -> str:
        """The command that repeats the run, without its seed."""
        return command_of(self.config, read_yaml(self.folder / "config.yaml").values)

    @property
    def recipe(self) -> str:
        """What weights of this run say of how they were trained."""
        metrics = self.metrics
        epoch = f"the last of {metrics['epochs']} epochs"
        if metrics["val_accuracy"] is not None:
            epoch = (
                f"epoch {metrics['best_epoch']} of {metrics['epochs']}, best on validation images "
                f"with {metrics['val_accuracy']:.4f}"
            )
        return f"{self.command} --seed {metrics['seed']}; {epoch}"


def best_of(found: Sequence[Result]) -> Result:
    """Return the result with the highest accuracy on validation images; of equals, the least loss.

    Where no images are held out nothing may choose, and it is the first.
    """
    shares = [(each.metrics["val_accuracy"], each.metrics["val_loss"]) for each in found]
    ranks = [(0, 0) if accuracy is None else (-accuracy, loss) for accuracy, loss in shares]
    return found[ranks.index(min(ranks))]


@cache  # many results share one
def packaged(name: str, dataset: str | None = None) -> Config:
    """Return a packaged configuration, its weights as they were when the program began."""
    return load_config(name, dataset=dataset)


def command_of(name: str, planned: dict[str, Any]) -> str:
    """Return the command that trains a packaged network as `planned` says, without the seed."""
    dataset = planned["data"]["dataset"]
    command, config = f"python -m train --model {name}", packaged(name, dataset)
    if dataset != packaged(name).data.dataset:
        command += f" --dataset {dataset}"
    if planned["fit"]["epochs"] != config.fit.epochs:
        command += f" --epochs {planned['fit']['epochs']}"
    if planned["trainer"]["precision"] != config.trainer.precision:
        command += f" --precision {planned['trainer']['precision']}"
    return command + _schedule_override(planned, config)


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
    check_packaged(load_config(run), name, str(run))
    epochs, seed = metrics["epochs"], metrics["seed"]
    folder = RESULTS / name / f"{metrics['dataset']}-{epochs}-epochs-seed-{seed}"
    for file in KEPT:
        lines = (run / file).read_text("utf-8").splitlines(keepends=True)
        # The head of a configuration names a path of the machine that it was written on.
        write_text(folder / file, "".join(line for line in lines if not line.startswith("#")))
    return folder


def check_packaged(config: Config, name: str, place: str) -> None:
    """Raise an InputError if a configuration trains otherwise than the packaged one of a name."""
    usually = packaged(name, config.data.dataset)
    for section in DECISIVE:
        given, usual = (_comparable(each.sections[section]) for each in (config, usually))
        if given != usual:
            raise InputError(f"{place}: its {section} differs from {name}'s: {given} and {usual}")


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

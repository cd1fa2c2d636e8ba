"""Train variants of one network, and compare their curves: what does each change do?"""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from rich.console import Console

from modelzoo.config import Config, load_config, packaged_folder
from modelzoo.config.layers import nested, read_yaml
from modelzoo.config.reading import convert
from modelzoo.support.errors import InputError, unknown
from modelzoo.support.files import is_there, write_csv, write_text
from modelzoo.training.resolve import configure
from modelzoo.training.run_folder import RunFolder
from modelzoo.training.trainer import Trainer, resume

STUDIES = packaged_folder() / "studies"
Sections = dict[str, Any]
COLUMNS = ("train_accuracy", "val_accuracy", "test_accuracy", "epochs", "best_epoch", "seconds")


class StudyFile(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of a study's YAML: a network, and what each variant of it changes.

    `grid` has lists of values by key, such as "fit.epochs": each variant is trained with each
    combination of them, and with each of the `seeds`.
    """

    title: str
    base: str
    dataset: str
    variants: Annotated[dict[Any, Sections | None], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: {"": None}
    )
    grid: dict[str, Annotated[list[Any], msgspec.Meta(min_length=1)]] = {}
    seeds: list[Annotated[int, msgspec.Meta(ge=0, lt=2**32)]] = []
    common: Sections | None = None


@dataclass(frozen=True)
class Study:
    """What a YAML of a study says."""

    name: str  # of the file, and of the folder that the runs go to
    title: str
    variants: dict[str, Config]  # a complete configuration for each run, by its name, in order
    runs: dict[str, str]  # the variant that each run is one of


def list_studies() -> list[str]:
    """Return the names of the packaged studies, sorted."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def load_study(study: str | Path, overrides: list[str] | None = None) -> Study:
    """Read a study, a packaged name or a YAML; `overrides` are for all variants."""
    path = STUDIES / f"{study}.yaml" if str(study) in list_studies() else Path(study)
    if not is_there(path):
        raise unknown("study", str(study), list_studies())
    layer = read_yaml(path)
    given = convert(
        layer.values, StudyFile, lambda key: layer.place(key.removeprefix("study.")), "study"
    )
    base, _ = configure(given.base, dataset=given.dataset)
    common = base.with_values(given.common or {}, f"{path}: common")
    configs, runs = {}, {}
    values_of_keys = [[(key, each) for each in values] for key, values in given.grid.items()]
    for (name, values), cell in itertools.product(
        given.variants.items(), itertools.product(*values_of_keys)
    ):
        config = common.with_values(values or {}, f"{path}: variants.{name}")
        for key, value in cell:
            config = config.with_values(nested(key, value), f"{path}: grid.{key}")
        config = config.with_overrides(overrides or [])
        words = [str(name), *(f"{key.rpartition('.')[2]} {value}" for key, value in cell)]
        variant = ", ".join(filter(None, words)) or given.base
        for seed in dict.fromkeys(given.seeds) or [None]:
            run = variant if seed is None else f"{variant}, seed {seed}"
            if run in configs:
                raise InputError(f"{path}: {run!r} is trained twice: a value of the grid repeats")
            changes = {} if seed is None else {"trainer": {"seed": seed}}
            configs[run], runs[run] = config.with_values(changes, f"{path}: seeds"), variant
    return Study(path.stem, given.title, configs, runs)


def run_study(
    study: Study, out: Path, *, device: str = "auto", console: Console | None = None
) -> list[Path]:
    """Train all variants, write their table and their curves, and return the paths of these.

    A finished variant stays, and an interrupted one goes on. Beside each run's folder in `out` is
    the configuration that was asked for: the run's own has what followed from the data, too.
    """
    folders = variant_folders(study, out)
    asked = {name: path.with_name(f"{path.name}.yaml") for name, path in folders.items()}
    for name, config in study.variants.items():
        # Read again, so that keys which the file lacks have their defaults.
        if RunFolder(folders[name]).is_begun and not (
            asked[name].is_file()
            and load_config(config_file=asked[name]).to_yaml() == config.to_yaml()
        ):
            raise InputError(
                f"{folders[name]}: holds a run of another configuration; choose another --out"
            )
    for name, config in study.variants.items():
        folder = RunFolder(folders[name])
        if folder.is_finished:
            continue
        if folder.is_begun:
            resume(folder.path, device=device, console=console)
        else:
            write_text(asked[name], config.to_yaml())
            Trainer(config, device=device, out=folder.path, console=console).fit()
    import pandas as pd

    from modelzoo import charts

    rows = means_of(table_of(folders), study.runs)
    write_csv(out / "study.csv", list(rows[0]), rows)
    histories = {name: RunFolder(path).read_history() for name, path in folders.items()}
    means = {}
    for variant in dict.fromkeys(study.runs.values()):
        own = [history for name, history in histories.items() if study.runs[name] == variant]
        means[variant] = pd.concat(own).groupby("epoch").mean().reset_index()
    chart = charts.curves_side_by_side(means, study.title)
    drawn = [charts.save(chart, out / f"study.{suffix}") for suffix in ("png", "html")]
    return [out / "study.csv", *drawn]


def variant_folders(study: Study, out: Path) -> dict[str, Path]:
    """Return where the run of each variant is, by its name."""
    names = {name: "".join(c if c.isalnum() else "-" for c in name) for name in study.variants}
    if len(set(names.values())) < len(names):
        raise InputError(f"{study.name}: variants: two names make the same folder: {list(names)}")
    return {name: out / folder for name, folder in names.items()}


def table_of(folders: dict[str, Path]) -> list[dict[str, Any]]:
    """Return a row a variant, from what the runs wrote; `gap` is training less validation accuracy.

    Both are None where no images are kept for validation.
    """
    rows = []
    for name, path in folders.items():
        folder = RunFolder(path)
        metrics = folder.read_metrics()
        values = {column: metrics.get(column) for column in COLUMNS}
        for column, value in values.items():
            if not isinstance(value, int | float) and (column, value) != ("val_accuracy", None):
                raise InputError(f"{folder.metrics}: {column}: {value!r:.80} should be a number")
        trained, validated = values["train_accuracy"], values["val_accuracy"]
        gap = None if validated is None else trained - validated
        rows.append({"variant": name, **values, "gap": gap})
    return rows


def means_of(rows: Sequence[Mapping[str, Any]], runs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row a variant, from those of its runs: means, and their standard deviations.

    A variant of one run has no deviation: None.
    """
    found = []
    for variant in dict.fromkeys(runs.values()):
        own = [row for row in rows if runs[row["variant"]] == variant]
        row: dict[str, Any] = {"variant": variant, "runs": len(own)}
        for column in (*COLUMNS, "gap"):
            values = [each[column] for each in own]
            if len(own) == 1 or None in values:
                row |= {column: values[0], f"{column}_deviation": None}
            else:
                mean, deviation = statistics.fmean(values), statistics.stdev(values)
                row |= {column: mean, f"{column}_deviation": deviation}
        found.append(row)
    return found

"""Train variants of one network, and compare their curves: what does each change do?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from modelzoo.config import Config, load_config, packaged_folder
from modelzoo.config.layers import Layer, check_top_level, read_yaml
from modelzoo.errors import InputError, suggest
from modelzoo.files import is_there, write_text
from modelzoo.training.run_folder import RunFolder
from modelzoo.training.trainer import Trainer, resume

if TYPE_CHECKING:
    from rich.console import Console

KEYS = ("title", "base", "dataset", "common", "variants")
COLUMNS = ("train_accuracy", "val_accuracy", "test_accuracy", "epochs", "best_epoch", "seconds")


@dataclass(frozen=True)
class Study:
    """What a YAML of a study says.

    Attributes:
        name: of the file, and of the folder that the runs go to.
        title: what is asked.
        variants: a complete configuration for each name, in order.
    """

    name: str
    title: str
    variants: dict[str, Config]


def list_studies() -> list[str]:
    """Return the names of the packaged studies, sorted."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_study(study: str | Path, overrides: list[str] | None = None) -> Study:
    """Read a study: a network, and what each variant of it changes.

    Args:
        study: a packaged name such as "overfitting", or a path to a YAML with `title`, `base` (a
            network), `dataset`, `common` (sections that hold for all variants) and `variants`
            (sections by name).
        overrides: "SECTION.KEY=VALUE", for all variants.

    Raises:
        InputError: naming the file and the key.
    """
    path = _folder() / f"{study}.yaml" if str(study) in list_studies() else Path(study)
    if not is_there(path):
        raise InputError(f"unknown study {str(study)!r}{suggest(str(study), list_studies())}")
    layer = read_yaml(path)
    check_top_level(layer, KEYS)
    variants = layer.values.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise InputError(f"{path}: variants: should hold sections below the names of variants")
    base = load_config(
        _text(layer, "base"), dataset=_text(layer, "dataset"), overrides=overrides or []
    )
    common = base.with_values(_sections(layer, "common"), f"{path}: common")
    return Study(
        path.stem,
        _text(layer, "title"),
        {
            str(name): common.with_values(values or {}, f"{path}: variants.{name}")
            for name, values in variants.items()
            if _is_variant(path, name, values)
        },
    )


def run_study(
    study: Study, out: Path, *, device: str = "auto", console: Console | None = None
) -> list[Path]:
    """Train all variants, and write their table and their curves.

    A variant that is finished is left as it is, and one that was interrupted goes on, so that the
    same call with the same folder finishes a study.

    Args:
        study: from `load_study`.
        out: folder; each variant gets a run's folder in it.
        device: as for `Trainer`.
        console: likewise.

    Returns:
        The paths of the table and the charts.

    Raises:
        InputError: the folder holds another study, or a variant cannot be trained.
    """
    folders = variant_folders(study, out)
    for name, config in study.variants.items():
        _check_same(folders[name], config)
    for name, config in study.variants.items():
        folder = RunFolder(folders[name])
        if folder.metrics.exists():
            continue
        if folder.state.exists():
            resume(folders[name], device=device, console=console)
        else:
            Trainer(config, device=device, out=folders[name], console=console).fit()
    return _write_results(study, folders, out)


def variant_folders(study: Study, out: Path) -> dict[str, Path]:
    """Return where the run of each variant is, by its name."""
    names = {name: "".join(c if c.isalnum() else "-" for c in name) for name in study.variants}
    if len(set(names.values())) < len(names):
        raise InputError(f"{study.name}: variants: two names make the same folder: {list(names)}")
    return {name: out / folder for name, folder in names.items()}


def table_of(folders: dict[str, Path]) -> list[dict[str, Any]]:
    """Return a row a variant, from what the runs wrote: accuracies from 0 to 1, and its cost."""
    rows = []
    for name, folder in folders.items():
        metrics = json.loads(RunFolder(folder).metrics.read_bytes())
        row = {"variant": name, **{column: metrics[column] for column in COLUMNS}}
        rows.append({**row, "gap": row["train_accuracy"] - row["val_accuracy"]})
    return rows


def _write_results(study: Study, folders: dict[str, Path], out: Path) -> list[Path]:
    from modelzoo import charts

    write_text(out / "study.csv", pd.DataFrame(table_of(folders)).to_csv(index=False))
    histories = {name: pd.read_csv(RunFolder(path).history) for name, path in folders.items()}
    chart = charts.curves_side_by_side(histories, study.title)
    drawn = [charts.save(chart, out / f"study.{suffix}") for suffix in ("png", "html")]
    return [out / "study.csv", *drawn]


def _check_same(path: Path, config: Config) -> None:
    """Refuse to count another configuration's run as this variant's."""
    folder = RunFolder(path)
    if not folder.state.exists():
        return
    there = folder.read_config().sections
    for section in ("model", "compile", "fit", "trainer"):
        if there[section] != config.sections[section]:
            raise InputError(
                f"{path}: holds a run with another `{section}:` section; choose another --out"
            )


def _folder() -> Path:
    return packaged_folder() / "studies"


def _text(layer: Layer, key: str) -> str:
    value = layer.values.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"{layer.origins.of(key)}: {key}: should be a text")
    return value


def _sections(layer: Layer, key: str) -> dict[str, Any]:
    value = layer.values.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"{layer.origins.of(key)}: {key}: should hold sections")
    return value


def _is_variant(path: Path, name: Any, values: Any) -> bool:
    if values is not None and not isinstance(values, dict):
        raise InputError(f"{path}: variants.{name}: should hold sections, or nothing")
    return True

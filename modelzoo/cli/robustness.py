"""What `modelzoo attack` and `modelzoo robustness` do."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.analysis.corruptions import KINDS, check_kinds, strengths_for
from modelzoo.analysis.measuring import (
    Pictures,
    Row,
    attack_methods,
    attack_rows,
    build_scores,
    check_comparable,
    corruption_rows,
    counted,
    open_pictures,
)
from modelzoo.charts import save
from modelzoo.charts.robustness import MOST_SERIES, attack_curves, corruption_curves
from modelzoo.cli.printing import print_notice, show
from modelzoo.cli.tables import table_lines
from modelzoo.support.errors import InputError
from modelzoo.support.files import is_there, write_csv
from modelzoo.support.progress import Progress
from modelzoo.training.device import start_framework
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:
    from modelzoo.charts import Chart

METHODS = {"fgsm": ["fgsm"], "pgd": ["pgd"], "both": ["fgsm", "pgd"]}


def attack(options: argparse.Namespace) -> None:
    """Measure accuracy against strength, draw it and some adversarial pictures."""
    strengths = sorted({0.0, *options.strengths})
    _check_writable(options.out)
    (network,) = _find(
        options,
        options.name,
        weights=options.weights,
        sha256=options.sha256,
        allow_unverified=options.allow_unverified,
    )
    with start_framework(network.config.trainer.backend, options.device).scope():
        from modelzoo.analysis.examples import pictures_chart

        model, softmax = build_scores(network)
        pictures = open_pictures([network], options.images, options.seed, print_notice)
        methods = attack_methods(METHODS[options.method], options.steps, options.seed)
        work = len(methods) * len(strengths) * len(pictures.labels)
        with Progress(work) as progress:
            rows = attack_rows(model, pictures, methods, strengths, counted(progress))
        figure = pictures_chart(model, softmax, pictures, methods, rows, network.label)
    title = f"Accuracy of {network.label} under attack, {pictures.described}"
    curves = attack_curves(rows, title, chance=1 / len(pictures.class_names))
    name = f"{_file_name(network.label, pictures.dataset)}-attack"
    charts = {name: curves} if figure is None else {name: curves, f"{name}-pictures": figure}
    # Weights are published with their accuracy on the whole test set of one data set.
    published = network.published_accuracy if network.dataset == pictures.dataset else None
    summary = {
        "model": network.label,
        "published_accuracy": published,
        "strength_unit": "share of the range 0..255",
        "steps": options.steps,
    }
    head = f"{network.label} on {pictures.described}; strength: largest change of a pixel, 0 to 1"
    foot = ""
    if published is not None:
        foot = f"published accuracy, all test images, strength 0: {published:.4f}"
    _finish(options, pictures, rows, charts, summary, (head, foot))


def robustness(options: argparse.Namespace) -> None:
    """Measure accuracy against corruptions of one or several networks, and draw it."""
    kinds = check_kinds(options.kinds.split(","))
    if options.strengths is not None and len(kinds) != 1:
        raise InputError("--strengths: are of one kind; name it with --kinds")
    wanted = sorted({0.0, *options.strengths}) if options.strengths is not None else None
    if len(options.names) > MOST_SERIES:
        raise InputError(f"{len(options.names)} networks: at most {MOST_SERIES} fit in one chart")
    _check_writable(options.out)
    networks = _find(options, *options.names)
    side = min(networks[0].config.image_shape[:2])
    strengths = {kind: strengths_for(kind, side, wanted) for kind in kinds}
    with start_framework(networks[0].config.trainer.backend, options.device).scope():
        pictures = open_pictures(networks, options.images, options.seed, print_notice)
        models = {network.label: build_scores(network)[0] for network in networks}
        work = len(models) * sum(map(len, strengths.values())) * len(pictures.labels)
        with Progress(work) as progress:
            rows = corruption_rows(models, pictures, strengths, options.seed, counted(progress))
    axis_titles = {name: kind.title for name, kind in KINDS.items()}
    title = f"Accuracy on changed pictures, {pictures.described}"
    charts = {"robustness": corruption_curves(rows, axis_titles, title)}
    head = f"{pictures.described}; every network is shown the same pictures"
    _finish(options, pictures, rows, charts, {"models": list(models)}, (head, ""))


def _check_writable(folder: str) -> None:
    """Refuse a folder that cannot be written to before hours of work are spent."""
    out = Path(folder)
    there = next((each for each in (out, *out.absolute().parents) if is_there(each)), out)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"--out {folder}: {there} is no folder that can be written to")


def _find(options: argparse.Namespace, *names: str, **companions: Any) -> list[Source]:
    """Return the networks that are measured, whose weights may be of another data set."""
    found = [
        resolve(
            name, dataset=options.dataset, backend=options.backend, for_scores=True, **companions
        )
        for name in names
    ]
    check_comparable(found)
    for each in found:
        if each.notice:
            print_notice(each.notice)
    return found


def _file_name(label: str, dataset: str) -> str:
    whole = label if label.endswith(f"/{dataset}") else f"{label}-{dataset}"
    return re.sub(r"[^\w.-]+", "-", whole)


def _finish(
    options: argparse.Namespace,
    pictures: Pictures,
    rows: Sequence[Row],
    charts: dict[str, Chart],
    summary: dict[str, Any],
    around: tuple[str, str],
) -> None:
    """Write the table and the charts, and print what was measured.

    Args:
        options: of the command.
        pictures: that it was measured on.
        rows: with their accuracy.
        charts: by the name of their file; the table has that of the first.
        summary: what `--json` prints beside the measured.
        around: the lines above and below the printed table.
    """
    out = Path(options.out)
    files = [out / f"{next(iter(charts))}.csv"]
    write_csv(files[0], list(rows[0]), rows)
    files += [save(chart, out / f"{name}.{options.format}") for name, chart in charts.items()]
    measured = {
        "dataset": pictures.dataset,
        "images": len(pictures.labels),
        "test_images": pictures.total,
        "seed": options.seed,
        "note": pictures.note,
        "rows": rows,
        "files": [str(path) for path in files],
    }
    columns = [name for name in rows[0] if name not in ("accuracy", "brightness")]
    cells = [[f"{r[c]:g}" if c == "strength" else str(r[c]) for c in columns] for r in rows]
    shown = [[*each, f"{row['accuracy']:.4f}"] for each, row in zip(cells, rows, strict=True)]
    note = f"note: {pictures.note}" if pictures.note else ""
    shown_table = table_lines([*columns, "accuracy"], shown, flexible=0)
    lines = chain[object]([around[0], note], shown_table, [around[1], *files])
    show(options, summary | measured, (line for line in lines if line != ""))

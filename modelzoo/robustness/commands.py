"""What `modelzoo attack` and `modelzoo robustness` do."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.errors import InputError
from modelzoo.files import is_there, write_csv
from modelzoo.printing import print_notice
from modelzoo.progress import Progress
from modelzoo.tables import say_table
from modelzoo.terminal import say

if TYPE_CHECKING:
    from modelzoo.charts import Chart
    from modelzoo.resolve import Source
    from modelzoo.robustness.measuring import Row
    from modelzoo.robustness.networks import Pictures

METHODS = {"fgsm": ["fgsm"], "pgd": ["pgd"], "both": ["fgsm", "pgd"]}


def attack(options: argparse.Namespace) -> None:
    """Measure accuracy against strength, draw it and some adversarial pictures."""
    from modelzoo.resolve import resolve
    from modelzoo.robustness.networks import build_scores, check_comparable, open_pictures
    from modelzoo.training.device import start_framework

    strengths = sorted({0.0, *options.strengths})
    out = _writable(options.out)
    network = resolve(
        options.name,
        options.weights,
        dataset=options.dataset,
        backend=options.backend,
        sha256=options.sha256,
        allow_unverified=options.allow_unverified,
        for_scores=True,
    )
    check_comparable([network])
    _print_notices([network])
    with start_framework(network.config["trainer"]["backend"], options.device).scope():
        from modelzoo.robustness.examples import pictures_chart
        from modelzoo.robustness.measuring import attack_methods, attack_rows, counted

        model, softmax = build_scores(network)
        pictures = open_pictures([network], options.images, options.seed, print_notice)
        methods = attack_methods(METHODS[options.method], options.steps, options.seed)
        work = len(methods) * len(strengths) * len(pictures.labels)
        with Progress(work) as progress:
            rows = attack_rows(model, pictures, methods, strengths, counted(progress))
        figure = pictures_chart(model, softmax, pictures, methods, rows, network.label)
    from modelzoo.charts.adversarial import attack_curves

    title = f"Accuracy of {network.label} under attack, {pictures.described}"
    curves = attack_curves(rows, title, chance=1 / len(pictures.class_names))
    name = f"{_file_name(network.label, pictures.dataset)}-attack"
    charts = {name: curves} if figure is None else {name: curves, f"{name}-pictures": figure}
    files = _write(out, f"{name}.csv", rows, charts, options.format)
    # Weights are published with their accuracy on the whole test set of one data set.
    published = network.published_accuracy if network.dataset == pictures.dataset else None
    summary = {
        "model": network.label,
        "published_accuracy": published,
        "strength_unit": "share of the range 0..255",
        "steps": options.steps,
    }
    if options.json:
        _print_json(summary, pictures, options.seed, rows, files)
        return
    say(f"{network.label} on {pictures.described}; strength: largest change of a pixel, 0 to 1")
    if pictures.note:
        say(f"note: {pictures.note}")
    _print_table(rows, ("method", "strength"))
    if published is not None:
        say(f"published accuracy, all test images, strength 0: {published:.4f}")
    _print_files(files)


def robustness(options: argparse.Namespace) -> None:
    """Measure accuracy against corruptions of one or several networks, and draw it."""
    from modelzoo.charts.robustness import MOST_SERIES, corruption_curves
    from modelzoo.resolve import resolve
    from modelzoo.robustness.corruptions import KINDS, check_kinds, strengths_for
    from modelzoo.robustness.networks import build_scores, check_comparable, open_pictures
    from modelzoo.training.device import start_framework

    kinds = check_kinds(options.kinds.split(","))
    if options.strengths is not None and len(kinds) != 1:
        raise InputError("--strengths: are of one kind; name it with --kinds")
    wanted = sorted({0.0, *options.strengths}) if options.strengths is not None else None
    if len(options.names) > MOST_SERIES:
        raise InputError(f"{len(options.names)} networks: at most {MOST_SERIES} fit in one chart")
    out = _writable(options.out)
    networks = [
        resolve(name, dataset=options.dataset, backend=options.backend, for_scores=True)
        for name in options.names
    ]
    check_comparable(networks)
    _print_notices(networks)
    side = min(networks[0].image_shape[:2])
    strengths = {kind: strengths_for(kind, side, wanted) for kind in kinds}
    with start_framework(networks[0].config["trainer"]["backend"], options.device).scope():
        from modelzoo.robustness.measuring import corruption_rows, counted

        pictures = open_pictures(networks, options.images, options.seed, print_notice)
        models = {network.label: build_scores(network)[0] for network in networks}
        work = len(models) * sum(map(len, strengths.values())) * len(pictures.labels)
        with Progress(work) as progress:
            rows = corruption_rows(models, pictures, strengths, options.seed, counted(progress))
    axis_titles = {name: kind.title for name, kind in KINDS.items()}
    chart = corruption_curves(
        rows, axis_titles, f"Accuracy on changed pictures, {pictures.described}"
    )
    files = _write(out, "robustness.csv", rows, {"robustness": chart}, options.format)
    if options.json:
        _print_json({"models": list(models)}, pictures, options.seed, rows, files)
        return
    say(f"{pictures.described}; every network is shown the same pictures")
    if pictures.note:
        say(f"note: {pictures.note}")
    _print_table(rows, ("model", "kind", "strength"))
    _print_files(files)


def _writable(folder: str) -> Path:
    """Return the folder for what is written, before hours of work go into that."""
    out = Path(folder)
    there = next((each for each in (out, *out.absolute().parents) if is_there(each)), out)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"--out {folder}: {there} is no folder that can be written to")
    return out


def _print_notices(networks: Sequence[Source]) -> None:
    for each in networks:
        if each.notice:
            print_notice(each.notice)


def _file_name(label: str, dataset: str) -> str:
    whole = label if label.endswith(f"/{dataset}") else f"{label}-{dataset}"
    return re.sub(r"[^\w.-]+", "-", whole)


def _write(
    out: Path, table: str, rows: Sequence[Row], charts: dict[str, Chart], suffix: str
) -> list[Path]:
    from modelzoo.charts import save

    write_csv(out / table, list(rows[0]), rows)
    return [out / table, *(save(chart, out / f"{name}.{suffix}") for name, chart in charts.items())]


def _print_json(
    summary: dict[str, Any],
    pictures: Pictures,
    seed: int,
    rows: Sequence[Row],
    files: Sequence[Path],
) -> None:
    measured = {
        "dataset": pictures.dataset,
        "images": len(pictures.labels),
        "test_images": pictures.total,
        "seed": seed,
        "note": pictures.note,
        "rows": rows,
        "files": [str(path) for path in files],
    }
    print(json.dumps({**summary, **measured}))


def _print_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    cells = [[f"{r[c]:g}" if c == "strength" else str(r[c]) for c in columns] for r in rows]
    shown = [[*each, f"{row['accuracy']:.4f}"] for each, row in zip(cells, rows, strict=True)]
    say_table([*columns, "accuracy"], shown, flexible=0)


def _print_files(files: Sequence[Path]) -> None:
    for path in files:
        say(path)

"""`modelzoo attack` and `modelzoo robustness`."""

import argparse
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from modelzoo.analysis import measuring
from modelzoo.charts import Chart, save
from modelzoo.charts.curves import attack_curves, corruption_curves
from modelzoo.charts.style import LOOKS
from modelzoo.cli.options import chosen_source
from modelzoo.cli.printing import print_notice, show, table_lines
from modelzoo.support.errors import InputError
from modelzoo.support.files import is_there, write_csv
from modelzoo.training.device import start_framework
from modelzoo.training.resolve import Source


def attack(options: argparse.Namespace) -> None:
    """Measure accuracy against strength, draw it and some adversarial images."""
    strengths = sorted({0.0, *options.strengths})
    (source,) = _sources(options, [options.model])
    label = source.label
    with start_framework(source.config.trainer.backend, options.device).scope():
        from modelzoo.analysis.attacks import fgsm, pgd

        network = measuring.build_scores(source)
        known: dict[str, measuring.Attack] = {"fgsm": fgsm}
        known["pgd"] = partial(pgd, steps=options.steps, seed=options.seed)
        methods = {name: known[name] for name in known if options.method in (name, "both")}
        pictures = measuring.open_pictures([source], options.images, options.seed, print_notice)
        rows = measuring.attack_rows(network[0], pictures, methods, strengths)
        figure = measuring.pictures_chart(network, pictures, methods, rows, label)
    data = pictures.data
    title = f"Accuracy of {label} under attack, {pictures.described}"
    name = label if label.endswith(f"/{data.name}") else f"{label}-{data.name}"
    name = re.sub(r"[^\w.-]+", "-", name) + "-attack"
    charts = {name: attack_curves(rows, title, chance=1 / len(data.class_names))}
    if figure is not None:
        charts[f"{name}-pictures"] = figure
    # Weights are published with their accuracy on the whole test set of one data set.
    scores = source.published_scores(data.name)
    published = scores.accuracy if scores else None
    summary = {
        "model": label,
        "published_accuracy": published,
        "strength_unit": "share of the range 0..255",
        "steps": options.steps,
    }
    head = f"{label} on {pictures.described}; strength: largest change of a pixel, 0 to 1"
    foot = ""
    if published is not None:
        foot = f"published accuracy, all test images, strength 0: {published:.4f}"
    _finish(options, pictures, rows, charts, summary, (head, foot))


def robustness(options: argparse.Namespace) -> None:
    """Measure accuracy against corruptions of one or several networks, and draw it."""
    kinds = measuring.check_kinds(options.kinds.split(","))
    wanted = options.strengths
    if wanted is not None:
        if len(kinds) != 1:
            raise InputError("--strengths: are of one kind; name it with --kinds")
        wanted = sorted({0.0, *wanted})
    if len(options.names) > len(LOOKS):
        raise InputError(f"{len(options.names)} networks: at most {len(LOOKS)} fit in one chart")
    sources = _sources(options, options.names)
    side = min(sources[0].config.image_shape[:2])
    strengths = {kind: measuring.strengths_for(kind, side, wanted) for kind in kinds}
    with start_framework(sources[0].config.trainer.backend, options.device).scope():
        pictures = measuring.open_pictures(sources, options.images, options.seed, print_notice)
        models = {source.label: measuring.build_scores(source)[0] for source in sources}
        rows = measuring.corruption_rows(models, pictures, strengths, options.seed)
    axis_titles = {name: kind.title for name, kind in measuring.KINDS.items()}
    title = f"Accuracy on changed images, {pictures.described}"
    charts = {"robustness": corruption_curves(rows, axis_titles, title)}
    head = f"{pictures.described}; every network is shown the same images"
    _finish(options, pictures, rows, charts, {"models": list(models)}, (head, ""))


def _sources(options: argparse.Namespace, names: list[str]) -> list[Source]:
    """Return the networks that are measured; refuse a folder that cannot be written to."""
    out = Path(options.out)
    there = next((each for each in (out, *out.absolute().parents) if is_there(each)), out)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"--out {out}: {there} is no folder that can be written to")
    found = [chosen_source(options, model=name, for_scores=True) for name in names]
    measuring.check_comparable(found)
    for notice in filter(None, (each.notice for each in found)):
        print_notice(notice)
    return found


def _finish(
    options: argparse.Namespace,
    pictures: measuring.Pictures,
    rows: list[measuring.Row],
    charts: Mapping[str, Chart],
    summary: dict[str, Any],
    around: tuple[str, str],
) -> None:
    """Write charts and table; print what was measured, between the two lines `around` it."""
    out = Path(options.out)
    files = [out / f"{next(iter(charts))}.csv"]
    write_csv(files[0], list(rows[0]), rows)
    files += [save(chart, out / f"{name}.{options.format}") for name, chart in charts.items()]
    note = pictures.data.note
    summary |= {
        "dataset": pictures.data.name,
        "images": len(pictures.labels),
        "test_images": len(pictures.data.y_test),
        "seed": options.seed,
        "note": note,
        "rows": rows,
        "files": [str(path) for path in files],
    }
    columns = [name for name in rows[0] if name != "brightness"]
    form = {"strength": "{:g}", "accuracy": "{:.4f}"}
    shown = [[form.get(name, "{}").format(row[name]) for name in columns] for row in rows]
    head, foot = around
    lines = [head, f"note: {note}" if note else "", *table_lines(columns, shown, flexible=0), foot]
    show(options, summary, [*filter(None, lines), *files])

"""The commands that draw: `draw`, `features`, `filters`, `attack`, `robustness`, `plot`."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict

from modelzoo import api, charts
from modelzoo.analysis import measuring
from modelzoo.analysis.seeing import see
from modelzoo.charts import Chart
from modelzoo.charts.canvas import image_of
from modelzoo.charts.curves import attack_curves, learning_rate_curve
from modelzoo.cli.options import chosen_config, chosen_source
from modelzoo.cli.printing import print_notice, show, table_lines
from modelzoo.config import SCHEDULE
from modelzoo.data.datasets import check_dataset_name
from modelzoo.data.filters import filters as apply_filters
from modelzoo.data.filters import find_filter, read_photograph
from modelzoo.data.images import read_image
from modelzoo.data.known_sets import class_names
from modelzoo.support.errors import InputError, RunError, suggest
from modelzoo.support.files import as_typed, is_there, replacing, write_csv
from modelzoo.support.terminal import say
from modelzoo.training.device import start_framework
from modelzoo.training.evaluation import is_uncertain, unit_of
from modelzoo.training.prepare import open_dataset
from modelzoo.training.resolve import Source
from modelzoo.training.run_folder import RunFolder
from modelzoo.weights.reader import arrays_for
from modelzoo.weights.stored import read_stored

TAKEN_BY = {  # options, and the drawings that they are for
    **dict.fromkeys(("model", "config", "dataset", "weights", "set"), "architecture and kernels"),
    **{"layer": "kernels", "filter": "convolution"},
}


def draw(options: argparse.Namespace) -> None:
    what = options.what
    for option, drawings in TAKEN_BY.items():
        if getattr(options, option) and what not in drawings:
            raise InputError(f"draw {what}: takes no {option}, which is for {drawings}")
    if what in TAKEN_BY["model"] and options.model is None:
        raise InputError(f"draw {what}: of which network? Give its NAME")
    if what == "activations":
        chart, stem = charts.activations(), what
    elif what == "convolution":
        kernel = find_filter(options.filter or "line_rising").rows
        chart = charts.convolution_steps(kernel=kernel, slider=options.format == "html")
        stem = "-".join(filter(None, (what, options.filter)))
    elif what == "architecture":
        config, _ = chosen_config(options)
        chart, stem = charts.architecture(api.summary(config), config.name), f"{config.name}-{what}"
    else:
        source = chosen_source(options)
        label = source.config.name
        name, kernels = _kernels_of(source, label, options.layer)
        chart = charts.kernels(kernels, f"{label}: kernels of {name}")
        stem = f"{label}-{_in_a_file_name(name)}-kernels"
    say(_save(chart, options, stem))


def features(options: argparse.Namespace) -> None:
    source = chosen_source(options)
    config = source.config
    read = read_image(options.image, config.image_shape, **asdict(config.image))
    summary: dict[str, Any] = {
        "model": config.name,
        "weights": source.name,
        "image": str(options.image),
        "notes": list(read.notes),
        "problem": read.problem or None,
    }
    if read.problem:  # what a network makes of nothing is no prediction
        show(options, summary | {"classes": [], "layers": [], "files": []}, ())
        raise RunError(f"{options.image}: {read.problem}")
    seen = see(source, read.pixels, options.layer, options.device)
    outputs = seen.outputs
    unit = unit_of(outputs[np.newaxis])
    uncertain = is_uncertain(map(float, outputs), unit)
    in_order = list(zip(class_names(config), map(float, outputs), strict=True))
    ranked = sorted(in_order, key=lambda each: -each[1])
    name, value = ranked[0]
    best = f"{name} ({value:.1%})" if unit == "probability" else f"{name} (score {value:.3g})"
    answer = in_order if len(in_order) <= 10 else ranked  # few stand where one looks for them
    figure = charts.feature_maps(
        read.pixels, seen.features, answer, name=config.name, unit=unit, kinds=seen.kinds
    )
    stem = f"{config.name}-{_in_a_file_name(Path(options.image).stem)}"
    files = [
        _save(figure, options, f"{stem}-features"),
        _save(charts.saliency(read.pixels, seen.saliency, best), options, f"{stem}-saliency"),
    ]
    if options.npz:
        files.append(options.out / f"{stem}-features.npz")
        arrays = {"picture": read.pixels, "saliency": seen.saliency, **seen.features}
        with replacing(files[-1]) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    layers = [
        {"name": name, "type": seen.kinds[name], "shape": list(values.shape)}
        | {"least": float(values.min()), "largest": float(values.max())}
        for name, values in seen.features.items()
    ]
    summary |= {
        "classes": [{"name": name, unit: value} for name, value in ranked[:10]],
        "uncertain": uncertain,
        "layers": layers,
        "files": [str(path) for path in files],
    }
    found = f"{options.image}: {best}{' (uncertain)' if uncertain else ''}"
    show(options, summary, [found, *(f"  {note}" for note in read.notes), *files])


def filters(options: argparse.Namespace) -> None:
    pixels, notes = read_photograph(options.image, grey=options.grey)
    done = apply_filters(pixels, options.filter)
    path = Path(options.image)
    stem = _in_a_file_name(path.stem)
    figure = _save(charts.filtered_pictures(done, path.name), options, f"{stem}-filters")
    rows: list[dict[str, Any]] = []
    lines: list[object] = [*(f"{options.image}: {note}" for note in notes), figure]
    for each in done:
        target = options.out / f"{stem}-{each.name}.png"
        with replacing(target) as temporary:
            image_of(each.pixels).save(temporary)
        rows.append({"name": each.name, "file": str(target), "clipped": each.clipped})
        cut = f" ({each.clipped:.1%} of the values cut off at 0 or 255)" if each.clipped else ""
        lines.append(f"{target}{cut}")
    summary = {
        "image": str(options.image),
        "size": [pixels.shape[1], pixels.shape[0]],
        "notes": list(notes),
        "figure": str(figure),
        "filters": rows,
    }
    show(options, summary, lines)


def attack(options: argparse.Namespace) -> None:
    (source,) = _sources(options, [options.model])
    label = source.label
    check_dataset_name(source.dataset)
    if source.notice:
        print_notice(source.notice)
    with start_framework(source.config.trainer.backend, options.device).scope():
        network = measuring.build_scores(source)
        known = measuring.attacks(options.steps, options.seed, options.restarts)
        methods = {name: known[name] for name in known if options.method in (name, "both")}
        pictures = measuring.open_pictures([source], options.images, options.seed, print_notice)
        wanted = dict.fromkeys(methods, options.strengths)
        found = measuring.corruption_rows(
            {label: network[0]}, pictures, wanted, options.seed, options.steps
        )
        keys = {"method": "kind", "strength": "strength", "accuracy": "accuracy"}
        rows = [{name: row[key] for name, key in keys.items()} for row in found]
        figure = measuring.pictures_chart(network, pictures, methods, rows, label)
    data = pictures.data
    title = f"Accuracy of {label} under attack, {pictures.described}"
    name = label if label.endswith(f"/{data.name}") else f"{label}-{data.name}"
    name = re.sub(r"[^\w.-]+", "-", name) + "-attack"
    drawn = {name: attack_curves(rows, title, chance=1 / len(data.class_names))}
    if figure is not None:
        drawn[f"{name}-pictures"] = figure
    # Weights are published with their accuracy on the whole test set of one data set.
    published = getattr(source.published_scores(data.name), "accuracy", None)
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
    _finish(options, pictures, rows, drawn, summary, (head, foot))


def robustness(options: argparse.Namespace) -> None:
    sources = _sources(options, options.names)
    found = measuring.robustness(
        sources,
        options.kinds,
        options.strengths,
        images=options.images,
        seed=options.seed,
        device=options.device,
        notify=print_notice,
    )
    head = f"{found.pictures.described}; every network is shown the same images"
    labels = [source.label for source in sources]
    drawn = {"robustness": found.chart}
    _finish(options, found.pictures, found.rows, drawn, {"models": labels}, (head, ""))


def plot(options: argparse.Namespace) -> None:
    """Draw the charts of a run; the curves of several in one, for which a history.csv is enough."""
    out, suffix = options.out, options.format
    if len(options.runs) == 1:
        from modelzoo.training.results import save_charts

        for path in save_charts(Path(options.runs[0]), suffix, out):
            say(path)
        return
    paths = [Path(run).resolve() for run in options.runs]
    if len(set(paths)) < len(paths):
        raise InputError("plot: a run is named twice")
    names = [path.name for path in paths]
    if len(set(names)) < len(names):  # add folders above until they differ
        names = [path.relative_to(os.path.commonpath(paths)).as_posix() for path in paths]
    histories = [RunFolder(run).read_history() for run in options.runs]
    chart = charts.compare_runs(dict(zip(names, histories, strict=True)))
    say(charts.save(chart, (out or Path()) / f"comparison.{suffix}"))


def learning_rate(options: argparse.Namespace) -> None:
    config, _ = chosen_config(options)
    now, section = config.value(SCHEDULE), config.trainer
    check_dataset_name(config.data.dataset)
    device = start_framework(section.backend, options.device, one_thread=section.share_batches)
    with device.scope():
        from modelzoo.training.learning_rate import find_learning_rate

        data, config = open_dataset(config, print_notice, is_new=True)
        found = find_learning_rate(config, data, device, options.steps)
    title = f"Learning rates for {config.name} on {data.name}"
    chart = learning_rate_curve(found.rows, found.suggested, title)
    path = _save(chart, options, f"{config.name}-learning-rate")
    rising = found.least < found.rows[-1]["rate"]
    limit = "" if rising else f"notice: the loss still fell at {found.least:.2g}, the highest rate"
    facts = {"learning_rate": found.suggested, "least_loss_at": found.least, "rows": found.rows}
    said = now if isinstance(now, float) else f"a schedule, {now['class_name']}"
    lines = [
        f"suggested: {found.suggested:.2g}, a tenth of that of the least loss; now: {said}",
        f"train with it: python -m train --model {as_typed(options.model)} "
        f"--dataset {as_typed(data.name)} --learning-rate {found.suggested:.2g}",
        *filter(None, [limit]),
        path,
    ]
    show(options, {"model": config.name, "dataset": data.name, **facts, "file": str(path)}, lines)


def report(options: argparse.Namespace) -> None:
    """Write report.html of the first run again, compared with the others."""
    from modelzoo.training.results import write_report_again

    run, *others = map(Path, options.runs)
    say(write_report_again(run, others))


def _kernels_of(source: Source, label: str, name: str | None) -> tuple[str, np.ndarray]:
    """Return the name and the kernels of a layer, by default of the first that has some."""
    network, layers = source.config.network, []
    if network is None:
        with start_framework(source.config.trainer.backend, "cpu").scope():
            layers = [(layer, layer.get_weights()) for layer in source.build().layers]
    else:
        weighted = (layer for layer, inputs in network.with_inputs if layer.weights(inputs))
        layers = list(zip(weighted, arrays_for(network, read_stored(source.weights)), strict=True))
    found = {}
    for layer, weights in layers:
        with contextlib.suppress(InputError):
            found[layer.name] = charts.kernel_of(layer, weights)
    if not found:
        raise InputError(f"{label}: has no layer with convolution kernels")
    if name is not None and name not in found:
        raise InputError(
            f"--layer {name}: {label} has no convolution kernels there{suggest(name, list(found))}"
        )
    chosen = name or next(iter(found))
    return chosen, found[chosen]


def _save(chart: Chart, options: argparse.Namespace, stem: str) -> Path:
    return charts.save(chart, options.out / f"{stem}.{options.format}")


def _in_a_file_name(text: str) -> str:
    """Return text with nothing in it that a file name cannot have, on any system."""
    return re.sub(r"[^\w.-]", "_", text)[:80] or "picture"


def _sources(options: argparse.Namespace, names: list[str]) -> list[Source]:
    """Return the networks that are measured; refuse a folder that cannot be written to."""
    out = options.out
    there = next((each for each in (out, *out.absolute().parents) if is_there(each)), out)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"--out {out}: {there} is no folder that can be written to")
    return [chosen_source(options, model=name, for_scores=True) for name in names]


def _finish(
    options: argparse.Namespace,
    pictures: measuring.Pictures,
    rows: list[measuring.Row],
    drawn: Mapping[str, Chart],
    summary: dict[str, Any],
    around: tuple[str, str],
) -> None:
    """Write charts and table; print what was measured, between the two lines `around` it."""
    out = options.out
    files = [out / f"{next(iter(drawn))}.csv"]
    write_csv(files[0], list(rows[0]), rows)
    files += [_save(chart, options, name) for name, chart in drawn.items()]
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

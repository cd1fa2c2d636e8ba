"""What most commands do: read the configuration, call, and say what came of it."""

from __future__ import annotations

import argparse
import dataclasses
from itertools import chain
from pathlib import Path

import msgspec

from modelzoo import api
from modelzoo.cli import printing
from modelzoo.cli.options import arguments_of, changes_to_a_run, chosen_config, chosen_source
from modelzoo.cli.printing import as_text, print_notice, show, table_lines
from modelzoo.support.errors import InputError, RunError
from modelzoo.support.terminal import say


def train(options: argparse.Namespace) -> None:
    from modelzoo.training.trainer import Trainer, resume

    if options.resume is not None:
        run = resume(options.resume, device=options.device, **changes_to_a_run(options))
    else:
        config, weights = chosen_config(options)
        run = Trainer(
            config,
            device=options.device,
            out=options.out,
            weights=weights,
            weights_sha256=options.sha256,
            allow_unverified=options.allow_unverified,
        ).fit()
    if run.is_chief:
        show(options, run.metrics | {"folder": str(run.folder)}, printing.run_lines(run))


def evaluate(options: argparse.Namespace) -> None:
    from modelzoo.training.evaluation import check_against_published

    source = chosen_source(options, for_scores=True)
    published = source.published
    if options.check and published is None:
        raise InputError("--check: compares with published weights; --weights names other ones")
    if options.check and options.crops != 1:
        raise InputError("--check: what is published was measured with --crops 1")
    if source.notice:
        print_notice(source.notice)
    result = api.evaluate(
        source,
        split=options.split,
        device=options.device,
        notify=print_notice,
        golden=published.golden if published and options.check else None,
        crops=options.crops,
    )
    scores = result.scores
    promised = source.published_scores(result.data.name, scores.split)
    failure: RunError | None = None
    said = [f"published: {promised}"] if promised else []
    if options.check and published:
        try:
            said.append(f"checked: {check_against_published(published, result)}")
        except RunError as error:  # raised again when the scores are printed
            failure = error
    summary = {
        "model": source.config.name,
        "weights": source.name,
        "weights_file": str(source.weights),
        "trained_on": source.trained_on,
        "dataset": result.data.name,
        "split": scores.split,
        "images": len(scores.labels),
        "crops": options.crops,
        "loss": scores.loss,
        "accuracy": scores.accuracy,
        "top5_accuracy": scores.top_accuracy(5),
        "published_accuracy": promised.accuracy if promised else None,
        "published_loss": promised.loss if promised else None,
        "published_top5_accuracy": promised.top5_accuracy if promised else None,
        "golden_difference": result.golden_difference,
        "checked": failure is None if options.check else None,
        "parameters": result.parameters,
        "seconds": scores.seconds,
        "engine": result.engine,
        "note": result.data.note,
        "notice": source.notice,
        "confusion": result.confusion.tolist(),
        "classes": result.class_names,
    }
    show(options, summary, chain(printing.evaluation_lines(source.label, result), said))
    if failure:
        raise failure


def predict(options: argparse.Namespace) -> None:
    source = chosen_source(options)
    found = api.predict(source, options.images, top=options.top, device=options.device)
    images = [
        {
            "file": each.file,
            "classes": [{"name": name, each.unit: value} for name, value in each.classes],
            "uncertain": each.uncertain,
            "problem": each.problem or None,
            "notes": list(each.notes),
        }
        for each in found
    ]
    summary = {"model": source.config.name, "weights": source.name, "images": images}
    show(options, summary, printing.prediction_lines(found))
    if blank := [each for each in found if each.problem]:
        raise RunError(f"{len(blank)} of {len(found)} images without a class: {blank[0].problem}")


def list_models(options: argparse.Namespace) -> None:
    from modelzoo.config import list_models, load_config

    if options.weights:
        from modelzoo.cli.weights import list_weights

        list_weights(options)
        return
    rows, shown = [], []
    for name in list_models():
        config = load_config(name)
        about, model, dataset = config.about, config.model, config.data.dataset
        rows.append(
            {
                "name": name,
                "year": about.year,
                "parameters": about.parameters,
                "input_shape": model.input_shape,
                "classes": model.num_classes,
                "dataset": dataset,
                "weights": [entry.name for entry in config.weights],
                "title": about.title,
            }
        )
        size, shape = f"{about.parameters:,}", as_text(model.input_shape)
        shown.append((name, str(about.year), size, shape, dataset, about.title))
    heads = ("NAME", "YEAR", ">PARAMETERS", "INPUT", "DATA SET", "TITLE")
    show(options, rows, table_lines(heads, shown))


def info(options: argparse.Namespace) -> None:
    config, _ = chosen_config(options)
    about, model = config.about, config.model
    layers = api.describe(config) if options.layers or options.json else []
    facts = {
        "name": config.name,
        "title": about.title,
        "builder": model.builder,
        "parameters": sum(layer["parameters"] for layer in layers),
        "trainable_parameters": sum(layer["trainable_parameters"] for layer in layers),
        "input_shape": model.input_shape,
        "classes": model.num_classes,
        "dataset": config.data.dataset,
        "layers": layers,
        "weights": [msgspec.to_builtins(entry) for entry in config.weights],
        "source": about.source,
        "deviations": about.deviations,
    }
    lines = printing.config_lines(config)
    hint = f"  layers and shapes: modelzoo info {options.model or options.config} --layers"
    show(options, facts, chain(lines, printing.layer_lines(layers) if layers else [hint]))


def plot(options: argparse.Namespace) -> None:
    if len(options.runs) > 1:
        from modelzoo.cli.drawing import plot_together

        say(plot_together(options.runs, options.format, options.out))
        return
    from modelzoo.training.results import save_charts

    run, out = Path(options.runs[0]), options.out and Path(options.out)
    for path in save_charts(run, options.format, out):
        say(path)


def study(options: argparse.Namespace) -> None:
    from modelzoo.training.study import load_study, run_study, table_of, variant_folders

    backend = [] if options.backend is None else [f"trainer.backend={options.backend}"]
    chosen = load_study(options.study, [*options.set, *backend])
    out = Path(options.out or f"runs/{chosen.name}")
    files = run_study(chosen, out, device=options.device)
    rows = table_of(variant_folders(chosen, out))
    summary = {"variants": rows, "files": [str(path) for path in files]}
    show(options, summary, chain[object](printing.study_lines(chosen.title, rows), files))


def import_file(options: argparse.Namespace) -> None:
    from modelzoo.convert.importing.import_file import import_file

    found = import_file(
        Path(options.file),
        out=Path(options.out),
        dataset=options.dataset,
        model=options.model,
        overrides=options.set,
        notify=print_notice,
    )
    show(options, found.summary(), found.lines())


def export(options: argparse.Namespace) -> None:
    from modelzoo.convert.exporting.export import TOLERANCE, export

    done = export(**arguments_of(export, options))
    lines = [
        f"{done.path} ({done.bytes:,} bytes)",
        f"  input:   {done.facts['input']}",
        f"  output:  {done.facts['output']}",
        f"  checked: {done.pictures}; largest difference {done.difference:.2g} "
        f"(allowed: {TOLERANCE}), same class for {done.same_answers} of {done.images}",
    ]
    show(options, dataclasses.asdict(done) | {"path": str(done.path)}, lines)

"""What each command does: read the configuration, call, and say what came of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo import printing
from modelzoo.errors import InputError, RunError
from modelzoo.options import changes_to_a_run, chosen_config, chosen_source
from modelzoo.tables import say_table
from modelzoo.terminal import say

if TYPE_CHECKING:
    from modelzoo.config import Config


def train(options: argparse.Namespace) -> None:
    from modelzoo.training.trainer import Trainer, resume

    if options.resume is not None:
        changes = changes_to_a_run(options)
        run = resume(options.resume, device=options.device, own_process=True, **changes)
    else:
        config, start = chosen_config(options)
        if start is not None and options.weights is not None:
            raise InputError(
                f"--model {options.model} names weights already; leave out --weights "
                f"{options.weights:.80}"
            )
        trainer = Trainer(
            config,
            device=options.device,
            out=options.out,
            weights=options.weights if start is None else start,
            weights_sha256=options.sha256,
            allow_unverified=options.allow_unverified,
            own_process=True,
        )
        run = trainer.fit()
    if not run.is_chief:
        return
    if options.json:
        print(json.dumps({**run.metrics, "folder": str(run.folder)}))
    else:
        printing.print_run(run)


def evaluate(options: argparse.Namespace) -> None:
    from modelzoo.api import evaluate
    from modelzoo.weights.golden import check_against_published, published_scores

    source = chosen_source(options, for_scores=True)
    config, published = source.config, source.published
    if options.check and published is None:
        raise InputError("--check: compares with published weights; --weights names other ones")
    if options.check and options.crops != 1:
        raise InputError("--check: what is published was measured with --crops 1")
    if source.notice:
        printing.print_notice(source.notice)
    result = evaluate(
        source,
        split=options.split,
        device=options.device,
        notify=printing.print_notice,
        golden=published.golden if published and options.check else None,
        crops=options.crops,
    )
    promised = published_scores(published, result)
    checked, failure = "", None
    if options.check and published:
        try:
            checked = check_against_published(published, result)
        except RunError as error:  # raised again when the scores are printed
            failure = error
    if options.json:
        scores = result.scores
        summary = {
            "model": config.name,
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
            "checked": bool(checked) if options.check else None,
            "parameters": result.parameters,
            "seconds": scores.seconds,
            "note": result.data.note,
            "notice": source.notice,
            "confusion": result.confusion.tolist(),
            "classes": result.class_names,
        }
        print(json.dumps(summary))
    else:
        printing.print_evaluation(source.label, result)
        if promised:
            say(f"published: {promised}")
        if checked:
            say(f"checked: {checked}")
    if failure:
        raise failure


def predict(options: argparse.Namespace) -> None:
    from modelzoo.api import predict

    source = chosen_source(options)
    found = predict(source, options.images, top=options.top, device=options.device)
    if options.json:
        summaries = [
            {
                "file": each.file,
                "classes": [{"name": name, each.unit: value} for name, value in each.classes],
                "uncertain": each.uncertain,
                "problem": each.problem or None,
                "notes": list(each.notes),
            }
            for each in found
        ]
        told = {"model": source.config.name, "weights": source.name, "images": summaries}
        print(json.dumps(told))
    else:
        for each in found:
            say(f"{each.file}: {each.problem or printing.as_prediction(each)}")
            for note in each.notes:
                say(f"  {note}")
    if blank := [each for each in found if each.problem]:
        raise RunError(f"{len(blank)} of {len(found)} images without a class: {blank[0].problem}")


def list_models(options: argparse.Namespace) -> None:
    from modelzoo.config import list_models, load_config

    if options.weights:
        list_weights(options)
        return
    rows = []
    for name in list_models():
        config = load_config(name)
        about, model = config.about, config.model
        rows.append(
            {
                "name": name,
                "year": about.year,
                "parameters": about.parameters,
                "input_shape": model.input_shape,
                "classes": model.num_classes,
                "dataset": config.data.dataset,
                "weights": [entry.name for entry in config.weights],
                "title": about.title,
            }
        )
    if options.json:
        print(json.dumps(rows))
        return
    heads = ("NAME", "YEAR", ">PARAMETERS", "INPUT", "DATA SET", "TITLE")
    shown = [
        (
            row["name"],
            str(row["year"]),
            f"{row['parameters']:,}",
            printing.as_text(row["input_shape"]),
            row["dataset"],
            row["title"],
        )
        for row in rows
    ]
    say_table(heads, shown)


def info(options: argparse.Namespace) -> None:
    config, _ = chosen_config(options)
    if options.json:
        print(json.dumps(_facts(config)))
        return
    about, model, data = config.about, config.model, config.data
    network = config.network
    parameters = network.parameters if network else about.parameters
    layers = _layers(config) if options.layers else []  # what is wrong is said before the rest
    rows = {
        "title": about.title,
        "source": about.source,
        "builder": model.builder,
        "input": printing.as_text(model.input_shape),
        "classes": model.num_classes,
        "parameters": f"{parameters:,}" if parameters else None,
        "data set": data.dataset,
        "batch size": data.batch_size,
        "epochs": config.fit.epochs,
        "weights": None if config.weights else "none published",
    }
    say(config.name)
    pairs = [(f"  {key}:", str(value)) for key, value in rows.items() if value not in (None, "")]
    for number, entry in enumerate(config.weights):
        unverified = ", needs --allow-unverified" if entry.unverified else ""
        label = "" if number else "  weights:"
        pairs.append((label, f"{entry.name}: {entry.scores}{unverified}"))
    say_table((), pairs)
    if options.layers:
        printing.print_layers(layers)
    else:
        say(f"  layers and shapes: modelzoo info {options.model or options.config} --layers")


def list_weights(options: argparse.Namespace) -> None:
    from modelzoo.weights.commands import describe_weights

    rows = describe_weights()
    if options.json:
        print(json.dumps(rows))
        return
    shown = [
        (
            f"{row['model']}/{row['name']}",
            row["scores"]["dataset"],
            f"{row['scores']['accuracy']:.4f}",
            f"{row['bytes']:,}" if row["bytes"] else "?",
            row["where"],
        )
        for row in rows
    ]
    say_table(("WEIGHTS", "DATA SET", ">ACCURACY", ">BYTES", "WHERE"), shown)


def pull(options: argparse.Namespace) -> None:
    from modelzoo.weights.commands import pull

    done, problems = pull(options.names, allow_unverified=options.allow_unverified)
    if options.json:
        print(json.dumps({"files": done}))
    else:
        for row in done:
            say(f"{row['weights']}: {row['path']} (from {row['source']}, SHA-256 {row['sha256']})")
            if not row["verified"]:
                say("  unverified: this hash was never published; the file is held to it now")
    if problems:
        raise InputError("\n".join(problems))


def verify(options: argparse.Namespace) -> None:
    from modelzoo.weights.commands import WORDS, verify

    checked = verify(options.names)
    wrong = [each for each in checked if each.is_wrong]
    if options.json:
        rows = [
            {
                "weights": each.label,
                "place": each.place,
                "path": str(each.path),
                "state": each.state,
                "wrong": each.is_wrong,
            }
            for each in checked
        ]
        print(json.dumps({"files": rows, "wrong": len(wrong)}))
    else:
        for each in checked:
            say(f"{WORDS[each.state]:12} {each.label} ({each.path})")
        say(f"{len(checked)} files, {len(wrong)} wrong")
    if wrong:
        names = ", ".join(sorted({each.label for each in wrong}))
        raise RunError(f"{len(wrong)} of {len(checked)} files are not what they should be: {names}")


def plot(options: argparse.Namespace) -> None:
    if len(options.runs) > 1:
        from modelzoo.drawing import plot_together

        say(plot_together(options.runs, options.format, options.out))
        return
    from modelzoo.training.results import save_charts

    run, out = Path(options.runs[0]), options.out and Path(options.out)
    for path in save_charts(run, options.format, out):
        say(path)


def study(options: argparse.Namespace) -> None:
    from modelzoo.study import load_study, run_study, table_of, variant_folders

    backend = [] if options.backend is None else [f"trainer.backend={options.backend}"]
    chosen = load_study(options.study, [*options.set, *backend])
    out = Path(options.out or f"runs/{chosen.name}")
    files = run_study(chosen, out, device=options.device)
    table = table_of(variant_folders(chosen, out))
    if options.json:
        print(json.dumps({"variants": table, "files": [str(path) for path in files]}))
        return
    printing.print_study(chosen.title, table)
    for path in files:
        say(path)


def import_file(options: argparse.Namespace) -> None:
    from modelzoo.importing.import_file import import_file

    found = import_file(
        Path(options.file),
        out=Path(options.out),
        dataset=options.dataset,
        model=options.model,
        overrides=options.set,
        notify=printing.print_notice,
    )
    if options.json:
        print(json.dumps(found.summary()))
    else:
        for line in found.lines():
            say(line)


def export(options: argparse.Namespace) -> None:
    import dataclasses

    from modelzoo.exporting.check import TOLERANCE
    from modelzoo.exporting.export import export

    done = export(
        options.model,
        options.weights,
        format=options.format,
        out=options.out,
        scaled=options.scaled,
        sha256=options.sha256,
        allow_unverified=options.allow_unverified,
    )
    if options.json:
        print(json.dumps(dataclasses.asdict(done) | {"path": str(done.path)}))
        return
    say(f"{done.path} ({done.bytes:,} bytes)")
    say(f"  input:   {done.facts['input']}")
    say(f"  output:  {done.facts['output']}")
    say(
        f"  checked: {done.pictures}; largest difference {done.difference:.2g} "
        f"(allowed: {TOLERANCE}), same class for {done.same_answers} of {done.images}"
    )


def _layers(config: Config) -> list[dict[str, Any]]:
    """Return what `info` says of each layer, without importing more than that takes."""
    if config.network is not None:
        return config.network.rows()
    from modelzoo.api import describe

    return describe(config)


def _facts(config: Config) -> dict[str, Any]:
    import msgspec

    layers = _layers(config)
    return {
        "name": config.name,
        "title": config.about.title,
        "builder": config.model.builder,
        "parameters": sum(layer["parameters"] for layer in layers),
        "trainable_parameters": sum(layer["trainable_parameters"] for layer in layers),
        "input_shape": config.model.input_shape,
        "classes": config.model.num_classes,
        "dataset": config.data.dataset,
        "layers": layers,
        "weights": [msgspec.to_builtins(entry) for entry in config.weights],
        "source": config.about.source,
        "deviations": config.about.deviations,
    }

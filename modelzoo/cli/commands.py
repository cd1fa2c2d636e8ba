"""What most commands do: read the configuration, call, and say what came of it."""

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from modelzoo import api
from modelzoo.cli import printing
from modelzoo.cli.options import arguments_of, changes_to_a_run, chosen_config, chosen_source
from modelzoo.cli.printing import as_text, print_notice, show, table_lines
from modelzoo.config import list_models, load_config
from modelzoo.config.published import SUFFIXES, WeightsFile
from modelzoo.data.known_sets import class_names
from modelzoo.data.samples import samples_of
from modelzoo.support.environment import cache_folder
from modelzoo.support.errors import InputError, RunError, suggest
from modelzoo.support.files import read_record, state_of
from modelzoo.support.terminal import say
from modelzoo.training import prediction
from modelzoo.training.resolve import configure
from modelzoo.weights.store import cached_path, fetch, packaged_path


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
        **{f"published_{each}": getattr(promised, each, None) for each in PUBLISHED},
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
    from modelzoo.cli.predictions import draw_digits, save_prepared
    from modelzoo.data.images import files_of

    if options.sample is not None and (options.model, options.config) == (None, None):
        options.model = "lenet5"
    source, files = chosen_source(options), files_of(options.images)
    if options.sample is not None:
        samples = [f"sample:{name}" for name in options.sample]
        files += samples or samples_of(class_names(source.config))
    if not files:
        raise InputError("no images: name their files, or try --sample, with those of the package")
    found = prediction.predict(
        source,
        files,
        top=options.top,
        device=options.device,
        one=options.one,
        keep_going=True,
    )
    images = [
        {
            "file": each.file,
            "classes": named(each, each.classes),
            "uncertain": each.uncertain,
            "problem": each.problem or None,
            "notes": list(each.notes),
            "digits": [
                {"box": digit.box, "classes": named(each, digit.classes)}
                | {"uncertain": digit.uncertain}
                for digit in each.digits
            ],
        }
        for each in found
    ]
    files = [
        *(save_prepared(found, options.save_prepared) if options.save_prepared else ()),
        *(draw_digits(found, options.draw) if options.draw else ()),
    ]
    summary = {"model": source.config.name, "weights": source.name, "images": images}
    summary |= {"files": [str(path) for path in files]}
    show(options, summary, chain[object](printing.prediction_lines(found), files))
    if failed := [each for each in found if each.problem]:
        reason = failed[0].problem.splitlines()[0]
        raise RunError(f"{len(failed)} of {len(found)} images without a class: {reason}")


def named(
    found: prediction.Prediction, classes: Iterable[tuple[str, float]]
) -> list[dict[str, Any]]:
    return [{"name": name, found.unit: value} for name, value in classes]


def list_networks(options: argparse.Namespace) -> None:
    if options.weights:
        list_weights(options)
        return
    rows: list[dict[str, Any]] = [
        {
            "name": config.name,
            "year": config.about.year,
            "parameters": config.about.parameters,
            "input_shape": config.model.input_shape,
            "classes": config.model.num_classes,
            "dataset": config.data.dataset,
            "weights": [entry.name for entry in config.weights],
            "title": config.about.title,
        }
        for config in map(load_config, list_models(options.pattern))
    ]
    heads = ("NAME", "YEAR", ">PARAMETERS", "INPUT", "DATA SET", "TITLE")
    shown = []
    for row in rows:
        size, shape = f"{row['parameters']:,}", as_text(row["input_shape"])
        shown.append((row["name"], str(row["year"]), size, shape, row["dataset"], row["title"]))
    _show_fitting(options, rows, heads, shown)


def _show_fitting(
    options: argparse.Namespace, rows: Sequence[Any], heads: Sequence[str], shown: Sequence[Any]
) -> None:
    """Print the table of what fits a pattern."""
    if not rows:
        near = suggest(options.pattern, list_models())
        raise InputError(f"no name fits {options.pattern!r:.80}{near}")
    show(options, rows, table_lines(heads, shown))


def info(options: argparse.Namespace) -> None:
    config, _ = chosen_config(options)
    about, model = config.about, config.model
    layers = api.summary(config) if options.layers or options.json else []
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


def study(options: argparse.Namespace) -> None:
    from modelzoo.training.study import load_study, means_of, run_study, table_of, variant_folders

    chosen = load_study(**arguments_of(load_study, options))
    out = Path(options.out or f"runs/{chosen.name}")
    files = run_study(chosen, out, device=options.device)
    rows = means_of(table_of(variant_folders(chosen, out)), chosen.runs)
    summary = {"variants": rows, "files": [str(path) for path in files]}
    show(options, summary, chain[object](printing.study_lines(chosen.title, rows), files))


def import_file(options: argparse.Namespace) -> None:
    from modelzoo.convert.importing.import_file import import_file

    found = import_file(**arguments_of(import_file, options), notify=print_notice)
    show(options, found.summary(), found.lines())


def export(options: argparse.Namespace) -> None:
    from modelzoo.convert.exporting import TOLERANCE, export
    from modelzoo.convert.quantizing import WARNED

    if options.c_array:
        if options.format != "litert":
            raise InputError(f"--c-array: is for --format litert, not {options.format}")
        options.format = "c_array"
    done = export(**arguments_of(export, options))
    lines = [f"{done.path} ({done.bytes:,} bytes)"]
    facts, allowed = done.facts, "" if done.quantized else f" (allowed: {TOLERANCE})"
    if done.images:  # a page was not run
        lines += [
            f"  input:   {facts['input']}",
            f"  output:  {facts['output']}",
            f"  checked: {done.pictures}; largest difference {done.difference:.2g}{allowed}, "
            f"same class for {done.same_answers} of {done.images}",
        ]
    if made := done.quantized:
        scales = (
            f"{each} {facts[f'{each}_scale']:.7g}, zero point {facts[f'{each}_zero_point']}"
            for each in ("input", "output")
        )
        lines += [
            f"  scales:  {'; '.join(scales)}",
            f"  from:    {made.calibrated_on}",
            f"  int8:    accuracy {made.accuracy:.4f}, {done.bytes:,} bytes",
            f"  float32: accuracy {made.float_accuracy:.4f}, {made.float_bytes:,} bytes",
        ]
        if made.lost > WARNED + 1e-9:
            print_notice(f"the integers lose {100 * made.lost:.2f} points of accuracy")
    show(options, dataclasses.asdict(done) | {"path": str(done.path)}, lines)


def demo(options: argparse.Namespace) -> None:
    from modelzoo.page.make import open_page

    path = Path(options.out)
    names = [*options.names, *options.model]
    count = open_page(names, path, browser=not options.no_browser)
    say(path)
    say(f"networks: {count}; bytes: {path.stat().st_size:,}")


def check(options: argparse.Namespace) -> None:
    """Print what is in a folder of images, and what is wrong with it."""
    from modelzoo.data.checking import check_images, report, report_lines
    from modelzoo.data.datasets import data_folder
    from modelzoo.data.folders import find_images

    place = options.path.removeprefix("folder:")
    named = data_folder() / place
    found = find_images(named if not Path(place).exists() and named.is_dir() else place)
    facts = report(found, check_images(found))
    show(options, facts, report_lines(found, facts))
    if bad := facts["bad"]:
        many = f"{len(bad):,} of {len(found):,} images cannot be used"
        raise RunError(f"{many}; train --skip-bad-images leaves them out")


PUBLISHED = ("accuracy", "loss", "top5_accuracy")  # of `Scores`, in the summary of `evaluate`
WORDS = {"good": "good", "damaged": "WRONG", "missing": "MISSING", "unknown": "no hash"}


def list_weights(options: argparse.Namespace) -> None:
    """Print the published weights of networks, each with where its file is."""
    rows, shown = api.list_weights(options.pattern), []
    for row in rows:
        size, scores = f"{row['bytes']:,}" if row["bytes"] else "?", row["scores"]
        label, accuracy = f"{row['model']}/{row['name']}", f"{scores['accuracy']:.4f}"
        shown.append((label, scores["dataset"], accuracy, size, row["where"]))
    heads = ("WEIGHTS", "DATA SET", ">ACCURACY", ">BYTES", "WHERE")
    _show_fitting(options, rows, heads, shown)


def pull(options: argparse.Namespace) -> None:
    """Fetch published weights, each as far as it can be had; nothing if one has a wrong name."""
    wanted = [(name, _files_of(name)) for name in options.names]
    for name, files in wanted:
        if not files:
            raise InputError(f"{name}: no weights are published for it yet")
    rows, lines, problems = [], [], []
    for _, (file, *_) in wanted:
        try:
            fetched = fetch(file, allow_unverified=options.allow_unverified)
        except InputError as error:
            problems.append(str(error))
            continue
        row = {"weights": file.label, **dataclasses.asdict(fetched)}
        rows.append(row | {"path": str(fetched.path), "bytes": fetched.path.stat().st_size})
        source = f"(from {fetched.source}, SHA-256 {fetched.sha256})"
        lines.append(f"{file.label}: {fetched.path} {source}")
        if not fetched.verified:
            lines.append("  unverified: this hash was never published; the file is held to it now")
    show(options, {"files": rows}, lines)
    if problems:
        raise InputError("\n".join(problems))


def verify(options: argparse.Namespace) -> None:
    """Hash shipped and fetched files again: of these networks or weights, or all that there are."""
    rows: list[dict[str, Any]] = []

    def check(label: str, place: str, path: Path, sha256: str | None, size: int | None) -> None:
        state = state_of(path, sha256, size)
        wrong = state == "damaged" or (place, state) == ("package", "missing")
        row = {"weights": label, "place": place, "path": str(path), "state": state}
        rows.append({**row, "wrong": wrong})

    files = [file for name in options.names or list_models() for file in _files_of(name)]
    for file in files:
        packaged, cached = packaged_path(file), cached_path(file)
        if packaged is not None:
            check(file.label, "package", packaged, file.sha256, file.bytes)
        if cached.exists():
            check(file.label, "cache", cached, file.sha256 or read_record(cached), file.bytes)
    if not options.names:  # what else was fetched is held to its record
        known = {cached_path(file) for file in files}
        for path in sorted((cache_folder() / "weights").glob("*/[!.]*")):
            if path.name.endswith(SUFFIXES) and path not in known:
                check(f"{path.parent.name}/{path.name}", "cache", path, read_record(path), None)
    wrong = [row["weights"] for row in rows if row["wrong"]]
    lines = [f"{WORDS[row['state']]:12} {row['weights']} ({row['path']})" for row in rows]
    lines.append(f"{len(rows)} files, {len(wrong)} wrong")
    show(options, {"files": rows, "wrong": len(wrong)}, lines)
    if wrong:
        names = ", ".join(sorted(set(wrong)))
        raise RunError(f"{len(wrong)} of {len(rows)} files are not what they should be: {names}")


def _files_of(name: str) -> list[WeightsFile]:
    """Return the published files of a network, or the one of NAME/WEIGHTS."""
    config, wanted = configure(name)
    return [e.file_of(config.name) for e in config.weights if wanted in (None, e.name)]

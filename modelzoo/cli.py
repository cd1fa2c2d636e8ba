"""The `modelzoo` command: parse, call, print. Commands that need no framework import none."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from modelzoo.errors import InputError, RunError
from modelzoo.version import __version__

if TYPE_CHECKING:
    from modelzoo.config import Config
    from modelzoo.training.run import Run
    from modelzoo.weights.registry import PublishedWeights
    from modelzoo.zoo import Evaluation

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (failed), 2 (bad input), 130 (interrupted)."""
    parser = _make_parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    # A polite kill saves as Ctrl-C does.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options.run(options)
        sys.stdout.flush()
    except InputError as error:
        return _fail(options.command, error, 2)
    except RunError as error:
        return _fail(options.command, error, 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("MODELZOO_DEBUG"):
            raise
        reason = f"{type(error).__name__}: {error}"
        hint = "This is a bug; MODELZOO_DEBUG=1 shows where."
        return _fail(options.command, f"{reason[:500]}\n{hint}", 1)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


# Commands


def _train(options: argparse.Namespace) -> None:
    from modelzoo.training.trainer import Trainer, resume

    if options.resume is not None:
        _refuse_beside_resume(options)
        epochs = None if options.epochs is None else _whole_number("--epochs", options.epochs)
        run = resume(options.resume, epochs=epochs, device=options.device)
    else:
        config = _load(options, ("epochs", "seed", "precision", "backend"))
        run = Trainer(config, device=options.device, out=options.out).fit()
    if options.json:
        print(json.dumps({**run.metrics, "folder": str(run.folder)}))
    else:
        _print_run(run)


def _evaluate(options: argparse.Namespace) -> None:
    from modelzoo.weights.published import check_against_published, published_scores
    from modelzoo.zoo import evaluate

    config, published, weights = _load_with_weights(options)
    if options.check and published is None:
        raise InputError("--check: compares with published weights; --weights names other ones")
    result = evaluate(
        config,
        weights,
        split=options.split,
        device=options.device,
        notify=_print_notice,
        golden=published.golden if published and options.check else None,
    )
    promised = published_scores(published, result)
    if options.json:
        scores = result.scores
        summary = {
            "model": config.name,
            "weights": published.name if published else str(weights),
            "weights_file": str(weights),
            "dataset": result.data.name,
            "split": scores.split,
            "images": len(scores.labels),
            "loss": scores.loss,
            "accuracy": scores.accuracy,
            "published_accuracy": promised.accuracy if promised else None,
            "published_loss": promised.loss if promised else None,
            "golden_difference": result.golden_difference,
            "parameters": result.parameters,
            "seconds": scores.seconds,
            "note": result.data.note,
            "confusion": result.confusion.tolist(),
            "classes": result.class_names,
        }
        print(json.dumps(summary))
    else:
        _print_evaluation(config, result)
        if promised:
            print(f"published: accuracy {promised.accuracy:.4f}, loss {promised.loss:.4f}")
    if options.check and published:
        sys.stdout.flush()
        check_against_published(published, result)


def _predict(options: argparse.Namespace) -> None:
    from modelzoo.zoo import predict

    if options.top < 1:
        raise InputError(f"--top {options.top}: should be at least 1")
    config, published, weights = _load_with_weights(options)
    found = predict(config, weights, options.images, top=options.top, device=options.device)
    if options.json:
        summaries = [
            {
                "file": each.file,
                "classes": [{"name": name, "probability": p} for name, p in each.classes],
                "notes": list(each.notes),
            }
            for each in found
        ]
        name = published.name if published else str(weights)
        print(json.dumps({"model": config.name, "weights": name, "images": summaries}))
        return
    for each in found:
        answers = ", ".join(f"{name} {probability:.1%}" for name, probability in each.classes)
        print(f"{each.file}: {answers}")
        for note in each.notes:
            print(f"  {note}")


def _list(options: argparse.Namespace) -> None:
    from modelzoo.config import list_models, load_config

    if options.weights:
        _list_weights(options)
        return
    rows = []
    for name in list_models():
        config = load_config(name)
        about, model = config["about"], config["model"]
        rows.append(
            {
                "name": name,
                "year": about["year"],
                "parameters": about["parameters"],
                "input_shape": model["input_shape"],
                "classes": model["num_classes"],
                "dataset": config["data"]["dataset"],
                "weights": [entry.name for entry in config.weights],
                "title": about["title"],
            }
        )
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'NAME':12} {'YEAR':5} {'PARAMETERS':>11}  {'INPUT':10} {'DATA SET':10} TITLE")
    for row in rows:
        print(
            f"{row['name']:12} {row['year']:<5} {row['parameters']:>11,}  "
            f"{_shape(row['input_shape']):10} {row['dataset']:10} {row['title']}"
        )


def _info(options: argparse.Namespace) -> None:
    config = _load(options, ())
    if options.json or options.layers:
        from modelzoo.training.device import start_framework

        start_framework(config["trainer"]["backend"], "cpu")
    if options.json:
        print(json.dumps(_facts(config)))
        return
    about, model, data = config["about"], config["model"], config["data"]
    parameters = about["parameters"]
    rows = {
        "title": about["title"],
        "source": about["source"],
        "builder": model["builder"],
        "input": _shape(model["input_shape"]),
        "classes": model["num_classes"],
        "parameters": f"{parameters:,}" if parameters else None,
        "data set": data["dataset"],
        "batch size": data["batch_size"],
        "epochs": config["fit"]["epochs"],
        "weights": None if config.weights else "none published",
    }
    print(config.name)
    for key, value in rows.items():
        if value not in (None, ""):
            print(f"  {key + ':':12}{value}")
    for number, entry in enumerate(config.weights):
        scores = entry.scores
        print(
            f"  {'' if number else 'weights:':12}{entry.name}: accuracy {scores.accuracy:.4f}, "
            f"loss {scores.loss:.4f} on {scores.dataset} ({scores.split})"
            f"{', needs --allow-unverified' if entry.unverified else ''}"
        )
    if options.layers:
        _print_layers(config)
    else:
        print(f"  layers and shapes: modelzoo info {options.model or options.config} --layers")


def _list_weights(options: argparse.Namespace) -> None:
    from modelzoo.weights.commands import describe_weights

    rows = describe_weights()
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'WEIGHTS':24} {'DATA SET':16} {'ACCURACY':>8} {'BYTES':>12}  WHERE")
    for row in rows:
        label = f"{row['model']}/{row['name']}"
        size = f"{row['bytes']:,}" if row["bytes"] else "?"
        data, accuracy = row["scores"]["dataset"], row["scores"]["accuracy"]
        print(f"{label:24} {data:16} {accuracy:8.4f} {size:>12}  {row['where']}")


def _pull(options: argparse.Namespace) -> None:
    from modelzoo.weights.commands import pull

    done, problems = pull(options.names, allow_unverified=options.allow_unverified)
    if options.json:
        print(json.dumps({"files": done}))
    else:
        for row in done:
            print(
                f"{row['weights']}: {row['path']} (from {row['source']}, SHA-256 {row['sha256']})"
            )
            if not row["verified"]:
                print("  unverified: this hash was never published; the file is held to it now")
    if problems:
        sys.stdout.flush()
        raise InputError("\n".join(problems))


def _verify(options: argparse.Namespace) -> None:
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
            print(f"{WORDS[each.state]:12} {each.label} ({each.path})")
        print(f"{len(checked)} files, {len(wrong)} wrong")
    if wrong:
        sys.stdout.flush()
        names = ", ".join(sorted({each.label for each in wrong}))
        raise RunError(f"{len(wrong)} of {len(checked)} files are not what they should be: {names}")


def _plot(options: argparse.Namespace) -> None:
    from modelzoo.training.results import save_charts

    for run in options.runs:
        for path in save_charts(Path(run), options.format, options.out and Path(options.out)):
            print(path)


def _import(options: argparse.Namespace) -> None:
    from modelzoo.weights.importing import import_file

    found = import_file(
        Path(options.file),
        out=Path(options.out),
        dataset=options.dataset,
        model=options.model,
        overrides=options.set,
        notify=_print_notice,
    )
    if options.json:
        print(json.dumps(found.summary()))
    else:
        for line in found.lines():
            print(line)


# What they share


def _load(options: argparse.Namespace, shortcuts: Sequence[str]) -> Config:
    """Read the configuration that --model, --config, --dataset, --set and shortcuts describe."""
    from modelzoo.config import load_config

    config = load_config(
        options.model, config_file=options.config, dataset=options.dataset, overrides=options.set
    )
    for name in shortcuts:
        value = getattr(options, name)
        if value is not None:
            section = "fit" if name == "epochs" else "trainer"
            if name in ("epochs", "seed"):
                value = _whole_number(f"--{name}", value)
            config = config.with_values({section: {name: value}}, f"--{name}")
    return config


def _load_with_weights(
    options: argparse.Namespace,
) -> tuple[Config, PublishedWeights | None, Path]:
    """Return the configuration, the published weights that are meant, if any, and their file."""
    from modelzoo.weights.published import as_published, published_weights
    from modelzoo.zoo import find_weights

    config = _load(options, ("backend",))
    published = published_weights(config, options.model, options.weights)
    # Unless told otherwise, weights are scored on their own data, which names their classes, too.
    if published and options.dataset is None and not config.is_set("data.dataset"):
        config = as_published(config, published)
    path = find_weights(
        config,
        options.model,
        options.weights,
        sha256=options.sha256,
        allow_unverified=options.allow_unverified,
    )
    return config, published, path


def _refuse_beside_resume(options: argparse.Namespace) -> None:
    """A run goes on as it began: only its length and its device can change."""
    for name in ("model", "config", "dataset", "seed", "precision", "backend", "out", "set"):
        if getattr(options, name):
            raise InputError(f"--{name}: cannot be changed by --resume; a run goes on as it began")


def _whole_number(option: str, text: str) -> int:
    if not text.removeprefix("-").isdecimal() or len(text) > 20:
        raise InputError(f"{option} {text:.80}: should be a whole number")
    return int(text)


def _facts(config: Config) -> dict[str, Any]:
    import msgspec

    from modelzoo.zoo import build, describe

    network = build(config)
    trainable = sum(int(weight.value.numpy().size) for weight in network.trainable_variables)
    return {
        "name": config.name,
        "title": config["about"]["title"],
        "builder": config["model"]["builder"],
        "parameters": network.count_params(),
        "trainable_parameters": trainable,
        "input_shape": config["model"]["input_shape"],
        "classes": config["model"]["num_classes"],
        "dataset": config["data"]["dataset"],
        "layers": describe(network),
        "weights": [msgspec.to_builtins(entry) for entry in config.weights],
        "source": config["about"]["source"],
    }


def _print_layers(config: Config) -> None:
    from modelzoo.zoo import build, describe

    print(f"\n  {'LAYER':10} {'TYPE':28} {'OUTPUT SHAPE':14} {'PARAMETERS':>12}")
    network = build(config)
    for layer in describe(network):
        shape = _shape(layer["output_shape"])
        print(f"  {layer['name']:10} {layer['type']:28} {shape:14} {layer['parameters']:>12,}")
    print(f"  {'total':54} {network.count_params():>12,}")


def _print_run(run: Run) -> None:
    metrics = run.metrics
    best = f", best of {metrics['epochs']} epochs: {metrics['best_epoch']}"
    print(
        f"test accuracy {metrics['test_accuracy']:.4f}, loss {metrics['test_loss']:.4f} "
        f"({metrics['test_images']:,} test images of {metrics['dataset']}{best})"
    )
    print(f"report: {run.folder / 'report.html'}")
    print(f"weights: {run.folder / 'best.weights.h5'}")


def _print_evaluation(config: Config, result: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    from modelzoo.report import per_class_table

    scores, names = result.scores, result.class_names
    console = Console(highlight=False, markup=False)
    table = Table("class", "images", "precision", "recall", "F1", title="Each class")
    for row in per_class_table(result.confusion, names).itertuples(index=False):
        shares = ["-" if value != value else f"{value:.3f}" for value in row[2:]]
        table.add_row(str(row[0]), f"{row[1]:,}", *shares)
    console.print(table)
    if len(names) <= 20:
        matrix = Table("true", *names, title="Confusion matrix: rows are true, columns predicted")
        for name, counts in zip(names, result.confusion, strict=True):
            matrix.add_row(name, *(str(count) if count else "." for count in counts))
        console.print(matrix)
    if result.data.note:
        console.print(f"note: {result.data.note}", soft_wrap=True)
    console.print(
        f"{config.name} on {result.data.name} ({scores.split}, {len(scores.labels):,} images): "
        f"accuracy {scores.accuracy:.4f}, loss {scores.loss:.4f}, {scores.seconds:.1f} s",
        soft_wrap=True,
    )


def _print_notice(message: str) -> None:
    print(message, file=sys.stderr)


def _shape(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _fail(command: str, reason: object, code: int) -> int:
    # What a person typed, or a file holds, must not command the terminal.
    text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(reason))
    print(f"modelzoo {command}: {text}", file=sys.stderr)
    return code


# The parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest right name, in place of the whole usage."""

    def error(self, message: str) -> NoReturn:
        from modelzoo.config import suggest

        wrong = message.partition("invalid choice: ")[2].partition(" (")[0].strip("'")
        if wrong:
            choices = message.partition("choose from ")[2].rstrip(")").replace("'", "").split(", ")
            message = f"{message.partition(': invalid')[0]}: {wrong!r}{suggest(wrong, choices)}"
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0]
        if unknown.startswith("--"):
            known = [name for action in self._option_actions() for name in action.option_strings]
            message += suggest(unknown.partition("=")[0], [n for n in known if n.startswith("--")])
        print(f"{self.prog}: {message}\n(see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)

    def _option_actions(self) -> list[argparse.Action]:
        return list(self._option_string_actions.values())

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = self.parse_known_args(args, namespace)
        if rest:  # reported by the subcommand's parser, which knows its own options
            getattr(options, "parser", self).error(f"unrecognized arguments: {' '.join(rest)}")
        return options


def _make_parser() -> _Parser:
    parser = _Parser(
        prog="modelzoo",
        description="The classic convolutional networks: train, evaluate, predict.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"modelzoo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[..., None], about: str, example: str) -> _Parser:
        command: _Parser = commands.add_parser(
            name,
            help=about,
            description=about,
            epilog=f"example: {example}",
            allow_abbrev=False,
        )
        command.set_defaults(run=run, parser=command)
        return command

    train = add(
        "train",
        _train,
        "Train a network and write a report.",
        "modelzoo train --model lenet5 --epochs 3",
    )
    _add_config_options(train)
    train.add_argument("--epochs", metavar="N", help="passes over the training images")
    train.add_argument("--seed", metavar="N", help="of weights, order and augmentation (0)")
    train.add_argument("--precision", metavar="P", help="float32, mixed_bfloat16, mixed_float16")
    train.add_argument("--out", metavar="DIR", help="folder for the run's files")
    train.add_argument("--resume", metavar="DIR", help="continue an interrupted run")
    _add_device_options(train)

    evaluate = add(
        "evaluate",
        _evaluate,
        "Score weights on a data set.",
        "modelzoo evaluate --model runs/lenet5-mnist-20260101-120000",
    )
    _add_config_options(evaluate)
    _add_weights_option(evaluate)
    evaluate.add_argument(
        "--check", action="store_true", help="fail if the published accuracy does not hold"
    )
    evaluate.add_argument(
        "--split", choices=("test", "validation", "train"), default="test", help="images (test)"
    )
    _add_device_options(evaluate)

    predict = add(
        "predict",
        _predict,
        "Classify pictures.",
        "modelzoo predict --model runs/lenet5-mnist-20260101-120000 digit.png",
    )
    _add_config_options(predict)
    _add_weights_option(predict)
    predict.add_argument(
        "images", nargs="+", metavar="IMAGE", help="PNG, JPEG, GIF, BMP, TIFF, WebP"
    )
    predict.add_argument("--top", type=int, default=3, metavar="K", help="classes to print (3)")
    _add_device_options(predict)

    listing = add("list", _list, "List the networks.", "modelzoo list")
    listing.add_argument("--weights", action="store_true", help="the published weights instead")
    listing.add_argument("--json", action="store_true", help="one JSON array on stdout")

    pull = add("pull", _pull, "Fetch published weights.", "modelzoo pull alexnet/document")
    pull.add_argument(
        "names", nargs="+", metavar="NAME[/WEIGHTS]", help="a network's, or the first"
    )
    _add_unverified_option(pull)
    pull.add_argument("--json", action="store_true", help="one JSON object on stdout")

    verify = add(
        "verify", _verify, "Hash all shipped and fetched weights again.", "modelzoo verify lenet5"
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="networks (all, and all fetched)")
    verify.add_argument("--json", action="store_true", help="one JSON object on stdout")

    info = add("info", _info, "Describe a network.", "modelzoo info lenet5 --layers")
    info.add_argument("model", nargs="?", metavar="NAME", help="a name, a YAML or a run's folder")
    _add_overrides(info)
    info.add_argument("--layers", action="store_true", help="layers, shapes and parameters")
    info.add_argument("--json", action="store_true", help="everything, as one JSON object")

    importing = add(
        "import",
        _import,
        "Turn an old Keras .h5 file into a configuration and weights that run again.",
        "modelzoo import old.h5 --dataset mnist --out imported",
    )
    importing.add_argument("file", metavar="FILE.h5", help="a whole model, or weights only")
    importing.add_argument("--out", default=".", metavar="DIR", help="folder for both files (.)")
    importing.add_argument(
        "--dataset", metavar="D", help="finds what the file does not say, and scores the outcome"
    )
    importing.add_argument(
        "--model", metavar="NAME", help="a configuration for what the file does not say"
    )
    importing.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override any key of the outcome; may be repeated",
    )
    importing.add_argument("--json", action="store_true", help="one JSON object on stdout")

    plot = add("plot", _plot, "Draw the charts of runs.", "modelzoo plot runs/RUN --format svg")
    plot.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run")
    plot.add_argument("--format", choices=("png", "svg", "html", "json"), default="png")
    plot.add_argument("--out", metavar="DIR", help="folder for the charts (the run's)")
    return parser


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a name, a YAML file or a run's folder")
    _add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="a YAML laid over the model's, or alone")
    parser.add_argument("--dataset", metavar="D", help="a name, or folder:PATH")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override any key of the configuration; may be repeated",
    )


def _add_weights_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", metavar="W", help="a published name, a .weights.h5 file, a run's folder, a URL"
    )
    parser.add_argument("--sha256", metavar="HEX", help="of one's own file; a URL needs it")
    _add_unverified_option(parser)


def _add_unverified_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-unverified",
        action="store_true",
        help="take a file whose SHA-256 nobody has published, and hold it to the one it has then",
    )


def _add_device_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, gpu, gpu:N (auto)"
    )
    parser.add_argument("--backend", metavar="B", help="tensorflow, jax or torch (tensorflow)")

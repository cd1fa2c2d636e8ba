"""The `modelzoo` command: parse, call, print. Commands that need no framework import none."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from modelzoo import commands
from modelzoo.demo import commands as demo_commands
from modelzoo.errors import InputError, RunError
from modelzoo.version import __version__

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


def _fail(command: str, reason: object, code: int) -> int:
    # What a person typed, or a file holds, must not command the terminal.
    text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(reason))
    print(f"modelzoo {command}: {text}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest right name, in place of the whole usage."""

    def error(self, message: str) -> NoReturn:
        from modelzoo.errors import suggest

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
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[..., None], about: str, example: str) -> _Parser:
        command: _Parser = subparsers.add_parser(
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
        commands.train,
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
        commands.evaluate,
        "Score weights on a data set.",
        "modelzoo evaluate --model runs/lenet5-mnist-20260101-120000",
    )
    _add_config_options(evaluate)
    _add_weights_option(evaluate)
    evaluate.add_argument(
        "--check", action="store_true", help="fail if the published accuracy does not hold"
    )
    evaluate.add_argument(
        "--crops", type=int, choices=(1, 10), default=1, help="patches of each picture (1)"
    )
    evaluate.add_argument(
        "--split", choices=("test", "validation", "train"), default="test", help="images (test)"
    )
    _add_device_options(evaluate)

    predict = add(
        "predict",
        commands.predict,
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

    listing = add("list", commands.list_models, "List the networks.", "modelzoo list")
    listing.add_argument("--weights", action="store_true", help="the published weights instead")
    listing.add_argument("--json", action="store_true", help="one JSON array on stdout")

    pull = add("pull", commands.pull, "Fetch published weights.", "modelzoo pull alexnet/document")
    pull.add_argument(
        "names", nargs="+", metavar="NAME[/WEIGHTS]", help="a network's, or the first"
    )
    _add_unverified_option(pull)
    pull.add_argument("--json", action="store_true", help="one JSON object on stdout")

    verify = add(
        "verify",
        commands.verify,
        "Hash all shipped and fetched weights again.",
        "modelzoo verify lenet5",
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="networks (all, and all fetched)")
    verify.add_argument("--json", action="store_true", help="one JSON object on stdout")

    info = add("info", commands.info, "Describe a network.", "modelzoo info lenet5 --layers")
    info.add_argument("model", nargs="?", metavar="NAME", help="a name, a YAML or a run's folder")
    _add_overrides(info)
    info.add_argument("--layers", action="store_true", help="layers, shapes and parameters")
    info.add_argument("--json", action="store_true", help="everything, as one JSON object")

    importing = add(
        "import",
        commands.import_file,
        "Turn a Keras .h5 or PyTorch .pth file into a configuration and weights that run again.",
        "modelzoo import old.h5 --dataset mnist --out imported",
    )
    importing.add_argument(
        "file", metavar="FILE", help="an .h5: a whole model, or weights only; a .pth: a state dict"
    )
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

    compress = add(
        "compress",
        commands.compress,
        "Write weights into a small .h5 file: rounded, pruned and compressed.",
        "modelzoo compress --model runs/RUN --max-bytes 8000000 --out small.weights.h5",
    )
    _add_config_options(compress)
    _add_weights_option(compress)
    compress.add_argument("--max-bytes", required=True, metavar="N", help="size of the file")
    compress.add_argument(
        "--max-drop", default="0.002", metavar="X", help="validation accuracy to lose (0.002)"
    )
    compress.add_argument("--out", required=True, metavar="FILE", help="a .weights.h5 to write")
    _add_device_options(compress)

    plot = add(
        "plot", commands.plot, "Draw the charts of runs.", "modelzoo plot runs/RUN --format svg"
    )
    plot.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run")
    plot.add_argument("--format", choices=("png", "svg", "html", "json"), default="png")
    plot.add_argument("--out", metavar="DIR", help="folder for the charts (the run's)")

    demo = add(
        "demo",
        demo_commands.demo,
        "Open a page on this machine to draw a digit and watch networks answer.",
        "modelzoo demo --model lenet5/mnist lenet5_1998/mnist",
    )
    demo.add_argument(
        "--model",
        nargs="+",
        default=demo_commands.NETWORKS,
        metavar="NAME[/WEIGHTS]",
        help="networks to choose from: names, YAML files, folders of runs (all in the package)",
    )
    demo.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="address to listen on (127.0.0.1)"
    )
    demo.add_argument("--port", default="7860", metavar="N", help="0 takes a free one (7860)")
    demo.add_argument("--no-browser", action="store_true", help="only print the address")
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
        "--weights", metavar="W", help="a published name, a .h5 or .pth file, a run's folder, a URL"
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

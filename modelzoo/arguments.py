"""What can be typed: the commands of `modelzoo` and their options. Imports no framework."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol

from modelzoo import commands
from modelzoo.demo import commands as demo_commands
from modelzoo.robustness import commands as robustness_commands
from modelzoo.terminal import say
from modelzoo.version import __version__

SHORT_NAMES = {"--lr": "--learning-rate"}


def _as_option(key: str) -> str:
    """Return what somebody may take for the option of a key: "--pool-size" of model.pool_size."""
    return f"--{key.rpartition('.')[2].replace('_', '-')}"


def _keys() -> Iterable[str]:
    from modelzoo.config.sections import all_keys

    return all_keys()


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest right name, in place of the whole usage."""

    def error(self, message: str) -> NoReturn:
        from modelzoo.errors import suggest

        wrong = message.partition("invalid choice: ")[2].partition(" (")[0].strip("'")
        if wrong:
            choices = message.partition("choose from ")[2].rstrip(")").replace("'", "").split(", ")
            message = f"{message.partition(': invalid')[0]}: {wrong!r}{suggest(wrong, choices)}"
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0].partition("=")[0]
        if unknown.startswith("--"):
            options = [name for action in self._option_actions() for name in action.option_strings]
            right = {name: name for name in options if name.startswith("--")}
            if "--set" in right:
                right = {_as_option(key): f"--set {key}=" for key in _keys()} | right
            near = difflib.get_close_matches(SHORT_NAMES.get(unknown, unknown), right, 1)
            message += f"; did you mean {right[near[0]]!r}?" if near else suggest("", options)
        say(f"{self.prog}: {message}\n(see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)

    def _option_actions(self) -> list[argparse.Action]:
        return list(self._option_string_actions.values())

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = self.parse_known_args(args, namespace)
        if rest:  # reported by the subcommand's parser, which knows its own options
            getattr(options, "parser", self).error(f"unrecognized arguments: {' '.join(rest)}")
        return options


def make_parser() -> Parser:
    """Return the parser of the whole command."""
    parser = Parser(
        prog="modelzoo",
        description="The classic convolutional networks: train, evaluate, predict.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"modelzoo {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[..., None], about: str, example: str) -> Parser:
        command: Parser = subparsers.add_parser(
            name,
            help=about,
            description=about,
            epilog=f"example: {example}",
            allow_abbrev=False,
        )
        command.set_defaults(run=run, parser=command)
        return command

    for add_group in GROUPS:
        add_group(add)
    return parser


class Add(Protocol):
    """Adds a command: its name, the function that runs it, what it does, and an example."""

    def __call__(self, name: str, run: Callable[..., None], about: str, example: str) -> Parser: ...


def _add_training(add: Add) -> None:
    """Train networks, alone or as variants of one."""
    train = add(
        "train",
        commands.train,
        "Train a network and write a report.",
        "modelzoo train --model lenet5 --epochs 3",
    )
    _add_config_options(train)
    _add_weights_option(train)
    train.add_argument("--epochs", metavar="N", help="how often each training image is seen")
    train.add_argument("--batch-size", metavar="N", help="images in a batch")
    train.add_argument("--learning-rate", metavar="X", help="of the optimizer")
    train.add_argument("--seed", metavar="N", help="of weights, order and augmentation (0)")
    train.add_argument("--precision", metavar="P", help="float32, mixed_bfloat16, mixed_float16")
    train.add_argument("--out", metavar="DIR", help="folder for the run's files")
    train.add_argument(
        "--distribute", metavar="D", help="none, devices (all of this process), workers (none)"
    )
    train.add_argument("--resume", metavar="DIR", help="continue an interrupted run")
    _add_device_options(train)

    study = add(
        "study",
        commands.study,
        "Train variants of a network, and compare their curves.",
        "modelzoo study overfitting --out runs/overfitting",
    )
    study.add_argument("study", metavar="STUDY", help="overfitting, or the path of a study's YAML")
    _add_set_option(study, "all variants")
    study.add_argument(
        "--out", metavar="DIR", help="folder for all runs (runs/STUDY); goes on with what is there"
    )
    study.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_device_options(study)


def _add_using(add: Add) -> None:
    """Ask networks, and about them."""
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

    info = add("info", commands.info, "Describe a network.", "modelzoo info lenet5 --layers")
    info.add_argument("model", nargs="?", metavar="NAME", help="a name, a YAML or a run's folder")
    _add_overrides(info)
    info.add_argument(
        "--layers", action="store_true", help="layers, shapes, parameters, operations"
    )
    info.add_argument("--json", action="store_true", help="everything, as one JSON object")


def _add_weights(add: Add) -> None:
    """Get weights, check them, and turn them into other files."""
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
    _add_set_option(importing, "the outcome")
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

    export = add(
        "export",
        commands.export,
        "Write a network as ONNX, SavedModel or LiteRT, and run the file to check it.",
        "modelzoo export lenet5 --weights mnist --format onnx --out exported",
    )
    export.add_argument("model", metavar="NAME", help="a name, a YAML or a run's folder")
    _add_weights_option(export)
    export.add_argument(
        "--format", required=True, choices=("onnx", "saved_model", "litert"), help="of the file"
    )
    export.add_argument("--out", default=".", metavar="DIR", help="folder for it (.)")
    export.add_argument(
        "--scaled", action="store_true", help="take scaled pictures, not pixels of 0..255"
    )
    export.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_pictures(add: Add) -> None:
    """Draw what happened in a run, what a network is and what it sees."""
    plot = add(
        "plot",
        commands.plot,
        "Draw the charts of a run, or the curves of several runs in one chart.",
        "modelzoo plot runs/RUN --format svg; modelzoo plot runs/ONE runs/OTHER",
    )
    plot.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run")
    _add_chart_format(plot)
    plot.add_argument(
        "--out", metavar="DIR", help="folder for the charts (the run's; of several, the current)"
    )

    draw = add(
        "draw",
        commands.draw,
        "Draw activation functions, convolution step by step, a network or its kernels.",
        "modelzoo draw architecture alexnet_2012; modelzoo draw kernels lenet5 --layer C3",
    )
    draw.add_argument("what", choices=("activations", "convolution", "architecture", "kernels"))
    draw.add_argument("model", nargs="?", metavar="NAME", help="a name, a YAML or a run's folder")
    draw.add_argument("--layer", metavar="L", help="whose kernels (the first that has some)")
    draw.add_argument("--filter", metavar="F", help="the kernel of the convolution, by its name")
    _add_overrides(draw)
    _add_weights_option(draw)
    draw.add_argument("--backend", metavar="B", help="tensorflow, jax or torch (tensorflow)")
    _add_chart_format(draw)
    draw.add_argument("--out", default=".", metavar="DIR", help="folder for the chart (.)")

    features = add(
        "features",
        commands.features,
        "Draw what each layer makes of a picture, and which pixels the answer hangs on.",
        "modelzoo features lenet5 digit.png --out charts",
    )
    features.add_argument("model", metavar="NAME", help="a name, a YAML file or a run's folder")
    features.add_argument("image", metavar="IMAGE", help="PNG, JPEG, GIF, BMP, TIFF, WebP")
    features.add_argument(
        "--layer", action="append", metavar="L", help="only this; may be repeated"
    )
    _add_overrides(features)
    _add_weights_option(features)
    _add_chart_format(features)
    features.add_argument("--out", default=".", metavar="DIR", help="folder for the files (.)")
    features.add_argument("--npz", action="store_true", help="write the arrays themselves, too")
    features.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_device_options(features)

    filters = add(
        "filters",
        commands.filters,
        "Apply the kernels that people chose by hand (edges, blur, emboss, …) to a photograph.",
        "modelzoo filters photo.jpg --filter sobel_x --filter emboss --out filtered",
    )
    filters.add_argument("image", metavar="IMAGE", help="PNG, JPEG, GIF, BMP, TIFF, WebP")
    filters.add_argument(
        "--filter", action="append", metavar="F", help="only this; may be repeated"
    )
    filters.add_argument("--grey", action="store_true", help="turn colour into grey first")
    _add_chart_format(filters)
    filters.add_argument("--out", default=".", metavar="DIR", help="folder for the pictures (.)")
    filters.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_robustness(add: Add) -> None:
    """Measure what networks withstand."""
    attack = add(
        "attack",
        robustness_commands.attack,
        "Change test images within a strength so that a network errs: accuracy, and examples.",
        "modelzoo attack lenet5/mnist --strengths 0,0.05,0.1,0.2 --out attack",
    )
    attack.add_argument("name", metavar="NAME[/WEIGHTS]", help="a name, a YAML or a run's folder")
    _add_weights_option(attack)
    attack.add_argument("--method", default="both", metavar="M", help="fgsm, pgd or both (both)")
    attack.add_argument(
        "--strengths",
        default="0,0.01,0.03,0.05,0.1,0.2,0.3",
        metavar="S,S",
        help="most that a pixel changes, as a share of 0..255 (%(default)s)",
    )
    attack.add_argument("--steps", default="20", metavar="N", help="of each climb of PGD (20)")
    _add_measuring_options(attack)

    robustness = add(
        "robustness",
        robustness_commands.robustness,
        "Measure networks on shifted, rotated, noisy and partly covered test images.",
        "modelzoo robustness lenet5/mnist lenet5_1998/mnist --kinds shift,noise",
    )
    robustness.add_argument(
        "names", nargs="+", metavar="NAME[/WEIGHTS]", help="a name, a YAML or a run's folder"
    )
    robustness.add_argument(
        "--kinds",
        default="shift,rotation,noise,occlusion",
        metavar="K,K",
        help="panels of the chart (%(default)s)",
    )
    robustness.add_argument(
        "--strengths", metavar="S,S", help="of one kind, in place of its own: 0,1,2"
    )
    _add_measuring_options(robustness)


def _add_demo(add: Add) -> None:
    """Open the page."""
    demo = add(
        "demo",
        demo_commands.demo,
        "Open a page on this machine to draw a digit and watch networks answer.",
        "modelzoo demo --model lenet5/mnist lenet5_1998/mnist",
    )
    demo.add_argument(
        "--model",
        nargs="+",
        metavar="NAME[/WEIGHTS]",
        help="networks to choose from: names, YAML files, folders of runs (all in the package)",
    )
    demo.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="address to listen on (127.0.0.1)"
    )
    demo.add_argument("--port", default="7860", metavar="N", help="0 takes a free one (7860)")
    demo.add_argument("--no-browser", action="store_true", help="only print the address")


GROUPS = (
    _add_training,
    _add_using,
    _add_weights,
    _add_pictures,
    _add_robustness,
    _add_demo,
)


def _add_measuring_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        metavar="D",
        help="a name, folder:PATH, tfds:NAME, hf:OWNER/NAME (the weights' own)",
    )
    parser.add_argument(
        "--images", default="1000", metavar="N", help="test images, drawn by seed, or all (1000)"
    )
    parser.add_argument("--seed", default="0", metavar="N", help="of all that is random (0)")
    parser.add_argument("--out", default=".", metavar="DIR", help="folder for table and charts (.)")
    _add_chart_format(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_device_options(parser)


def _add_chart_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=("png", "svg", "html", "json"), default="png", help="of charts (png)"
    )


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a name, a YAML file or a run's folder")
    _add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_set_option(parser: argparse.ArgumentParser, of: str) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help=f"override any key of {of}; may be repeated",
    )


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="a YAML laid over the model's, or alone")
    parser.add_argument(
        "--dataset", metavar="D", help="a name, folder:PATH, tfds:NAME, hf:OWNER/NAME"
    )
    _add_set_option(parser, "the configuration")


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

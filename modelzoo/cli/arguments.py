"""What can be typed: the commands of `modelzoo`, their options, and how they are read."""

import argparse
import difflib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from modelzoo.support.errors import suggest
from modelzoo.support.terminal import say
from modelzoo.support.version import __version__

SHORT_NAMES = {"--lr": "--learning-rate"}
Option = tuple[str, dict[str, Any]]  # the name, and what else `add_argument` of argparse takes


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest right name, in place of the whole usage."""

    commands: Iterable[str] = ()  # those that it knows; none where it is a command's own
    names: Iterable[str] = ()  # what a command's options are called

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and end with exit code 2."""
        say(f"{self.prog}: {message}\n(see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read a command line, by default the program's own."""
        words: Sequence[str] = sys.argv[1:] if args is None else args
        first = words[0] if words else "-"
        if self.commands and not first.startswith("-") and first not in self.commands:
            self.error(f"unknown command {first!r:.80}{suggest(first, self.commands)}")
        options, rest = self.parse_known_args(words, namespace)
        if rest:  # reported by the command's parser, which knows its own options
            getattr(options, "parser", self).refuse(rest)
        return options

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Name what was not understood, and the option or the `--set` key that may be meant."""
        from modelzoo.config.sections import all_keys

        message = f"unrecognized arguments: {' '.join(words)}"
        unknown = words[0].partition("=")[0]
        if self.names and unknown.startswith("--"):
            right = {name: name for name in self.names}
            if "--set" in right:  # the key of model.pool_size may be taken for --pool-size
                keys = {f"--{key.split('.')[-1].replace('_', '-')}": key for key in all_keys()}
                right = {name: f"--set {key}=" for name, key in keys.items()} | right
            near = difflib.get_close_matches(SHORT_NAMES.get(unknown, unknown), right, 1)
            message += f"; did you mean {right[near[0]]!r}?" if near else suggest("", self.names)
        self.error(message)


def reader(kind: Callable[[str], Any], fits: Callable[[Any], bool], wanted: str) -> Any:
    """Return the `type` of an option whose values `fits` accepts."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
            if fits(value):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text:.80} should be {wanted}")

    return read


def whole(least: int, most: int = 10**9) -> Any:
    """Return a reader of whole numbers from `least` to `most`."""
    wanted = f"a whole number from {least} to {most}"
    return reader(int, lambda number: least <= number <= most, wanted)


def numbers(most: float = math.inf) -> Any:
    """Return a reader of numbers from 0 to `most`, with commas between them."""
    limits = "from 0" if most == math.inf else f"from 0 to {most:g}"
    return reader(
        lambda text: [float(part) for part in text.split(",")],
        lambda found: all(0 <= number <= most and number < math.inf for number in found),
        f"numbers {limits}, as in 0,0.05,0.1",
    )


positive = reader(float, lambda number: 0 < number < math.inf, "a number above 0")
share = reader(float, lambda number: 0 <= number <= 1, "a number from 0 to 1")
count = reader(  # "all" is None
    lambda text: None if text == "all" else int(text),
    lambda number: number is None or 1 <= number <= 10**9,
    f'a whole number from 1 to {10**9}, or "all"',
)


class Command(NamedTuple):
    """A command; `run`, "module:function", is imported when it is called."""

    name: str
    about: str
    example: str
    options: tuple[Option, ...]
    run: str


def command(name: str, about: str, example: str, *options: Option, run: str = "") -> Command:
    """Return a command; it is run by the function of its name in `commands`, if by no other."""
    return Command(name, about, example, options, f"modelzoo.cli.{run or f'commands:{name}'}")


def value(name: str, metavar: str, about: str, **settings: Any) -> Option:
    """Return an option with a value, or an argument where `name` has no dashes."""
    return name, {"metavar": metavar, "help": about, **settings}


def flag(name: str, about: str) -> Option:
    return name, {"action": "store_true", "help": about}


def choice(name: str, choices: Sequence[Any], about: str, **settings: Any) -> Option:
    return name, {"choices": choices, "help": about, **settings}


def override(of: str) -> Option:
    about = f"override any key of {of}; may be repeated"
    return value("--set", "SECTION.KEY=VALUE", about, action="append", default=[])


A_NETWORK = "NAME, NAME/WEIGHTS, a YAML or a run's folder"
DATA_SETS = "a name, folder:PATH, tfds:NAME, hf:OWNER/NAME"
IMAGE_FILES = "PNG, JPEG, GIF, BMP, TIFF, WebP"
SEED = whole(0, 2**32 - 1)  # as NumPy takes them

NETWORK = value("model", "NAME", A_NETWORK)
OPTIONAL_NETWORK = value("model", "NAME", A_NETWORK, nargs="?")
IMAGE = value("image", "IMAGE", IMAGE_FILES)
JSON = flag("--json", "one JSON object on stdout")
OUT = value("--out", "DIR", "folder for what is written (.)", default=".")
CHART_FORMAT = choice("--format", ("png", "svg", "html", "json"), "of charts (png)", default="png")
BACKEND = value("--backend", "B", "tensorflow, jax or torch (tensorflow)")
DEVICE = (value("--device", "D", "auto, cpu, gpu, gpu:N (auto)", default="auto"), BACKEND)
OVERRIDES = (
    value("--config", "FILE", "a YAML laid over the model's, or alone"),
    value("--dataset", "D", DATA_SETS),
    override("the configuration"),
)
UNVERIFIED = flag(
    "--allow-unverified",
    "take a file whose SHA-256 is not published, and pin the one seen first",
)
WEIGHTS = (
    value("--weights", "W", "a published name, a .h5 or .pth file, a run's folder, a URL"),
    value("--sha256", "HEX", "of a custom file; a URL needs it"),
    UNVERIFIED,
)
CONFIGURATION = (value("--model", "NAME", A_NETWORK), *OVERRIDES, JSON, *WEIGHTS)
MEASURING = (
    value("--dataset", "D", f"{DATA_SETS} (the weights' own)"),
    value("--images", "N", "test images, drawn by seed, or all (1000)", type=count, default=1000),
    value("--seed", "N", "of all that is random (0)", type=SEED, default=0),
    OUT,
    CHART_FORMAT,
    JSON,
    *DEVICE,
)

COMMANDS = (
    command(
        "train",
        "Train a network and write a report.",
        "train --model lenet5 --epochs 3",
        *CONFIGURATION,
        value("--epochs", "N", "how often each training image is seen", type=whole(1)),
        value("--batch-size", "N", "images in a batch", type=whole(1)),
        value("--learning-rate", "X", "of the optimizer", type=positive),
        value("--seed", "N", "of weights, order and augmentation (0)", type=SEED),
        value("--precision", "P", "float32, mixed_bfloat16, mixed_float16"),
        value("--out", "DIR", "folder for the run's files"),
        value("--distribute", "D", "none, devices (all of this process), workers (none)"),
        value("--resume", "DIR", "continue an interrupted run"),
        *DEVICE,
    ),
    command(
        "study",
        "Train variants of a network, and compare their curves.",
        "study overfitting --out runs/overfitting",
        value("study", "STUDY", "overfitting, or the path of a study's YAML"),
        override("all variants"),
        value("--out", "DIR", "folder for all runs (runs/STUDY); goes on with what is there"),
        JSON,
        *DEVICE,
    ),
    command(
        "evaluate",
        "Score weights on a data set.",
        "evaluate --model runs/lenet5-mnist-20260101-120000",
        *CONFIGURATION,
        flag("--check", "fail if the published accuracy does not hold"),
        choice("--crops", (1, 10), "patches of each image (1)", type=int, default=1),
        choice("--split", ("test", "validation", "train"), "images (test)", default="test"),
        *DEVICE,
    ),
    command(
        "predict",
        "Classify images.",
        "predict --model runs/lenet5-mnist-20260101-120000 digit.png",
        *CONFIGURATION,
        value("images", "IMAGE", IMAGE_FILES, nargs="+"),
        value("--top", "K", "classes to print (3)", type=whole(1), default=3),
        *DEVICE,
    ),
    command(
        "list",
        "List the networks.",
        "list",
        flag("--weights", "the published weights instead"),
        flag("--json", "one JSON array on stdout"),
        run="commands:list_networks",
    ),
    command(
        "info",
        "Describe a network.",
        "info lenet5 --layers",
        OPTIONAL_NETWORK,
        *OVERRIDES,
        flag("--layers", "layers, shapes, parameters, operations"),
        flag("--json", "everything, as one JSON object"),
    ),
    command(
        "pull",
        "Fetch published weights.",
        "pull alexnet/document",
        value("names", "NAME", f"{A_NETWORK}; its first weights, or those named", nargs="+"),
        UNVERIFIED,
        JSON,
    ),
    command(
        "verify",
        "Hash all shipped and fetched weights again.",
        "verify lenet5",
        value("names", "NAME", f"{A_NETWORK} (all, and all fetched)", nargs="*"),
        JSON,
    ),
    command(
        "import",
        "Turn a Keras .h5 or PyTorch .pth file into a configuration and weights that run again.",
        "import old.h5 --dataset mnist --out imported",
        value("file", "FILE", "an .h5: a whole model, or weights only; a .pth: a state dict"),
        OUT,
        value("--dataset", "D", "finds what the file does not say, and scores the outcome"),
        value("--model", "NAME", "a configuration for what the file does not say"),
        override("the outcome"),
        JSON,
        run="commands:import_file",
    ),
    command(
        "export",
        "Write a network as ONNX, SavedModel or LiteRT, and run the file to check it.",
        "export lenet5 --weights mnist --format onnx --out exported",
        NETWORK,
        *WEIGHTS,
        choice("--format", ("onnx", "saved_model", "litert"), "of the file", required=True),
        OUT,
        flag("--scaled", "take scaled images, not pixels of 0..255"),
        JSON,
    ),
    command(
        "plot",
        "Draw the charts of a run, or the curves of several runs in one chart.",
        "plot runs/RUN --format svg; modelzoo plot runs/ONE runs/OTHER",
        value("runs", "RUN", "folder of a finished run", nargs="+"),
        CHART_FORMAT,
        value("--out", "DIR", "folder for the charts (the run's; of several, the current)"),
        run="drawing:plot",
    ),
    command(
        "draw",
        "Draw activation functions, convolution step by step, a network or its kernels.",
        "draw architecture alexnet_2012; modelzoo draw kernels lenet5 --layer C3",
        choice("what", ("activations", "convolution", "architecture", "kernels"), "the drawing"),
        OPTIONAL_NETWORK,
        value("--layer", "L", "whose kernels (the first that has some)"),
        value("--filter", "F", "the kernel of the convolution, by its name"),
        *OVERRIDES,
        *WEIGHTS,
        BACKEND,
        CHART_FORMAT,
        OUT,
        run="drawing:draw",
    ),
    command(
        "features",
        "Draw the feature maps of each layer, and the pixels that influence the prediction.",
        "features lenet5 digit.png --out charts",
        NETWORK,
        IMAGE,
        value("--layer", "L", "only this; may be repeated", action="append"),
        *OVERRIDES,
        *WEIGHTS,
        CHART_FORMAT,
        OUT,
        flag("--npz", "write the arrays themselves, too"),
        JSON,
        *DEVICE,
        run="drawing:features",
    ),
    command(
        "filters",
        "Apply the kernels that people chose by hand (edges, blur, emboss, …) to a photograph.",
        "filters photo.jpg --filter sobel_x --filter emboss --out filtered",
        IMAGE,
        value("--filter", "F", "only this; may be repeated", action="append"),
        flag("--grey", "turn colour into grey first"),
        CHART_FORMAT,
        OUT,
        JSON,
        run="drawing:filters",
    ),
    command(
        "attack",
        "Change test images within a strength so that a network errs: accuracy, and examples.",
        "attack lenet5/mnist --strengths 0,0.05,0.1,0.2 --out attack",
        NETWORK,
        *WEIGHTS,
        choice("--method", ("fgsm", "pgd", "both"), "of attack (both)", default="both"),
        value(
            "--strengths",
            "S,S",
            "most that a pixel changes, as a share of 0..255 (%(default)s)",
            type=numbers(1),
            default="0,0.01,0.03,0.05,0.1,0.2,0.3",
        ),
        value("--steps", "N", "of each climb of PGD (20)", type=whole(1, 10_000), default=20),
        *MEASURING,
        run="drawing:attack",
    ),
    command(
        "robustness",
        "Measure networks on shifted, rotated, noisy and partly covered test images.",
        "robustness lenet5/mnist lenet5_1998/mnist --kinds shift,noise",
        value("names", "NAME", A_NETWORK, nargs="+"),
        value(
            "--kinds",
            "K,K",
            "panels of the chart (%(default)s)",
            default="shift,rotation,noise,occlusion",
        ),
        value("--strengths", "S,S", "of one kind, in place of its own: 0,1,2", type=numbers()),
        *MEASURING,
        run="drawing:robustness",
    ),
    command(
        "demo",
        "Open a page on this machine to draw a digit and watch networks answer.",
        "demo --model lenet5/mnist lenet5_1998/mnist",
        value("--model", "NAME", f"{A_NETWORK} (all in the package)", nargs="+"),
        value("--host", "H", "address to listen on (127.0.0.1)", default="127.0.0.1"),
        value("--port", "N", "0 takes a free one (7860)", type=whole(0, 65535), default=7860),
        flag("--no-browser", "only print the address"),
    ),
)


def make_parser() -> Parser:
    parser = Parser(
        prog="modelzoo",
        description="The classic convolutional networks: train, evaluate, predict.",
    )
    parser.add_argument("--version", action="version", version=f"modelzoo {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parser.commands = subparsers.choices
    for each in COMMANDS:
        added = subparsers.add_parser(
            each.name,
            help=each.about,
            description=each.about,
            epilog=f"example: modelzoo {each.example}",
        )
        for name, settings in each.options:
            added.add_argument(name, **settings)
        added.names = ["--help", *(name for name, _ in each.options if name.startswith("--"))]
        added.set_defaults(run=each.run, parser=added)
    return parser

"""What can be typed: the commands of `modelzoo`, their options, and how they are read."""

import argparse
import difflib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from modelzoo.cli.completion import completed
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
    """Return a reader of numbers from 0, which is always one, to `most`, with commas between."""
    limits = "from 0" if most == math.inf else f"from 0 to {most:g}"
    return reader(
        lambda text: sorted({0.0, *map(float, text.split(","))}),
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
KINDS = "shift,rotation,noise,occlusion"  # of change, each a panel of the chart
kinds = reader(
    lambda text: text.split(","),
    lambda found: set(found) <= {*KINDS.split(","), "fgsm", "pgd"},
    f"some of {KINDS},fgsm,pgd",
)


class Command:
    """A command, named by the first word of its example.

    `run`, "module:function", is imported when it is called; by default a function of its name.
    """

    def __init__(self, example: str, about: str, *options: Option, run: str = "") -> None:
        self.name = example.split()[0]
        self.example, self.about, self.options = example, about, options
        self.run = f"modelzoo.cli.{run or f'commands:{self.name}'}"


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
DATA_SETS = "a name, a file or folder, tfds:NAME, hf:OWNER/NAME"
IMAGE_FILES = "PNG, JPEG, GIF, BMP, TIFF, WebP; or sample:7, of the package"
SKIP = {"action": "store_true", "default": None, "help": "leave out image files that are damaged"}
SEED = whole(0, 2**32 - 1)  # as NumPy takes them

NETWORK = value("model", "NAME", A_NETWORK)
OPTIONAL_NETWORK = value("model", "NAME", A_NETWORK, nargs="?")
IMAGE = value("image", "IMAGE", IMAGE_FILES)
JSON = flag("--json", "one JSON object on stdout")
QUIET = flag("--quiet", "print results and errors only: no notices, no progress")
OUT = value("--out", "DIR", "folder for what is written (.)", type=Path, default=".")
CHART_FORMAT = choice("--format", ("png", "svg", "html", "json"), "of charts (png)", default="png")
CHARTS = (CHART_FORMAT, OUT)
BACKEND = choice("--backend", ("tensorflow", "jax", "torch"), "of Keras (tensorflow)")
DEVICE = (value("--device", "D", "auto, cpu, gpu, gpu:N (auto)", default="auto"), BACKEND)
OVERRIDES = (
    value("--config", "FILE", "a YAML laid over the model's, or alone"),
    value("--dataset", "D", DATA_SETS),
    override("the configuration"),
)
UNVERIFIED = flag("--allow-unverified", "take a file of no published SHA-256; pin the first seen")
WEIGHTS = (
    value("--weights", "W", "a published name, a file (.h5, .keras, .pth), a run's folder, a URL"),
    value("--sha256", "HEX", "of a custom file; a URL needs it"),
    UNVERIFIED,
)
CONFIGURATION = (value("--model", "NAME", A_NETWORK), *OVERRIDES, JSON, *WEIGHTS)
MEASURING = (
    value("--dataset", "D", f"{DATA_SETS} (the weights' own)"),
    value("--images", "N", "test images, drawn by seed, or all (1000)", type=count, default=1000),
    value("--seed", "N", "of all that is random (0)", type=SEED, default=0),
    *CHARTS,
    JSON,
    *DEVICE,
)

COMMANDS = (
    Command(
        "train --model lenet5 --epochs 3",
        "Train a network and write a report.",
        *CONFIGURATION,
        value("--epochs", "N", "how often each training image is seen", type=whole(1)),
        value("--batch-size", "N", "images in a batch", type=whole(1)),
        value("--learning-rate", "X", "of the optimizer", type=positive),
        value("--seed", "N", "of weights, order and augmentation (0)", type=SEED),
        value("--precision", "P", "float32, mixed_bfloat16, mixed_float16"),
        value("--out", "DIR", "folder for the run's files"),
        value("--distribute", "D", "none, devices (all of this process), workers (none)"),
        value("--resume", "DIR", "continue an interrupted run"),
        flag("--tensorboard", "write what TensorBoard shows, into the run's folder"),
        ("--skip-bad-images", SKIP),
        *DEVICE,
    ),
    Command(
        "learning-rate lenet5 --dataset mnist5k",
        "Find a learning rate: train some batches, raise it with each, draw the loss.",
        NETWORK,
        *OVERRIDES,
        value("--steps", "N", "batches to train (300)", type=whole(20, 100_000), default=300),
        *CHARTS,
        JSON,
        *DEVICE,
        run="drawing:learning_rate",
    ),
    Command(
        "study overfitting --out runs/overfitting",
        "Train variants of a network, and compare their curves.",
        value("study", "STUDY", "overfitting, or the path of a study's YAML"),
        override("all variants"),
        value("--out", "DIR", "folder for all runs (runs/STUDY); goes on with what is there"),
        JSON,
        *DEVICE,
    ),
    Command(
        "evaluate --model runs/lenet5-mnist-20260101-120000",
        "Score weights on a data set.",
        *CONFIGURATION,
        flag("--check", "fail if the published accuracy does not hold"),
        choice("--crops", (1, 10), "patches of each image (1)", type=int, default=1),
        choice("--split", ("test", "validation", "train"), "images (test)", default="test"),
        *DEVICE,
    ),
    Command(
        "predict --sample; modelzoo predict --model lenet5 digit.png",
        "Classify images.",
        *CONFIGURATION,
        value("images", "IMAGE", f"{IMAGE_FILES}; or a folder of them", nargs="*"),
        value("--sample", "CLASS", "images of the package: these, or all that fit", nargs="*"),
        flag("--one", "read only the most likely digit of each photograph"),
        value("--draw", "DIR", "write each photograph with its digits framed", type=Path),
        value("--save-prepared", "DIR", "write what the network is given", type=Path),
        value("--top", "K", "classes to print (3)", type=whole(1), default=3),
        *DEVICE,
    ),
    Command(
        'list "lenet5*"',
        "List the networks.",
        value("pattern", "P", "of the names: * stands for anything (*)", nargs="?", default="*"),
        flag("--weights", "the published weights instead"),
        flag("--json", "one JSON array on stdout"),
        run="commands:list_networks",
    ),
    Command(
        "info lenet5 --layers",
        "Describe a network.",
        OPTIONAL_NETWORK,
        *OVERRIDES,
        flag("--layers", "layers, shapes, parameters, operations"),
        flag("--json", "everything, as one JSON object"),
    ),
    Command(
        "pull alexnet/document",
        "Fetch published weights.",
        value("names", "NAME", f"{A_NETWORK}; its first weights, or those named", nargs="+"),
        UNVERIFIED,
        JSON,
    ),
    Command(
        "verify lenet5",
        "Hash all shipped and fetched weights again.",
        value("names", "NAME", f"{A_NETWORK} (all, and all fetched)", nargs="*"),
        JSON,
    ),
    Command(
        "import old.h5 --dataset mnist --out imported",
        "Turn a file of Keras, PyTorch or Caffe into a configuration and weights that run again.",
        value("path", "FILE", "of a network: .h5, .keras, .pth, .safetensors, .npy", type=Path),
        OUT,
        value("--dataset", "D", "finds what the file does not say, and scores the outcome"),
        value("--model", "NAME", "a configuration for what the file does not say"),
        override("the outcome"),
        JSON,
        run="commands:import_file",
    ),
    Command(
        "export lenet5 --weights mnist --format onnx --out exported",
        "Write a network as ONNX, SavedModel or LiteRT, run to check it, or as a page.",
        NETWORK,
        *WEIGHTS,
        choice("--format", ("onnx", "saved_model", "litert", "html"), "of it", required=True),
        value("--out", "DIR", "folder for the file (.); of a page also its name", default="."),
        flag("--scaled", "take scaled images, not pixels of 0..255"),
        choice("--quantize", ("int8",), "of litert: in integers, calibrated on training images"),
        flag("--c-array", "of litert: write it as a C source with header, too"),
        JSON,
    ),
    Command(
        "check my-pictures",
        "Look at every image of a folder: bad, odd and repeated ones, and images of each class.",
        value("path", "FOLDER", "of images, in any layout that --dataset takes"),
        JSON,
    ),
    Command(
        "plot runs/RUN --format svg; modelzoo plot runs/ONE runs/OTHER",
        "Draw the charts of a run, or the curves of several runs in one chart.",
        value("runs", "RUN", "folder of a finished run", nargs="+"),
        CHART_FORMAT,
        value("--out", "DIR", "folder for charts (the run's; of several, the current)", type=Path),
        run="drawing:plot",
    ),
    Command(
        "report runs/RUN runs/OTHER",
        "Write the report of a run again, compared with other runs.",
        value("runs", "RUN", "folder of a finished run, and those to compare it with", nargs="+"),
        run="drawing:report",
    ),
    Command(
        "draw architecture alexnet_2012; modelzoo draw kernels lenet5 --layer C3",
        "Draw activation functions, convolution step by step, a network or its kernels.",
        choice("what", ("activations", "convolution", "architecture", "kernels"), "the drawing"),
        OPTIONAL_NETWORK,
        value("--layer", "L", "whose kernels (the first that has some)"),
        value("--filter", "F", "the kernel of the convolution, by its name"),
        *OVERRIDES,
        *WEIGHTS,
        BACKEND,
        *CHARTS,
        run="drawing:draw",
    ),
    Command(
        "features lenet5 digit.png --out charts",
        "Draw the feature maps of each layer, and the pixels that influence the prediction.",
        NETWORK,
        IMAGE,
        value("--layer", "L", "only this; may be repeated", action="append"),
        *OVERRIDES,
        *WEIGHTS,
        *CHARTS,
        flag("--npz", "write the arrays themselves, too"),
        JSON,
        *DEVICE,
        run="drawing:features",
    ),
    Command(
        "filters photo.jpg --filter sobel_x --filter emboss --out filtered",
        "Apply the kernels that people chose by hand (edges, blur, emboss, …) to a photograph.",
        IMAGE,
        value("--filter", "F", "only this; may be repeated", action="append"),
        flag("--grey", "turn colour into grey first"),
        *CHARTS,
        JSON,
        run="drawing:filters",
    ),
    Command(
        "attack lenet5/mnist --strengths 0,0.05,0.1,0.2 --out attack",
        "Change test images within a strength so that a network errs: accuracy, and examples.",
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
        value("--restarts", "N", "climbs from random points (1)", type=whole(1, 1000), default=1),
        *MEASURING,
        run="drawing:attack",
    ),
    Command(
        "robustness lenet5/mnist lenet5_1998/mnist --kinds shift,noise",
        "Measure networks on shifted, rotated, noisy and partly covered test images.",
        value("names", "NAME", A_NETWORK, nargs="+"),
        value("--kinds", "K,K", "of change (%(default)s)", type=kinds, default=KINDS),
        value("--strengths", "S,S", "of one kind, in place of its own: 0,1,2", type=numbers()),
        *MEASURING,
        run="drawing:robustness",
    ),
    Command(
        "demo lenet5/mnist lenet5_1998/mnist",
        "Write a page on which networks read what is drawn, and open it in the browser.",
        value("names", "NAME", f"{A_NETWORK} (all in the package)", nargs="*"),
        value("--model", "NAME", "the same", nargs="+", default=[]),
        value("--out", "FILE", "the page (modelzoo-demo.html)", default="modelzoo-demo.html"),
        flag("--no-browser", "only write the file"),
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
        for name, settings in (*each.options, QUIET):
            completed(added.add_argument(name, **settings))
        own = (name for name, _ in each.options if name.startswith("--"))
        added.names = ["--help", "--quiet", *own]
        added.set_defaults(run=each.run, parser=added)
    return parser

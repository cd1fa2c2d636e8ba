"""Make a file of weights small: fewer different numbers in it, and the usual compression of HDF5.

Each kernel is rounded to multiples of a step, a power of two, so that every number is exact in
float16 and those below half a step become 0, which prunes them. Few different numbers compress
well. The steps are chosen on validation images: time after time, the kernel that saves most bytes
for the loss that it adds gets a step of twice the size. What comes out is an ordinary file: any
reader of HDF5 finds the numbers themselves, with nothing to decode.

After Han, Mao, Dally (2016), Deep compression: compressing deep neural networks with pruning,
trained quantization and Huffman coding, ICLR; without their retraining, with a uniform grid in
place of their trained one, and with DEFLATE for both Huffman coding and sparse indices.

python scripts/compress_weights.py --model runs/RUN --max-bytes 8000000 --out small.weights.h5
"""

from __future__ import annotations

import math
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.cli.arguments import Parser, share, whole
from modelzoo.cli.printing import print_notice, table_lines
from modelzoo.config import Config
from modelzoo.data.datasets import check_dataset_name
from modelzoo.support.errors import InputError, RunError
from modelzoo.support.files import write_bytes
from modelzoo.support.terminal import say
from modelzoo.training.prepare import build_network, open_dataset
from modelzoo.training.resolve import resolve

if TYPE_CHECKING:
    import keras

SMALLEST = 1024  # numbers in an array that is worth rounding; smaller ones stay float32
FIRST_STEP = 1 / 64  # of a kernel's standard deviation: an error of 47 dB below it
LARGEST_MULTIPLE = 2048  # of a step: float16 holds every whole number up to it
SMALLEST_MOVE = 1e-12  # keeps a quotient finite
LEVEL = 9  # of DEFLATE, in the file; estimates are made with a faster one
ROW_BYTES = 1 << 20  # about what a chunk of an array takes before compression


@dataclass
class Kernel:
    """An array that is rounded.

    Attributes:
        name: its path in the network.
        values: float32, as trained.
        exponent: of the step, 2**exponent; one at which a multiple would not be exact is never
            tried.
    """

    name: str
    variable: Any
    values: np.ndarray
    exponent: int
    _sizes: dict[int, int] = field(default_factory=dict)

    def rounded(self, exponent: int) -> np.ndarray:
        """Return the values as multiples of 2**exponent."""
        return np.ldexp(np.round(np.ldexp(self.values, -exponent)), exponent)

    def size(self, exponent: int) -> int:
        """Return about how many bytes the rounded values take in a file."""
        if exponent not in self._sizes:
            halves = self.rounded(exponent).astype("<f2").reshape(-1).view(np.uint8)
            shuffled = halves.reshape(-1, 2).T.tobytes()  # as HDF5's shuffle filter orders bytes
            self._sizes[exponent] = len(zlib.compress(shuffled, 5))
        return self._sizes[exponent]

    def use(self, exponent: int) -> None:
        """Put the values, rounded so, into the network."""
        self.variable.assign(self.rounded(exponent))

    def facts(self) -> dict[str, Any]:
        """Return what became of it."""
        return {
            "name": self.name,
            "shape": list(self.values.shape),
            "step": 2.0**self.exponent,
            "zeros": float((self.rounded(self.exponent) == 0).mean()),
            "bytes": self.size(self.exponent),
        }


@dataclass(frozen=True)
class Compressed:
    """What came of it.

    Attributes:
        path, bytes: of the file that was written.
        dataset: whose validation images chose.
        accuracy, loss: on them, before and after.
        kernels: name, step and share of zeros of each rounded array.
    """

    path: Path
    bytes: int
    dataset: str
    images: int
    accuracy: tuple[float, float]
    loss: tuple[float, float]
    kernels: list[dict[str, Any]]

    def summary(self) -> str:
        """Return in a sentence what was done and what it cost."""
        numbers = sum(math.prod(kernel["shape"]) for kernel in self.kernels)
        zeros = sum(math.prod(kernel["shape"]) * kernel["zeros"] for kernel in self.kernels)
        return (
            f"arrays of {SMALLEST:,} numbers or more are rounded to multiples of a power of two "
            f"({zeros / numbers:.0%} of them are 0), stored as float16 and gzip; accuracy on "
            f"{self.images:,} validation images: {self.accuracy[0]:.4f} before, "
            f"{self.accuracy[1]:.4f} after"
        )


def compress(
    config: Config,
    weights: Path,
    out: Path,
    *,
    max_bytes: int,
    max_drop: float = 0.002,
    device: str = "auto",
    notify: Callable[[str], None] = print,
) -> Compressed:
    """Write weights into a small file.

    Args:
        config: of the network; `data` names the data set whose validation images choose.
        weights: an .h5 file that fits it.
        out: the file to write; it appears only if both limits hold.
        max_bytes: what it may take.
        max_drop: how much validation accuracy may be lost, from 0 to 1.
        device: as for `Trainer`.
        notify: called with what is being done.

    Raises:
        InputError: weights, data set or device cannot be used, or there are no validation images.
        RunError: it cannot be made so small without losing more than `max_drop`.
    """
    check_dataset_name(config.data.dataset)
    if not out.name.endswith(".weights.h5"):
        raise InputError(f"{out}: should end in .weights.h5, as Keras names such files")
    from modelzoo.training.device import start_framework
    from modelzoo.weights.reader import load_weights

    chosen = start_framework(config.trainer.backend, device)
    from modelzoo.training.evaluation import compile_for_scoring, score

    with chosen.scope():
        network = build_network(config)
        load_weights(network, weights)
        compile_for_scoring(network, config)
        data, _ = open_dataset(config, notify)
        if data.name != config.data.dataset:
            raise InputError(f"{config.data.dataset}: cannot be had, {data.note}")
        from modelzoo.data.pipeline import InputPipeline

        pipeline = InputPipeline(data, config.data, num_classes=config.model.num_classes)
        images = pipeline.images_in("validation")
        if not images:
            raise InputError(f"{data.name}: data.validation_split holds no images to choose by")
        before = score(network, pipeline, "validation")
        batches = pipeline.scoring_batches("validation")

        def move() -> float:
            """Return how far the rounding has moved the answers."""
            answers = network.predict(batches, verbose=0)
            return float(np.square(answers - before.probabilities).mean())

        kernels = _round_network(config, network, max_bytes, move, notify)
        after = score(network, pipeline, "validation")
        content = _packed(config, network)
    drop = before.accuracy - after.accuracy
    if drop > max_drop + 1e-9:
        raise RunError(
            f"{max_bytes:,} bytes cost {drop:.4f} of accuracy on {images:,} validation images, "
            f"more than {max_drop}; allow more bytes"
        )
    if len(content) > max_bytes:
        raise RunError(f"{max_bytes:,} bytes are too few: the file takes {len(content):,}")
    write_bytes(out, content)
    return Compressed(
        path=out,
        bytes=len(content),
        dataset=data.name,
        images=images,
        accuracy=(before.accuracy, after.accuracy),
        loss=(before.loss, after.loss),
        kernels=[kernel.facts() for kernel in kernels],
    )


def _round_network(
    config: Config,
    network: keras.Model,
    max_bytes: int,
    measure_move: Callable[[], float],
    notify: Callable[[str], None],
) -> list[Kernel]:
    """Round the kernels of a network until its file should fit; return them."""
    zero_blind_taps(network)
    kernels = _kernels_of(network)
    for kernel in kernels:
        kernel.use(kernel.exponent)
    # What small arrays and the tables of HDF5 take, and what the estimates miss.
    estimated = sum(kernel.size(kernel.exponent) for kernel in kernels)
    rest = len(_packed(config, network)) - estimated
    _round_until(kernels, max_bytes - rest, measure_move, notify)
    return kernels


def zero_blind_taps(network: keras.Model) -> int:
    """Set to 0 what can never meet anything but padding; return how many numbers those are.

    A 3x3 kernel over a 1x1 map with "same" padding sees an image with its centre alone: the rest
    keeps what it was initialised with, and changes no answer.
    """
    import keras

    zeroed = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.padding == "same":
            kernel = np.array(layer.kernel)
            sizes = layer.input.shape[1:3]
            sides = zip(sizes, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
            seeing = np.ix_(*(_seeing(*side) for side in sides))
            kept = np.zeros_like(kernel)
            kept[seeing] = kernel[seeing]
            zeroed += int((kernel != kept).sum())
            layer.kernel.assign(kept)
    return zeroed


def _seeing(size: int, window: int, stride: int, dilation: int) -> list[int]:
    """Return the taps of a "same" window that lie inside the input at one position at least."""
    positions = -(-size // stride)
    reach = dilation * (window - 1) + 1
    before = max((positions - 1) * stride + reach - size, 0) // 2
    return [
        tap
        for tap in range(window)
        if any(0 <= at * stride + tap * dilation - before < size for at in range(positions))
    ]


def _kernels_of(network: keras.Model) -> list[Kernel]:
    kernels = []
    for variable in network.variables:
        values = np.asarray(variable.value, "float32")
        if values.size < SMALLEST or not np.issubdtype(np.dtype(str(variable.dtype)), np.floating):
            continue
        spread, largest = float(values.std()), float(np.abs(values).max())
        smallest_step = max(spread * FIRST_STEP, largest / LARGEST_MULTIPLE)
        exponent = math.ceil(math.log2(smallest_step)) if smallest_step else 0
        kernels.append(Kernel(variable.path, variable, values, max(exponent, -24)))
    return kernels


def _round_until(
    kernels: list[Kernel],
    max_bytes: int,
    measure_move: Callable[[], float],
    notify: Callable[[str], None],
) -> None:
    """Double one kernel's step after the other until they fit; leave them in the network.

    What a kernel is worth changes little when another one is rounded: only the one that seemed
    best is measured again, until one still is (a lazy greedy search).
    """
    size = sum(kernel.size(kernel.exponent) for kernel in kernels)
    move = measure_move()
    worth = {kernel.name: math.inf for kernel in kernels}
    while size > max_bytes:
        measured: set[str] = set()
        while (best := max(kernels, key=lambda each: worth[each.name])).name not in measured:
            worth[best.name] = _worth(best, move, measure_move)
            measured.add(best.name)
        if worth[best.name] <= 0:
            raise RunError(f"{max_bytes:,} bytes are too few for the kernels: {size:,} are left")
        best.exponent += 1
        best.use(best.exponent)
        size = sum(kernel.size(kernel.exponent) for kernel in kernels)
        move = measure_move()
        notify(f"{best.name}: steps of {2.0**best.exponent:g}; {size:,} bytes, moved {move:.3g}")


def _worth(kernel: Kernel, move: float, measure_move: Callable[[], float]) -> float:
    """Return the bytes that a step of twice the size saves for how far it moves; 0 if none."""
    saved = kernel.size(kernel.exponent) - kernel.size(kernel.exponent + 1)
    if saved < kernel.size(kernel.exponent) / 100:
        return 0.0
    kernel.use(kernel.exponent + 1)
    added = measure_move() - move
    kernel.use(kernel.exponent)
    return saved / max(added, SMALLEST_MOVE)


def _packed(config: Config, network: keras.Model) -> bytes:
    """Return a file in Keras' own layout, with the larger arrays in float16 and compressed."""
    import h5py

    plain = build_network(config)  # without the optimizer that scoring brings
    plain.set_weights(network.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "whole.weights.h5", Path(folder) / "small.h5"
        plain.save_weights(whole)
        with h5py.File(whole, "r") as source, h5py.File(small, "w") as target:
            _copy_group(source, target)
        return small.read_bytes()


def _copy_group(source: Any, target: Any) -> None:
    import h5py

    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_group(item, target.create_group(name))
        elif item.size >= SMALLEST:
            rows = max(1, ROW_BYTES // (2 * math.prod(item.shape[1:])))
            target.create_dataset(
                name,
                data=item[()].astype("float16"),
                chunks=(min(rows, item.shape[0]), *item.shape[1:]),
                shuffle=True,
                compression="gzip",
                compression_opts=LEVEL,
            )
        else:
            target.create_dataset(name, data=item[()])


def main(arguments: Sequence[str] | None = None) -> int:
    """Compress the weights of a network; return the exit code: 0, 1 (limits not kept), 2."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="NAME[/WEIGHTS], a YAML or a run's folder")
    parser.add_argument("--weights", help="a published name, a file, a run's folder, a URL")
    parser.add_argument("--dataset", help="whose validation images choose")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--max-bytes", required=True, type=whole(1), help="size of the file")
    parser.add_argument(
        "--max-drop", default=0.002, type=share, help="validation accuracy to lose (0.002)"
    )
    parser.add_argument("--out", required=True, type=Path, help="a .weights.h5 to write")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, gpu:N (auto)")
    options = parser.parse_args(arguments)
    try:
        source = resolve(
            options.model, options.weights, dataset=options.dataset, overrides=options.set
        )
        done = compress(
            source.config,
            source.weights,
            options.out,
            max_bytes=options.max_bytes,
            max_drop=options.max_drop,
            device=options.device,
            notify=print_notice,
        )
    except (InputError, RunError) as error:
        say(error, file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    rows = [
        (
            kernel["name"],
            "x".join(map(str, kernel["shape"])),
            f"{kernel['step']:.3g}",
            f"{kernel['zeros']:.1%}",
            f"{kernel['bytes']:,}",
        )
        for kernel in done.kernels
    ]
    heads = ("ARRAY", "SHAPE", ">STEP", ">ZEROS", ">BYTES")
    say("\n".join(table_lines(heads, rows, flexible=0)))
    say(f"{done.dataset}: {done.summary()}")
    say(f"{done.path}: {done.bytes:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

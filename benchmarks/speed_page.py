"""Write docs/speed.md and its chart from what the benchmarks left in results/.

python -m benchmarks.speed_page            write docs/speed.md and docs/pictures/speed.png
python -m benchmarks.speed_page --check    write nothing; exit code 1 if the page is out of date
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import learning, roofline, steps
from benchmarks.compare import summary
from benchmarks.compare.runner import ROOT
from benchmarks.compare.works import SHOWN, WORKS, Work
from benchmarks.speed_chart import speed_chart
from modelzoo import charts
from modelzoo.support.errors import InputError
from modelzoo.support.files import write_text

SPEED, ROOFLINE = ROOT / "results" / "speed.json", ROOT / "results" / "roofline.json"
ELSEWHERE = ROOT / "results" / "speed-elsewhere.json"  # works measured on another machine, too
PAGE, PICTURE = ROOT / "docs" / "speed.md", ROOT / "docs" / "pictures" / "speed.png"
INTRODUCTION = """# Speed and memory

Written by `python -m benchmarks.speed_page` from `results/`.

The same work is done by modelzoo; by the script of the tutorial ("The Convolutional Neural Network:
Theory and Implementation of LeNet-5 and AlexNet"), written for Keras 3 in the usual way (NumPy
arrays, one-hot labels, `model.fit`); by a plain PyTorch loop; and by that script on Keras' JAX and
PyTorch backends. Networks, batch sizes, optimizer, loss and data are the same, except in the two
cold starts, whose recipes differ: `hardening/test_benchmarks.py` checks that equal weights give
equal outputs, and equal weights after a step.

Beside the plain loops stand the best that we could write with each framework: "PyTorch, compiled"
(network and optimizer compiled, channels last, memory that glibc keeps), "JAX, an epoch in one
scan", the script with oneDNN's kernels where TensorFlow does not choose them by itself, "ONNX
Runtime" and "LiteRT". A table without such rows does not show the best that a framework can do.

```
python -m benchmarks.compare
python -m benchmarks.learning
python -m benchmarks.roofline
python -m benchmarks.steps
python -m benchmarks.speed_page
```

Each contestant does each work in a fresh process, once a round, in turn, on the CPU with nothing
else running. Figures are medians over all rounds, with the quantiles of 5 % and 95 % beside them,
interpolated between samples. Many works have few samples: a small difference there shows nothing.
The ratio is that of medians: how many times modelzoo's time, or memory, another takes.
`python -m benchmarks.compare --work lenet5-epoch --rounds 10` measures one work again.
"""
CHANGES = """## What was changed, and what it is worth

One training step from a batch in memory, each row with the changes above it:
`python -m benchmarks.steps`, on """
REASONS = """- AlexNet's step was spent in memory more than in arithmetic. Keras writes
  Adadelta as some ten operations a variable, each of which reads and writes arrays of the size of
  the weights; TensorFlow has the same formula as one. `modelzoo/training/fast.py`
- TensorFlow's MatMul copies a transposed kernel before it multiplies, which the gradient of a large
  Dense layer needs in every step; BatchMatMul does not. On maps of 1x1 and 2x2, most of a kernel
  only meets padding: those taps are left out.
- TensorFlow chooses oneDNN's kernels by itself only where a processor has AVX-512. They are faster
  with AVX2, too, and are always asked for. `modelzoo/training/device.py`
- LeNet-5's first convolution has 6 filters, which leave most of a vector register empty. Moved by
  two pixels, a kernel of 6x6 that holds the kernel of 5x5 at four places computes the four outputs
  that are averaged later, as 24 filters; the gradient of the second one's input is computed for
  blocks of 2x2 pixels in the same way. `modelzoo/training/fast.py`
- LeNet-5's operations are too small to be worth dividing among threads. Each core computes all of
  them for its part of the batch instead (`trainer.share_batches`), where the arrays fit its cache.
  Its weights are few: updating each in one operation gains nothing.
- Batches are gathered in the graph from one uint8 copy of the images, 16 steps of AlexNet or 32 of
  LeNet-5 run without returning to Python, the loss is computed from logits, validation takes
  large batches.
- A command ends at once: taking TensorFlow apart took it a second.

Tried, and left: XLA on a CPU, slower than Keras' step for LeNet-5, and for AlexNet between Keras'
step and ours; LeNet-5's convolutions as products of matrices; bfloat16 at batches of 32, where
casting the weights costs about what the products gain (at 512 it pays:
`--precision mixed_bfloat16`)."""
END = """## What stands beside it

- The script trains with `verbose=0` and scores with Keras' default batch of 32. PyTorch takes its
  batches from tensors in memory by a shuffled permutation, without a DataLoader, and scores 1,000
  images at a time without gradients.
- modelzoo's epochs are timed as the others': training and validation. What only it does (saving the
  state after each epoch, the report, its curves) is in the times of whole processes.
- The script and PyTorch hold out the last 5,000 training images, modelzoo 5,000 drawn class by
  class. Accuracies are of the weights after as many epochs (modelzoo: after the best of them).
  For AlexNet's step modelzoo goes through 3,072 training images again and again, the others draw
  theirs from all 50,000.
- PyTorch's running variance in batch normalisation is n / (n - 1) times Keras'.

## GPU

Not measured: no GPU was at hand. The script is ready, and says what it lacks:

```
python -m benchmarks.gpu_throughput
```"""


def main() -> int:
    """Run the command; return the exit code: 0, 1 (out of date), 2 (bad input)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    try:
        speed, *others = results()
        written = page(speed, *others)
        stale = not PAGE.is_file() or PAGE.read_text("utf-8") != written
        if not options.check:
            write_text(PAGE, written)
            if speed:
                charts.save(speed_chart(speed["works"]), PICTURE)
    except InputError as error:
        print(f"benchmarks.speed_page: {error}", file=sys.stderr)
        return 2
    checked = "is out of date" if stale else "is up to date"
    print(f"{PAGE.relative_to(ROOT)}: {checked if options.check else 'written'}")
    return 1 if options.check and stale else 0


def results() -> list[dict[str, Any] | None]:
    """Return the results in this checkout, as `page` takes them."""
    return [read(path) for path in (SPEED, ROOFLINE, steps.OUT, learning.OUT, ELSEWHERE)]


def read(path: Path) -> dict[str, Any] | None:
    """Return a file of results; None if it is not there.

    Raises:
        InputError: it holds none, or what --quick measured.
    """
    if not path.exists():
        return None
    try:
        report = json.loads(path.read_text("utf-8"))
        quick = any(work["quick"] for work in report.get("works", {}).values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: holds no results: {error}") from None
    if quick:
        raise InputError(f"{path}: was measured with --quick, whose figures mean nothing")
    return report


def page(
    speed: Mapping[str, Any] | None,
    peaks: Mapping[str, Any] | None,
    changes: Mapping[str, Any] | None = None,
    learned: Mapping[str, Any] | None = None,
    elsewhere: Mapping[str, Any] | None = None,
) -> str:
    """Return the page."""
    tables = [*_tables(speed, learned), *_elsewhere(elsewhere)]
    parts = [*_introduction(speed), *tables, *_roofline(peaks), *_changes(changes), END]
    return "\n".join(parts) + "\n"


def _changes(report: Mapping[str, Any] | None) -> Iterator[str]:
    if report is None:
        return
    rounds = len(report["samples"]["lenet5"]["keras"])
    yield from (f"{CHANGES}{_machine(report)}. Medians of {rounds} processes.", "")
    yield from ("| Network, batch | Step | ms | Times faster than Keras' |", "|---|---|---|---|")
    for network, variants in report["samples"].items():
        first = statistics.median(variants["keras"])
        for variant, samples in variants.items():
            median, batch = statistics.median(samples), steps.SIZES[network][0]
            shown = steps.VARIANTS[network][variant]
            times = f"{summary.number(median)} | {first / median:.2f}"
            yield f"| {network}, {batch} | {shown} | {times} |"
    yield from ("", REASONS, "")


def _machine(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    instructions = ", ".join(machine["instructions"]) or "no special instructions"
    return f"{machine['processor']}, {machine['cores']} cores ({instructions})"


def _introduction(speed: Mapping[str, Any] | None) -> Iterator[str]:
    yield INTRODUCTION
    if speed is None:
        yield from ("Nothing has been measured yet.", "")
        return
    machine = speed["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    memory = machine["memory_bytes"]
    size = f", {memory / 2**30:.0f} GiB of memory" if memory else ""
    yield f"Machine: {_machine(speed)}{size}, {machine['system']}. Versions: {versions}."
    yield ""
    yield "![Time and memory of each contestant, as multiples of modelzoo's](pictures/speed.png)"
    yield ""
    if behind := list(_behind(speed["works"])):
        yield f"modelzoo is behind in: {'; '.join(behind)}."
        yield ""


def _behind(works: Mapping[str, Any]) -> Iterator[str]:
    """Return the works in which others take less than modelzoo, with their ratios."""
    for work in WORKS:
        found = summary.rows(works[work.name]) if work.name in works else []
        ahead = [f"{row.shown} {row.ratio:.2f}" for row in found if row.ratio and row.ratio < 1]
        if ahead:
            yield f"{work.title} ({', '.join(ahead)})"


def _elsewhere(report: Mapping[str, Any] | None) -> Iterator[str]:
    if report is None:
        return
    yield from ("## On another machine", "", f"Some of these works on {_machine(report)}.", "")
    for work in WORKS:
        if work.name in report["works"]:
            yield from (
                "#" * line.startswith("#") + line
                for line in _table(work, report["works"][work.name])
            )


def _tables(speed: Mapping[str, Any] | None, learned: Mapping[str, Any] | None) -> Iterator[str]:
    for work in WORKS:
        if speed and work.name in speed["works"]:
            yield from _table(work, speed["works"][work.name])
        if work.name == "alexnet-step" and learned:  # beside the speed of the same training
            yield from learning.section(learned)


def _table(work: Work, measured: Mapping[str, Any]) -> Iterator[str]:
    found = summary.rows(measured)
    scored = work.scored and any(row.accuracies for row in found)
    compared = any(row.ratio is not None for row in found)
    yield from (f"## {work.title}", "", work.explained, "")
    heads = ["", f"Median, {work.unit}", "5 % to 95 %", "Samples"]
    heads += ["Ratio"] * compared + ["Test accuracy"] * scored
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in found:
        s = row.spread
        cells = [row.shown, summary.number(s.median)]
        cells += [f"{summary.number(s.low)} to {summary.number(s.high)}", str(s.count)]
        cells += [f"{row.ratio:.2f}" if row.ratio else ""] * compared
        cells += [_accuracy(row, work.goal)] * scored
        yield f"| {' | '.join(cells)} |"
    yield ""
    reasons: dict[str, list[str]] = {}
    for name, reason in measured["left_out"].items():
        reasons.setdefault(reason.splitlines()[0], []).append(SHOWN[name])
    for reason, names in reasons.items():
        left_out = "not measured here" if reason == "--without" else reason
        yield f"Left out: {', '.join(names)} ({left_out})."
        yield ""


def _accuracy(row: summary.Row, goal: float | None) -> str:
    """Return the accuracies of a row, and how often a training reached its goal."""
    text = summary.mean_and_range(row.accuracies)
    if goal is None or not row.accuracies:
        return text
    reached = sum(value >= goal for value in row.accuracies)
    return f"{text}; {goal} reached in {reached} of {len(row.accuracies)}"


def _roofline(report: Mapping[str, Any] | None) -> Iterator[str]:
    if report is None:
        return
    peaks = report["peaks"]
    yield from (
        "## Where the time goes",
        "",
        f"{_machine(report)}: a product of two matrices of 2048x2048 runs at "
        f"{peaks['float32'] / 1e9:.0f} GFLOP/s in float32 and "
        f"{peaks['bfloat16'] / 1e9:.0f} in bfloat16, a triad of large arrays at "
        f"{peaks['bytes'] / 1e9:.1f} GB/s. A training step takes at least its operations at the "
        "first rate. The last column has its bytes at the triad's, if every array comes from "
        "memory: a scale, not a bound, since the triad is two operations of NumPy, and a single "
        "one may move bytes faster. State is the optimizer's.",
        "",
        "| Network | Forward, MFLOP an image | Batch | Step, GFLOP | Weights, MB | State, MB | "
        "Activations, MB | Moved in a step, MB | By operations, ms | By bytes, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    )
    for name, own in report["networks"].items():
        best = roofline.at_best(own, peaks)
        if best is None:  # the Neocognitron: no gradients, no step
            continue
        megabytes = [
            own[key] / 1e6 for key in ("weights", "optimizer", "activations", "step_bytes")
        ]
        step = own["training"] * own["batch_size"] / 1e9
        values = [step, *megabytes, 1000 * best[0], 1000 * best[1]]
        cells = " | ".join(summary.number(value) for value in values)
        forward = summary.number(own["forward"] / 1e6)
        yield f"| {name} | {forward} | {own['batch_size']} | {cells} |"
    yield ""
    for name, own in report["reached"].items():
        yield (
            f"- {name}: our training reaches {own['operations_per_second'] / 1e9:.1f} GFLOP/s, "
            f"{own['share_of_operations']:.0%} of the matrix product's in float32, and moves "
            f"{own['bytes_per_second'] / 1e9:.1f} GB/s by the count above, "
            f"{own['share_of_bytes']:.0%} of the triad's."
        )
    if report["reached"]:
        yield ""


if __name__ == "__main__":
    raise SystemExit(main())

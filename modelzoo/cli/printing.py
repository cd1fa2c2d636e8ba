"""Results as people read them in a terminal, in tables that fit it, or 80 columns elsewhere."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from modelzoo.support.files import as_typed
from modelzoo.support.terminal import broken, columns_of, on_one_line, say, width_of

if TYPE_CHECKING:
    import numpy as np

    from modelzoo.config import Config
    from modelzoo.training.evaluation import Evaluation, Run
    from modelzoo.training.prediction import DigitRead, Prediction

WIDTH = 80  # columns of a table in a pipe or a file
INDENT = "    "  # of a cell that is below its row
ROOMY = 30  # columns in which a long text may have more than two lines


def show(options: argparse.Namespace, data: Any, lines: Iterable[object]) -> None:
    if options.json:
        print(json.dumps(data))
    else:
        for line in lines:
            say(line)


def print_notice(message: str) -> None:
    say(message, file=sys.stderr)


def config_lines(config: Config) -> Iterator[str]:
    about, model, data, network = config.about, config.model, config.data, config.network
    parameters = network.parameters if network else about.parameters
    rows = {
        "title": about.title,
        "source": about.source,
        "builder": model.builder,
        "input": as_text(model.input_shape),
        "classes": model.num_classes,
        "parameters": f"{parameters:,}" if parameters else None,
        "data set": data.dataset,
        "batch size": data.batch_size,
        "epochs": config.fit.epochs,
        "weights": None if config.weights else "none published",
    }
    pairs = [(f"  {key}:", str(value)) for key, value in rows.items() if value not in (None, "")]
    for number, entry in enumerate(config.weights):
        unverified = ", needs --allow-unverified" if entry.unverified else ""
        label = "" if number else "  weights:"
        pairs.append((label, f"{entry.name}: {entry.scores}{unverified}"))
    yield config.name
    yield from table_lines((), pairs)


def layer_lines(layers: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield two tables, since one would be wider than a terminal: what layers are, and cost."""
    shapes = [
        (
            layer["name"],
            layer["type"],
            as_text(layer["output_shape"]),
            as_text(layer["kernel_size"] or ()),
            as_strides(layer["strides"] or ()),
            as_padding(layer["padding"]),
            layer["activation"] or "",
        )
        for layer in layers
    ]
    yield ""
    columns = ("LAYER", "TYPE", "OUTPUT", "WINDOW", "STRIDE", "PADDING", "ACTIVATION")
    yield from table_lines(columns, shapes, flexible=1)
    keys = ("parameters", "connections", "operations")
    counts = [[layer[key] for key in keys] for layer in layers]
    counts.append([None if None in each else sum(each) for each in zip(*counts, strict=True)])
    costs = [
        (name, *("?" if number is None else f"{number:,}" for number in row))
        for name, row in zip([*(layer["name"] for layer in layers), "total"], counts, strict=True)
        if any(row)
    ]
    yield ""
    heads = ("LAYER", ">PARAMETERS", ">CONNECTIONS", ">OPERATIONS")
    yield from table_lines(heads, costs, flexible=0)
    yield "connections: a unit with each value that it takes, its bias included"
    yield "operations: additions and multiplications for one image"


def run_lines(run: Run) -> Iterator[str]:
    metrics = run.metrics
    best = f", best epoch {metrics['best_epoch']} of {metrics['epochs']}"
    yield (
        f"test accuracy {metrics['test_accuracy']:.4f}, loss {metrics['test_loss']:.4f} "
        f"({metrics['test_images']:,} images of {metrics['dataset']}{best})"
    )
    yield f"report: {run.folder / 'report.html'}"
    yield f"weights: {run.folder / 'best.weights.h5'}"
    if (logs := run.folder / "tensorboard").is_dir():
        yield f"curves: tensorboard --logdir {as_typed(logs)}"


def study_lines(title: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    shown = []
    for row in rows:
        columns = ("train_accuracy", "val_accuracy", "gap", "test_accuracy")
        shares = ["none" if row[name] is None else f"{row[name]:.4f}" for name in columns]
        deviations = [row.get(f"{name}_deviation") for name in columns]
        shares = [
            share if deviation is None else f"{share} ±{deviation:.4f}"
            for share, deviation in zip(shares, deviations, strict=True)
        ]
        minutes = f"{row['seconds'] / 60:.1f}"
        shown.append((row["variant"], *shares, f"{row['epochs']:g}", minutes))
    yield title
    heads = ("variant", ">training", ">validation", ">gap", ">test", ">epochs", ">min")
    yield from table_lines(heads, shown, flexible=0)


def evaluation_lines(label: str, result: Evaluation) -> Iterator[str]:
    from modelzoo.charts.report import per_class_table

    scores, names = result.scores, result.class_names
    rows = []
    for row in per_class_table(result.confusion, names).itertuples(index=False):
        shares = ["-" if value != value else f"{value:.3f}" for value in row[2:]]
        rows.append((str(row[0]), f"{row[1]:,}", *shares))
    yield from table_lines(("class", ">images", ">precision", ">recall", ">F1"), rows, flexible=0)
    if len(names) <= 20:
        yield from _confusion_lines(result.confusion, names)
    yield ""
    if result.data.note:
        yield f"note: {result.data.note}"
    top_5 = f", top-5 {scores.top_accuracy(5):.4f}" if len(names) > 20 else ""
    yield (
        f"{label} on {result.data.name} ({scores.split}, {len(scores.labels):,} images): "
        f"accuracy {scores.accuracy:.4f}{top_5}, loss {scores.loss:.4f}, {scores.seconds:.1f} s "
        f"({result.engine})"
    )


def _confusion_lines(confusion: np.ndarray, names: Sequence[str]) -> Iterator[str]:
    """Yield the matrix; where it is too wide, in parts, its columns headed by their numbers."""
    cells = [[str(count) if count else "." for count in row] for row in confusion.tolist()]
    heads, labels, width = list(names), list(names), width_of(sys.stdout) or WIDTH
    needed = [max(map(columns_of, column)) for column in zip(heads, *cells, strict=True)]
    part = len(names)
    if max(map(columns_of, labels)) + sum(needed) + 2 * part > width:
        heads = [str(number) for number in range(part)]
        labels = [f"{number} {name}" for number, name in zip(heads, names, strict=True)]
        widest = max(columns_of(cell) for row in (heads, *cells) for cell in row)
        part = max(1, (width - max(map(columns_of, labels))) // (widest + 1))
    yield "\nConfusion matrix: rows are true, columns predicted"
    for begin in range(0, len(names), part):
        shown = slice(begin, begin + part)
        rows = [[label, *row[shown]] for label, row in zip(labels, cells, strict=True)]
        yield from table_lines(["true", *(f">{head}" for head in heads[shown])], rows, flexible=0)


def prediction_lines(found: Sequence[Prediction]) -> Iterator[str]:
    """A line or more for each image; a note that three or more share stands once, at the end."""
    times = Counter(note for each in found for note in set(each.notes))
    for each in found:
        problem, *advice = each.problem.splitlines() or [""]
        problem = problem.removeprefix(f"{each.file} ")
        yield f"{each.file}: {problem or _classes(each, each)}"
        yield from (f"  {line}" for line in advice)
        if len(each.digits) > 1:
            for digit in each.digits:
                left, top, right, bottom = digit.box
                place = f"{right - left}x{bottom - top} at {left},{top}"
                yield f"  {_classes(each, digit)}: {place}"
        yield from (f"  {note}" for note in each.notes if times[note] < 3)
    yield from (f"{times[note]} images: {note}" for note in times if times[note] >= 3)


def _classes(found: Prediction, read: Prediction | DigitRead) -> str:
    form = "{} {:.1%}" if found.unit == "probability" else "{} (score {:.3g})"
    classes = ", ".join(form.format(*values) for values in read.classes)
    return f"{classes} (uncertain)" if read.uncertain else classes


def table_lines(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    *,
    flexible: int = -1,
) -> list[str]:
    """Lay out a table in at most `width` columns, as far as words and the other columns allow.

    Where it does not fit, the column number `flexible` is broken at spaces, beside the other cells
    of its row or, where that would leave it too narrow, in lines of its own below them. A head
    that begins with ">" aligns its column to the right; a table without heads has none.
    """
    width = width or width_of(sys.stdout) or WIDTH
    sides = [head[:1] == ">" for head in heads] or [False] * len(rows[0])
    cells = [[on_one_line(cell) for cell in row] for row in rows]
    cells = [[head.removeprefix(">") for head in heads], *cells] if heads else cells
    flexible %= len(sides)
    widths = [max(map(columns_of, column)) for column in zip(*cells, strict=True)]
    gaps = len(widths) - 1
    gap = " " if sum(widths) + 2 * gaps > width >= sum(widths) + gaps else "  "
    room = width - (sum(widths) - widths[flexible] + len(gap) * gaps)
    parts = [broken(row[flexible], room) for row in cells]
    beside = all(
        (len(each) <= 2 or room >= ROOMY) and max(map(columns_of, each)) <= room for each in parts
    )
    if not beside:
        parts = [broken(row[flexible], width - len(INDENT)) for row in cells]
    widths[flexible] = max(columns_of(line) for each in parts for line in each)
    offset = sum(widths[:flexible]) + len(gap) * flexible
    indent = " " * offset if beside else INDENT
    lines = []
    for row, part in zip(cells, parts, strict=True):
        row[flexible] = part[0]
        padded = []
        for cell, needed, is_right in zip(row, widths, sides, strict=True):
            space = " " * (needed - columns_of(cell))
            padded.append(space + cell if is_right else cell + space)
        if not beside:
            del padded[flexible]
        lines.append(gap.join(padded).rstrip())
        lines += [indent + each for each in part[beside:]]
    return lines


def as_strides(strides: Sequence[int]) -> str:
    """Return n, or "2x1" for strides that differ."""
    return as_text(strides if len(set(strides)) > 1 else strides[:1])


def as_padding(padding: Any) -> str:
    """Return a padding in words: valid, same, n on every side, or top,bottom,left,right."""
    if isinstance(padding, list):
        sides = [n for each in padding for n in (each if isinstance(each, list) else [each, each])]
        return str(sides[0]) if len(set(sides)) == 1 else ",".join(map(str, sides))
    return "" if padding is None else str(padding)


def as_text(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))

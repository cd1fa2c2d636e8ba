"""Results as people read them in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelzoo.terminal import make_console, say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from modelzoo.config import Config
    from modelzoo.training.evaluation import Evaluation
    from modelzoo.training.run import Run
    from modelzoo.weights.compress import Compressed


def print_layers(config: Config) -> None:
    from modelzoo.zoo import build, describe

    heads = f"{'OUTPUT SHAPE':14} {'PARAMETERS':>12} {'OPERATIONS':>14}"
    say(f"\n  {'LAYER':10} {'TYPE':28} {heads}")
    network = build(config)
    described = describe(network)
    for layer in described:
        shape, operations = as_text(layer["output_shape"]), _count(layer["operations"])
        say(
            f"  {layer['name']:10} {layer['type']:28} {shape:14} {layer['parameters']:>12,} "
            f"{operations:>14}"
        )
    counts = [layer["operations"] for layer in described]
    total = None if None in counts else sum(counts)
    say(f"  {'total':54} {network.count_params():>12,} {_count(total):>14}")
    say("  operations: additions and multiplications for one picture")


def print_run(run: Run) -> None:
    metrics = run.metrics
    best = f", best of {metrics['epochs']} epochs: {metrics['best_epoch']}"
    say(
        f"test accuracy {metrics['test_accuracy']:.4f}, loss {metrics['test_loss']:.4f} "
        f"({metrics['test_images']:,} test images of {metrics['dataset']}{best})"
    )
    say(f"report: {run.folder / 'report.html'}")
    say(f"weights: {run.folder / 'best.weights.h5'}")


def print_study(title: str, rows: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    shown = Table("variant", "training", "validation", "gap", "test", "epochs", "min", title=title)
    for row in rows:
        columns = ("train_accuracy", "val_accuracy", "gap", "test_accuracy")
        shares = ["none" if row[name] is None else f"{row[name]:.4f}" for name in columns]
        shown.add_row(row["variant"], *shares, str(row["epochs"]), f"{row['seconds'] / 60:.1f}")
    _print_table(make_console(), shown)


def print_evaluation(config: Config, result: Evaluation) -> None:
    from rich.table import Table

    from modelzoo.report import per_class_table

    scores, names = result.scores, result.class_names
    console = make_console()
    table = Table("class", "images", "precision", "recall", "F1", title="Each class")
    for row in per_class_table(result.confusion, names).itertuples(index=False):
        shares = ["-" if value != value else f"{value:.3f}" for value in row[2:]]
        table.add_row(str(row[0]), f"{row[1]:,}", *shares)
    _print_table(console, table)
    if len(names) <= 20:
        matrix = Table("true", *names, title="Confusion matrix: rows are true, columns predicted")
        for name, counts in zip(names, result.confusion, strict=True):
            matrix.add_row(name, *(str(count) if count else "." for count in counts))
        _print_table(console, matrix)
    if result.data.note:
        console.print(f"note: {result.data.note}", soft_wrap=True)
    top_5 = f", top-5 {scores.top_accuracy(5):.4f}" if len(names) > 20 else ""
    console.print(
        f"{config.name} on {result.data.name} ({scores.split}, {len(scores.labels):,} images): "
        f"accuracy {scores.accuracy:.4f}{top_5}, loss {scores.loss:.4f}, {scores.seconds:.1f} s",
        soft_wrap=True,
    )


def _print_table(console: Console, table: Table) -> None:
    """Print a table with nothing cut: without its frame, if need be, and past the edge."""
    available, unbounded = console.width, console.options.update(max_width=10_000)
    if console.measure(table, options=unbounded).maximum > available:
        table.box, table.pad_edge, table.collapse_padding = None, False, True
    console.width = max(available, console.measure(table, options=unbounded).maximum)
    console.print(table)
    console.width = available


def print_compressed(done: Compressed) -> None:
    say(f"{'ARRAY':24} {'SHAPE':16} {'STEP':>10} {'ZEROS':>7} {'BYTES':>11}")
    for kernel in done.kernels:
        say(
            f"{kernel['name']:24} {as_text(kernel['shape']):16} {kernel['step']:>10.3g} "
            f"{kernel['zeros']:>7.1%} {kernel['bytes']:>11,}"
        )
    (before, after), (loss_before, loss_after) = done.accuracy, done.loss
    say(
        f"{done.images:,} validation images of {done.dataset}: accuracy {before:.4f} -> "
        f"{after:.4f}, loss {loss_before:.4f} -> {loss_after:.4f}"
    )
    say(f"{done.path}: {done.bytes:,} bytes")


def print_notice(message: str) -> None:
    say(message, file=sys.stderr)


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def as_text(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))

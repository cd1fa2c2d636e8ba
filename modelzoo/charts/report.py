"""The report of a finished run, one HTML file that opens offline, and the data it was made from."""

import contextlib
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from modelzoo import charts
from modelzoo.charts.style import chart_box, render_page
from modelzoo.config.layers import flat
from modelzoo.data.npz import read_arrays
from modelzoo.support.errors import InputError
from modelzoo.support.files import as_typed, ordinary, replacing, write_bytes

DATA_FILE = "report-data.npz"
PAGE_FILE = "report.html"
FILES = ("config.yaml", "history.csv", "metrics.json", "best.weights.h5", "model.keras")
UNKNOWN = "\N{EN DASH}"


class ReportData(NamedTuple):
    """What a report needs besides the history, the metrics and the configuration."""

    confusion: np.ndarray  # counts, (classes, classes), rows are true classes
    class_names: Sequence[str]
    mistakes_images: np.ndarray  # the most confident, uint8 (n, height, width, channels)
    mistakes_true: Sequence[str]
    mistakes_predicted: Sequence[str]
    mistakes_confidence: Sequence[float]  # 0 to 1; NaN if the network gives no probabilities


TYPES = ("int64", "str", "uint8", "str", "str", "float64")  # of the arrays in the file
DIMENSIONS = (2, 1, 4, 1, 1, 1)


class Compared(NamedTuple):
    """What a run is compared with: published weights, a paper's figure, or another run."""

    name: str
    accuracy: float  # on the test set, 0 to 1
    loss: float | None
    about: str


def write_report(
    folder: Path,
    configuration: str,
    history: pd.DataFrame,
    metrics: Mapping[str, Any],
    data: ReportData,
    layers: Sequence[Mapping[str, Any]] = (),
    compared: Sequence[Compared] = (),
    others: Mapping[str, pd.DataFrame] | None = None,
) -> Path:
    """Write `report.html` into the folder of a run, and return its path.

    `layers` is what `modelzoo.summary` returns; `others` are histories of other runs by name,
    whose curves are drawn beside this one's.
    """
    title = f"{metrics.get('model') or UNKNOWN} on {metrics.get('dataset') or UNKNOWN}"
    notes = [*filter(None, [metrics.get("note")]), *metrics.get("notices", [])]
    warnings = "".join(f'<p class="note" role="note">{_text(note)}</p>' for note in notes)
    drawn = charts_of_run(history, data)
    sections = {
        "Compared": _compared(metrics.get("test_accuracy"), metrics.get("test_loss"), compared),
        "Training curves": chart_box("curves", "Training curves"),
        "Each epoch": _epochs(history, metrics.get("best_epoch")),
        "Confusion matrix": chart_box("confusion", "Confusion matrix"),
        "Each class": _per_class(per_class_table(data.confusion, data.class_names)),
        "Most confident mistakes": chart_box("mistakes", "Most confident mistakes"),
        "Network": _layers(layers),
        "All metrics": _all_metrics(metrics),
        "Configuration": _folded("Show the configuration", f"<pre>{_text(configuration)}</pre>"),
        "Files": " · ".join(f'<a href="{name}">{name}</a>' for name in FILES),
    }
    if others:
        drawn["others"] = charts.compare_runs({"this run": history, **others})
        sections["Compared"] += chart_box("others", "Curves of the runs")
    with contextlib.suppress(InputError):  # outputs that are neither maps nor units
        if layers:
            drawn["network"] = charts.architecture(layers, str(metrics.get("model", "Network")))
            sections["Network"] = chart_box("network", "Network") + sections["Network"]
    top = f"<header><h1>{_text(title)}</h1>{warnings}{_headline(metrics)}{_origin(folder, metrics)}"
    shown = [f"<section><h2>{name}</h2>{part}</section>" for name, part in sections.items() if part]
    versions = ", ".join(f"{name} {each}" for name, each in metrics.get("versions", {}).items())
    foot = f"<footer>Made with {_text(versions)}.</footer>" if versions else ""
    body = "\n".join([f"{top}</header><main>", *shown, f"</main>{foot}"])
    # Tests validate each kind of chart; here it would take a second.
    specs = {name: chart.to_dict(validate=False) for name, chart in drawn.items()}
    # a file name may hold bytes that are no text; they must not stop the report
    write_bytes(folder / PAGE_FILE, render_page(title, body, specs).encode("utf-8", "replace"))
    return folder / PAGE_FILE


def charts_of_run(history: pd.DataFrame, data: ReportData) -> dict[str, charts.Chart]:
    """Return the charts of a run by name: `curves`, `confusion` and `mistakes`."""
    wrong = int(np.sum(data.confusion) - np.trace(data.confusion))
    return {
        "curves": charts.training_curves(history),
        "confusion": charts.confusion_matrix(data.confusion, data.class_names),
        "mistakes": charts.mistakes(*data[2:], total=max(wrong, len(data.mistakes_images))),
    }


def per_class_table(confusion: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """Return `class`, `images`, `precision`, `recall` and `f1`, a row a class.

    A class without images has no recall, one never predicted no precision: they are NaN, not 0.
    """
    matrix = np.asarray(confusion, float)
    hits, images, predictions = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that we want
        precision, recall = hits / predictions, hits / images
        f1 = np.where((images > 0) & (predictions > 0), 2 * hits / (images + predictions), np.nan)
    # As objects: pandas 3 may give strings to PyArrow, which takes only what is UTF-8.
    names = pd.Series([str(name) for name in class_names], dtype=object)
    scores = {"precision": precision, "recall": recall, "f1": f1}
    return pd.DataFrame({"class": names, "images": images.astype(int), **scores})


def save_report_data(folder: Path, data: ReportData) -> Path:
    """Write `folder/report-data.npz`, from which charts can be made again; return its path."""
    path = Path(folder) / DATA_FILE
    fields = zip(data._fields, data, TYPES, strict=True)
    arrays: dict[str, Any] = {name: np.asarray(each, kind) for name, each, kind in fields}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return path


def load_report_data(folder: Path) -> ReportData:
    """Read what `save_report_data` wrote."""
    path = ordinary(Path(folder) / DATA_FILE)
    try:
        return _checked(read_arrays(path))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: not found: is {folder} the folder of a finished run?\n"
            "One that was cut short is finished by python -m train --resume"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: damaged ({error})\n"
            f"delete {folder}/metrics.json and python -m train --resume {folder} writes it again"
        ) from error


def _checked(stored: dict[str, np.ndarray]) -> ReportData:
    arrays: list[Any] = [stored.get(name, np.empty(())) for name in ReportData._fields]
    for array, kind, dimensions in zip(arrays, TYPES, DIMENSIONS, strict=True):
        if array.dtype.kind != np.dtype(kind).kind or array.ndim != dimensions:
            raise ValueError("an array is missing, or is not what it should be")
    data = ReportData(*arrays)
    confusion, names, images = data[:3]
    is_matrix = confusion.shape == (len(names),) * 2 and (confusion >= 0).all()
    are_pictures = images.dtype == np.uint8 and images.shape[3] in (1, 3)
    if not (is_matrix and are_pictures and len(set(map(len, data[2:]))) == 1):
        raise ValueError("its arrays don't fit each other")
    return data._replace(class_names=arrays[1].tolist())


def _text(value: object) -> str:
    return html.escape(str(value))


def _headline(metrics: Mapping[str, Any]) -> str:
    numbers = {
        "Test accuracy": _formatted(metrics.get("test_accuracy"), ".2%"),
        "Validation accuracy": _formatted(metrics.get("val_accuracy"), ".2%"),
        "Test loss": _formatted(metrics.get("test_loss"), ".4f"),
        "Parameters": _formatted(metrics.get("parameters"), ",d"),
        "Epochs": _formatted(metrics.get("epochs"), "d"),
        "Best epoch": _formatted(metrics.get("best_epoch"), "d"),
        "Training time": _duration(metrics.get("seconds")),
        "Memory, at most": _size(metrics.get("peak_memory_bytes")),
        "Device": metrics.get("device") or UNKNOWN,
    }
    if (metrics.get("replicas") or 1) > 1:
        numbers["Replicas"] = f"{metrics['replicas']}, in {metrics['workers']} process(es)"
    cells = (
        f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>"
        for name, value in numbers.items()
        if value != UNKNOWN
    )
    return f'<dl class="headline">{"".join(cells)}</dl>'


def _origin(folder: Path, metrics: Mapping[str, Any]) -> str:
    """Say when the run was finished, and what repeats it."""
    command = f"python -m train --config {as_typed(folder / 'config.yaml')}"
    finished = metrics.get("finished")
    when = f"Finished {_text(finished)}. " if finished else ""
    return f"<p>{when}The command that trains it again: <code>{_text(command)}</code></p>"


def _formatted(value: Any, specification: str) -> str:
    """Return a number in its format, None and NaN as unknown."""
    return UNKNOWN if value is None or value != value else format(value, specification)


def _size(number: float | None) -> str:
    """Return a number of bytes in the largest unit of which there is one: 1.08 GB."""
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
    found = next((each for each in units if number and number >= each[0]), (1, "bytes"))
    return UNKNOWN if number is None else f"{number / found[0]:.3g} {found[1]}"


def _duration(seconds: float | None) -> str:
    if seconds is None or seconds < 60:
        return UNKNOWN if seconds is None else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _compared(accuracy: float | None, loss: float | None, compared: Sequence[Compared]) -> str:
    if accuracy is None or not compared:
        return ""
    rows = [("this run", f"{accuracy:.2%}", "", _formatted(loss, ".4f"), "")]
    for each in compared:
        points = f"{100 * (accuracy - each.accuracy):+.2f}".replace("-", "\N{MINUS SIGN}")
        shown = f"{each.accuracy:.2%}", points, _formatted(each.loss, ".4f"), each.about
        rows.append((each.name, *shown))
    heads = ("", "Test accuracy", "This run: points more", "Test loss", "About")
    return _table("Compared", heads, rows)


def _epochs(history: pd.DataFrame, best: int | None) -> str:
    """Return a row an epoch, with the columns of history.csv."""
    forms = {"learning_rate": "g", "seconds": ".1f"}
    names = [str(name) for name in history if name != "epoch"]
    rows = [
        (
            f"{row['epoch']:g}" + (" (best)" if row["epoch"] == best else ""),
            *(_formatted(row[name], forms.get(name, ".4f")) for name in names),
        )
        for row in history.to_dict("records")
    ]
    heads = [name.replace("val_", "validation ").replace("_", " ").capitalize() for name in names]
    return _table("Each epoch", ("Epoch", *heads), rows, " tall", ' class="number"')


def _layers(layers: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (each["name"], each["type"], shape, f"{each['parameters']:,}")
        for each in layers
        if (shape := " × ".join(map(str, each["output_shape"])))
    ]
    heads = ("Layer", "Kind", "Output", "Parameters")
    table = _table("Layers", heads, rows, " tall")
    return _folded("Show the layers as a table", table) if layers else ""


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>{content}</details>"


def _per_class(table: pd.DataFrame) -> str:
    scores = ("precision", "recall", "f1")
    rows = [
        (row["class"], f"{row['images']:,}", *(_formatted(row[score], ".2%") for score in scores))
        for row in table.to_dict("records")
    ]
    heads = ("Class", "Images", "Precision", "Recall", "F1")
    return _table("Scores of each class", heads, rows, " tall", ' class="number"')


def _all_metrics(metrics: Mapping[str, Any]) -> str:
    """Return what metrics.json holds but for the notices and versions, which stand elsewhere."""
    rows = []
    for key, value in flat(metrics).items():
        known = not isinstance(value, dict) and value not in (None, "") and value == value
        if known and key != "notices" and not key.startswith("versions."):
            rows.append((key, _readable(key, value)))
    return _table("All metrics", ("Metric", "Value"), rows)


def _readable(key: str, value: Any) -> str:
    if key.endswith("bytes"):
        return _size(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if key.startswith("seconds"):
        return _duration(value)
    if isinstance(value, int):
        return str(value) if key == "seed" else f"{value:,}"
    return format(value, ".6g" if abs(value) < 1e6 else ",.0f")


def _table(
    label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], look: str = "", kind: str = ""
) -> str:
    """Return a table, in a box that scrolls; `kind` is the class of all columns but the first."""
    columns = "".join(f'<th scope="col"{kind}>{_text(head)}</th>' for head in heads[1:])
    lines = "".join(
        f'<tr><th scope="row">{_text(first)}</th>'
        + "".join(f"<td{kind}>{_text(value)}</td>" for value in values)
        + "</tr>"
        for first, *values in rows
    )
    return (
        f'<div class="scroll{look}" tabindex="0" role="region" aria-label="{label}"><table>'
        f'<thead><tr><th scope="col">{heads[0]}</th>{columns}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )

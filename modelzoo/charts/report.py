"""The report of a finished run, one HTML file that opens offline, and the data it was made from."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelzoo import charts
from modelzoo.charts.html_page import chart_box, render_page
from modelzoo.data.npz import read_arrays
from modelzoo.support.errors import InputError
from modelzoo.support.files import ordinary, write_bytes

DATA_FILE = "report-data.npz"
PAGE_FILE = "report.html"
UNKNOWN = "\N{EN DASH}"
ARRAYS: dict[str, tuple[Any, str, int]] = {  # written as; read as kinds, and dimensions
    "confusion": (np.int64, "iu", 2),
    "class_names": (np.str_, "U", 1),
    "mistakes_images": (np.uint8, "u", 4),
    "mistakes_true": (np.str_, "U", 1),
    "mistakes_predicted": (np.str_, "U", 1),
    "mistakes_confidence": (np.float64, "f", 1),
}


@dataclass
class ReportData:
    """What a report needs besides the history, the metrics and the configuration.

    Args:
        confusion: counts, shape (classes, classes), rows are true classes.
        class_names: a name a class.
        mistakes_images: those that the network was most confident of, uint8, shape (n, height,
            width, channels), before any scaling of the pixels.
        mistakes_true: the right class of each.
        mistakes_predicted: the class that the network gave.
        mistakes_confidence: its probability for that, from 0 to 1; NaN if it gives none.
    """

    confusion: np.ndarray
    class_names: Sequence[str]
    mistakes_images: np.ndarray
    mistakes_true: Sequence[str]
    mistakes_predicted: Sequence[str]
    mistakes_confidence: Sequence[float]


def write_report(
    folder: Path,
    configuration: str,
    history: pd.DataFrame,
    metrics: Mapping[str, Any],
    data: ReportData,
) -> Path:
    """Write `report.html` into the folder of a run and return its path.

    What its metrics lack is shown as unknown; the note on the data and the notices stand at the
    top, the configuration is shown as it is.
    """
    title = f"{metrics.get('model') or UNKNOWN} on {metrics.get('dataset') or UNKNOWN}"
    notes = [*filter(None, [metrics.get("note")]), *metrics.get("notices", [])]
    warnings = "".join(f'<p class="note" role="note">{_text(note)}</p>' for note in notes)
    drawn = charts_of_run(history, data)
    summary = "<summary>Show the configuration</summary>"
    sections = {
        "Training curves": chart_box("curves", "Training curves"),
        "Confusion matrix": chart_box("confusion", "Confusion matrix"),
        "Each class": _per_class(per_class_table(data.confusion, data.class_names)),
        "Most confident mistakes": chart_box("mistakes", "Most confident mistakes"),
        "Configuration": f"<details>{summary}<pre>{_text(configuration)}</pre></details>",
        "All metrics": _all_metrics(metrics),
    }
    top = f"<header><h1>{_text(title)}</h1>{warnings}{_headline(metrics)}</header><main>"
    parts = [f"<section><h2>{name}</h2>{part}</section>" for name, part in sections.items()]
    body = "\n".join([top, *parts, f"</main>{_versions(metrics)}"])
    specs = {name: chart.to_dict() for name, chart in drawn.items()}
    path = folder / PAGE_FILE
    # a file name may hold bytes that are no text; they must not stop the report
    write_bytes(path, render_page(title, body, specs).encode("utf-8", "replace"))
    return path


def charts_of_run(history: pd.DataFrame, data: ReportData) -> dict[str, charts.Chart]:
    """Return the charts of a run by name: `curves`, `confusion` and `mistakes`.

    Args:
        history: as for `charts.training_curves`.
        data: of its report.
    """
    wrong = int(np.sum(data.confusion) - np.trace(data.confusion))
    return {
        "curves": charts.training_curves(history),
        "confusion": charts.confusion_matrix(data.confusion, data.class_names),
        "mistakes": charts.mistakes(
            data.mistakes_images,
            data.mistakes_true,
            data.mistakes_predicted,
            data.mistakes_confidence,
            total=max(wrong, len(data.mistakes_images)),
        ),
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
    # As objects: pandas 3 gives strings to PyArrow, where it is, which takes only what is UTF-8.
    names = pd.Series([str(name) for name in class_names], dtype=object)
    return pd.DataFrame(
        {
            "class": names,
            "images": images.astype(int),
            "precision": precision,
            "recall": recall,
            "f1": f1,
        }
    )


def save_report_data(folder: Path, data: ReportData) -> Path:
    """Write `folder/report-data.npz`, from which charts can be made again; return its path."""
    arrays: dict[str, Any] = {
        name: np.asarray(getattr(data, name), kind) for name, (kind, *_) in ARRAYS.items()
    }
    file = BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    path = Path(folder) / DATA_FILE
    write_bytes(path, file.getvalue())
    return path


def load_report_data(folder: Path) -> ReportData:
    """Read what `save_report_data` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = ordinary(Path(folder) / DATA_FILE)
    advice = f"delete {folder}/metrics.json and python -m train --resume {folder} writes it again"
    try:
        return _report_data(read_arrays(path))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: not found: is {folder} the folder of a finished run?\n"
            "One that was cut short is finished by python -m train --resume"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error})\n{advice}") from error


def _report_data(stored: dict[str, np.ndarray]) -> ReportData:
    """Return what the arrays of `save_report_data` stand for, or raise ValueError."""
    for name, (_, kind, dimensions) in ARRAYS.items():
        array = stored.get(name)
        if array is None or array.dtype.kind not in kind or array.ndim != dimensions:
            raise ValueError(f"{name} is missing, or is not what it should be")
    confusion, names, images, true, predicted, confidence = (stored[name] for name in ARRAYS)
    if confusion.shape != (len(names),) * 2:
        raise ValueError("the class names don't fit the matrix")
    if confusion.size and confusion.min() < 0:
        raise ValueError("the matrix counts less than nothing")
    if len({len(images), len(true), len(predicted), len(confidence)}) > 1:
        raise ValueError("there are more mistakes in one array than in another")
    if images.dtype != np.uint8 or images.shape[3] not in (1, 3):
        raise ValueError(f"mistakes_images are {images.dtype} {images.shape}, not pictures")
    lists = [true.tolist(), predicted.tolist(), confidence.tolist()]
    return ReportData(confusion, names.tolist(), images, *lists)


def _text(value: object) -> str:
    return html.escape(str(value))


def _headline(metrics: Mapping[str, Any]) -> str:
    numbers = {
        "Test accuracy": _formatted(metrics.get("test_accuracy"), ".2%"),
        "Test loss": _formatted(metrics.get("test_loss"), ".4f"),
        "Parameters": _formatted(metrics.get("parameters"), ",d"),
        "Data set": metrics.get("dataset") or UNKNOWN,
        "Epochs": _formatted(metrics.get("epochs"), "d"),
        "Training time": _duration(metrics.get("seconds")),
        "Device": metrics.get("device") or UNKNOWN,
    }
    if (metrics.get("replicas") or 1) > 1:
        numbers["Replicas"] = f"{metrics['replicas']}, in {metrics['workers']} process(es)"
    cells = (
        f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in numbers.items()
    )
    return f'<dl class="headline">{"".join(cells)}</dl>'


def _formatted(value: Any, specification: str) -> str:
    """Return a number in its format, anything else as it is, NaN and None as unknown."""
    if value is None or value != value:
        return UNKNOWN
    try:
        return format(value, specification)
    except (TypeError, ValueError):
        return str(value)


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _per_class(table: pd.DataFrame) -> str:
    scores = ("precision", "recall", "f1")
    rows = [
        (row["class"], f"{row['images']:,}", *(_formatted(row[score], ".2%") for score in scores))
        for row in table.to_dict("records")
    ]
    heads = ("Class", "Images", "Precision", "Recall", "F1")
    return _table("Scores of each class", heads, rows, " tall", ' class="number"')


def _all_metrics(metrics: Mapping[str, Any]) -> str:
    rows = [(key, _metric(value)) for key, value in _flattened(metrics).items()]
    return _table("All metrics", ("Metric", "Value"), rows)


def _table(
    label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], look: str = "", kind: str = ""
) -> str:
    """Return a table, in a box that scrolls; `kind` is the class of all columns but the first."""
    columns = "".join(f'<th scope="col"{kind}>{head}</th>' for head in heads[1:])
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


def _flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flattened(value, f"{prefix}{key}."))
        elif f"{prefix}{key}" not in ("versions", "notices"):  # shown elsewhere on the page
            flat[f"{prefix}{key}"] = value
    return flat


def _metric(value: Any) -> str:
    if value is None or value != value:
        return UNKNOWN
    return f"{value:.6g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _versions(metrics: Mapping[str, Any]) -> str:
    versions = metrics.get("versions")
    if not isinstance(versions, Mapping):
        return ""
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"<footer>Made with {_text(listed)}.</footer>"

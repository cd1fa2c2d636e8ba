"""The report of a finished run, one HTML file that opens offline, and the data it was made from."""

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
from modelzoo.errors import InputError
from modelzoo.files import ordinary, write_bytes

DATA_FILE = "report-data.npz"
PAGE_FILE = "report.html"
UNKNOWN = "\N{EN DASH}"


@dataclass
class Mistakes:
    """Images that the network got wrong.

    Args:
        images: uint8, shape (n, height, width, channels), before any scaling of the pixels.
        true: the right class of each.
        predicted: the class that the network gave.
        confidence: its probability for that, from 0 to 1; NaN if it gives none.
    """

    images: np.ndarray
    true: Sequence[str]
    predicted: Sequence[str]
    confidence: Sequence[float]

    def most_confident(self, limit: int = charts.MISTAKES_SHOWN) -> "Mistakes":
        """Return the few that a report shows."""
        order = np.argsort(-np.asarray(self.confidence, float), kind="stable")[:limit]
        return Mistakes(
            np.asarray(self.images)[order],
            [self.true[index] for index in order],
            [self.predicted[index] for index in order],
            [float(self.confidence[index]) for index in order],
        )


@dataclass
class ReportData:
    """What a report needs besides the history, the metrics and the configuration."""

    confusion: np.ndarray
    class_names: list[str]
    mistakes: Mistakes | None


def write_report(
    folder: Path,
    *,
    title: str,
    config_text: str,
    metrics: Mapping[str, Any],
    history: pd.DataFrame,
    confusion: np.ndarray,
    class_names: Sequence[str],
    mistakes: Mistakes | None,
    notes: Sequence[str] = (),
) -> Path:
    """Write `folder/report.html` and return its path.

    Args:
        folder: the folder of the run.
        title: heading of the report, such as `LeNet-5 on mnist`.
        config_text: the resolved configuration, shown as it is.
        metrics: the content of `metrics.json`; what is missing is shown as unknown.
        history: as for `charts.training_curves`.
        confusion: counts, shape (classes, classes), rows are true classes.
        class_names: a name a class.
        mistakes: what to choose the most confident mistakes from; None leaves the section out.
        notes: what a reader must know, shown at the top.
    """
    drawn = charts_of_run(history, confusion, class_names, mistakes)
    warnings = "".join(f'<p class="note" role="note">{_text(note)}</p>' for note in notes)
    sections = [
        f"<header><h1>{_text(title)}</h1>{warnings}{_headline(metrics)}</header><main>",
        _section("Training curves", chart_box("curves", "Training curves")),
        _section("Confusion matrix", chart_box("confusion", "Confusion matrix")),
        _section("Each class", _per_class(per_class_table(confusion, class_names))),
    ]
    if "mistakes" in drawn:
        box = chart_box("mistakes", "Most confident mistakes")
        sections.append(_section("Most confident mistakes", box))
    summary = "<summary>Show the configuration</summary>"
    configuration = f"<details>{summary}<pre>{_text(config_text)}</pre></details>"
    sections.append(_section("Configuration", configuration))
    sections.append(_section("All metrics", _pairs(_flattened(metrics))))
    body = "\n".join([*sections, f"</main>{_versions(metrics)}"])
    specs = {name: chart.to_dict() for name, chart in drawn.items()}
    path = Path(folder) / PAGE_FILE
    # a file name may hold bytes that are no text; they must not stop the report
    write_bytes(path, render_page(title, body, specs).encode("utf-8", "replace"))
    return path


def charts_of_run(
    history: pd.DataFrame,
    confusion: np.ndarray,
    class_names: Sequence[str],
    mistakes: Mistakes | None = None,
) -> dict[str, charts.Chart]:
    """Return the charts of a run by name: `curves`, `confusion` and, if given, `mistakes`."""
    drawn = {
        "curves": charts.training_curves(history),
        "confusion": charts.confusion_matrix(confusion, class_names),
    }
    if mistakes is not None:
        wrong = int(np.sum(confusion) - np.trace(confusion))
        few = mistakes.most_confident()
        total = max(wrong, len(few.images))
        drawn["mistakes"] = charts.mistakes(
            few.images, few.true, few.predicted, few.confidence, total=total
        )
    return drawn


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


def save_report_data(
    folder: Path, confusion: np.ndarray, class_names: Sequence[str], mistakes: Mistakes | None
) -> Path:
    """Write `folder/report-data.npz`, from which charts can be made again; return its path."""
    arrays: dict[str, np.ndarray] = {
        "confusion": np.asarray(confusion, np.int64),
        "class_names": _unicode(class_names),
    }
    if mistakes is not None:
        few = mistakes.most_confident()
        arrays["mistakes_images"] = np.asarray(few.images, np.uint8)
        arrays["mistakes_true"] = _unicode(few.true)
        arrays["mistakes_predicted"] = _unicode(few.predicted)
        arrays["mistakes_confidence"] = np.asarray(few.confidence, np.float64)
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
        data = _report_data(read_arrays(path))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: not found: is {folder} the folder of a finished run?\n"
            "One that was cut short is finished by python -m train --resume"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error})\n{advice}") from error
    return data


def _report_data(stored: dict[str, np.ndarray]) -> ReportData:
    """Return what the arrays of `save_report_data` stand for, or raise ValueError."""
    kinds = {"confusion": ("iu", 2), "class_names": ("U", 1)}
    of_mistakes = {"images": ("u", 4), "true": ("U", 1), "predicted": ("U", 1)}
    of_mistakes["confidence"] = ("f", 1)
    if "mistakes_images" in stored:
        kinds |= {f"mistakes_{name}": kind for name, kind in of_mistakes.items()}
    for name, (kind, dimensions) in kinds.items():
        array = stored.get(name)
        if array is None or array.dtype.kind not in kind or array.ndim != dimensions:
            raise ValueError(f"{name} is missing, or is not what it should be")
    confusion, names = stored["confusion"], [*map(str, stored["class_names"])]
    if confusion.shape != (len(names),) * 2:
        raise ValueError("the class names don't fit the matrix")
    if confusion.size and confusion.min() < 0:
        raise ValueError("the matrix counts less than nothing")
    data = ReportData(confusion, names, None)
    if "mistakes_images" in stored:
        images, true, predicted, confidence = (stored[f"mistakes_{name}"] for name in of_mistakes)
        if len({len(images), len(true), len(predicted), len(confidence)}) > 1:
            raise ValueError("there are more mistakes in one array than in another")
        if images.dtype != np.uint8 or images.shape[3] not in (1, 3):
            raise ValueError(f"mistakes_images are {images.dtype} {images.shape}, not pictures")
        names_of = [*map(str, true)], [*map(str, predicted)]
        data.mistakes = Mistakes(images, *names_of, [*map(float, confidence)])
    return data


def _unicode(names: Iterable[str]) -> np.ndarray:
    return np.array([str(name) for name in names], dtype=np.str_)


def _text(value: object) -> str:
    return html.escape(str(value))


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>{content}</section>"


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
    heads = "".join(
        f'<th scope="col" class="number">{head}</th>'
        for head in ("Images", "Precision", "Recall", "F1")
    )
    rows = "".join(
        f'<tr><th scope="row">{_text(row["class"])}</th><td class="number">{row["images"]:,}</td>'
        + "".join(
            f'<td class="number">{_formatted(row[score], ".2%")}</td>'
            for score in ("precision", "recall", "f1")
        )
        + "</tr>"
        for row in table.to_dict("records")
    )
    return (
        '<div class="scroll tall" tabindex="0" role="region" aria-label="Scores of each class">'
        f'<table><thead><tr><th scope="col">Class</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flattened(value, f"{prefix}{key}."))
        elif f"{prefix}{key}" not in ("versions", "notices"):  # shown elsewhere on the page
            flat[f"{prefix}{key}"] = value
    return flat


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(key)}</th><td>{_text(_metric(value))}</td></tr>'
        for key, value in values.items()
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="All metrics"><table><thead><tr>'
        f'<th scope="col">Metric</th><th scope="col">Value</th></tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


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

"""What a finished run leaves for people: the report, and the numbers behind its charts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelzoo import charts
from modelzoo.charts.report import (
    ReportData,
    charts_of_run,
    load_report_data,
    save_report_data,
    write_report,
)
from modelzoo.support.files import replacing
from modelzoo.training.run_folder import RunFolder

if TYPE_CHECKING:
    import keras

    from modelzoo.data.pipeline import InputPipeline
    from modelzoo.training.evaluation import Run, Scores


def report_data(scores: Scores, pipeline: InputPipeline) -> ReportData:
    """Return the confusion matrix, and the mistakes that the network was most confident of."""
    from modelzoo.training.evaluation import are_probabilities

    worst, names = scores.worst(), class_labels(scores, pipeline)
    confidence = scores.probabilities[worst].max(axis=1)
    if not are_probabilities(scores.probabilities):
        confidence = np.full(len(worst), np.nan)  # a score is no share that could be shown
    return ReportData(
        confusion=scores.confusion(),
        class_names=names,
        mistakes_images=pipeline.images(scores.split, worst),
        mistakes_true=[names[label] for label in scores.labels[worst]],
        mistakes_predicted=[names[label] for label in scores.predicted[worst]],
        mistakes_confidence=[float(value) for value in confidence],
    )


def class_labels(scores: Scores, pipeline: InputPipeline) -> list[str]:
    """Return a name for every output of the network, also for those that the data set lacks."""
    known, outputs = pipeline.data.class_names, scores.probabilities.shape[1]
    return [*known[:outputs], *(f"class {label}" for label in range(len(known), outputs))]


def save_network(network: keras.Model, path: Path) -> None:
    """Write a network as a .keras file, whole or not at all."""
    with replacing(path) as temporary:
        network.save(temporary)


def write_results(run: Run) -> None:
    """Write report-data.npz and report.html into the folder of a run."""
    data = report_data(run.scores, run.pipeline)
    save_report_data(run.folder, data)
    write_report(run.folder, run.config.to_yaml(), run.history, run.metrics, data)


def save_charts(path: Path, suffix: str, out: Path | None = None) -> list[Path]:
    """Draw the charts of a finished run again, a file each; return their paths.

    Args:
        path: the folder of the run.
        suffix: "png", "svg", "html" or "json".
        out: folder for the files, whose names then start with the run's; the run's own if None.

    Raises:
        InputError: the folder holds no finished run, or a damaged one.
    """
    data = load_report_data(path)
    drawn = charts_of_run(RunFolder(path).read_history(), data)
    target, prefix = (path, "") if out is None else (out, f"{path.resolve().name}-")
    return [
        charts.save(chart, target / f"{prefix}{name}.{suffix}") for name, chart in drawn.items()
    ]

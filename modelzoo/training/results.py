"""What a finished run leaves for people: the report, and the numbers behind its charts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.files import replacing
from modelzoo.report import Mistakes, load_report_data, save_report_data, write_report
from modelzoo.training.run_folder import RunFolder

if TYPE_CHECKING:
    import keras

    from modelzoo.data.pipeline import InputPipeline
    from modelzoo.training.evaluation import Scores
    from modelzoo.training.run import Run


def find_mistakes(scores: Scores, pipeline: InputPipeline) -> Mistakes:
    """Return the wrong answers that the network was most confident of, with their pictures."""
    from modelzoo.training.evaluation import are_probabilities

    worst = scores.worst()
    confidence = scores.probabilities[worst].max(axis=1)
    if not are_probabilities(scores.probabilities):
        confidence = np.full(len(worst), np.nan)  # a score is no share that could be shown
    names = pipeline.data.class_names
    return Mistakes(
        images=pipeline.images(scores.split, worst),
        true=[names[label] for label in scores.labels[worst]],
        predicted=[_name_of(names, label) for label in scores.predicted[worst]],
        confidence=[float(value) for value in confidence],
    )


def class_labels(scores: Scores, pipeline: InputPipeline) -> list[str]:
    """Return a name for every output of the network, also for those that the data set lacks."""
    outputs = scores.probabilities.shape[1]
    return [_name_of(pipeline.data.class_names, label) for label in range(outputs)]


def save_network(network: keras.Model, path: Path) -> None:
    """Write a network as a .keras file, whole or not at all."""
    with replacing(path) as temporary:
        network.save(temporary)


def write_results(run: Run) -> None:
    """Write report-data.npz and report.html into the folder of a run."""
    labels = class_labels(run.scores, run.pipeline)
    mistakes = find_mistakes(run.scores, run.pipeline)
    save_report_data(run.folder, run.scores.confusion(), labels, mistakes)
    note = run.pipeline.data.note
    write_report(
        run.folder,
        title=f"{run.config.name} on {run.pipeline.data.name}",
        config_text=run.config.to_yaml(),
        metrics=run.metrics,
        history=run.history,
        confusion=run.scores.confusion(),
        class_names=labels,
        mistakes=mistakes,
        notes=[*([note] if note else []), *run.metrics["notices"]],
    )


def save_charts(path: Path, suffix: str, out: Path | None = None) -> list[Path]:
    """Draw the charts of a finished run again, a file each; return their paths.

    Args:
        path: the folder of the run.
        suffix: "png", "svg", "html" or "json".
        out: folder for the files, whose names then start with the run's; the run's own if None.

    Raises:
        InputError: the folder holds no finished run, or a damaged one.
    """
    from modelzoo import charts
    from modelzoo.report import charts_of_run

    folder = RunFolder(path)
    data = load_report_data(path)
    history = folder.read_history()
    target, prefix = (path, "") if out is None else (out, f"{path.resolve().name}-")
    drawn = charts_of_run(history, data.confusion, data.class_names, data.mistakes)
    return [
        charts.save(chart, target / f"{prefix}{name}.{suffix}") for name, chart in drawn.items()
    ]


def _name_of(names: tuple[str, ...], label: np.integer | int) -> str:
    return names[label] if label < len(names) else f"class {label}"

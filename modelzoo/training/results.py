"""What a run leaves for people: notices, the report, and the numbers behind its charts."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo import charts
from modelzoo.charts import report
from modelzoo.config import Config, list_models, load_config
from modelzoo.data.known_sets import output_names
from modelzoo.support.errors import InputError, reason_of
from modelzoo.training.evaluation import Run, unit_of
from modelzoo.training.run_folder import RunFolder

IMBALANCE = 10  # times as many images of one class as of another
FALL = 0.5  # share of what an accuracy had above chance
SHOWN = 5  # names of classes in one line


def notices_on_classes(
    labels: np.ndarray, names: Sequence[str], is_weighted: bool = False
) -> list[str]:
    """Return what is wrong with the class numbers of the training images."""
    counts, notices = np.bincount(labels, minlength=len(names)), []
    missing = [name for name, count in zip(names, counts, strict=True) if not count]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        notices.append(
            f"no training images of {', '.join(map(repr, missing[:SHOWN]))}{more}, which cannot be "
            "learned: add images, or leave the class out"
        )
    present = [(int(count), name) for name, count in zip(names, counts, strict=True) if count]
    (least, rare), (most, frequent) = min(present), max(present)
    if most > IMBALANCE * least and not is_weighted:
        notices.append(
            f"{most:,} training images of {frequent!r}, but {least:,} of {rare!r}: "
            "try --set fit.class_weight=balanced"
        )
    return notices


def notices_on_history(
    history: Sequence[Mapping[str, float]], labels: np.ndarray, best_epoch: int
) -> list[str]:
    """Return what is wrong with the accuracies of a training on images with these labels."""
    kind = "val_accuracy" if "val_accuracy" in history[-1] else "accuracy"
    values = [float(row.get(kind, math.nan)) for row in history]
    if not all(map(math.isfinite, values)):  # other metrics were asked for
        return []
    called = "validation accuracy" if kind == "val_accuracy" else "training accuracy"
    chance = float(np.bincount(labels).max() / len(labels))
    # Two standard errors: of few images, more than the most frequent class are right by luck.
    luck = chance + 2 * math.sqrt(chance * (1 - chance) / len(labels))
    best, last = max(values), values[-1]
    rate = history[-1].get("learning_rate")
    than = "" if rate is None else f" than {rate:g}"
    if best <= luck:
        return [
            f"the {called} {best:.3f} is no better than chance ({chance:.3f}, the share of the "
            f"most frequent class): try a learning rate 10 times lower or higher{than}, or more "
            "epochs, and check the labels"
        ]
    if best - last > FALL * (best - chance):
        reached = values.index(best) + 1
        return [
            f"the {called} fell from {best:.3f} (epoch {reached}) to {last:.3f} (epoch "
            f"{len(values)}): the weights of epoch {best_epoch} are kept; try a lower learning "
            f"rate{than}"
        ]
    return []


def write_results(run: Run) -> None:
    """Write report-data.npz and report.html into the folder of a run.

    They show the confusion matrix, and the mistakes that the network was most confident of.
    """
    scores, pipeline = run.scores, run.pipeline
    worst = scores.worst()
    names = output_names(pipeline.data.class_names, scores.probabilities.shape[1])
    confidence = scores.probabilities[worst].max(axis=1)
    if unit_of(scores.probabilities) == "score":
        confidence = np.full(len(worst), np.nan)  # a score is no share that could be shown
    data = report.ReportData(
        confusion=scores.confusion(),
        class_names=names,
        mistakes_images=pipeline.images(scores.split, worst),
        mistakes_true=[names[label] for label in scores.labels[worst]],
        mistakes_predicted=[names[label] for label in scores.predicted[worst]],
        mistakes_confidence=[float(value) for value in confidence],
    )
    report.save_report_data(run.folder, data)
    from modelzoo.networks.keras_objects import keras_rows

    network = run.config.network
    layers = keras_rows(run.model) if network is None else network.rows()
    compared = published_scores(run.config, run.metrics)
    config, history = run.config.to_yaml(), run.history
    report.write_report(run.folder, config, history, run.metrics, data, layers, compared)


def published_scores(config: Config, metrics: Mapping[str, Any]) -> list[report.Compared]:
    """Return what weights published for this network, and its paper, reach on the test set."""
    name, paper = config.name, config.about.paper or {}
    packaged = load_config(name) if name in list_models() else config
    found = [
        report.Compared(f"{name}/{each.name}", scores.accuracy, scores.loss, each.recipe)
        for each in config.weights or packaged.weights
        if (scores := each.scores).dataset == metrics["dataset"] and scores.split == "test"
    ]
    if isinstance(error := paper.get("test_error"), int | float):
        about = f"measured on {paper.get('measured_on', 'another set')}"
        found.append(report.Compared("the paper", 1 - error / 100, None, about))
    return found


def write_report_again(path: Path, others: Sequence[Path] = ()) -> Path:
    """Write report.html of a finished run from its files, compared with other finished runs."""
    folder, data, layers = RunFolder(path), report.load_report_data(path), []
    config, metrics = load_config(folder.config), folder.read_metrics()
    if (network := config.network) is not None:
        layers = network.rows()
    histories = {str(other): RunFolder(other).read_history() for other in others}
    try:
        compared = published_scores(config, metrics)
        for other in map(RunFolder, others):
            its, changed = other.read_metrics(), load_config(other.config)
            keys = [key for key in config.differences(changed) if not key.startswith("about")]
            about = ", ".join(f"{key} {changed.value(key)}" for key in keys[:SHOWN])
            scores = its["test_accuracy"], its["test_loss"]
            compared.append(report.Compared(str(other.path), *scores, about or "same settings"))
        history, text = folder.read_history(), config.to_yaml()
        return report.write_report(path, text, history, metrics, data, layers, compared, histories)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder.metrics}: damaged: {reason_of(error)}") from None


def charts_of(path: Path) -> dict[str, charts.Chart]:
    """Draw the charts of a finished run again."""
    data = report.load_report_data(path)
    return report.charts_of_run(RunFolder(path).read_history(), data)


def save_charts(path: Path, suffix: str, out: Path | None = None) -> list[Path]:
    """Draw the charts of a finished run again, into its folder, or into `out` under its name."""
    drawn = charts_of(path)
    target, prefix = (path, "") if out is None else (out, f"{path.resolve().name}-")
    return [
        charts.save(chart, target / f"{prefix}{name}.{suffix}") for name, chart in drawn.items()
    ]

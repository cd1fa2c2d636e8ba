"""What a run leaves for people: notices, the report, and the numbers behind its charts."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modelzoo import charts
from modelzoo.charts import report
from modelzoo.data.known_sets import output_names
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
    report.write_report(run.folder, run.config.to_yaml(), run.history, run.metrics, data)


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

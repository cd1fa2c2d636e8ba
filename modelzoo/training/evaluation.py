"""Score a network on a split, show where it errs, and hold what a finished run has reached.

Importing this starts no framework.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from modelzoo.config import Config
from modelzoo.config.published import PublishedWeights
from modelzoo.data.source import Dataset
from modelzoo.support.errors import RunError

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from modelzoo.charts import Chart
    from modelzoo.data.pipeline import InputPipeline, Patch

Unit: TypeAlias = Literal["probability", "score"]
CERTAIN = 0.6  # a prediction whose largest probability is smaller is marked as uncertain
RANKED_AT_ONCE = 5_000  # images: ranks of 1,000 classes take 8 kB each


@dataclass(frozen=True)
class Scores:
    """What a network reached on a split: "train", "validation" or "test"."""

    split: str
    loss: float  # mean over the images, without the penalties of regularizers
    accuracy: float  # share of images whose most probable class is the true one, 0 to 1
    labels: np.ndarray  # true class numbers, (n,)
    probabilities: np.ndarray  # (n, classes); of a network that gives none, its scores
    seconds: float  # that scoring took

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image, (n,)."""
        return self.probabilities.argmax(axis=1)

    def top_accuracy(self, count: int) -> float:
        """Return the share of images whose true class is among the `count` `most_probable`."""
        hits = 0
        for start in range(0, len(self.labels), RANKED_AT_ONCE):
            part = slice(start, start + RANKED_AT_ONCE)
            best = most_probable(self.probabilities[part], count)
            hits += int((best == self.labels[part, np.newaxis]).sum())
        return hits / len(self.labels)

    def confusion(self) -> np.ndarray:
        """Return the counts of (true class, predicted class), (classes, classes)."""
        classes = self.probabilities.shape[1]
        pairs = self.labels * classes + self.predicted
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def worst(self, count: int = 24) -> np.ndarray:
        """Return the positions of the wrong answers given with most confidence, worst first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        confidence = self.probabilities[wrong].max(axis=1)
        return wrong[np.argsort(-confidence, kind="stable")[:count]]


@dataclass(frozen=True)
class Evaluation:
    """The scores of a network on a data set, and what they were measured on."""

    scores: Scores
    data: Dataset
    confusion: np.ndarray
    class_names: list[str]
    parameters: int
    engine: str  # what computed
    golden_difference: float | None = None


@dataclass
class Run:
    """A finished run."""

    folder: Path  # where its files are
    config: Config  # resolved
    model: keras.Model  # with the weights of the best validation epoch, compiled for scoring
    history: pd.DataFrame  # a row an epoch
    metrics: dict[str, Any]  # what metrics.json holds
    pipeline: InputPipeline
    scores: Scores  # on the test set
    is_chief: bool = True  # False in all but the first of several workers, which write no files

    def evaluate(self, split: str = "test") -> dict[str, float]:
        """Return loss and accuracy on a split; the test set was scored once, when the run ended."""
        scores = self.scores if split == "test" else score(self.model, self.pipeline, split)
        return {"loss": scores.loss, "accuracy": scores.accuracy}

    def charts(self) -> dict[str, Chart]:
        """Return those of the report: `curves`, `confusion` and `mistakes`."""
        from modelzoo.training.results import charts_of

        return charts_of(self.folder)


def most_probable(outputs: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` most probable classes of each image, (n, count), the best first.

    Of classes with equal outputs the one with the smaller number comes first, as in `argmax`.
    """
    return np.argsort(-outputs, axis=1, kind="stable")[:, :count]


def unit_of(outputs: np.ndarray) -> Unit:
    """Return "probability" if every row of a network's outputs is from 0 and sums to 1."""
    are_shares = (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3)
    return "probability" if are_shares else "score"


def is_uncertain(values: Iterable[float], unit: Unit) -> bool | None:
    """Whether the largest probability of a prediction is small; None for scores."""
    return max(values) < CERTAIN if unit == "probability" else None


def compile_for_scoring(model: keras.Model, config: Config) -> None:
    """Give a network the configuration's loss and metrics; it needs no optimizer to be scored."""
    from modelzoo.networks import keras_objects

    section = config.compile
    model.compile(
        optimizer="sgd",
        loss=keras_objects.make("loss", section.loss, "compile.loss"),
        metrics=make_metrics(config),
        jit_compile=section.jit_compile,
    )


def make_metrics(config: Config) -> list[Any]:
    """Return new instances of the configuration's metrics and "accuracy", which chooses epochs."""
    from modelzoo.networks import keras_objects

    metrics = [
        keras_objects.make("metric", spec, f"compile.metrics.{index}")
        for index, spec in enumerate(config.compile.metrics)
    ]
    return metrics if "accuracy" in metrics else ["accuracy", *metrics]


def score(model: keras.Model, pipeline: InputPipeline, split: str, patch: Patch = None) -> Scores:
    """Score a compiled network on a split, or on ten patches (height, width) of each image."""
    import keras

    from modelzoo.data.preprocessor import CROPS

    began = time.perf_counter()
    batches = pipeline.scoring_batches(split, patch)
    labels = pipeline.labels(split)
    with pipeline.own_errors():
        if patch is None and keras.backend.backend() == "tensorflow":
            probabilities, loss = _in_one_pass(model, batches)
        elif patch is None:
            probabilities = np.asarray(model.predict(batches, verbose=0), "float32")
            loss = float(model.evaluate(batches, verbose=0, return_dict=True)["loss"])
        else:
            patches = np.asarray(model.predict(batches, verbose=0), "float32")
            probabilities = patches.reshape(len(labels), CROPS, -1).mean(axis=1)
            targets = pipeline.encode(keras.ops.convert_to_tensor(labels.astype("int32")))
            predicted = keras.ops.convert_to_tensor(probabilities)
            loss = float(model.compute_loss(y=targets, y_pred=predicted))
    return Scores(
        split=split,
        loss=loss - sum(float(penalty) for penalty in model.losses),
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        labels=labels,
        probabilities=probabilities,
        seconds=time.perf_counter() - began,
    )


def _in_one_pass(model: keras.Model, batches: Any) -> tuple[np.ndarray, float]:
    """Return what `predict` and `evaluate` give, and make each batch once: files are slow to read.

    The loss is computed within the graph, where Keras finds the logits before a softmax.
    """
    import tensorflow as tf

    @tf.function(input_signature=batches.element_spec)
    def score_batch(images: Any, labels: Any) -> tuple[Any, Any]:
        predicted = model(images, training=False)
        return predicted, model.compute_loss(images, labels, predicted)

    parts, total = [], 0.0
    for images, labels in batches:
        predicted, loss = score_batch(images, labels)
        parts.append(np.asarray(predicted, "float32"))
        total += float(loss) * len(parts[-1])
    probabilities = np.concatenate(parts)
    return probabilities, total / len(probabilities)


ACCURACY_TOLERANCE = 0.001  # of a published number that is measured again


def check_against_published(published: PublishedWeights, result: Evaluation) -> str:
    """Compare a measurement with the published numbers; return which were found equal."""
    scores, found = published.scores, result.scores
    if (result.data.name, found.split) != (scores.dataset, scores.split):
        raise RunError(
            f"--check: measured on {result.data.name} ({found.split}), but {published.name} is "
            f"published for {scores.dataset} ({scores.split}): there is nothing to compare with"
        )
    pairs = [("accuracy", found.accuracy, scores.accuracy)]
    if scores.top5_accuracy is not None:
        pairs.append(("top-5 accuracy", found.top_accuracy(5), scores.top5_accuracy))
    for name, measured, promised in pairs:
        if not abs(measured - promised) <= ACCURACY_TOLERANCE + 1e-9:
            raise RunError(
                f"--check: {name} {measured:.4f} on {scores.dataset} ({scores.split}), "
                f"published is {promised:.4f}: more than {ACCURACY_TOLERANCE} apart"
            )
    equal = [f"{name} equals the published {promised:.4f}" for name, _, promised in pairs]
    golden = "" if result.golden_difference is None else ", golden outputs equal"
    return f"{', '.join(equal)} (within {ACCURACY_TOLERANCE}){golden}"

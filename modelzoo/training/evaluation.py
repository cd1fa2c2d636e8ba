"""Score a network on a split, and show where it errs."""

import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from modelzoo import keras_objects
from modelzoo.config import Config
from modelzoo.data.pipeline import InputPipeline
from modelzoo.data.source import Dataset


@dataclass(frozen=True)
class Scores:
    """What a network reached on a split.

    Attributes:
        split: "train", "validation" or "test".
        loss: mean over the images, as the configuration's loss measures it.
        accuracy: share of images whose most probable class is the true one, 0 to 1.
        labels: true class numbers, (n,).
        probabilities: (n, classes); of a network that gives none, its scores.
        seconds: that scoring took.
    """

    split: str
    loss: float
    accuracy: float
    labels: np.ndarray
    probabilities: np.ndarray
    seconds: float

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image, (n,)."""
        return self.probabilities.argmax(axis=1)

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
    golden_difference: float | None = None


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether every row of a network's outputs is from 0 and sums to 1; else they are scores."""
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3))


def compile_for_scoring(model: keras.Model, config: Config) -> None:
    """Give a network the configuration's loss and metrics; it needs no optimizer to be scored."""
    section = config["compile"]
    model.compile(
        optimizer="sgd",
        loss=keras_objects.make("loss", section["loss"], "compile.loss"),
        metrics=make_metrics(config),
        jit_compile=section["jit_compile"],
    )


def make_metrics(config: Config) -> list[Any]:
    """Return the configuration's metrics, each call anew, with "accuracy" among them."""
    metrics = [
        keras_objects.make("metric", spec, f"compile.metrics.{index}")
        for index, spec in enumerate(config["compile"]["metrics"])
    ]
    named = {each for each in metrics if isinstance(each, str)}
    return metrics if {"accuracy", "acc"} & named else ["accuracy", *metrics]


def score(model: keras.Model, pipeline: InputPipeline, split: str) -> Scores:
    """Score a compiled network on a whole split, the last smaller batch included."""
    began = time.perf_counter()
    batches = pipeline.scoring_batches(split)
    with pipeline.own_errors():
        values = model.evaluate(batches, verbose=0, return_dict=True)
        probabilities = np.asarray(model.predict(batches, verbose=0), "float32")
    labels = pipeline.labels(split)
    return Scores(
        split=split,
        loss=float(values["loss"]),
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        labels=labels,
        probabilities=probabilities,
        seconds=time.perf_counter() - began,
    )

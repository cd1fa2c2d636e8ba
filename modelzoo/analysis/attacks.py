"""Adversarial images: every pixel changed by a little, so that a network errs.

A model here takes images as they are stored, float32 in 0..255, and returns a score a class:
`explain.on_pictures(explain.before_softmax(network), config)`. The strength of an attack is the
most that it changes a pixel of a channel (the L-infinity norm), as a share of the range 0..255: 0.1
allows 25.5 grey levels. Adversarial images stay within 0..255 and within the strength, exactly;
they are float32, not rounded to whole grey levels.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from modelzoo.analysis.explain import input_gradient
from modelzoo.training.adversarial import FULL_RANGE, log_odds, moved, step_size

BATCH_SIZE = 256  # images computed at once


def fgsm(
    model: Callable[..., Any], images: np.ndarray, labels: np.ndarray, strength: float
) -> np.ndarray:
    """Take one step of the whole strength along the sign of the gradient.

    Args:
        model: see above; it is called as `model(images, training=False)`.
        images: (n, height, width, channels), uint8, or float32 in 0..255.
        labels: (n,), right classes.
        strength: 0 to 1, a share of the range 0..255.

    Returns:
        float32 of the shape of `images`. A pixel without any gradient is left alone.

    Reference:
        Goodfellow, Shlens, Szegedy (2015), Explaining and harnessing adversarial examples, ICLR.
    """
    searches = _searches(model, images, labels, strength)
    return np.concatenate([each.uphill(each.images, each.budget) for each in searches])


def pgd(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    strength: float,
    *,
    steps: int = 20,
    seed: int = 0,
    restarts: int = 1,
) -> np.ndarray:
    """Climb in small steps, each brought back to within the strength, from several points.

    The climbs, each of so many `steps`, begin at the point of FGSM and at `restarts` random ones.
    A step changes a pixel by 2.5 * strength / steps, which crosses the allowed region and leaves
    some way to turn. Of all points on the way, the original and that of FGSM among them, each image
    keeps the best: one that is read wrongly before one that is not, then one of higher loss. So
    whatever FGSM fools, PGD fools at the same strength. The other arguments and the result are
    those of `fgsm`.

    Reference:
        Madry, Makelov, Schmidt, Tsipras, Vladu (2018), Towards deep learning models resistant to
        adversarial attacks, ICLR.
    """
    step = np.float32(step_size(strength, steps))
    generator, found = np.random.default_rng([seed, 0]), []
    for search in _searches(model, images, labels, strength):
        search.keep(search.images)
        search.climb(search.uphill(search.images, search.budget), steps, step)
        for _ in range(restarts):
            share = generator.uniform(-1, 1, search.images.shape).astype("float32")
            search.climb(search.moved(search.images, search.budget * share), steps, step)
        found.append(search.best)
    return np.concatenate(found)


def answers(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the class that a model answers to each image in 0..255, (n,)."""
    starts = range(0, len(images), BATCH_SIZE)
    batches = (images[start : start + BATCH_SIZE].astype("float32") for start in starts)
    return np.concatenate([model.predict_on_batch(batch).argmax(axis=1) for batch in batches])


class _Search:
    """The points around a batch of images within a strength, and the best one seen of each."""

    def __init__(self, model: Any, images: np.ndarray, labels: np.ndarray, strength: float) -> None:
        self.model, self.labels = model, np.asarray(labels)
        self.images = np.asarray(images, "float32")
        # All are rounded inwards to float32: to the nearest, they could be too large by a rounding.
        self.budget = -_rounded_up(np.array(-FULL_RANGE * strength))
        centre = self.images.astype("float64")
        self.low = _rounded_up(np.maximum(centre - self.budget, 0))
        self.high = -_rounded_up(-np.minimum(centre + self.budget, FULL_RANGE))
        self.best = self.images.copy()
        self._fooled = np.zeros(len(self.images), bool)
        self._loss = np.full(len(self.images), -np.inf)

    def moved(self, points: np.ndarray, step: np.ndarray) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(moved(points, step, self.low, self.high)))

    def uphill(self, points: np.ndarray, step: Any) -> np.ndarray:
        """Move each pixel by `step` along the sign of the gradient of the loss."""

        def loss(given: Any) -> Any:
            return log_odds(self.model(given, training=False), self.labels)

        return self.moved(points, step * np.sign(input_gradient(loss, points)[1]))

    def climb(self, points: np.ndarray, steps: int, step: np.float32) -> None:
        """Walk from `points`, and look at each point on the way, the first and the last too."""
        for _ in range(steps):
            self.keep(points)
            points = self.uphill(points, step)
        self.keep(points)

    def keep(self, points: np.ndarray) -> None:
        """Remember the points that are better than the best so far."""
        scores = self.model.predict_on_batch(points)
        fooled = scores.argmax(axis=1) != self.labels
        loss = keras.ops.convert_to_numpy(log_odds(scores, self.labels))
        better = (fooled & ~self._fooled) | ((fooled == self._fooled) & (loss > self._loss))
        self.best[better] = points[better]
        self._fooled[better], self._loss[better] = fooled[better], loss[better]


def _rounded_up(values: np.ndarray) -> np.ndarray:
    """Return the next float32 that is not below a float64."""
    nearest = values.astype("float32")
    return np.where(nearest < values, np.nextafter(nearest, np.float32(np.inf)), nearest)


def _searches(
    model: Any, images: np.ndarray, labels: np.ndarray, strength: float
) -> Iterator[_Search]:
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        yield _Search(model, images[batch], labels[batch], strength)

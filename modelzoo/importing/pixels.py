"""How pixels reach a network: the usual ways to scale and pad them, and which of them fits.

A foreign file does not say what was done to the images before they reached the network. Whatever
was done in training gives far better scores than the rest, so each way is tried on images that the
test set does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from modelzoo.data.source import Dataset, ImageShape, convert, split_validation

VALIDATION_IMAGES = 5_000
SMALL = ((200, 24), (1000, 6), (VALIDATION_IMAGES, 0))  # images in a round, ways that go on
LARGE = ((100, 8), (500, 3), (2000, 0))  # of networks with more than 5 million parameters
CHUNK = 500  # images in a forward pass
TIE = 0.001  # accuracies closer than this are decided by the loss
KEPT_BYTES = 200_000_000  # of prepared images, and of the values in a network
# Means and standard deviations of 0..1 that people copy from one another, by number of colours.
USUAL_MOMENTS: dict[int, dict[str, tuple[list[float], list[float]]]] = {
    1: {"(x / 255 - 0.1307) / 0.3081": ([0.1307], [0.3081])},  # PyTorch's example of MNIST
    3: {
        "standardised as ImageNet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        "standardised as CIFAR-10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    },
}
Forward = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pixels:
    """One way to prepare images.

    Attributes:
        name: in words, such as "0..1".
        geometry: in words: "as they are", "padded by 2 to 32x32", "resized to 32x32".
        layers: for `data.preprocessing`.
        shape: at which images enter the first of these layers.
    """

    name: str
    geometry: str
    layers: list[Any] = field(compare=False)
    shape: ImageShape


class Score(NamedTuple):
    """What a network reached on how many images."""

    accuracy: float
    loss: float
    images: int


def usual_pixels(images: np.ndarray, shape: ImageShape) -> list[Pixels]:
    """Return the usual ways to bring uint8 images (n, h, w, c) to a network's input.

    Scalings: 0..1, 0..255, -1..1, -0.5..0.5, standardised by the mean and deviation of these
    images (also for each colour), and by those of `USUAL_MOMENTS`. Other sizes: padded with
    black, where that is possible on all sides alike, or resized.
    """
    height, width, channels = shape
    natural = (images.shape[1], images.shape[2], channels)
    if natural == shape:
        return [
            Pixels(name, "as they are", layers, shape)
            for name, layers in _scalings(images, channels)
        ]
    ways = [
        Pixels(name, f"resized to {height}x{width}", layers, shape)
        for name, layers in _scalings(images, channels)
    ]
    rows, columns = height - natural[0], width - natural[1]
    if rows != columns or rows <= 0 or rows % 2:
        return ways
    margin = rows // 2
    pad = {"class_name": "ZeroPadding2D", "config": {"padding": margin}}
    where = f"padded by {margin} to {height}x{width}"
    share = natural[0] * natural[1] / (height * width)
    padded: list[Pixels] = []
    for name, layers in _scalings(images, channels):
        padded.append(Pixels(name, where, [pad, *layers], natural))
        if name not in ("0..1", "0..255"):  # there, black is not 0
            padded.append(Pixels(name, f"{where} after scaling", [*layers, pad], natural))
    for name, layers in _scalings(images, channels, share):
        if name.startswith("standardised"):
            padded.append(Pixels(f"{name} with its padding", where, [pad, *layers], natural))
    return padded + ways


class Images:
    """Labelled training images, set aside and prepared in the ways that are tried.

    Args:
        data: the data set: a few thousand images are chosen, each class in its proportion.

    Attributes:
        images: uint8 (n, h, w, c), in the data set's own shape.
        labels: class numbers, (n,).
    """

    def __init__(self, data: Dataset) -> None:
        count = min(VALIDATION_IMAGES, len(data.y_train) // 2)
        _, chosen = split_validation(data.y_train, count)
        chosen = np.random.default_rng(0).permutation(chosen)
        self.images, self.labels = np.asarray(data.x_train[chosen]), data.y_train[chosen]
        self._kept: dict[Any, np.ndarray] = {}

    def prepared(self, pixels: Pixels, start: int, stop: int) -> np.ndarray:
        """Return some of the images as a network takes them."""
        key = (pixels, start, stop)
        if key in self._kept:
            return self._kept[key]
        from modelzoo.data.preprocessor import Preprocessor

        images = convert(self.images[start:stop], pixels.shape)
        found = Preprocessor(pixels.layers).to_numpy(images)
        if found.nbytes + sum(each.nbytes for each in self._kept.values()) < KEPT_BYTES:
            self._kept[key] = found
        return found

    def score(self, forward: Forward, pixels: Pixels, count: int) -> Score:
        """Return what a network reaches on the first images."""
        labels = self.labels[:count]
        parts = [(start, min(start + CHUNK, len(labels))) for start in range(0, len(labels), CHUNK)]
        outputs = np.concatenate([forward(self.prepared(pixels, *part)) for part in parts])
        outputs = outputs.astype("float64")
        if not np.isfinite(outputs).all():
            return Score(0.0, math.inf, len(labels))
        if (outputs < 0).any() or not np.allclose(outputs.sum(axis=1), 1, atol=1e-2):
            outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            outputs /= outputs.sum(axis=1, keepdims=True)
        probability = outputs[np.arange(len(labels)), labels]
        loss = float(-np.log(np.maximum(probability, 1e-7)).mean())
        return Score(float((outputs.argmax(axis=1) == labels).mean()), loss, len(labels))

    def best_pixels(
        self, forward: Forward, ways: Sequence[Pixels], parameters: int
    ) -> list[tuple[Pixels, Score]]:
        """Score ways on ever more images, going on with the best; the last round, best first."""
        left, scored = list(ways), []
        for count, keep in rounds_for(parameters):
            scored = [(pixels, self.score(forward, pixels, count)) for pixels in left]
            scored.sort(key=lambda each: (-each[1].accuracy, each[1].loss))
            left = [pixels for pixels, _ in scored[:keep]]
        best = scored[0][1].accuracy
        near = [each for each in scored if each[1].accuracy > best - TIE]
        return sorted(near, key=lambda each: each[1].loss) + scored[len(near) :]


def rounds_for(parameters: int) -> Sequence[tuple[int, int]]:
    """Return how many images are used in each round of trials."""
    return LARGE if parameters > 5_000_000 else SMALL


def is_poor(accuracy: float, labels: np.ndarray) -> bool:
    """Whether an accuracy is in the lowest third of what lies between chance and all right.

    Chance is to always give the class that most of the labels have.
    """
    chance = float(np.bincount(labels).max() / len(labels))
    return accuracy < chance + (1 - chance) / 3


def _scalings(
    images: np.ndarray, channels: int, share: float = 1.0
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the usual scalings; `share` of a padded image is the image, the rest black."""
    mean, deviation = _moments(images, share)
    scalings: list[tuple[str, list[dict[str, Any]]]] = [
        ("0..1", [_rescaling(1 / 255, 0.0)]),
        ("0..255", []),
        ("-1..1", [_rescaling(1 / 127.5, -1.0)]),
        ("-0.5..0.5", [_rescaling(1 / 255, -0.5)]),
    ]
    own = ([mean / 255], [deviation / 255])
    usual = USUAL_MOMENTS.get(channels, {})
    scalings += [(name, _standardising(*moments)) for name, moments in usual.items()]
    if not any(np.allclose(own, moments, atol=0.005) for moments in usual.values()):
        scalings.append(("standardised", _standardising(*own)))
    if channels > 1 and images.shape[3] == channels:
        each = [_moments(images[..., index], share) for index in range(channels)]
        own = ([m / 255 for m, _ in each], [d / 255 for _, d in each])
        scalings.append(("standardised by colour", _standardising(*own)))
    return scalings


def _standardising(means: list[float], deviations: list[float]) -> list[dict[str, Any]]:
    """Return the layer that takes means from pixels of 0..1, and divides by deviations."""
    if len(means) == 1:
        (mean,), (deviation,) = means, deviations
        return [_rescaling(1 / (255 * deviation), -mean / deviation)]
    means, variances = [255 * mean for mean in means], [(255 * each) ** 2 for each in deviations]
    return [{"class_name": "Normalization", "config": {"mean": means, "variance": variances}}]


def _rescaling(scale: float, offset: float) -> dict[str, Any]:
    config = {"scale": scale, "offset": offset} if offset else {"scale": scale}
    return {"class_name": "Rescaling", "config": config}


def _moments(images: np.ndarray, share: float) -> tuple[float, float]:
    """Return mean and standard deviation of uint8 pixels, with black added around."""
    counts = np.bincount(images.ravel(), minlength=256) / images.size * share
    values = np.arange(256)
    mean = float(counts @ values)
    return mean, max(float(np.sqrt(counts @ values**2 - mean**2)), 1e-3)

"""How pixels reach a network: the usual ways to scale and pad them, and which of them fits.

A foreign file does not say what was done to the pictures before they reached the network. Whatever
was done in training gives far better scores than the rest, so each way is tried on images that the
test set does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelzoo.data.resize import convert
from modelzoo.data.source import ImageShape

CHUNK = 500  # images in a forward pass
TIE = 0.001  # accuracies closer than this are decided by the loss
KEPT_BYTES = 200_000_000  # of prepared pictures
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
    """One way to prepare pictures.

    Attributes:
        name: in words, such as "0..1".
        geometry: in words: "as they are", "padded by 2 to 32x32", "resized to 32x32".
        layers: for `data.preprocessing`.
        shape: at which pictures enter the first of these layers.
    """

    name: str
    geometry: str
    layers: list[Any] = field(compare=False)
    shape: ImageShape


@dataclass(frozen=True)
class Trial:
    """Something to score: a way to prepare pictures, and a network.

    Attributes:
        label: what is tried, in words.
        pixels: how the pictures are prepared.
        forward: from prepared pictures, float32 (n, h, w, c), to the network's output.
    """

    label: str
    pixels: Pixels
    forward: Forward


@dataclass(frozen=True)
class Outcome:
    """What a trial reached on how many images."""

    trial: Trial
    accuracy: float
    loss: float
    images: int


def usual_pixels(images: np.ndarray, shape: ImageShape) -> list[Pixels]:
    """Return the usual ways to bring uint8 pictures (n, h, w, c) to a network's input.

    Scalings: 0..1, 0..255, -1..1, -0.5..0.5, standardised by the mean and deviation of these
    pictures (also for each colour), and by those of `USUAL_MOMENTS`. Other sizes: padded with
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


class Pictures:
    """Labelled pictures, prepared in the ways that trials ask for.

    Args:
        images: uint8 (n, h, w, c), in the data set's own shape.
        labels: class numbers, (n,).
        inner: layers that stand behind each way's own, in the network's file.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, inner: Sequence[Any] = ()) -> None:
        self.images, self.labels, self.inner = images, labels, inner
        self._kept: dict[Any, np.ndarray] = {}
        self._bytes = 0

    def prepared(self, pixels: Pixels, part: slice) -> np.ndarray:
        """Return some of the pictures as a network takes them."""
        key = (pixels, part.start, part.stop)
        if key in self._kept:
            return self._kept[key]
        from modelzoo.data.preprocessor import Preprocessor

        prepare = Preprocessor([*pixels.layers, *self.inner])
        found = prepare.to_numpy(convert(self.images[part], pixels.shape))
        if self._bytes + found.nbytes < KEPT_BYTES:
            self._kept[key] = found
            self._bytes += found.nbytes
        return found

    def score(self, trial: Trial, count: int) -> Outcome:
        """Return what a trial reaches on the first `count` pictures."""
        labels = self.labels[:count]
        parts = [slice(start, min(start + CHUNK, count)) for start in range(0, len(labels), CHUNK)]
        forward = trial.forward
        outputs = np.concatenate([forward(self.prepared(trial.pixels, part)) for part in parts])
        outputs = outputs.astype("float64")
        right = outputs.argmax(axis=1) == labels
        rows = outputs.min(axis=1) >= 0
        if rows.all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-2):
            probability = outputs[np.arange(len(labels)), labels]
        else:
            shifted = np.exp(np.clip(outputs - outputs.max(axis=1, keepdims=True), -700, 0))
            probability = shifted[np.arange(len(labels)), labels] / shifted.sum(axis=1)
        loss = float(-np.log(np.maximum(probability, 1e-7)).mean())
        accuracy = float(right.mean()) if np.isfinite(outputs).all() else 0.0
        return Outcome(trial, accuracy, loss, len(labels))


def score_trials(
    trials: Sequence[Trial], pictures: Pictures, rounds: Sequence[tuple[int, int]]
) -> list[Outcome]:
    """Score trials on ever more images, going on with the best; return the last round, best first.

    Args:
        trials: what to compare.
        pictures: by which.
        rounds: (images, how many trials go on to the next round).
    """
    left, outcomes = list(trials), []
    for count, keep in rounds:
        outcomes = [pictures.score(trial, count) for trial in left]
        outcomes.sort(key=lambda each: (-each.accuracy, each.loss))
        left = [each.trial for each in outcomes[:keep]]
    near = [each for each in outcomes if each.accuracy > outcomes[0].accuracy - TIE]
    near.sort(key=lambda each: each.loss)
    return near + outcomes[len(near) :]


def _scalings(
    images: np.ndarray, channels: int, share: float = 1.0
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the usual scalings; `share` of a padded picture is the picture, the rest black."""
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

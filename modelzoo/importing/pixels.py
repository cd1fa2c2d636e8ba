"""How pixels reach a network: the usual ways to scale and pad them, and which of them fits.

An old file does not say what was done to the pictures before they reached the network. Whatever was
done in training gives far better scores than the rest, so each way is tried on images that the test
set does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelzoo.data.resize import convert
from modelzoo.data.source import ImageShape

CHUNK = 500  # images in a forward pass
TIE = 0.001  # accuracies closer than this are decided by the loss
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
    layers: list[Any]
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

    Scalings: 0..1, 0..255, -1..1, -0.5..0.5 and standardised by the mean and deviation of these
    pictures (also for each colour). Other sizes: padded with black, where that is possible on all
    sides alike, or resized.
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


def score_trials(
    trials: Sequence[Trial],
    images: np.ndarray,
    labels: np.ndarray,
    rounds: Sequence[tuple[int, int]] = ((200, 24), (1000, 6), (5000, 0)),
    inner: Sequence[Any] = (),
) -> list[Outcome]:
    """Score trials on ever more images, going on with the best; return the last round, best first.

    Args:
        trials: what to compare.
        images: uint8 (n, h, w, c), in the data set's own shape.
        labels: class numbers, (n,).
        rounds: (images, how many trials go on to the next round).
        inner: layers that stand behind each trial's own, in the network's file.
    """
    left, outcomes = list(trials), []
    for count, keep in rounds:
        prepared: dict[str, np.ndarray] = {}
        outcomes = [
            _score(trial, images[:count], labels[:count], prepared, inner) for trial in left
        ]
        outcomes.sort(key=lambda each: (-each.accuracy, each.loss))
        left = [each.trial for each in outcomes[:keep]]
    near = [each for each in outcomes if each.accuracy > outcomes[0].accuracy - TIE]
    near.sort(key=lambda each: each.loss)
    return near + [each for each in outcomes if each not in near]


def _score(
    trial: Trial,
    images: np.ndarray,
    labels: np.ndarray,
    prepared: dict[str, np.ndarray],
    inner: Sequence[Any],
) -> Outcome:
    from modelzoo.data.preprocessor import Preprocessor

    key = f"{trial.pixels.name}, {trial.pixels.geometry}"
    parts = []
    for start in range(0, len(images), CHUNK):
        place = f"{key}, {start}"
        if place not in prepared:
            prepare = Preprocessor([*trial.pixels.layers, *inner])
            chunk = convert(images[start : start + CHUNK], trial.pixels.shape)
            if len(prepared) < 60:  # some 100 MB of small pictures
                prepared[place] = prepare.to_numpy(chunk)
            else:
                parts.append(trial.forward(prepare.to_numpy(chunk)))
                continue
        parts.append(trial.forward(prepared[place]))
    outputs = np.concatenate(parts).astype("float64")
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


def _scalings(
    images: np.ndarray, channels: int, share: float = 1.0
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the usual scalings; `share` of a padded picture is the picture, the rest black."""
    mean, deviation = _moments(images, share)
    scalings = [
        ("0..1", [_rescaling(1 / 255, 0.0)]),
        ("0..255", []),
        ("-1..1", [_rescaling(1 / 127.5, -1.0)]),
        ("-0.5..0.5", [_rescaling(1 / 255, -0.5)]),
        ("standardised", [_rescaling(1 / deviation, -mean / deviation)]),
    ]
    if channels > 1 and images.shape[3] == channels:
        each = [_moments(images[..., index], share) for index in range(channels)]
        means, variances = [m for m, _ in each], [d**2 for _, d in each]
        layer = {"class_name": "Normalization", "config": {"mean": means, "variance": variances}}
        scalings.append(("standardised by colour", [layer]))
    return scalings


def _rescaling(scale: float, offset: float) -> dict[str, Any]:
    config = {"scale": scale, "offset": offset} if offset else {"scale": scale}
    return {"class_name": "Rescaling", "config": config}


def _moments(images: np.ndarray, share: float) -> tuple[float, float]:
    """Return mean and standard deviation of uint8 pixels, with black added around."""
    counts = np.bincount(images.ravel(), minlength=256) / images.size * share
    values = np.arange(256)
    mean = float(counts @ values)
    return mean, max(float(np.sqrt(counts @ values**2 - mean**2)), 1e-3)

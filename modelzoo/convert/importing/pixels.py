"""How pixels reach a network: the usual ways to scale and pad them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelzoo.data.source import ImageShape

# Means and standard deviations of 0..1 that people copy from one another, by number of colours.
USUAL_MOMENTS: dict[int, dict[str, tuple[list[float], list[float]]]] = {
    1: {"(x / 255 - 0.1307) / 0.3081": ([0.1307], [0.3081])},  # PyTorch's example of MNIST
    3: {
        "standardised as ImageNet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        "standardised as CIFAR-10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    },
}


@dataclass(frozen=True)
class Pixels:
    """One way to prepare images."""

    name: str  # such as "0..1"
    geometry: str  # "as they are", "padded by 2 to 32x32", "resized to 32x32"
    layers: list[Any] = field(compare=False)  # for `data.preprocessing`

    def __str__(self) -> str:
        return f"pixels {self.name}, {self.geometry}"


def usual_pixels(images: np.ndarray, shape: ImageShape) -> list[Pixels]:
    """Return the usual ways to bring uint8 images (n, h, w, c) to a network's input.

    Scalings: 0..1, 0..255, -1..1, -0.5..0.5, standardised by the mean and deviation of these
    images (also for each colour), and by those of `USUAL_MOMENTS`. Other sizes: padded with
    black, where that is possible on all sides alike, or resized.
    """
    height, width, channels = shape
    rows, columns = height - images.shape[1], width - images.shape[2]
    plain = _scalings(images, channels)
    where = f"resized to {height}x{width}" if rows or columns else "as they are"
    ways = [Pixels(name, where, layers) for name, layers in plain.items()]
    if rows != columns or rows <= 0 or rows % 2:
        return ways
    pad = {"class_name": "ZeroPadding2D", "config": {"padding": rows // 2}}
    where = f"padded by {rows // 2} to {height}x{width}"
    padded: list[Pixels] = []
    for name, layers in plain.items():
        padded.append(Pixels(name, where, [pad, *layers]))
        if name not in ("0..1", "0..255"):  # there, black is not 0
            padded.append(Pixels(name, f"{where} after scaling", [*layers, pad]))
    share = images.shape[1] * images.shape[2] / (height * width)
    for name, layers in _scalings(images, channels, share).items():
        if name.startswith("standardised"):
            padded.append(Pixels(f"{name} with its padding", where, [pad, *layers]))
    return padded + ways


def _scalings(images: np.ndarray, channels: int, share: float = 1.0) -> dict[str, list[Any]]:
    """Return the layers of each usual scaling; `share` of a padded image is not black."""
    moments = {
        "0..1": ([0.0], [1.0]),
        "0..255": ([0.0], [1 / 255]),
        "-1..1": ([0.5], [0.5]),
        "-0.5..0.5": ([0.5], [1.0]),
        **USUAL_MOMENTS.get(channels, {}),
    }
    own = _moments(images, share)
    if not any(np.allclose(own, usual, atol=0.005) for usual in moments.values()):
        moments["standardised"] = own
    if channels > 1 and images.shape[3] == channels:
        each = [_moments(images[..., index], share) for index in range(channels)]
        colours = [mean for (mean,), _ in each], [deviation for _, (deviation,) in each]
        moments["standardised by colour"] = colours
    scalings = {name: _standardising(*values) for name, values in moments.items()}
    return scalings | {"0..255": []}


def _standardising(means: list[float], deviations: list[float]) -> list[dict[str, Any]]:
    """Return the layer that takes means from pixels of 0..1, and divides by deviations."""
    if len(means) == 1:
        scaled = {"scale": 1 / (255 * deviations[0])}
        if means[0]:
            scaled["offset"] = -means[0] / deviations[0]
        return [{"class_name": "Rescaling", "config": scaled}]
    means, variances = [255 * mean for mean in means], [(255 * each) ** 2 for each in deviations]
    return [{"class_name": "Normalization", "config": {"mean": means, "variance": variances}}]


def _moments(images: np.ndarray, share: float) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of pixels in 0..1, with black added around."""
    counts = np.bincount(images.ravel(), minlength=256) / images.size * share
    values = np.arange(256)
    mean = float(counts @ values)
    deviation = max(float(np.sqrt(counts @ values**2 - mean**2)), 1e-3)
    return [mean / 255], [deviation / 255]

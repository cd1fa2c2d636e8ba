"""Bring images and labels to the form of a data set where there is one way to do that."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from modelzoo.support.errors import InputError

ROWS = 4096  # images that are converted at a time
CHANNELS = (1, 3)


def squared(images: np.ndarray) -> np.ndarray:
    """Return rows of pixels (n, height * width) as square images, other arrays as they are."""
    if images.ndim != 2:
        return images
    side = math.isqrt(images.shape[1])
    if side**2 != images.shape[1] or not side:
        raise InputError(f"has {images.shape[1]:,} pixels in a row, which make no square image")
    return images.reshape(-1, side, side)


def _by_rows(images: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    converted = np.empty(images.shape, np.uint8)
    for begin in range(0, len(images), ROWS):
        converted[begin : begin + ROWS] = change(images[begin : begin + ROWS])
    return converted


def to_pixels(key: str, images: Any) -> tuple[Any, list[str]]:
    """Return images as uint8 (n, height, width, 1 or 3), and what was done to them.

    Raises:
        InputError: there are several ways to read them, or none.
    """
    notes = []
    if images.ndim == 2 and images.shape[1] > 1:
        images = squared(images)
        notes.append(f"rows of {math.prod(images.shape[1:])} pixels: square images")
    if images.ndim == 4 and images.shape[1] in CHANNELS and images.shape[-1] not in CHANNELS:
        images = images.transpose(0, 2, 3, 1)
        notes.append("channels first: channels last")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in CHANNELS:
        raise InputError(f"{key} has the shape {images.shape}")
    if 0 in images.shape:
        raise InputError(f"{key} is empty")
    if images.dtype == np.uint8:
        is_array = isinstance(images, np.ndarray)
        return (np.ascontiguousarray(images) if is_array else images), notes
    if images.dtype.kind == "b":
        return _by_rows(images, lambda part: part * np.uint8(255)), [*notes, "true: 255"]
    if images.dtype.kind not in "iuf":
        raise InputError(f"{key} is {images.dtype}, not uint8")
    low, high = images.min(), images.max()
    if images.dtype.kind == "f" and low >= 0 and high <= 1:
        scaled = _by_rows(images, lambda part: np.rint(part * np.float32(255)))
        return scaled, [*notes, f"{images.dtype} from 0.0 to 1.0: times 255"]
    parts = (images[begin : begin + ROWS] for begin in range(0, len(images), ROWS))
    if low >= 0 and high <= 255 and all((part % 1 == 0).all() for part in parts):
        return _by_rows(images, lambda part: part), [*notes, f"{images.dtype} from 0 to 255: uint8"]
    raise InputError(
        f"{key} is {images.dtype} from {low:g} to {high:g}, not uint8\n"
        "Whole numbers from 0 to 255 are read, and numbers from 0.0 to 1.0."
    )


def to_numbers(key: str, labels: np.ndarray, count: int) -> tuple[np.ndarray, list[str]]:
    """Return labels as int64 (n,), and what was done to them."""
    if labels.dtype.kind not in "iuf":
        raise InputError(f"{key} is {labels.dtype}, not whole numbers")
    is_table = labels.ndim == 2 and len(labels) == count and labels.shape[1] > 1
    if is_table and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        return labels.argmax(axis=1).astype(np.int64), ["one-hot labels: class numbers"]
    if labels.shape not in ((count,), (count, 1)):  # Keras gives CIFAR's labels as a column
        raise InputError(f"{key} has the shape {labels.shape} for {count} images")
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels % 1 == 0).all()):
        raise InputError(f"{key} is {labels.dtype}, not whole numbers")
    if labels.size and abs(labels).max() >= 2**31:  # which int64 may not hold
        raise InputError(f"{key} runs {labels.min()}..{labels.max()}, not within 0..{2**31 - 1}")
    return labels.reshape(count).astype(np.int64), []

"""Accuracy against the strength of attacks and corruptions, in memory for one batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from modelzoo.progress import Progress
from modelzoo.robustness.attacks import BATCH_SIZE, answers, fgsm, pgd
from modelzoo.robustness.corruptions import KINDS
from modelzoo.robustness.networks import Pictures

LARGE_BATCH_BYTES = 64_000_000  # of float32 pictures
Row = dict[str, Any]
Attack = Callable[[keras.Model, np.ndarray, np.ndarray, float], np.ndarray]
Advance = Callable[[str, int], None]


def counted(progress: Progress) -> Advance:
    """Return a function to call with what has just been done, in words, and how many pictures."""
    done, total = 0, progress.total or 1
    progress.begin()

    def advance(what: str, pictures: int) -> None:
        nonlocal done
        done += pictures
        progress.show(done, lambda: f"{what}: {done / total:.0%} of all pictures done", what=what)

    return advance


def attack_methods(names: Sequence[str], steps: int, seed: int) -> dict[str, Attack]:
    """Return the attacks of these names, "fgsm" and "pgd"."""

    def climb(model: keras.Model, images: Any, labels: Any, strength: float) -> np.ndarray:
        return pgd(model, images, labels, strength, steps=steps, seed=seed)

    known: dict[str, Attack] = {"fgsm": fgsm, "pgd": climb}
    return {name: known[name] for name in names}


def attack_rows(
    model: keras.Model,
    pictures: Pictures,
    methods: Mapping[str, Attack],
    strengths: Sequence[float],
    advance: Advance,
) -> list[Row]:
    """Return a row a method and strength, with the accuracy over the pictures, 0 to 1."""
    rows = []
    for method, attack in methods.items():
        for strength in strengths:
            right = 0
            for batch in _batches(pictures):
                images, labels = pictures.images[batch], pictures.labels[batch]
                if strength > 0:
                    images = attack(model, images, labels, strength)
                right += int((answers(model, images) == labels).sum())
                advance(f"{method} at strength {strength:g}", len(labels))
            rows.append(
                {"method": method, "strength": strength, "accuracy": right / len(pictures.labels)}
            )
    return rows


def corruption_rows(
    models: Mapping[str, keras.Model],
    pictures: Pictures,
    strengths: Mapping[str, Sequence[float]],
    seed: int,
    advance: Advance,
) -> list[Row]:
    """Return a row a network, kind and strength; every network is shown the same pictures.

    `accuracy`, 0 to 1, is over all pictures and directions. `brightness` is the sum of all pixels
    as a share of that of the pictures as they are: on a black ground, how much of the ink a shift
    or a turn leaves in the field.
    """
    rows = []
    for label, model in models.items():
        for kind, wanted in strengths.items():
            for strength in wanted:
                shown = partial(advance, f"{label}: {kind} of {strength:g}")
                measured = _corrupted(model, pictures, kind, strength, seed, shown)
                rows.append({"model": label, "kind": kind, "strength": strength, **measured})
    return rows


def _corrupted(
    model: keras.Model,
    pictures: Pictures,
    kind: str,
    strength: float,
    seed: int,
    shown: Callable[[int], None],
) -> Row:
    # The same draws for every network and strength: curves differ by these alone.
    draw = np.random.default_rng([seed, list(KINDS).index(kind)])
    right = answered = light = light_before = 0
    for batch in _batches(pictures):
        images, labels = pictures.images[batch], pictures.labels[batch]
        for changed in KINDS[kind].variants(images, strength, draw):
            right += int((answers(model, changed) == labels).sum())
            answered += len(labels)
            light += int(changed.sum(dtype=np.int64))
            light_before += int(images.sum(dtype=np.int64))
        shown(len(labels))
    brightness = light / light_before if light_before else None
    return {"accuracy": right / answered, "brightness": brightness}


def batch_size(pictures: Pictures) -> int:
    """Return how many pictures are computed at once, fewer of large ones."""
    bytes_each = 4 * int(np.prod(pictures.images.shape[1:]))
    return min(BATCH_SIZE, max(1, LARGE_BATCH_BYTES // bytes_each))


def _batches(pictures: Pictures) -> list[slice]:
    size = batch_size(pictures)
    return [slice(start, start + size) for start in range(0, len(pictures.labels), size)]

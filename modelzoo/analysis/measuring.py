"""Accuracy of networks on test pictures, against the strength of attacks and corruptions.

One batch at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from modelzoo.analysis.corruptions import KINDS
from modelzoo.data.datasets import check_dataset_name
from modelzoo.data.source import ImageSource, as_text
from modelzoo.support.errors import InputError
from modelzoo.support.progress import Progress

if TYPE_CHECKING:
    import keras

    from modelzoo.training.resolve import Source

MOST_AT_ONCE = 256  # pictures
LARGE_BATCH_BYTES = 64_000_000  # of float32 pictures
Row = dict[str, Any]
Attack = Callable[["keras.Model", np.ndarray, np.ndarray, float], np.ndarray]
Advance = Callable[[str, int], None]


@dataclass(frozen=True)
class Pictures:
    """Test pictures, all or some of them.

    Attributes:
        dataset: the name of the data set.
        images: uint8, (n, height, width, channels).
        labels: (n,), int64.
        total: how many the test set has.
        class_names: one a class.
        note: what a reader of a figure measured on them must know; may be empty.
    """

    dataset: str
    images: ImageSource
    labels: np.ndarray
    total: int
    class_names: tuple[str, ...]
    note: str

    @property
    def described(self) -> str:
        """How many of how many, in words."""
        count = len(self.labels)
        which = f"all {count:,}" if count == self.total else f"{count:,} of the {self.total:,}"
        return f"{which} test images of {self.dataset}"


def build_scores(source: Source) -> tuple[keras.Model, bool]:
    """Return a model from pictures in 0..255 to scores, and whether they go into a softmax."""
    from modelzoo.analysis.explain import before_softmax, on_pictures

    network = source.build()
    scores = before_softmax(network)
    return on_pictures(scores, source.config), scores is not network


def check_comparable(networks: Sequence[Source]) -> None:
    """Refuse networks that cannot be shown the same test pictures, before anything is opened.

    Raises:
        InputError: two have the same name, are for other data sets, or take pictures of other
            shapes.
    """
    first, names = networks[0], [network.label for network in networks]
    check_dataset_name(first.dataset)
    for other in networks[1:]:
        if names.count(other.label) > 1:
            raise InputError(f"{other.label} is named twice")
        if other.dataset != first.dataset:
            raise InputError(
                f"{first.label} is for {first.dataset}, {other.label} for {other.dataset}: "
                "--dataset D names one for all"
            )
        shapes = [as_text(each.config.image_shape) for each in (first, other)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"{first.label} takes pictures of {shapes[0]}, {other.label} of {shapes[1]}: "
                "they cannot be shown the same ones"
            )


def open_pictures(
    networks: Sequence[Source], count: int | None, seed: int, notify: Callable[[str], None]
) -> Pictures:
    """Open the test pictures that all the networks are measured on.

    Args:
        networks: at least one; several have passed `check_comparable`.
        count: that many, drawn without regard to their classes; None for all.
        seed: of the draw.
        notify: called with each notice.

    Raises:
        InputError: the data set cannot be had, has fewer pictures, or more classes than a network.
    """
    from modelzoo.training.prepare import check_classes, open_dataset

    data, _ = open_dataset(networks[0].config, notify)
    for each in networks:
        check_classes(data, each.config, each.label)
    total = len(data.y_test)
    images, labels = data.x_test, data.y_test
    if count is not None and count > total:
        raise InputError(f"--images {count}: {data.name} has {total:,} test images")
    if count is not None and count < total:
        chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
        images, labels = images[chosen], labels[chosen]
    return Pictures(data.name, images, labels, total, data.class_names, data.note)


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
    from modelzoo.analysis.attacks import fgsm, pgd

    known: dict[str, Attack] = {"fgsm": fgsm, "pgd": partial(pgd, steps=steps, seed=seed)}
    return {name: known[name] for name in names}


def attack_rows(
    model: keras.Model,
    pictures: Pictures,
    methods: Mapping[str, Attack],
    strengths: Sequence[float],
    advance: Advance,
) -> list[Row]:
    """Return a row a method and strength, with the accuracy over the pictures, 0 to 1."""
    from modelzoo.analysis.attacks import answers

    rows = []
    for method, attack in methods.items():
        for strength in strengths:
            right = 0
            for images, labels in batches(pictures):
                changed = attack(model, images, labels, strength) if strength else images
                right += int((answers(model, changed) == labels).sum())
                advance(f"{method} at strength {strength:g}", len(labels))
            accuracy = right / len(pictures.labels)
            rows.append({"method": method, "strength": strength, "accuracy": accuracy})
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
    from modelzoo.analysis.attacks import answers

    # The same draws for every network and strength: curves differ by these alone.
    draw = np.random.default_rng([seed, list(KINDS).index(kind)])
    right = answered = light = light_before = 0
    for images, labels in batches(pictures):
        for changed in KINDS[kind].variants(images, strength, draw):
            right += int((answers(model, changed) == labels).sum())
            answered += len(labels)
            light += int(changed.sum(dtype=np.int64))
            light_before += int(images.sum(dtype=np.int64))
        shown(len(labels))
    brightness = light / light_before if light_before else None
    return {"accuracy": right / answered, "brightness": brightness}


def batches(pictures: Pictures) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the images and labels that are computed at once, fewer of large pictures."""
    bytes_each = 4 * int(np.prod(pictures.images.shape[1:]))
    size = min(MOST_AT_ONCE, max(1, LARGE_BATCH_BYTES // bytes_each))
    for start in range(0, len(pictures.labels), size):
        chosen = slice(start, start + size)
        yield pictures.images[chosen], pictures.labels[chosen]

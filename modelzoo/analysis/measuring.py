"""Accuracy of networks on test images that are attacked, shifted, rotated, noisy or covered.

One batch at a time is in memory. Importing this starts no framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from modelzoo.charts import Chart
from modelzoo.charts.canvas import image_of
from modelzoo.charts.explanations import adversarial_pictures
from modelzoo.data.datasets import check_dataset_name
from modelzoo.data.known_sets import output_names
from modelzoo.data.source import Dataset, ImageSource, as_text
from modelzoo.networks import reference
from modelzoo.support.errors import InputError
from modelzoo.support.terminal import ProgressBar

if TYPE_CHECKING:
    import keras

    from modelzoo.training.resolve import Source

DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
GREY = 128  # of the square that covers a part
MOST_AT_ONCE = 256  # images
LARGE_BATCH_BYTES = 64_000_000  # of float32 images
SHOWN = 5  # adversarial images
Row = dict[str, Any]
# From images and a strength to the changed images, once for each direction.
Corruption = Callable[[np.ndarray, float, np.random.Generator], Iterable[np.ndarray]]
Attack = Callable[..., np.ndarray]  # as `attacks.fgsm`
# A row to be completed, a network, and how images with labels are changed, once or several times.
Cell = tuple[Row, "keras.Model", Callable[[np.ndarray, np.ndarray], np.ndarray]]


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move images by whole pixels. Zeros come in, and what leaves the field is lost."""
    height, width = images.shape[1:3]
    above, beside = abs(down), abs(right)
    padded = np.pad(images, ((0, 0), (above, above), (beside, beside), (0, 0)))
    top, left = above - down, beside - right
    return padded[:, top : top + height, left : left + width]


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """Turn images counter-clockwise about their centres, bilinearly. Zeros come in."""
    turned = [image_of(each).rotate(degrees, Image.Resampling.BILINEAR) for each in images]
    return np.stack([np.asarray(each) for each in turned]).reshape(images.shape)


def noisy(images: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of deviation `sigma` grey levels to each value; round, clip to 0..255."""
    noise = sigma * generator.standard_normal(images.shape, dtype="float32")
    return np.clip(np.rint(images + noise), 0, 255).astype("uint8")


def occluded(images: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
    """Cover a square of `side` pixels, wholly inside the image at a random place, with grey 128.

    Reference:
        Zeiler, Fergus (2014), Visualizing and understanding convolutional networks, section 4.2,
        who move such a square over an image.
    """
    result = images.copy()
    room = np.array(images.shape[1:3]) - side
    corners = np.floor(generator.random((len(images), 2)) * (room + 1)).astype(int)
    for picture, (top, left) in zip(result, corners, strict=True):
        picture[top : top + side, left : left + side] = GREY
    return result


class Kind(NamedTuple):
    """A way to change images by a strength from 0, which leaves them as they are."""

    title: str  # with the unit of the strength, for an axis
    strengths: Sequence[float]  # by default; those in pixels of images of 28 pixels a side
    change: Corruption
    largest: float | None = None  # strength; None: a whole number of pixels, up to the side


KINDS = {
    "shift": Kind(
        "Shift in pixels, 8 directions",
        range(7),
        lambda images, by, _: (shifted(images, int(by) * y, int(by) * x) for y, x in DIRECTIONS),
    ),
    "rotation": Kind(
        "Rotation in degrees, both ways",
        range(0, 91, 15),
        lambda images, degrees, _: (rotated(images, each) for each in (degrees, -degrees)),
        largest=180,
    ),
    "noise": Kind(
        "Gaussian noise, sigma in grey levels",
        range(0, 121, 20),
        lambda images, sigma, draw: [noisy(images, sigma, draw)],
        largest=255,
    ),
    "occlusion": Kind(
        "Side of a covering grey square in pixels",
        range(0, 17, 4),
        lambda images, side, draw: [occluded(images, int(side), draw)],
    ),
}


def strengths_for(name: str, side: int, wanted: Sequence[float] | None = None) -> list[float]:
    """Return the strengths of a kind for images whose shorter side has so many pixels.

    By default those of the kind, in pixels times the side's multiple of 28, up to the side.
    """
    kind = KINDS[name]
    in_pixels, largest = kind.largest is None, kind.largest or side
    if wanted is None:
        factor = max(1, round(side / 28)) if in_pixels else 1
        return [s * factor for s in kind.strengths if s * factor <= largest]
    for strength in wanted:
        if strength > largest or (in_pixels and strength != int(strength)):
            what = "a whole number of pixels" if in_pixels else "a number"
            raise InputError(f"--strengths {strength:g}: {name} takes {what} from 0 to {largest:g}")
    return list(wanted)


class Pictures(NamedTuple):
    """Test images of a data set, all or some: uint8 (n, height, width, channels), int64 (n,)."""

    data: Dataset
    images: ImageSource
    labels: np.ndarray

    @property
    def described(self) -> str:
        """How many of how many, in words."""
        count, total = len(self.labels), len(self.data.y_test)
        which = f"all {count:,}" if count == total else f"{count:,} of the {total:,}"
        return f"{which} test images of {self.data.name}"

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the images and labels that are computed at once, fewer of large images."""
        bytes_each = 4 * int(np.prod(self.images.shape[1:]))
        size = min(MOST_AT_ONCE, max(1, LARGE_BATCH_BYTES // bytes_each))
        for start in range(0, len(self.labels), size):
            yield self.images[start : start + size], self.labels[start : start + size]


def build_scores(source: Source) -> tuple[keras.Model, bool]:
    """Return a model from images in 0..255 to scores, and whether they go into a softmax."""
    from modelzoo.analysis.explain import before_softmax, on_pictures

    network = source.build()
    scores = before_softmax(network)
    return on_pictures(scores, source.config), scores is not network


def check_comparable(networks: Sequence[Source]) -> None:
    """Refuse networks that cannot be shown the same test images, before anything is opened."""
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
                f"{first.label} takes images of {shapes[0]}, {other.label} of {shapes[1]}: "
                "they cannot be shown the same ones"
            )


def open_pictures(
    networks: Sequence[Source], count: int | None, seed: int, notify: Callable[[str], None]
) -> Pictures:
    """Open the test images that all networks are measured on: `count` drawn at random, or all."""
    from modelzoo.training.prepare import check_classes, open_dataset

    data, _ = open_dataset(networks[0].config, notify)
    for each in networks:
        check_classes(data, each.config, each.label)
    total = len(data.y_test)
    if count is None or count == total:
        return Pictures(data, data.x_test, data.y_test)
    if count > total:
        raise InputError(f"--images {count}: {data.name} has {total:,} test images")
    chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    return Pictures(data, data.x_test[chosen], data.y_test[chosen])


def attack_rows(
    model: keras.Model,
    pictures: Pictures,
    methods: Mapping[str, Attack],
    strengths: Sequence[float],
) -> list[Row]:
    """Return a row a method and strength, with the accuracy over the images, 0 to 1."""
    cells: list[Cell] = [
        ({"method": name, "strength": strength}, model, partial(attack, model, strength=strength))
        for name, attack in methods.items()
        for strength in strengths
    ]
    return [
        {key: row[key] for key in ("method", "strength", "accuracy")}
        for row in _measured(cells, pictures)
    ]


def corruption_rows(
    models: Mapping[str, keras.Model],
    pictures: Pictures,
    strengths: Mapping[str, Sequence[float]],
    seed: int,
) -> list[Row]:
    """Return a row a network, kind and strength; every network is shown the same images.

    `accuracy`, 0 to 1, is over all images and directions. `brightness` is the sum of all pixels
    as a share of that of the images as they are: on a black ground, how much of the ink a shift
    or a turn leaves in the field.
    """
    cells: list[Cell] = []
    for label, model in models.items():
        for kind, wanted in strengths.items():
            for strength in wanted:
                # The same draws for every network and strength: curves differ by these alone.
                draw = np.random.default_rng([seed, list(KINDS).index(kind)])
                row = {"model": label, "kind": kind, "strength": strength}
                cells.append((row, model, partial(_corrupted, kind, strength, draw)))
    return _measured(cells, pictures)


def _corrupted(
    kind: str, strength: float, draw: np.random.Generator, images: np.ndarray, _: np.ndarray
) -> np.ndarray:
    return np.concatenate([*KINDS[kind].change(images, strength, draw)])


def _measured(cells: Sequence[Cell], pictures: Pictures) -> list[Row]:
    """Complete the rows."""
    from modelzoo.analysis.attacks import answers

    measured, done, total = [], 0, len(cells) * len(pictures.labels)
    with ProgressBar(total) as progress:
        progress.begin()
        for row, model, change in cells:
            what = " ".join(map(str, row.values()))
            right = answered = light = light_before = 0
            for images, labels in pictures.batches():
                changed = change(images, labels) if row["strength"] else images
                times = len(changed) // len(labels)
                right += int((answers(model, changed) == np.tile(labels, times)).sum())
                answered += len(changed)
                light += int(changed.sum(dtype="float64"))
                light_before += times * int(images.sum(dtype="float64"))
                done += len(labels)
                line = partial("{}: {:.0%} of all images done".format, what, done / total)
                progress.show(done, line, what=what)
            brightness = light / light_before if light_before else None
            measured.append({**row, "accuracy": right / answered, "brightness": brightness})
    return measured


def pictures_chart(
    network: tuple[keras.Model, bool],
    pictures: Pictures,
    methods: Mapping[str, Attack],
    rows: Sequence[Row],
    label: str,
) -> Chart | None:
    """Return images that the first method fools, each of another class; None without a strength."""
    (method, attack), (model, softmax) = next(iter(methods.items())), network
    strength = telling_strength([row for row in rows if row["method"] == method])
    if not strength:
        return None
    images, labels = next(pictures.batches())
    adversarial = attack(model, images, labels, strength)
    shown = [each.astype("float32") for each in (images, adversarial)]
    scores = [np.asarray(model.predict_on_batch(each), "float32") for each in shown]
    before, after = map(reference.softmax, scores) if softmax else scores
    fooled = np.flatnonzero((before.argmax(axis=1) == labels) & (after.argmax(axis=1) != labels))
    _, first = np.unique(labels[fooled], return_index=True)  # of each class
    chosen = (fooled[first] if len(fooled) else np.arange(len(labels)))[:SHOWN]
    names = output_names(pictures.data.class_names, before.shape[1])

    def answer(outputs: np.ndarray) -> str:
        best = int(outputs.argmax())
        value = f"{outputs[best]:.1%}" if softmax else f"score {outputs[best]:.3g}"
        return f"read as: {names[best]} ({value})"

    captions = [
        ([f"true: {names[labels[index]]}", answer(before[index])], [answer(after[index])])
        for index in chosen
    ]
    title = f"{method.upper()} at strength {strength:g} against {label}"
    return adversarial_pictures(images[chosen], adversarial[chosen], captions, strength, title)


def telling_strength(rows: Sequence[Row]) -> float:
    """Return the least strength that halves the accuracy, or else the largest; 0 if none."""
    half = rows[0]["accuracy"] / 2
    halving = (row for row in rows[1:] if row["accuracy"] <= half)
    return float(next(halving, rows[-1])["strength"])

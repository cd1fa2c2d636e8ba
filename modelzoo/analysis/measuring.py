"""Accuracy of networks on test images that are attacked, shifted, rotated, noisy or covered.

One batch at a time is in memory. Importing this starts no framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from modelzoo.analysis.corruptions import CORRUPTIONS, KINDS, check_kinds, strengths_for
from modelzoo.charts import Chart
from modelzoo.charts.curves import corruption_curves
from modelzoo.charts.explanations import adversarial_pictures
from modelzoo.charts.style import LOOKS
from modelzoo.config import Config
from modelzoo.data.datasets import check_dataset_name
from modelzoo.data.known_sets import output_names
from modelzoo.data.source import Dataset, ImageSource, as_text
from modelzoo.networks import reference
from modelzoo.support.errors import InputError
from modelzoo.support.terminal import ProgressBar
from modelzoo.training.device import start_framework
from modelzoo.training.prepare import stored_images
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:
    import keras

MOST_AT_ONCE = 256  # images
LARGE_BATCH_BYTES = 64_000_000  # of float32 images
SHOWN = 5  # adversarial images
Row = dict[str, Any]
Attack = Callable[..., np.ndarray]  # as `attacks.fgsm`
# A row to be completed, a network, and how images with labels are changed, once or several times.
Cell = tuple[Row, "keras.Model", Callable[[np.ndarray, np.ndarray], np.ndarray]]


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
    if not 1 <= count <= total:
        raise InputError(f"--images {count}: {data.name} has {total:,} test images")
    chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    return Pictures(data, data.x_test[chosen], data.y_test[chosen])


def attack(
    model: str | Path | Config,
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    epsilon: float = 0.1,
    *,
    weights: str | Path | None = None,
    method: Literal["fgsm", "pgd"] = "pgd",
    steps: int = 20,
    seed: int = 0,
) -> np.ndarray:
    """Change images a little, so that a network errs.

    Args:
        model: NAME or NAME/WEIGHTS, a path to a YAML, the folder of a run, or a configuration.
        images: as they are stored, (n, height, width) or (n, height, width, channels), uint8 or
            float in 0..255.
        labels: (n,), the right classes.
        epsilon: the most that a pixel changes, from 0 to 1, as a share of the range 0..255.
        weights: as for `load`.
        method: "fgsm", one step (Goodfellow, Shlens, Szegedy, 2015), or "pgd", many (Madry et al.,
            2018), which fools whatever the first does.
        steps: of each climb of PGD.
        seed: of the point from which PGD begins its second climb.

    Returns:
        float32 of the shape (n, height, width, channels), within 0..255 and within epsilon.

    Raises:
        InputError: the network does not take the images, or labels and epsilon are no such.

    Examples:
        >>> digits = modelzoo.load_dataset("mnist5k")
        >>> images, labels = digits.x_test[:20], digits.y_test[:20]
        >>> changed = modelzoo.attack("lenet5/mnist", images, labels, 0.1, method="fgsm")
        >>> float(np.abs(changed - images).max())
        25.5
    """
    source = resolve(model, weights)
    images, labels = stored_images(source.config, images), np.asarray(labels)
    classes = source.config.model.num_classes
    if labels.shape != images.shape[:1] or not np.isin(labels, range(classes)).all():
        raise InputError(f"attack: labels should be {len(images)} classes from 0 to {classes - 1}")
    if not 0 <= epsilon <= 1 or steps < 1:
        raise InputError(f"attack: epsilon {epsilon} or steps {steps}: give 0 to 1, and 1 or more")
    check_kinds([method], ("fgsm", "pgd"))
    with start_framework(source.config.trainer.backend).scope():
        return attacks(steps, seed)[method](build_scores(source)[0], images, labels, epsilon)


@dataclass(frozen=True)
class Robustness:
    """The accuracy of networks on changed test images."""

    rows: list[Row]  # of a network, a kind and a strength: `accuracy` from 0 to 1, …
    chart: Chart
    pictures: Pictures


def robustness(
    models: Source | str | Path | Config | Sequence[Source | str | Path | Config],
    kinds: str | Sequence[str] = CORRUPTIONS,
    strengths: Sequence[float] | None = None,
    *,
    dataset: str | None = None,
    images: int | None = 1000,
    seed: int = 0,
    device: str = "auto",
    notify: Callable[[str], None] = print,
) -> Robustness:
    """Measure networks on test images that are shifted, rotated, noisy, covered or attacked.

    Args:
        models: one, or several that take the same images, each NAME or NAME/WEIGHTS, a path to a
            YAML, the folder of a run, or a configuration.
        kinds: one or some of "shift", "rotation", "noise", "occlusion", "fgsm" and "pgd".
        strengths: of one kind, in its unit (pixels, degrees, grey levels, pixels, epsilon from 0
            to 1), in place of its own; 0 is always measured.
        dataset: whose test images; by default that of the weights.
        images: how many, drawn by the seed; None for all.
        seed: of all that is random.
        device: as for `Trainer`.
        notify: called with each notice.

    Returns:
        `rows`, for each network, kind and strength a dict with `model`, `kind`, `strength`,
        `accuracy` from 0 to 1, and `brightness` (see `corruption_rows`); and their `chart`.

    Raises:
        InputError: networks, data or strengths cannot be used, or networks not be compared.

    Examples:
        >>> found = modelzoo.robustness("lenet5/mnist", ["shift"], [0, 6], dataset="mnist5k")
        >>> [round(row["accuracy"], 1) for row in found.rows]
        [1.0, 0.4]
    """
    given = [models] if isinstance(models, Source | str | Path | Config) else list(models)
    kinds = [kinds] if isinstance(kinds, str) else list(kinds) or CORRUPTIONS
    check_kinds(kinds, KINDS)
    if strengths is not None and len(kinds) != 1:
        raise InputError("--strengths: are of one kind; name it with --kinds")
    if not 1 <= len(given) <= len(LOOKS):
        raise InputError(f"{len(given)} networks: at most {len(LOOKS)} fit in one chart")
    sources = [
        each if isinstance(each, Source) else resolve(each, dataset=dataset, for_scores=True)
        for each in given
    ]
    check_comparable(sources)
    for notice in filter(None, (each.notice for each in sources)):
        notify(notice)
    side = min(sources[0].config.image_shape[:2])
    wanted = {kind: strengths_for(kind, side, strengths) for kind in kinds}
    with start_framework(sources[0].config.trainer.backend, device).scope():
        pictures = open_pictures(sources, images, seed, notify)
        networks = {source.label: build_scores(source)[0] for source in sources}
        rows = corruption_rows(networks, pictures, wanted, seed)
    titles = {name: kind.title for name, kind in KINDS.items()}
    chart = corruption_curves(rows, titles, f"Accuracy on changed images, {pictures.described}")
    return Robustness(rows, chart, pictures)


def attacks(steps: int, seed: int, restarts: int = 1) -> dict[str, Attack]:
    """Return the methods of attack. A framework runs by then."""
    from modelzoo.analysis.attacks import fgsm, pgd

    return {"fgsm": fgsm, "pgd": partial(pgd, steps=steps, seed=seed, restarts=restarts)}


def corruption_rows(
    models: Mapping[str, keras.Model],
    pictures: Pictures,
    strengths: Mapping[str, Sequence[float]],
    seed: int,
    steps: int = 20,
) -> list[Row]:
    """Return a row a network, kind and strength; every network is shown the same images.

    `accuracy`, 0 to 1, is over all images and directions. `brightness` is the sum of all pixels
    as a share of that of the images as they are: on a black ground, how much of the ink a shift
    or a turn leaves in the field. `steps` are those of PGD.
    """
    cells: list[Cell] = []
    for label, model in models.items():
        for kind, wanted in strengths.items():
            for strength in wanted:
                row = {"model": label, "kind": kind, "strength": strength}
                if KINDS[kind].change:
                    # The same draws for every network and strength: curves differ by these alone.
                    draw = np.random.default_rng([seed, list(KINDS).index(kind)])
                    change = partial(_corrupted, kind, strength, draw)
                else:
                    change = partial(attacks(steps, seed)[kind], model, strength=strength)
                cells.append((row, model, change))
    return _measured(cells, pictures)


def _corrupted(
    kind: str, strength: float, draw: np.random.Generator, images: np.ndarray, _: np.ndarray
) -> np.ndarray:
    change = KINDS[kind].change
    return np.concatenate([*change(images, strength, draw)]) if change else images


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

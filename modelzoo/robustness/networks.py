"""The networks that a command names, and the pictures that they are measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.data.datasets import check_dataset_name
from modelzoo.data.source import ImageSource, as_text
from modelzoo.errors import InputError

if TYPE_CHECKING:
    import keras

    from modelzoo.resolve import Source


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
    from modelzoo.explain import before_softmax, on_pictures

    network = source.build()
    scores = before_softmax(network)
    return on_pictures(scores, source.config), scores is not network


def check_comparable(networks: Sequence[Source]) -> None:
    """Refuse networks that cannot be shown the same test pictures, before anything is opened.

    Raises:
        InputError: two have the same name, are for other data sets, or take pictures of other
            shapes.
    """
    for each in networks:
        check_dataset_name(each.dataset)
    first, names = networks[0], [network.label for network in networks]
    for other in networks[1:]:
        if names.count(other.label) > 1:
            raise InputError(f"{other.label} is named twice")
        if other.dataset != first.dataset:
            raise InputError(
                f"{first.label} is for {first.dataset}, {other.label} for {other.dataset}: "
                "--dataset D names one for all"
            )
        if other.image_shape != first.image_shape:
            raise InputError(
                f"{first.label} takes pictures of {as_text(first.image_shape)}, {other.label} of "
                f"{as_text(other.image_shape)}: they cannot be shown the same ones"
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
    from modelzoo.training.prepare import open_dataset

    data = open_dataset(networks[0].config, notify)
    for each in networks:
        if each.config["model"]["num_classes"] < len(data.class_names):
            raise InputError(
                f"{data.name} has {len(data.class_names)} classes, but {each.label} tells "
                f"{each.config['model']['num_classes']} apart"
            )
    total = len(data.y_test)
    images, labels = data.x_test, data.y_test
    if count is not None and count > total:
        raise InputError(f"--images {count}: {data.name} has {total:,} test images")
    if count is not None and count < total:
        chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
        images, labels = images[chosen], labels[chosen]
    return Pictures(data.name, images, labels, total, data.class_names, data.note)

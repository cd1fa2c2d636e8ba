"""The networks that a command names, and the pictures that they are measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelzoo.config import Config, load_config
from modelzoo.data.datasets import check_dataset_name
from modelzoo.data.entry import entry_shape
from modelzoo.data.source import ImageShape, ImageSource, as_text
from modelzoo.errors import InputError
from modelzoo.files import is_there
from modelzoo.weights.published import as_published, published_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Named:
    """A network with its weights, not yet built.

    Attributes:
        label: "lenet5/mnist", or the name of a run's folder.
        config: for the data set that the weights were made for, unless another was asked for.
        weights: their file.
        published_accuracy: on the test set of that data set, 0 to 1, if it is published.
    """

    label: str
    config: Config
    weights: Path
    published_accuracy: float | None = None

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return str(self.config["data"]["dataset"])

    @property
    def picture_shape(self) -> ImageShape:
        """Height, width and channels of the pictures that enter its preprocessing."""
        data = self.config["data"]
        return entry_shape(
            self.config["model"]["input_shape"], data["preprocessing"], data["image_size"]
        )

    def build(self) -> tuple[keras.Model, bool]:
        """Return a model from pictures in 0..255 to scores, and whether they go into a softmax."""
        from modelzoo.explain import before_softmax, on_pictures
        from modelzoo.weights.reader import load_weights
        from modelzoo.zoo import build

        network = build(self.config)
        load_weights(network, self.weights)
        scores = before_softmax(network)
        return on_pictures(scores, self.config), scores is not network


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


def find_network(
    name: str,
    *,
    weights: str | None = None,
    dataset: str | None = None,
    backend: str | None = None,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Named:
    """Find a network's configuration and weights; fetch the weights if need be.

    Args:
        name: NAME or NAME/WEIGHTS, a YAML, or the folder of a run.
        weights: as for `modelzoo.load`, instead of those in `name`.
        dataset: in place of the one that the weights were made for.
        backend: in place of the configuration's.
        sha256: as for `modelzoo.load`.
        allow_unverified: as for `modelzoo.load`.

    Raises:
        InputError: there is no such network, or its weights are not to be had.
    """
    from modelzoo.weights.find import find_weights

    model, inner = _split(name)
    if inner and weights is not None:
        raise InputError(f"{name} names weights already; leave out --weights {weights:.80}")
    weights = weights or inner
    config = load_config(model, dataset=dataset)
    if backend is not None:
        config = config.with_values({"trainer": {"backend": backend}}, "--backend")
    published = published_weights(config, model, weights)
    if published is not None and dataset is None:
        config = as_published(config, published)
    path = find_weights(config, model, weights, sha256=sha256, allow_unverified=allow_unverified)
    check_dataset_name(config["data"]["dataset"])
    if published is None:
        of_a_run = is_there(Path(model) / "config.yaml") and weights is None
        return Named(Path(model).resolve().name if of_a_run else config.name, config, path)
    scores, label = published.scores, f"{config.name}/{published.name}"
    same = (scores.dataset, scores.split) == (config["data"]["dataset"], "test")
    return Named(label, config, path, scores.accuracy if same else None)


def check_comparable(networks: Sequence[Named]) -> None:
    """Refuse networks that cannot be shown the same test pictures, before anything is opened.

    Raises:
        InputError: two have the same name, are for other data sets, or take pictures of other
            shapes.
    """
    first, names = networks[0], [network.label for network in networks]
    for other in networks[1:]:
        if names.count(other.label) > 1:
            raise InputError(f"{other.label} is named twice")
        if other.dataset != first.dataset:
            raise InputError(
                f"{first.label} is for {first.dataset}, {other.label} for {other.dataset}: "
                "--dataset D names one for all"
            )
        if other.picture_shape != first.picture_shape:
            raise InputError(
                f"{first.label} takes pictures of {as_text(first.picture_shape)}, {other.label} of "
                f"{as_text(other.picture_shape)}: they cannot be shown the same ones"
            )


def open_pictures(
    networks: Sequence[Named], count: int | None, seed: int, notify: Callable[[str], None]
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


def _split(name: str) -> tuple[str, str | None]:
    """Read "lenet5", "lenet5/mnist", "my/own.yaml", "my/own.yaml/mnist" or a run's folder."""
    model, slash, weights = name.rpartition("/")
    if not slash or is_there(Path(name)) or name.endswith((".yaml", ".yml")):
        return name, None
    return (model, weights) if weights else (name, None)

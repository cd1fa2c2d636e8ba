"""Which network, which weights, which data: the one answer that all commands and calls share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelzoo.config import Config, list_models, load_config, split_reference
from modelzoo.config.published import PublishedWeights, Scores
from modelzoo.support.errors import InputError
from modelzoo.support.files import is_there
from modelzoo.weights.store import find_weights, named_weights, no_weights

if TYPE_CHECKING:
    import keras

    from modelzoo.networks import Network
    from modelzoo.networks.forward import Forward


@dataclass(frozen=True)
class Source:
    """A network with its weights, not yet built."""

    config: Config  # for the data set that the weights were trained on, or that was asked for
    weights: Path  # their file
    label: str  # "lenet5/mnist", the name of a run's folder, or that of the network
    published: PublishedWeights | None = None  # None for a file, an address or a run
    trained_on: str | None = None  # a data set; None if unknown

    @property
    def dataset(self) -> str:
        """The name of the configuration's data set."""
        return str(self.config.data.dataset)

    @property
    def name(self) -> str:
        """What `--json` calls the weights: their published name, or their file."""
        return self.published.name if self.published else str(self.weights)

    def published_scores(self, dataset: str, split: str = "test") -> Scores | None:
        """Return what is published of the weights on a split of a data set, if anything."""
        scores = self.published.scores if self.published else None
        return scores if scores and (scores.dataset, scores.split) == (dataset, split) else None

    @property
    def notice(self) -> str | None:
        """What a reader of a score has to know where the weights belong to another data set."""
        if self.trained_on is None or _same_images(self.trained_on, self.dataset):
            return None
        return (
            f"{self.label} was trained on {self.trained_on}, not on {self.dataset}: the classes "
            f"that it predicts are counted as those of {self.dataset}"
        )

    def forward(self, change: Callable[[Network], Network] | None = None) -> Forward | None:
        """Return the network, changed, as NumPy computes it; None if it has other layers."""
        from modelzoo.networks.forward import Forward, is_computed
        from modelzoo.weights.reader import arrays_for
        from modelzoo.weights.stored import read_stored

        network = self.config.network
        if network is None or not is_computed(network):
            return None
        computed = change(network) if change else network
        return Forward(computed, arrays_for(network, read_stored(self.weights)))

    def build(self) -> keras.Model:
        """Build the network and load the weights into it. A framework runs by then."""
        from modelzoo.training.prepare import build_network
        from modelzoo.weights.reader import load_weights

        network = build_network(self.config)
        load_weights(network, self.weights)
        return network


def configure(
    model: str | Path | Config | None,
    weights: str | Path | None = None,
    *,
    config_file: str | Path | None = None,
    dataset: str | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Config, str | Path | None]:
    """Return the configuration that a reference names, and the weights, if any are named.

    With NAME/WEIGHTS, it is for the data set that they were trained on, unless `dataset` names one.
    """
    if isinstance(model, Config):
        return model, weights
    name, inner = split_reference(model)
    config = load_config(name, config_file=config_file, dataset=dataset, overrides=overrides)
    if inner is None:
        return config, weights
    published = named_weights(config, inner)
    if published is None:
        raise no_weights(config, inner)
    if weights is not None:
        raise InputError(f"{model} names weights already; leave out {weights!s:.80}")
    if not config.is_asked("data.dataset"):
        config = config.with_dataset(published.scores.dataset)  # with the names of its classes
    return config, inner


def resolve(
    model: str | Path | Config | None,
    weights: str | Path | None = None,
    *,
    config_file: str | Path | None = None,
    dataset: str | None = None,
    overrides: Sequence[str] = (),
    sha256: str | None = None,
    allow_unverified: bool = False,
    for_scores: bool = False,
) -> Source:
    """Find a network's configuration and the weights that belong to it; fetch them if need be.

    Weights bring their data set with its class names, and those of a run its whole configuration.
    By default they are the run's own, or the first published ones for the configuration's data set.
    `model` is NAME, NAME/WEIGHTS, a YAML, the folder of a run, or a configuration; `weights` a
    published name, a file, the folder of a run, or an address. With `for_scores`, weights may have
    been trained on another data set than the one asked for: that gives a number, with
    `Source.notice` beside it, where a prediction would be wrong.
    """
    given = isinstance(model, Config)
    config, weights = configure(
        model, weights, config_file=config_file, dataset=dataset, overrides=overrides
    )
    asked = config.is_asked("data.dataset") and not given
    published, trained_on, label = None, None, config.name
    if run := _run_of(model, config, weights):
        file = run / "config.yaml"
        own = load_config(file)
        trained_on, label = str(own.data.dataset), run.resolve().name
        if not given:
            built, wanted = own.model.builder, config.model.builder
            if built != wanted:
                raise InputError(
                    f"{run}: is a run of {own.name} (built by {built}), not of {config.name} "
                    f"(built by {wanted}); --model {run} takes its network, too"
                )
            config = load_config(
                file, config_file=config_file, dataset=dataset, overrides=overrides
            )
    elif published := _published(config, weights, for_scores):
        trained_on, label = published.scores.dataset, f"{config.name}/{published.name}"
        if not asked and (weights is not None or _belongs(config, published)):
            config = config.with_dataset(trained_on)  # with the names of its classes
    wanted = config.data.dataset
    if not for_scores and not given and trained_on and not _same_images(trained_on, wanted):
        from modelzoo.data.datasets import check_dataset_name

        check_dataset_name(wanted)
        raise InputError(
            f"{label} was trained on {trained_on}, not on {wanted}: its predictions would get "
            f"the wrong class names\nLeave out the data set, or name weights for {wanted}"
        )
    named = run or (published.name if published else str(weights))
    path = find_weights(config, named, sha256=sha256, allow_unverified=allow_unverified)
    return Source(config, path, label, published, trained_on)


def _published(
    config: Config, weights: str | Path | None, any_data: bool
) -> PublishedWeights | None:
    """Return the published weights of a name, if any, or the first for the data set."""
    if weights is not None:
        return named_weights(config, weights)
    if not config.weights:
        raise InputError(
            f"{config.name}: which weights? None are published for it yet: give the path of a file "
            "or of a run's folder, or an address"
        )
    found = [entry for entry in config.weights if _belongs(config, entry)]
    if found or any_data:
        return (found or config.weights)[0]
    from modelzoo.data.datasets import check_dataset_name

    dataset = config.data.dataset
    check_dataset_name(dataset)
    known = ", ".join(f"{each.name} (for {each.scores.dataset})" for each in config.weights)
    raise InputError(
        f"{config.name}: no weights are published for {dataset}; there are: {known}\n"
        f"Train it on {dataset}, and name the run's folder"
    )


def _belongs(config: Config, published: PublishedWeights) -> bool:
    """Whether weights are for the configuration's data set, or come later than its name."""
    return config.inherits_dataset or _same_images(published.scores.dataset, config.data.dataset)


def _run_of(
    model: str | Path | Config | None, config: Config, weights: str | Path | None
) -> Path | None:
    """Return the folder of the run whose best weights are meant, if any."""
    if weights is not None:
        named = None if named_weights(config, weights) else weights
    else:  # a packaged name goes before a folder of that name
        named = None if isinstance(model, Config) or model in list_models() else model
    if named is None:
        return None
    path = Path(named)
    if path.name == "best.weights.h5":
        path = path.parent
    whole = is_there(path / "best.weights.h5") and is_there(path / "config.yaml")
    return path if whole else None


# Data sets bring NumPy, which `info` does without.
def _same_images(one: str, other: str) -> bool:
    from modelzoo.data.known_sets import same_images

    return same_images(one, other)

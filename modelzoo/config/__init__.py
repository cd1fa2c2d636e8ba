"""Find, read, inherit, override and check a YAML configuration. Starts no framework."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from msgspec import to_builtins
from msgspec.structs import asdict

from modelzoo.config.layers import (
    Layer,
    check_top_level,
    flat,
    merge_layers,
    nested,
    parse_override,
    read_yaml,
    where_given,
)
from modelzoo.config.published import PublishedWeights, parse_weights
from modelzoo.config.sections import (
    SECTIONS,
    TOP_LEVEL,
    About,
    Compile,
    Data,
    Fit,
    Image,
    Model,
    Trainer,
    check_labels_suit_loss,
    entry_shape,
    read_section,
)
from modelzoo.config.sections import register as register
from modelzoo.networks import BUILDERS, Network
from modelzoo.support.errors import InputError, unknown
from modelzoo.support.files import is_there

SCHEDULE = "compile.optimizer.config.learning_rate"
STEPS = ("warmup_steps", "decay_steps", "first_decay_steps", "boundaries")  # of schedules


@dataclass(frozen=True)
class Config:
    """A configuration, complete and checked; `load_config` reads one.

    Its sections are attributes, whose fields are the keys of the YAML: `about`, `model`, `data`,
    `image`, `compile`, `fit`, `trainer` and `weights`.

    Examples:
        >>> config = modelzoo.load_config("lenet5")
        >>> config.name, config.data.dataset, config.image_shape
        ('lenet5', 'mnist', (28, 28, 1))
        >>> config.with_values({"fit": {"epochs": 3}}, "here").fit.epochs
        3
    """

    name: str  # as in `--model`, and in the name of a run
    about: About
    model: Model
    data: Data
    image: Image
    compile: Compile
    fit: Fit
    trainer: Trainer
    weights: list[PublishedWeights]  # the default first
    layers: tuple[Layer, ...] = field(repr=False)

    @property
    def builder(self) -> Callable[..., Any]:
        """The function that builds the network."""
        return BUILDERS[self.model.builder]

    @property
    def builder_arguments(self) -> dict[str, Any]:
        """The keyword arguments for `builder`."""
        return {key: value for key, value in asdict(self.model).items() if key != "builder"}

    @property
    def network(self) -> Network | None:
        """The description of the network; None if its builder makes a Keras model instead.

        A builder makes descriptions if its return annotation is `Network`.

        Raises:
            InputError: an argument of the `model` section is out of range.
        """
        if self.builder.__annotations__.get("return") not in (Network, "Network"):
            return None
        try:
            network: Network = self.builder(**self.builder_arguments)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
        return network

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that enter the preprocessing."""
        data = self.data
        return entry_shape(self.model.input_shape, data.preprocessing, data.image_size)

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """The sections as in a YAML: plain dicts, lists, strings and numbers."""
        return {section: to_builtins(getattr(self, section)) for section in SECTIONS}

    def with_values(
        self, values: Mapping[str, Any], origin: str, *, asked: bool = True
    ) -> "Config":
        """Return this configuration with `values`, nested as in the YAML, in place of earlier ones.

        `origin` is where they come from, for messages. What was not `asked` for but found out by
        the program, such as a number of classes, replaces only what files say.
        """
        return _assemble(self.name, [*self.layers, Layer(dict(values), origin, asked=asked)])

    def with_overrides(self, overrides: Sequence[str]) -> "Config":
        """Return this configuration with "SECTION.KEY=VALUE" laid over it, VALUE in YAML."""
        return _assemble(self.name, [*self.layers, *map(parse_override, overrides)])

    def with_epochs(self, epochs: int, origin: str = "with_epochs") -> "Config":
        """Return it trained for so many epochs, with a learning-rate schedule of that length.

        The schedule's steps are shortened or stretched as the epochs are, unless they were asked
        for by themselves.
        """
        values: dict[str, Any] = {"fit": {"epochs": epochs}}
        schedule = self.value(f"{SCHEDULE}.config")
        steps = [key for key in STEPS if isinstance(schedule, dict) and schedule.get(key)]
        if steps and not any(self.is_asked(f"{SCHEDULE}.config.{key}") for key in steps):
            share = epochs / self.fit.epochs
            values |= nested(f"{SCHEDULE}.config", {k: _scaled(schedule[k], share) for k in steps})
        return self.with_values(values, origin)

    def with_dataset(self, dataset: str) -> "Config":
        """Return this configuration for another data set, `per_dataset` applied."""
        return self.with_values({"data": {"dataset": dataset}}, "the choice of data set")

    def is_asked(self, key: str) -> bool:
        """Whether an option or an argument gives `key`, such as "model.num_classes"."""
        return any(layer.asked and layer.holds(key) for layer in self.layers)

    @property
    def inherits_dataset(self) -> bool:
        """Whether the published weights come from a file above the one that names the data set."""
        for layer in reversed(self.layers):
            if layer.holds("data.dataset") or layer.holds("weights"):
                return not layer.holds("data.dataset")
        return False

    def differences(self, other: "Config") -> Iterator[str]:
        """Yield the keys whose value `other` has otherwise, the innermost ones."""
        own, its = flat(self.sections), flat(other.sections)
        for key in {**own, **its}:
            values = own.get(key), its.get(key)
            inside = all(isinstance(value, dict) for value in values)  # the keys below it follow
            if values[0] != values[1] and not inside:
                yield key

    def value(self, key: str) -> Any:
        """Return the value of a key such as "compile.optimizer.config.learning_rate", or None."""
        return flat(self.sections).get(key)

    def origin(self, key: str) -> str:
        """Return what gave a key its value: a file with its line, or an option."""
        return where_given(key, self.layers)

    def to_yaml(self) -> str:
        """Return the resolved configuration: running it again repeats the run."""
        return yaml.safe_dump(
            {"name": self.name, **self.sections}, sort_keys=False, allow_unicode=True, width=100
        )


def _scaled(steps: Any, share: float) -> Any:
    if isinstance(steps, list | tuple):
        return [_scaled(each, share) for each in steps]
    return max(1, round(steps * share))


def load_config(
    model: str | Path | None = None,
    *,
    config_file: str | Path | None = None,
    dataset: str | None = None,
    overrides: Sequence[str] = (),
) -> Config:
    """Read the configuration of a network.

    Args:
        model: a packaged name such as "lenet5", a path to a YAML, or the folder of a run.
        config_file: a YAML whose keys are laid over the model's, or stand alone without `model`.
        dataset: in place of `data.dataset`; what the YAML says under `per_dataset` is applied.
        overrides: "SECTION.KEY=VALUE", with VALUE in YAML.

    What is said later replaces what was said earlier: the YAML's bases, the YAML, `config_file`,
    `dataset`, `overrides`, and then what is laid over the configuration that this returns.

    Raises:
        InputError: naming the file, the line, the key and the nearest right name.

    Examples:
        >>> config = modelzoo.load_config("lenet5", dataset="mnist5k", overrides=["fit.epochs=3"])
        >>> config.fit.epochs, config.data.dataset
        (3, 'mnist5k')
    """
    if model is None and config_file is None:
        raise InputError(f"no model given; choose one of {', '.join(list_models())}")
    paths = [] if model is None else [find_config(model)]
    if config_file is not None:
        paths.append(Path(config_file))
    files = [_read_with_bases(path) for path in paths]
    layers = [layer for each in files for layer in each]
    if dataset is not None:
        layers.append(Layer({"data": {"dataset": dataset}}, "--dataset", asked=True))
    layers += map(parse_override, overrides)
    return _assemble(_name_of(paths[0], files[0]), layers)


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the packaged networks, sorted.

    Args:
        pattern: of the names wanted, as in a shell: `*` stands for anything, `?` for a letter.

    Returns:
        Names for `load`, `build` and `load_config`; none if no name fits.

    Examples:
        >>> modelzoo.list_models("lenet5_1998*")
        ['lenet5_1998', 'lenet5_1998_distorted']
    """
    names = sorted(path.stem for path in packaged_folder().glob("*.yaml"))
    return [name for name in names if fnmatchcase(name, pattern)]


def find_config(model: str | Path) -> Path:
    """Return the YAML of a packaged name, of a run's folder, or the path itself."""
    text = str(model)
    packaged = packaged_folder() / f"{text}.yaml"
    if re.fullmatch(r"\w[\w.-]*", text) and is_there(packaged):
        return packaged
    path = Path(model)
    if is_there(path / "config.yaml"):
        return path / "config.yaml"
    if path.suffix in (".yaml", ".yml") or is_there(path):
        return path
    raise unknown("model", text, list_models())


def split_reference(name: str | Path | None) -> tuple[str | Path | None, str | None]:
    """Divide "lenet5/mnist" or "my/own.yaml/mnist"; all else is a network without weights."""
    head, slash, tail = name.rpartition("/") if isinstance(name, str) else ("", "", "")
    known = head in list_models() or head.endswith((".yaml", ".yml"))
    if slash and tail and known and not is_there(Path(str(name))):
        return head, tail
    return name, None


def packaged_folder() -> Path:
    """Return where the YAML files of the package are."""
    inside = Path(__file__).parents[1] / "configs"  # in a wheel
    return inside if inside.is_dir() else Path(__file__).parents[2] / "configs"  # in a checkout


def _name_of(path: Path, layers: Sequence[Layer]) -> str:
    name = layers[-1].values.get("name", path.stem)
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{path}: name: {name!r} should be letters, digits, '.', '_' and '-'")
    return name


def _read_with_bases(path: Path, seen: tuple[Path, ...] = ()) -> list[Layer]:
    """Return the layers of a YAML: its bases first, itself last."""
    layer = read_yaml(path)
    if path.resolve() in seen:
        raise InputError(f"{path}: base: the files inherit from each other in a circle")
    base = layer.values.get("base")
    if base is None:
        return [layer]
    if not isinstance(base, str):
        raise InputError(f"{layer.place('base')}: base: should be a model's name or a path")
    beside = path.parent / base
    try:
        base_path = find_config(beside if is_there(beside) else base)
        inherited = _read_with_bases(base_path, (*seen, path.resolve()))
    except InputError as error:
        raise InputError(f"{layer.place('base')}: base: {error}") from None
    for each in inherited:  # published weights and facts belong to their network
        for section in ("weights", "about", "name"):
            each.values.pop(section, None)
    return [*inherited, layer]


def _assemble(name: str, layers: Iterable[Layer]) -> Config:
    """Lay each layer over those before it, what was asked for on top, and check the outcome."""
    layers = tuple(sorted(layers, key=lambda layer: layer.asked))
    for layer in layers:
        check_top_level(layer, TOP_LEVEL)
    dataset = str(flat(merge_layers(layers)).get("data.dataset"))
    # What a file says of the data set counts with that file, not above later ones.
    ordered = [each for layer in layers for each in (layer, _for_dataset(layer, dataset))]
    merged = merge_layers(ordered)

    def place(key: str) -> str:
        return where_given(key, ordered)

    checked = {each: read_section(each, merged.get(each), place) for each in SECTIONS}
    check_labels_suit_loss(checked, place)
    # A `file:` source counts from the folder of the YAML that holds it.
    holder = next((each for each in reversed(ordered) if each.holds("weights")), None)
    folder = Path(holder.source).absolute().parent if holder and holder.lines else None
    weights = parse_weights(merged.get("weights"), place, folder)
    return Config(name, **checked, weights=weights, layers=layers)


def _for_dataset(layer: Layer, dataset: str) -> Layer:
    """Return what `per_dataset` of a layer changes for this data set."""
    table = layer.values.get("per_dataset") or {}
    if not isinstance(table, dict) or not all(isinstance(v, dict) for v in table.values()):
        where = layer.place("per_dataset")
        raise InputError(f"{where}: per_dataset: should hold sections below names of data sets")
    prefix = f"per_dataset.{dataset}."
    lines = {k.removeprefix(prefix): n for k, n in layer.lines.items() if k.startswith(prefix)}
    special = Layer(table.get(dataset, {}), layer.source, lines)
    check_top_level(special, SECTIONS)
    return special

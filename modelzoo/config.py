"""Find, read, inherit, override and check a YAML configuration. Starts no framework.

Each section is the keyword arguments of one call, and its keys and types are read from that call:
`model` of the builder, `data` of `data.pipeline.data_options`, `image` of `image_options` here,
`compile` and `fit` of the Keras methods, `trainer` of the Trainer.
"""

import copy
import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec
import yaml

from modelzoo.errors import InputError
from modelzoo.models import BUILDERS
from modelzoo.weights.registry import PublishedWeights, parse_weights

MAX_BYTES = 1_000_000  # a configuration is a page of text
MAX_DEPTH = 20
KerasObject = str | dict[str, Any]  # a class name, or {class_name: ..., config: {...}}


def model_about(
    title: str = "", year: int | None = None, parameters: int | None = None, source: str = ""
) -> None:
    """`about:` what `list` and `info` say of a network; tests hold it against the network."""


def image_options(
    fit: Literal["digit", "contain", "cover", "stretch"] = "cover",
    ink: Literal["as_is", "light"] = "as_is",
) -> None:
    """`image:` how `modelzoo.data.images.read_image` brings a picture file to the input shape."""


def data_options(
    dataset: str,
    batch_size: int = 32,
    validation_split: int | float = 0.1,
    preprocessing: Sequence[KerasObject] = (),
    augmentation: Sequence[KerasObject] = (),
    label_mode: Literal["int", "categorical"] = "int",
    class_names: Sequence[str] | None = None,
) -> None:
    """`data:` what `modelzoo.data.pipeline.InputPipeline` loads, scales and augments."""


def compile_options(
    optimizer: KerasObject,
    loss: KerasObject,
    metrics: Sequence[KerasObject] = ("accuracy",),
    steps_per_execution: int = 1,
    jit_compile: bool | Literal["auto"] = "auto",
    run_eagerly: bool = False,
    auto_scale_loss: bool = True,
) -> None:
    """`compile:` the arguments of `keras.Model.compile` that a classifier needs."""


def fit_options(
    epochs: int,
    callbacks: Sequence[KerasObject] = (),
    class_weight: dict[int, float] | None = None,
) -> None:
    """`fit:` the arguments of `keras.Model.fit` that are not the trainer's own."""


def trainer_options(
    seed: int = 0,
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32",
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow",
) -> None:
    """`trainer:` the arguments of `modelzoo.Trainer` that a run must repeat."""


SECTIONS: dict[str, Callable[..., None]] = {
    "about": model_about,
    "data": data_options,
    "image": image_options,
    "compile": compile_options,
    "fit": fit_options,
    "trainer": trainer_options,
}
COUNTS = {"data": ("batch_size",), "compile": ("steps_per_execution",), "fit": ("epochs",)}
TOP_LEVEL = ("base", "name", "model", *SECTIONS, "per_dataset", "weights")


@dataclass(frozen=True)
class Config:
    """A configuration, complete and checked.

    Attributes:
        name: the network's name, as in `--model` and in the name of a run.
        sections: the sections, defaults filled in; plain dicts, lists, strings and numbers.
        weights: the published weights, the default first.
        layers: what the sections were merged from, so that another data set can be chosen.
    """

    name: str
    sections: dict[str, dict[str, Any]]
    weights: list[PublishedWeights]
    layers: tuple["_Layer", ...] = field(repr=False)

    def __getitem__(self, section: str) -> dict[str, Any]:
        return self.sections[section]

    @property
    def builder(self) -> Callable[..., Any]:
        """The function that builds the network."""
        return BUILDERS[self.sections["model"]["builder"]]

    @property
    def builder_arguments(self) -> dict[str, Any]:
        """The keyword arguments for `builder`."""
        return {key: value for key, value in self["model"].items() if key != "builder"}

    def with_values(self, values: Mapping[str, Any], origin: str) -> "Config":
        """Return this configuration with `values`, nested as in the YAML, laid over it."""
        return _assemble(self.name, (*self.layers, _Layer(dict(values), _Origins(origin))))

    def with_dataset(self, dataset: str) -> "Config":
        """Return this configuration for another data set, `per_dataset` applied, overrides kept."""
        choice = {"data": {"dataset": dataset}}
        layer = _Layer(choice, _Origins("the choice of data set"), by_hand=True)
        return _assemble(self.name, (*self.layers, layer))

    def is_set(self, key: str) -> bool:
        """Whether `key`, such as "model.num_classes", was given by hand and not by a YAML."""
        return any(layer.by_hand and _lookup(layer.values, key) for layer in self.layers)

    def to_yaml(self) -> str:
        """Return the resolved configuration: running it again repeats the run."""
        return yaml.safe_dump(
            {"name": self.name, **self.sections}, sort_keys=False, allow_unicode=True, width=100
        )


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
        overrides: "SECTION.KEY=VALUE", with VALUE in YAML; they win over everything else.

    Raises:
        InputError: naming the file, the line, the key and the nearest right name.
    """
    if model is None and config_file is None:
        raise InputError(f"no model given; choose one of {', '.join(list_models())}")
    layers: list[_Layer] = []
    name = ""
    if model is not None:
        path = find_config(model)
        layers += _read_with_bases(path)
        name = _name_of(path, layers)
    if config_file is not None:
        path = Path(config_file)
        file_layers = _read_with_bases(path)
        name = name or _name_of(path, file_layers)
        layers += file_layers
    if dataset is not None:
        layers.append(_Layer({"data": {"dataset": dataset}}, _Origins("--dataset")))
    layers += [_parse_override(text) for text in overrides]
    return _assemble(name, tuple(layers))


def list_models() -> list[str]:
    """Return the names of the packaged configurations, sorted."""
    return sorted(path.stem for path in _packaged_folder().glob("*.yaml"))


def find_config(model: str | Path) -> Path:
    """Return the YAML of a packaged name, of a run's folder, or the path itself.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    text = str(model)
    packaged = _packaged_folder() / f"{text}.yaml"
    if re.fullmatch(r"\w[\w.-]*", text) and is_there(packaged):
        return packaged
    path = Path(model)
    if is_there(path / "config.yaml"):
        return path / "config.yaml"
    if path.suffix in (".yaml", ".yml") or is_there(path):
        return path
    raise InputError(f"unknown model {text!r}{suggest(text, list_models())}")


def is_there(path: Path) -> bool:
    """Whether a file or folder can be seen; False also for a name that no file can have."""
    try:
        path.stat()
    except (OSError, ValueError):  # ValueError: a zero byte
        return False
    return True


def suggest(wrong: str, right: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for a near miss, else the whole choice if it is a short one."""
    names = sorted(right)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(names)}" if len(names) <= 30 else ""


def parameters_of(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return {argument: (type hint, default)} of a section's call, read without a framework."""
    keras = types.SimpleNamespace(Model=object)  # the builders name it in their return type only
    hints = typing.get_type_hints(function, localns={"keras": keras})
    signature = inspect.signature(function)
    return {name: (hints[name], each.default) for name, each in signature.parameters.items()}


# Reading


@dataclass(frozen=True)
class _Origins:
    """Where keys come from: a file with a line for each key, or an option of the command line."""

    source: str
    lines: Mapping[str, int] = field(default_factory=dict)

    def of(self, key: str) -> str:
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.source}, line {self.lines[key]}" if key else self.source


@dataclass(frozen=True)
class _Layer:
    """One source of keys: a YAML, a base of it, or an override."""

    values: dict[str, Any]
    origins: _Origins
    by_hand: bool = False


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 floats: 1e-3 is a number, not a string.

    Without aliases, a few of which can stand for billions of values, and without endless nesting.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            self._refuse(f"the alias *{event.anchor} is not allowed; write the value out", event)
        if self._depth == MAX_DEPTH:
            self._refuse(f"nested more than {MAX_DEPTH} deep", self.peek_event())
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def _refuse(self, problem: str, event: yaml.Event) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _packaged_folder() -> Path:
    inside = Path(__file__).parent / "configs"  # in a wheel
    return inside if inside.is_dir() else Path(__file__).parents[1] / "configs"  # in a checkout


def _name_of(path: Path, layers: Sequence[_Layer]) -> str:
    name = layers[-1].values.get("name", path.stem)
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{path}: name: {name!r} should be letters, digits, '.', '_' and '-'")
    return name


def _read_with_bases(path: Path, seen: tuple[Path, ...] = ()) -> list[_Layer]:
    """Return the layers of a YAML: its bases first, itself last."""
    layer = read_yaml(path)
    if path.resolve() in seen:
        raise InputError(f"{path}: base: the files inherit from each other in a circle")
    base = layer.values.get("base")
    if base is None:
        return [layer]
    if not isinstance(base, str):
        raise InputError(f"{layer.origins.of('base')}: base: should be a model's name or a path")
    beside = path.parent / base
    try:
        base_path = beside if is_there(beside) else find_config(base)
        if not is_there(base_path):
            raise InputError(f"{base}: no such file")
    except InputError as error:
        raise InputError(f"{layer.origins.of('base')}: base: {error}") from None
    inherited = _read_with_bases(base_path, (*seen, path.resolve()))
    # Published weights and facts belong to the network that they were written for.
    kept = [
        _Layer(
            {k: v for k, v in each.values.items() if k not in ("weights", "about", "name")},
            each.origins,
        )
        for each in inherited
    ]
    return [*kept, layer]


def read_yaml(path: Path) -> _Layer:
    """Read one YAML file into plain values, with the line of every key.

    Raises:
        InputError: it cannot be read, is not YAML, holds a tag or an alias, repeats a key, or is
            not a mapping.
    """
    text = _read_text(path)
    lines: dict[str, int] = {}
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            _check_nodes(node, "", lines, path)
            values = loader.construct_document(node)
        else:
            values = None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path}{line}: not a plain YAML configuration: {problem}") from None
    except InputError:
        raise
    except ValueError as error:  # a date such as 2012-13-45
        raise InputError(f"{path}: not a plain YAML configuration: {error}") from None
    finally:
        loader.dispose()
    if values is None:
        raise InputError(f"{path}: is empty; a configuration has at least `model:` or `base:`")
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise InputError(f"{path}: holds a {kind}, not sections such as `model:` and `data:`")
    return _Layer(values, _Origins(str(path), lines))


def _read_text(path: Path) -> str:
    if not is_there(path):
        raise InputError(f"{path}: no such file; packaged models: {', '.join(list_models())}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; a YAML file (or the folder of a run) is needed")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes, not a configuration")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file in UTF-8") from None
    if not re.fullmatch(
        r"[\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*", text
    ):
        raise InputError(f"{path}: holds control characters; it is not a YAML file")
    return text


def _check_nodes(node: yaml.Node, key: str, lines: dict[str, int], path: Path) -> None:
    """Note the line of every key below `node`; refuse what a configuration has no use for."""
    line = node.start_mark.line + 1
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        raise InputError(f"{path}, line {line}: the tag {node.tag} is not allowed")
    if isinstance(node, yaml.SequenceNode):
        children = [(str(index), child) for index, child in enumerate(node.value)]
    elif isinstance(node, yaml.MappingNode):
        children = [(str(name.value), child) for name, child in node.value]
    else:
        return
    for name, child in children:
        below = f"{key}.{name}" if key else name
        if below in lines:
            raise InputError(f"{path}, line {child.start_mark.line + 1}: {below} is given twice")
        lines[below] = child.start_mark.line + 1
        _check_nodes(child, below, lines, path)


def _parse_override(text: str) -> _Layer:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not 2 <= len(parts) <= MAX_DEPTH or not all(parts):
        raise InputError(f"--set {text}: should be SECTION.KEY=VALUE, as in fit.epochs=3")
    try:
        parsed = yaml.load(value, _Loader)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, ValueError):
        raise InputError(f"--set {text}: {value!r} is not a YAML value") from None
    nested: Any = parsed
    for part in reversed(parts):
        nested = {part: nested}
    return _Layer(nested, _Origins(f"--set {text}"), by_hand=True)


# Merging and checking


def _assemble(name: str, layers: tuple[_Layer, ...]) -> Config:
    """Merge the layers, the later over the earlier, and check the outcome."""
    for layer in layers:
        _check_top_level(layer, TOP_LEVEL)
    data = _merge_layers(layers).get("data")
    dataset = str(data.get("dataset")) if isinstance(data, dict) else ""
    ordered: list[_Layer] = []
    for layer in layers:  # what a file says of the data set counts with that file, not above it
        if not layer.by_hand:
            ordered += [layer, _for_dataset(layer, dataset)]
    ordered += [layer for layer in layers if layer.by_hand]
    merged = _merge_layers(ordered)
    checked = {
        section: _check_section(section, merged.get(section), ordered)
        for section in ("about", "model", *(name for name in SECTIONS if name != "about"))
    }
    weights = _check_weights(merged.get("weights"), ordered)
    _check_labels_suit_loss(checked, ordered)
    return Config(name, checked, weights, layers)


def _check_weights(values: Any, layers: Sequence[_Layer]) -> list[PublishedWeights]:
    """Check the published weights; a `file:` source counts from the folder of their YAML."""
    holders = [layer for layer in layers if "weights" in layer.values] or list(layers)
    origins = holders[-1].origins
    folder = Path(origins.source).absolute().parent if origins.lines else None
    return parse_weights(values, origins.of, folder)


def _check_top_level(layer: _Layer, allowed: Iterable[str]) -> None:
    for key in layer.values:
        if key not in allowed:
            where = layer.origins.of(str(key))
            raise InputError(f"{where}: unknown section {key!r}{suggest(str(key), allowed)}")


def _merge_layers(layers: Iterable[_Layer]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer.values, layer.origins, "")
    return merged


def _for_dataset(layer: _Layer, dataset: str) -> _Layer:
    """Return what `per_dataset` of a layer changes for this data set."""
    table = layer.values.get("per_dataset") or {}
    if not isinstance(table, dict) or not all(isinstance(v, dict) for v in table.values()):
        where = layer.origins.of("per_dataset")
        raise InputError(f"{where}: per_dataset: should hold sections below names of data sets")
    prefix = f"per_dataset.{dataset}."
    lines = {
        k.removeprefix(prefix): n for k, n in layer.origins.lines.items() if k.startswith(prefix)
    }
    special = _Layer(table.get(dataset, {}), _Origins(layer.origins.source, lines))
    _check_top_level(special, ("model", *SECTIONS))
    return special


def _merge(below: Any, above: Any, origins: _Origins, key: str) -> Any:
    """Lay `above` over `below`: mappings merge, everything else is replaced.

    A Keras object of another class replaces the one below whole, so that no argument of the old
    class reaches the new one. A number as key reaches into a list.
    """
    if (
        isinstance(above, dict)
        and isinstance(below, list)
        and all(str(k).isdecimal() for k in above)
    ):
        merged_list = list(below)
        for index, value in above.items():
            if int(index) >= len(below):
                where = origins.of(key)
                raise InputError(f"{where}: {key} has {len(below)} entries, none numbered {index}")
            merged_list[int(index)] = _merge(below[int(index)], value, origins, f"{key}.{index}")
        return merged_list
    if not isinstance(above, dict) or not isinstance(below, dict):
        return copy.deepcopy(above)
    other_class = "class_name" in above and above["class_name"] != below.get("class_name")
    merged = {} if other_class else dict(below)
    for name, value in above.items():
        merged[name] = _merge(
            merged.get(name), value, origins, f"{key}.{name}" if key else str(name)
        )
    return merged


def _check_section(section: str, values: Any, layers: Sequence[_Layer]) -> dict[str, Any]:
    """Check a section's keys and types against its call, and fill in the defaults."""
    if values is None:
        values = {}
    if not isinstance(values, dict):
        where = _where(section, layers)
        raise InputError(f"{where}: {section}: should hold keys and values, not {values!r}")
    if section == "model":
        function = _builder_of(values, layers)
        values = {key: value for key, value in values.items() if key != "builder"}
    else:
        function = SECTIONS[section]
    parameters = parameters_of(function)
    checked: dict[str, Any] = {}
    if section == "model":
        checked["builder"] = function.__name__
    for key in values:
        if key not in parameters:
            where = _where(f"{section}.{key}", layers)
            raise InputError(f"{where}: unknown key {section}.{key}{suggest(str(key), parameters)}")
    for key, (hint, default) in parameters.items():
        if key in values:
            checked[key] = _convert(f"{section}.{key}", values[key], hint, layers)
        elif default is inspect.Parameter.empty:
            raise InputError(f"{_where(section, layers)}: {section}.{key} is missing")
        else:
            checked[key] = list(default) if isinstance(default, tuple) else default
    _check_ranges(section, checked, layers)
    return checked


def _builder_of(values: dict[str, Any], layers: Sequence[_Layer]) -> Callable[..., Any]:
    builder = values.get("builder")
    if builder is None:
        raise InputError(
            f"{_where('model', layers)}: model.builder is missing{suggest('', BUILDERS)}"
        )
    if not isinstance(builder, str) or builder not in BUILDERS:
        where = _where("model.builder", layers)
        near = suggest(str(builder), BUILDERS)
        raise InputError(f"{where}: unknown builder {builder!r}{near}")
    return BUILDERS[builder]


def _convert(key: str, value: Any, hint: Any, layers: Sequence[_Layer]) -> Any:
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "").replace(" - at $", " at ")
        where = _where(key, layers)
        if wrong := re.match(r"Invalid enum value '(.*?)'", problem):
            near = suggest(wrong[1], _choices(hint))
            raise InputError(f"{where}: {key}: unknown {wrong[1]!r:.80}{near}") from None
        problem = f"{problem[0].lower()}{problem[1:]}"
        raise InputError(f"{where}: {key}: {problem}: {value!r:.80}") from None


def _choices(hint: Any) -> list[str]:
    """Return the words that a type hint allows, at any depth."""
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    return [word for part in typing.get_args(hint) for word in _choices(part)]


def _check_ranges(section: str, values: dict[str, Any], layers: Sequence[_Layer]) -> None:
    """Refuse numbers that no run can use."""
    for key in COUNTS.get(section, ()):
        if not 1 <= values[key] < 2**31:
            where = _where(f"{section}.{key}", layers)
            raise InputError(
                f"{where}: {section}.{key}: {values[key]} should be from 1 to 2**31 - 1"
            )
    name = values.get("name")
    if section == "model" and name and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
        where = _where("model.name", layers)
        raise InputError(f"{where}: model.name: {name!r} should be letters, digits, '.', '_', '-'")
    shape = values.get("input_shape")
    if section == "model" and shape is not None and len(shape) != 3:
        where = _where("model.input_shape", layers)
        raise InputError(f"{where}: model.input_shape: {shape} should be [height, width, channels]")
    if section == "trainer" and not 0 <= values["seed"] < 2**32:
        where = _where("trainer.seed", layers)
        raise InputError(f"{where}: trainer.seed: {values['seed']} should be from 0 to 2**32 - 1")
    weights = values.get("class_weight") or {}
    if not all(label >= 0 and 0 <= weight < math.inf for label, weight in weights.items()):
        where = _where("fit.class_weight", layers)
        raise InputError(
            f"{where}: fit.class_weight: {weights} should hold class numbers and numbers from 0"
        )
    if section == "data":
        split = values["validation_split"]
        if split < 0 or (isinstance(split, float) and not split < 1):
            where = _where("data.validation_split", layers)
            raise InputError(
                f"{where}: data.validation_split: {split} should be a share of the training set "
                "from 0 to below 1, or a whole number of images"
            )


def _check_labels_suit_loss(sections: Mapping[str, Any], layers: Sequence[_Layer]) -> None:
    """Refuse a loss that expects other labels: Keras fails late then, or learns nonsense."""
    loss, mode = sections["compile"]["loss"], sections["data"]["label_mode"]
    name = str(loss.get("class_name")) if isinstance(loss, dict) else loss
    wanted = "int" if name.lower().startswith("sparse") else "categorical"
    if mode != wanted:
        raise InputError(
            f"{_where('compile.loss', layers)}: compile.loss: {name} needs "
            f"data.label_mode: {wanted}\n"
            f"{_where('data.label_mode', layers)}: data.label_mode is {mode}; change one of the two"
        )


def _where(key: str, layers: Sequence[_Layer]) -> str:
    """Return the place that gave `key` its value: the last layer that holds it."""
    for layer in reversed(layers):
        if _lookup(layer.values, key):
            return layer.origins.of(key)
    section = key.partition(".")[0]
    holders = [layer for layer in layers if section in layer.values] or list(layers)
    return holders[0].origins.of(section)


def _lookup(values: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(values, dict):
            return False
        values = {str(name): value for name, value in values.items()}  # 1 is a key, too
        if part not in values:
            return False
        values = values[part]
    return True

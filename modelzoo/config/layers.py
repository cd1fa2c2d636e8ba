"""The layers of a configuration: reading one, without trusting it, and laying one over another."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.composer import Composer

from modelzoo.support.errors import InputError, suggest
from modelzoo.support.files import is_there, ordinary

MAX_BYTES = 1_000_000  # a configuration is a page of text
MAX_DEPTH = 20
NUMBERS = (":int", ":float")  # the ends of YAML's tags


@dataclass(frozen=True)
class Layer:
    """One source of keys: a YAML, a base of it, an option, an argument, or what a data set says."""

    values: dict[str, Any]  # sections with keys, nested as in the YAML
    source: str  # the path of the file, or the option
    lines: Mapping[str, int] = field(default_factory=dict)  # of each key, such as "fit.epochs"
    asked: bool = False  # by an option or an argument, which lies above all that was read

    def place(self, key: str) -> str:
        """Return where `key` stands, for messages."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.source}, line {self.lines[key]}" if key else self.source

    def holds(self, key: str) -> bool:
        """Whether the layer gives `key`."""
        return key in flat(self.values)


# Parsed by libyaml, eight times as fast, where PyYAML has it.
_BASES: Any = (Composer, yaml.CSafeLoader) if yaml.__with_libyaml__ else (yaml.SafeLoader,)


class _Loader(*_BASES):  # type: ignore[misc]
    """SafeLoader with YAML 1.2 floats: 1e-3 is a number, not a string.

    Without aliases, a few of which can stand for billions of values, without tags, keys that are
    given twice and endless nesting. It notes the line of every key.
    """

    def __init__(self, text: str, source: str = "") -> None:
        _BASES[-1].__init__(self, text)
        Composer.__init__(self)
        self.source = source
        self.lines: dict[str, int] = {}
        self._path: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self._refuse(line, f"the alias *{event.anchor} is not allowed; write the value out")
        if len(self._path) == MAX_DEPTH:
            self._refuse(line, f"nested more than {MAX_DEPTH} deep")
        self._path.append(str(index.value if isinstance(index, yaml.Node) else index))
        if index is not None:  # and not a key or the whole document
            key = ".".join(self._path[1:])
            if key in self.lines:
                self._refuse(line, f"{key} is given twice")
            self.lines[key] = line
        node = super().compose_node(parent, index)
        if node is not None:
            self._check(node, line)
        self._path.pop()
        return node

    def _check(self, node: yaml.Node, line: int) -> None:
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            self._refuse(line, f"the tag {node.tag} is not allowed")
        if isinstance(node, yaml.ScalarNode) and ":" in node.value and node.tag.endswith(NUMBERS):
            self._refuse(  # it takes minutes to work out, where it is long
                line,
                f"{node.value:.40} is a number to the base of 60 in YAML; if it should be a text, "
                "put it in quotes",
            )

    def _refuse(self, line: int, problem: str) -> NoReturn:
        raise InputError(f"{self.source}, line {line}: {problem}")


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> Layer:
    """Read one YAML file into plain values, with the line of every key."""
    text = _read_text(path)
    try:
        loader = _Loader(text, str(path))
        values = loader.get_single_data()
    except InputError:
        raise
    except (yaml.YAMLError, ValueError) as error:  # such as a date, 2012-13-45
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path}{line}: not a plain YAML configuration: {problem}") from None
    if values is None:
        raise InputError(f"{path}: is empty; a configuration has at least `model:` or `base:`")
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise InputError(f"{path}: holds a {kind}, not sections such as `model:` and `data:`")
    return Layer(values, str(path), loader.lines)


def _read_text(path: Path) -> str:
    if not is_there(path):
        raise InputError(f"{path}: no such file; `modelzoo list` shows the packaged models")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; a YAML file (or the folder of a run) is needed")
    try:
        if ordinary(path).stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes, not a configuration")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file in UTF-8") from None


def parse_override(text: str) -> Layer:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not 2 <= len(parts) <= MAX_DEPTH or not all(parts):
        raise InputError(f"--set {text}: should be SECTION.KEY=VALUE, as in fit.epochs=3")
    try:
        found = yaml.load(value, _Loader)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, ValueError):
        raise InputError(f"--set {text}: {value!r} is not a YAML value") from None
    return Layer(nested(key.strip(), found), f"--set {text}", asked=True)


def nested(key: str, value: Any) -> dict[str, Any]:
    """Return sections that hold one value, such as {"fit": {"epochs": 3}} for "fit.epochs"."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def flat(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the value of each key of nested mappings, such as "fit" and "fit.epochs"."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found[str(name)] = value
        inside = flat(value) if isinstance(value, dict) else {}
        found |= {f"{name}.{key}": each for key, each in inside.items()}
    return found


def check_top_level(layer: Layer, allowed: Iterable[str]) -> None:
    for key in layer.values:
        if key not in allowed:
            where = layer.place(str(key))
            raise InputError(f"{where}: unknown section {key!r}{suggest(str(key), allowed)}")


def merge_layers(layers: Iterable[Layer]) -> dict[str, Any]:
    """Lay each layer over those before it."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer.values, layer, "")
    return merged


def _merge(below: Any, above: Any, layer: Layer, key: str) -> Any:
    """Lay `above` over `below`: mappings merge, everything else is replaced.

    A Keras object of another class, or a network of another builder, replaces the one below whole,
    so that no argument of the old one reaches the new one. A number as key reaches into a list.
    """
    if not isinstance(above, dict):
        return copy.deepcopy(above)
    if isinstance(below, list) and all(str(name).isdecimal() for name in above):
        if wrong := [name for name in above if int(name) >= len(below)]:
            where, count = layer.place(key), len(below)
            raise InputError(f"{where}: {key} has {count} entries, none numbered {wrong[0]}")
        changed = {int(name): name for name in above}
        return [
            _merge(value, above[changed[i]], layer, f"{key}.{i}") if i in changed else value
            for i, value in enumerate(below)
        ]
    if set(above) == {"config"} and isinstance(below, str):
        below = {"class_name": below}  # an object of Keras that was named without arguments
    if not isinstance(below, dict):
        return copy.deepcopy(above)
    kind = "builder" if key == "model" else "class_name"
    replaced = kind in above and above[kind] != below.get(kind)
    merged = {} if replaced else dict(below)
    for name, value in above.items():
        inner = f"{key}.{name}" if key else str(name)
        merged[name] = _merge(merged.get(name), value, layer, inner)
    return merged


def where_given(key: str, layers: Sequence[Layer]) -> str:
    """Return the place that gave `key` its value, or what is nearest above it."""
    part = key
    while part:
        for layer in reversed(layers):
            if layer.holds(part):
                return layer.place(key)
        part = part.rpartition(".")[0]
    return layers[0].source

"""The layers of a configuration: reading one, without trusting it, and laying one over another."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from modelzoo.errors import InputError, suggest
from modelzoo.files import is_there, ordinary

MAX_BYTES = 1_000_000  # a configuration is a page of text
MAX_DEPTH = 20
NUMBERS = (":int", ":float")  # the ends of YAML's tags


@dataclass(frozen=True)
class Origins:
    """Where keys come from: a file with a line for each key, or an option of the command line."""

    source: str
    lines: Mapping[str, int] = field(default_factory=dict)

    def of(self, key: str) -> str:
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.source}, line {self.lines[key]}" if key else self.source


@dataclass(frozen=True)
class Layer:
    """One source of keys: a YAML, a base of it, an option, an argument, or what a data set says."""

    values: dict[str, Any]
    origins: Origins


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


def read_yaml(path: Path) -> Layer:
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
    return Layer(values, Origins(str(path), lines))


def _read_text(path: Path) -> str:
    if not is_there(path):
        raise InputError(f"{path}: no such file; `modelzoo list` shows the packaged models")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; a YAML file (or the folder of a run) is needed")
    try:
        if ordinary(path).stat().st_size > MAX_BYTES:
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
    if isinstance(node, yaml.ScalarNode) and ":" in node.value and node.tag.endswith(NUMBERS):
        raise InputError(  # which takes minutes to work out, where it is long
            f"{path}, line {line}: {node.value:.40} is a number to the base of 60 in YAML; if it "
            "should be a text, put it in quotes"
        )
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


def parse_override(text: str) -> Layer:
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
    return Layer(nested, Origins(f"--set {text}"))


def check_top_level(layer: Layer, allowed: Iterable[str]) -> None:
    for key in layer.values:
        if key not in allowed:
            where = layer.origins.of(str(key))
            raise InputError(f"{where}: unknown section {key!r}{suggest(str(key), allowed)}")


def merge_layers(layers: Iterable[Layer]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer.values, layer.origins, "")
    return merged


def _merge(below: Any, above: Any, origins: Origins, key: str) -> Any:
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
    if isinstance(above, dict) and set(above) == {"config"} and isinstance(below, str):
        below = {"class_name": below}  # an object of Keras that was named without arguments
    if not isinstance(above, dict) or not isinstance(below, dict):
        return copy.deepcopy(above)
    other_class = "class_name" in above and above["class_name"] != below.get("class_name")
    merged = {} if other_class else dict(below)
    for name, value in above.items():
        merged[name] = _merge(
            merged.get(name), value, origins, f"{key}.{name}" if key else str(name)
        )
    return merged


def where_given(key: str, layers: Sequence[Layer]) -> str:
    """Return the place that gave `key` its value: the last layer that holds it."""
    for layer in reversed(layers):
        if holds(layer.values, key):
            return layer.origins.of(key)
    section = key.partition(".")[0]
    holders = [layer for layer in layers if section in layer.values] or list(layers)
    return holders[0].origins.of(section)


def holds(values: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(values, dict):
            return False
        values = {str(name): value for name, value in values.items()}  # 1 is a key, too
        if part not in values:
            return False
        values = values[part]
    return True

"""A plain value from a YAML as a typed structure; what is wrong with it, in our words."""

import re
import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

import msgspec

from modelzoo.support.errors import InputError, suggest

Kind = TypeVar("Kind")
Place = Callable[[str], str]  # returns the file and line, or the option, that gives a key


def convert(value: Any, kind: type[Kind], place: Place, key: str) -> Kind:
    """Return the plain value of a key as a structure, or as a list of them."""
    if isinstance(value, dict):
        value = {str(name): each for name, each in value.items()}
    try:
        return msgspec.convert([value], list[kind])[0]  # type: ignore[valid-type]
    except msgspec.ValidationError as error:  # in a list, so that there always is a path: $[0]
        problem, _, path = str(error).replace("`", "").rpartition(" - at ")
    hint: Any = kind
    for part in re.findall(r"\w+", path.partition("$[0]")[2]):
        hint = _fields_in(hint).get(part, hint)
        value = value[int(part) if isinstance(value, list) else part]
        key = f"{key}.{part}"
    if found := re.fullmatch(r"Object (contains|missing) \w+ field (.*)", problem):
        field = f"{key}.{found[2]}"
        if found[1] == "missing":
            raise InputError(f"{place(field)}: {field} is missing")
        near = suggest(found[2], _fields_in(hint))
        raise InputError(f"{place(field)}: unknown key {field}{near}")
    raise InputError(f"{place(key)}: {key}: {_in_words(problem, value, hint)}")


def _in_words(problem: str, value: Any, hint: Any) -> str:
    """Say what is wrong with a value in which msgspec found a problem."""
    if wrong := re.match(r"Invalid enum value '(.*?)'", problem):
        literals = [part for part in _parts(hint) if typing.get_origin(part) is Literal]
        choices = [word for each in literals for word in typing.get_args(each)]
        return f"unknown {wrong[1]!r:.80}{suggest(wrong[1], choices)}"
    notes = [note for part in _parts(hint) for note in reversed(getattr(part, "__metadata__", ()))]
    wanted = next((note.description for note in notes if note.description), None)
    if ", got " not in problem and wanted:
        return f"{value!r:.80} should be {wanted}"
    problem = problem.replace("Expected object", "should hold keys and values")
    problem = problem.replace("Expected array", "should be a list of entries")
    problem = problem.replace(" | null", " or nothing")
    if isinstance(value, dict) and ", got " not in problem:
        return problem  # of its fields against each other
    return f"{problem[0].lower()}{problem[1:]}: {value!r:.80}"


def _fields_in(hint: Any) -> dict[str, Any]:
    """Return the fields, with their own hints, of the structure that a type hint allows, if any."""
    structs = [each for each in _parts(hint) if isinstance(each, type(msgspec.Struct))]
    return typing.get_type_hints(structs[0], include_extras=True) if structs else {}


def _parts(hint: Any) -> Iterator[Any]:
    """Yield a type hint, and those that it is made of."""
    yield hint
    for part in typing.get_args(hint):
        yield from _parts(part)

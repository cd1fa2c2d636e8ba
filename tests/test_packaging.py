"""The package as others get it: its dependencies, and what is in its source archive."""

import ast
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

import modelzoo

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def lower_bounds() -> dict[str, str]:
    """Return the oldest version of each package that users need, or may ask for."""
    extras = PROJECT["optional-dependencies"]
    texts = [each for name, extra in extras.items() if name != "dev" for each in extra]
    bounds = {}
    for text in [*PROJECT["dependencies"], *texts]:
        requirement = Requirement(text)
        for bound in requirement.specifier:
            if bound.operator == "!=":
                continue
            assert bound.operator == ">=", text
            assert bounds.setdefault(requirement.name, bound.version) == bound.version, text
    return bounds


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    """What `.ci/oldest` tries is what pyproject.toml promises."""
    lines = (ROOT / ".ci" / "oldest.txt").read_text("utf-8").split("\n\n")[0].splitlines()[1:]
    pins = dict(line.split("==") for line in lines)
    bounds = lower_bounds()
    assert pins.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert Version(pins[name]) == Version(bound), name


def test_type_checkers_see_every_public_name() -> None:
    """A name that only `__getattr__` knows would have no type."""
    tree = ast.parse((ROOT / "modelzoo" / "__init__.py").read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {each.names[0].asname: each.module for each in block.body}
    assert seen == modelzoo._PUBLIC

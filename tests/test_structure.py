"""The rooms of the house: imports run one way, from the command line down to `support`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import modelzoo

PACKAGE = Path(modelzoo.__file__).parent
# A room may import from itself and from those before it.
ROOMS = [
    "support", "networks", "config", "weights", "data", "charts", "training",
    "api", "analysis", "convert", "demo", "cli",
]  # fmt: skip


def room_of(module: str) -> str:
    """Return the room of "modelzoo.room.module"; "__init__" for the package itself."""
    return [*module.split("."), "__init__"][1]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports from this package, also within functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "") == "modelzoo":
            yield from (f"modelzoo.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("modelzoo."):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("modelzoo"))


def test_imports_run_one_way() -> None:
    upwards = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for module in imports_of(path):
            there = room_of(module)
            if here in ("__init__", "__main__") or there == "__init__":  # the public names, lazily
                continue
            if ROOMS.index(there) > ROOMS.index(here):
                upwards.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not upwards


def test_only_the_public_names_lie_loose() -> None:
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__", "__main__", "api"}
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms | {"api"} == set(ROOMS)


def test_the_options_are_read_in_one_room() -> None:
    readers = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if "import argparse" in path.read_text("utf-8")
    }
    assert readers == {"cli"}

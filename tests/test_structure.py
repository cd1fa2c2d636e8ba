"""The rooms of the house: imports run one way, from the command line down to `support`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_for

import modelzoo

PACKAGE = Path(modelzoo.__file__).parent
SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
# A room may import from itself and from those before it.
ROOMS = [
    "support", "networks", "config", "weights", "data", "charts", "training",
    "api", "analysis", "page", "convert", "cli",
]  # fmt: skip


def room_of(module: str) -> str:
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


def test_imports_run_one_way():
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


def test_only_the_public_names_lie_loose():
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__", "__main__", "api"}
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms | {"api"} == set(ROOMS)


def test_files_and_functions_are_short():
    files = {path.relative_to(PACKAGE): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    scripts = {path: path.read_text("utf-8") for path in SCRIPTS.glob("*.py")}
    assert [str(name) for name, text in (files | scripts).items() if text.count("\n") > 400] == []
    many = [
        f"{name}: {node.name}"
        for name, text in files.items()
        if name.parts[0] != "networks"  # a builder has what the `model` of a YAML may say
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and node.name != "__init__"
        and len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) > 8
    ]
    assert many == []


def test_the_options_are_read_in_one_room():
    readers = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if "import argparse" in path.read_text("utf-8")
    }
    assert readers == {"cli"}


# A fixed pause; and a limit that a busy machine can reach, longer than the pause of a loop.
SLEEPS = re.compile(r"\bsleep\(|\bmonotonic\(|\bperf_counter\(|\btime\.time\(")
LIMITS = re.compile(r"\b(?:timeout=|\.wait\(|\.join\(|Timer\()(\d[\d_.]*)")


def test_tests_wait_in_one_place_and_for_long():
    """`sleep` hopes that something has happened; ten seconds are short beside other work."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name in ("waiting.py", Path(__file__).name):
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            limit = LIMITS.search(line)
            if SLEEPS.search(line) or (limit and 0.1 < float(limit[1]) < 600):
                found.append(f"{path.name}:{number}: {line.strip()}")
    assert found == []


def test_what_cannot_come_any_more_is_not_waited_for():
    """A process that has ended writes no file."""
    assert wait_for(lambda: "here") == "here"
    with pytest.raises(AssertionError, match="exit code 3"):
        wait_for(lambda: False, lambda: "exit code 3")

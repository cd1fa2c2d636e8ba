"""The notebooks are kept with outputs, and open alike; `hardening/` runs them."""

import ast
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import modelzoo
import update_notebooks as update

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
PROJECT = '[project]\nname = "modelzoo-classics"\n'
WHEEL = "modelzoo_classics-9.9-py3-none-any.whl"
ADDRESS = "https://github.com/someone/zoo"
UNBROKEN = {"stream", "display_data", "execute_result"}
OTHERS = {"keras", "numpy", "pandas", "pathlib"}  # that a notebook may import


def cells(text: str) -> list[dict]:
    return json.loads(text)["cells"]


def text_of(found: list[dict], kind: str) -> str:
    return "\n".join("".join(cell["source"]) for cell in found if cell["cell_type"] == kind)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_with_what_they_print(path):
    """Run once from top to bottom, without an error, a path of a machine or a large image."""
    text = path.read_text("utf-8")
    found = cells(text)
    code = [cell for cell in found if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= UNBROKEN
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(text) < 500_000
    assert not re.search(r"/(home|root|tmp|work|Users)/|site-packages", json.dumps(outputs))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_say_what_they_are_for(path):
    """Goals and time stand at the top, and each exercise has a check and a folded solution."""
    found = cells(path.read_text("utf-8"))
    heading = "".join(found[0]["source"])
    assert heading.startswith("# ") and "**Goals.**" in heading and "**Time.**" in heading
    headings = len(re.findall("^### Exercise", text_of(found, "markdown"), re.MULTILINE))
    asked = [cell for cell in found[2:] if "check(" in "".join(cell["source"])]
    assert headings == len(asked) == len(update.exercises({"cells": found})) >= 2
    for cell in asked:  # not answered yet
        lines = [line for output in cell["outputs"] for line in output["text"]]
        assert lines and lines[-1].startswith("Not answered yet: ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_take_public_names_only(path):
    code = text_of(cells(path.read_text("utf-8"))[2:], "code")
    tree = ast.parse(code)
    names = {
        (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    names |= {
        (alias.name, "") for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
    }
    assert {module.partition(".")[0] for module, _ in names} <= {"modelzoo", *OTHERS}
    inner = {(module, name) for module, name in names if module.startswith("modelzoo")}
    assert {module for module, _ in inner} <= {"modelzoo"}
    used = {name for _, name in inner} | set(re.findall(r"\bmodelzoo\.(\w+)", code))
    assert used <= set(modelzoo.__all__)


ANSWERS = [
    (..., "Not answered yet"),
    (None, "Not answered yet"),
    ([1, ...], "Not answered yet"),
    ([1, 2], "Right."),
    ([1, 2.5], "Not yet: 2.5 at [1] is too large."),
    ([1, 1], "Not yet: 1 at [1] is too small."),
    ([2, 1], "Not yet: the first comes first."),
    ([1, 2, 3], "Not yet: the shape is (3,), and should be (2,)."),
    (["a", "b"], "Not yet: list is given, and numbers are wanted."),
]


@pytest.mark.parametrize(("answer", "said"), ANSWERS)
def test_the_check_of_an_exercise_says_what_is_wrong(answer, said, capsys):
    tree = ast.parse((ROOT / "scripts" / "first_cell.py").read_text("utf-8"))
    (function,) = (node for node in tree.body if getattr(node, "name", "") == "check")
    names: dict[str, Any] = {"np": np}
    exec(ast.unparse(function), names)
    names["check"](answer, [1, 2], [([2, 1], "the first comes first")])
    assert capsys.readouterr().out.startswith(said)


def test_a_kept_output_is_compared_as_it_should_be():
    def printed(text: str) -> list[dict]:
        return [{"output_type": "stream", "name": "stdout", "text": [text]}]

    cut = [*printed("acc"), *printed("uracy 0.9\nloss"), *printed(" 0.1")]
    assert update.joined(cut) == [{**cut[0], "text": ["accuracy 0.9\n", "loss 0.1"]}]
    image = {"output_type": "display_data", "data": {"image/png": "", "text/plain": "<x>"}}
    assert update.joined([*cut[:1], image, *cut[1:2]]) == [cut[0], image, cut[1]]
    before = printed("7 of 10: accuracy 0.951")
    assert update.differences(before, printed("7 of  10: accuracy 0.949")) == []
    for other in ("7 of 10: accuracy 0.851", "6 of 10: accuracy 0.951", "7 of 10: loss 0.951", "7"):
        assert update.differences(before, printed(other))
    assert update.differences([image], printed("no image")) and not update.differences(
        [image], [image]
    )
    line = "epoch 1/4  loss 0.5  12.3 s, 1 min left\n"
    assert update.kept(printed(line)[0])["text"] == ["epoch 1/4  loss 0.5\n"]


def test_the_first_cells_the_badges_and_the_list_are_up_to_date():
    """They are what scripts/update_notebooks.py writes for the address in pyproject.toml."""
    written = dict(update.documents(update.address()))
    assert [path for path, text in written.items() if path.read_text("utf-8") != text] == []
    assert {*NOTEBOOKS, ROOT / "README.md"} == set(written)
    (cell,) = {"".join(cells(written[path])[1]["source"]) for path in NOTEBOOKS}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f'NAME = "{project["name"]}"' in cell


def test_an_address_on_github_gives_badges():
    written = dict(update.documents(ADDRESS))
    for path in NOTEBOOKS:
        badge = (
            "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
            "(https://colab.research.google.com/github/someone/zoo/blob/main/notebooks/"
            f"{path.name})"
        )
        heading, code = cells(written[path])[:2]
        assert "".join(heading["source"]).split("\n")[2] == badge
        assert f'ADDRESS = "{ADDRESS}"' in "".join(code["source"])
        assert f"(notebooks/{path.name}) {badge}\n" in written[ROOT / "README.md"]
    assert "no public address" not in written[ROOT / "README.md"]
    elsewhere = dict(update.documents("https://git.example/someone/zoo"))
    assert not any("colab-badge" in text for text in elsewhere.values())
    assert 'ADDRESS = \\"https://git.example/someone/zoo\\"' in elsewhere[NOTEBOOKS[0]]


def test_a_badge_is_replaced(monkeypatch):
    texts = {path: path.read_text("utf-8") for path in [*NOTEBOOKS, ROOT / "README.md"]}
    monkeypatch.setattr(update, "_text", lambda path: texts.get(path) or path.read_text("utf-8"))
    before = dict(texts)
    for address in (ADDRESS, ADDRESS, update.address()):
        texts |= dict(update.documents(address))
    assert texts == before


def run_first_cell(folder: Path, monkeypatch, installed: tuple[str, ...], address: str = "") -> str:
    """Run it with a pip that fails; return the sentence that it ends with."""
    monkeypatch.chdir(folder)
    found = {name: [name] for name in installed}
    monkeypatch.setattr(importlib.metadata, "distributions", lambda name: found.get(name, []))
    failed = subprocess.CompletedProcess([], 1, stderr="no network")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: failed)
    cell = (ROOT / "scripts" / "first_cell.py").read_text("utf-8")
    with pytest.raises(Exception, match=r"\w") as stopped:
        exec(cell.replace('ADDRESS = ""', f'ADDRESS = "{address}"'), {})
    (text,) = stopped.value._render_traceback_()
    return text


@pytest.mark.parametrize(
    ("files", "start", "address", "source"),
    [
        (["pyproject.toml"], ".", "", "."),
        (["pyproject.toml", "notebooks/x.ipynb"], "notebooks", "", "."),
        (["modelzoo/pyproject.toml", WHEEL], ".", ADDRESS, "modelzoo"),
        ([WHEEL], ".", ADDRESS, WHEEL),
        ([], ".", ADDRESS, f"git+{ADDRESS}"),
    ],
    ids=["checkout", "notebooks", "clone", "wheel", "address"],
)
def test_what_the_first_cell_installs(files, start, address, source, tmp_path, monkeypatch):
    """The nearest of what there is; never a name, which the package index would look up."""
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(PROJECT)
    expected = source if source.startswith("git+") else str(tmp_path / source)
    text = run_first_cell(tmp_path / start, monkeypatch, (), address)
    assert text == f"pip could not install {expected}:\nno network"


def test_without_a_source_the_first_cell_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "modelzoo"\n')
    text = run_first_cell(tmp_path, monkeypatch, ())
    assert text.startswith("modelzoo is not installed") and "set ADDRESS" in text
    assert "\n" not in text


def test_the_first_cell_knows_the_other_project(tmp_path, monkeypatch):
    (tmp_path / WHEEL).touch()
    text = run_first_cell(tmp_path, monkeypatch, ("modelzoo",))
    assert "another project" in text and "%pip uninstall --yes modelzoo" in text
    monkeypatch.setitem(sys.modules, "modelzoo", ModuleType("modelzoo"))
    text = run_first_cell(tmp_path, monkeypatch, ("modelzoo-classics",))
    assert text.startswith("<module 'modelzoo'> is not modelzoo-classics")

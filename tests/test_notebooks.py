"""The notebooks are kept without outputs, and open alike; `hardening/` runs them."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import update_notebooks as update

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
PROJECT = '[project]\nname = "modelzoo-classics"\n'
WHEEL = "modelzoo_classics-9.9-py3-none-any.whl"
ADDRESS = "https://github.com/someone/zoo"


def cells(text: str) -> list[dict]:
    return json.loads(text)["cells"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_clean(path):
    found = cells(path.read_text("utf-8"))
    code = [cell for cell in found if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert found[0]["cell_type"] == "markdown" and "".join(found[0]["source"]).startswith("# ")


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

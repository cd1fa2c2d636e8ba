"""The notebooks run from top to bottom, in kernels of their own."""

import os
import re
import sys
import zipfile
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, WHEEL

import modelzoo

# In a kernel that does not see that modelzoo is installed, and whose pip has a folder of its own.
HIDE = """
import importlib.metadata
found = importlib.metadata.distributions
importlib.metadata.distributions = lambda **given: (
    () if given.get("name", "").startswith("modelzoo") else found(**given)
)
"""


@pytest.fixture
def bare_kernel(tmp_path: Path, monkeypatch) -> Path:
    """Return an empty folder in which kernels start."""
    packages, folder = tmp_path / "packages", tmp_path / "empty"
    packages.mkdir()
    folder.mkdir()
    (packages / "sitecustomize.py").write_text(HIDE)
    for name, value in {"PYTHONPATH": packages, "PIP_TARGET": packages, "PIP_NO_INDEX": 1}.items():
        monkeypatch.setenv(name, str(value))
    return folder


def run_in_kernel(path: Path, folder: Path, cells: slice = slice(None)) -> list[list]:
    """Run a notebook, or some of its cells until one fails; return the outputs of each of code."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = notebook.cells[cells]
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources=resources
    )
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError:
        if cells == slice(None):
            raise
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def test_a_kernel_with_a_wheel_shows_three_lines(bare_kernel: Path) -> None:
    """Installed, imported, and started without a word of pip or of a framework."""
    pytest.importorskip("pip")
    package, release = Path(modelzoo.__file__).parent, WHEEL.removesuffix("-py3-none-any.whl")
    stub = f"__version__, load_config = '9.9', None\n__path__.append({str(package)!r})\n"
    files = {
        "modelzoo/__init__.py": stub,
        f"{release}.dist-info/METADATA": "Name: modelzoo-classics\nVersion: 9.9\n",
        f"{release}.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{release}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(bare_kernel / WHEEL, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    (outputs,) = run_in_kernel(NOTEBOOKS[0], bare_kernel, slice(2))
    assert [output for output in outputs if output.get("name") != "stdout"] == []
    source, version, framework = "".join(output.text for output in outputs).splitlines()
    assert source == f"Installing {bare_kernel / WHEEL} …"
    assert version.startswith("modelzoo 9.9, Python 3.") and framework.startswith("Keras 3.")


def test_a_kernel_without_a_source_shows_one_sentence(bare_kernel: Path) -> None:
    """No traceback, and no advice to install another project."""
    ((output,),) = run_in_kernel(NOTEBOOKS[0], bare_kernel, slice(2))
    assert output.output_type == "error"
    assert output.traceback == [output.evalue]
    assert output.evalue.startswith("modelzoo is not installed, and there is no clone and no wheel")


def check_noise(text: str) -> None:
    """Small noise hardly matters; large noise does, and FGSM of the same strength more so."""
    rows = re.findall(r"^(noise of )?strength +([\d.]+): accuracy ([\d.]+)", text, re.MULTILINE)
    noise = {strength: float(accuracy) for word, strength, accuracy in rows if word}
    fgsm = {strength: float(accuracy) for word, strength, accuracy in rows[:4] if not word}
    assert noise["0.05"] > fgsm["0.0"] - 0.02 and fgsm["0.05"] < 0.9
    assert noise["0.2"] < 0.8 and fgsm["0.2"] < noise["0.2"] / 2


def check_cells(text: str) -> None:
    """Each of five digits has a cell of its own, wherever it stands."""
    rows = re.findall(r"^\d: cell +(\d+), strongest at (\d+)% of", text, re.MULTILINE)
    assert len({cell for cell, _ in rows}) == 5
    assert [share for _, share in rows] == ["100"] * 5


# What the text of a notebook claims about what its cells print.
CLAIMS = {"4-from-neocognitron-to-alexnet": check_cells, "5-adversarial-examples": check_noise}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, without a network; none hangs."""
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    outputs = [output for cell in run_in_kernel(path, tmp_path) for output in cell]
    if claim := CLAIMS.get(path.stem):
        claim("".join(output.get("text", "") for output in outputs))

"""The notebooks run from top to bottom, in kernels of their own."""

import copy
import json
import re
import zipfile
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, WHEEL

import modelzoo
import update_notebooks as update

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


def run_in_kernel(path: Path, folder: Path) -> list[dict]:
    """Run the first cells of a notebook, until one fails; return the outputs of the set-up."""
    pytest.importorskip("nbclient")
    notebook = json.loads(path.read_text("utf-8"))
    notebook["cells"] = notebook["cells"][:2]
    notebook["cells"][1]["metadata"]["tags"] = ["raises-exception"]
    update.run(notebook, folder)
    return notebook["cells"][1]["outputs"]


def test_a_kernel_with_a_wheel_shows_three_lines(bare_kernel: Path) -> None:
    """Installed, imported, and started without a word of pip or of a framework."""
    pytest.importorskip("pip")
    package, release = Path(modelzoo.__file__).parent, WHEEL.removesuffix("-py3-none-any.whl")
    stub = f"__version__, load_config = '9.9', None\n__path__.append({str(package)!r})\n"
    stub += "from modelzoo.training.device import start_framework\n"
    files = {
        "modelzoo/__init__.py": stub,
        f"{release}.dist-info/METADATA": "Name: modelzoo-classics\nVersion: 9.9\n",
        f"{release}.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{release}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(bare_kernel / WHEEL, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    outputs = run_in_kernel(NOTEBOOKS[0], bare_kernel)
    assert [output for output in outputs if output.get("name") != "stdout"] == []
    source, version, framework = "".join(printed(outputs)).splitlines()
    assert source == f"Installing {bare_kernel / WHEEL} …"
    assert version.startswith("modelzoo 9.9, Python 3.") and framework.startswith("Keras 3.")


def test_a_kernel_without_a_source_shows_one_sentence(bare_kernel: Path) -> None:
    """No traceback, and no advice to install another project."""
    (output,) = run_in_kernel(NOTEBOOKS[0], bare_kernel)
    assert output["output_type"] == "error"
    assert output["traceback"] == [output["evalue"]]
    assert output["evalue"].startswith(
        "modelzoo is not installed, and there is no clone and no wheel"
    )


def check_noise(text: str) -> None:
    """Small noise hardly matters; large noise does, and FGSM of the same epsilon more so."""
    rows = re.findall(r"^(noise of )?epsilon +([\d.]+): accuracy ([\d.]+)", text, re.MULTILINE)
    noise = {epsilon: float(accuracy) for word, epsilon, accuracy in rows if word}
    fgsm = {epsilon: float(accuracy) for word, epsilon, accuracy in rows[:4] if not word}
    assert noise["0.05"] > fgsm["0.0"] - 0.02 and fgsm["0.05"] < 0.9
    assert noise["0.2"] < 0.8 and fgsm["0.2"] < noise["0.2"] / 2


def check_cells(text: str) -> None:
    """Each of five digits has a cell of its own, nearly wherever it stands."""
    rows = re.findall(r"^\d: cell +(\d+), strongest at (\d+)% of", text, re.MULTILINE)
    assert len({cell for cell, _ in rows}) == 5
    assert min(int(share) for _, share in rows) > 75


# What the text of a notebook claims about what its cells print.
CLAIMS = {"4-from-neocognitron-to-alexnet": check_cells, "5-adversarial-examples": check_noise}
# Gives the wrong answers of the hints to `check`, one by one.
WRONG = """
right_check = check
def check(answer, expected, hints=()):
    for wrong, _ in hints:
        right_check(wrong, expected, hints)
"""


def printed(outputs: list[dict]) -> list[str]:
    """Return the lines; a kernel may send one of them in parts."""
    parts = [part for output in outputs for part in output.get("text", ())]
    return "".join(parts).splitlines(keepends=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, without a network: what is kept is what the cells print now.

    After each exercise its solution is checked, which is right, and the wrong answers of its hints.
    """
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    notebook = json.loads(path.read_text("utf-8"))
    cells, asked = list(notebook["cells"]), update.exercises(notebook)
    added: dict[int, list[dict]] = {}
    for place, solution, check in asked:
        wrong = f"{WRONG}{check}\ncheck = right_check"
        texts = (f"{solution}\n{check}", wrong)
        added[place] = [{**cells[place], "source": text, "outputs": []} for text in texts]
    runs = [copy.deepcopy(cell) for cell in cells]
    notebook["cells"] = [each for n, cell in enumerate(runs) for each in (cell, *added.get(n, ()))]
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number}"
    update.run(notebook, tmp_path)
    for place, _, check in asked:
        right, wrong = (printed(cell["outputs"]) for cell in added[place])
        assert right and set(right) == {"Right.\n"}, check
        assert wrong and all(line.startswith("Not yet: ") for line in wrong), wrong
        assert not [line for line in wrong if re.search("is too (large|small)", line)], wrong
    if claim := CLAIMS.get(path.stem):
        claim("".join(line for cell in runs for line in printed(cell.get("outputs", []))))
    sets = re.compile("Going on with|^shapes ")
    if any(sets.search(line) for cell in runs for line in printed(cell.get("outputs", []))):
        pytest.skip("ran on another data set than the kept outputs: set MODELZOO_DATA")
    for before, after in zip(cells[2:], runs[2:], strict=True):
        if before["cell_type"] == "code":
            assert update.differences(before["outputs"], after["outputs"]) == []

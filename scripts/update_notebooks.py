"""Write what all notebooks share: the first cell, the badges, a list of them; and run them.

python scripts/update_notebooks.py            write the first cells, the badges and the list
python scripts/update_notebooks.py --check    write nothing; exit code 1 if one is out of date
python scripts/update_notebooks.py --run 1 7  run these, or all, and keep what their cells print

The cell is scripts/first_cell.py, the address of the repository `Repository` in [project.urls] of
pyproject.toml. Colab opens notebooks from GitHub only: another address gives no badges. To run them
takes nbclient and ipykernel of the extra `test`, MNIST and cifar10_jpeg75 (in $MODELZOO_DATA).
"""

import argparse
import base64
import io
import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from modelzoo.support.errors import InputError
from modelzoo.support.files import write_text
from modelzoo.support.terminal import say

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
BEGIN = "<!-- notebooks: written by scripts/update_notebooks.py -->"
END = "<!-- end of notebooks -->"
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"
COLAB = "https://colab.research.google.com/github/{repository}/blob/main/{path}"
NO_BADGES = (
    'There are no "Open in Colab" badges, as the repository has no public address on GitHub yet:\n'
    "[docs/colab.md]({colab}) says how to open the notebooks there."
)
COLOURS = 128  # of a kept image
SECONDS = re.compile(r"  [\d.]+ s(, [\w ]+ left)?$", re.MULTILINE)  # at the end of an epoch's line
DEVICE = re.compile(r"; [CG]PU: .*$", re.MULTILINE)
NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)")
ABSOLUTE, RELATIVE = 0.03, 0.05  # how far a number with decimals may be from the kept one


def main() -> int:
    """Run the command; return the exit code: 0, 1 (out of date), 2 (bad input)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--run", nargs="*", metavar="N", help="run these, by their first number")
    options = parser.parse_args()
    try:
        stale = [(path, text) for path, text in documents(address()) if _text(path) != text]
    except InputError as error:
        say(error, file=sys.stderr)
        return 2
    for path, text in stale:
        if not options.check:
            write_text(path, text)
        print(f"{path.relative_to(ROOT)}: {'is out of date' if options.check else 'written'}")
    for path in NOTEBOOKS if options.run is not None and not options.check else ():
        if not options.run or path.name.partition("-")[0] in options.run:
            notebook = json.loads(_text(path))
            with tempfile.TemporaryDirectory() as folder:
                run(notebook, Path(folder))
            write_text(path, as_text(notebook))
            print(f"{path.relative_to(ROOT)}: run, {path.stat().st_size:,} bytes")
    return 1 if options.check and stale else 0


def address() -> str:
    """Return the repository's address, or "" where pyproject.toml has none.

    Raises:
        InputError: it is no https address.
    """
    project = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]
    found = project.get("urls", {}).get("Repository", "")
    if found and not re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+", found):
        raise InputError(f"pyproject.toml: Repository: should be https://HOST/OWNER/NAME: {found}")
    return found.removesuffix(".git")


def documents(repository: str) -> Iterator[tuple[Path, str]]:
    """Give the path and the text of each notebook, and of each page that lists them."""
    cell = first_cell(repository)
    items = []
    for path in NOTEBOOKS:
        notebook = json.loads(_text(path))
        heading, code = notebook["cells"][:2]
        title, _, rest = "".join(heading["source"]).partition("\n")
        intro = re.sub(r"\A\s*(\[!\[Open in Colab\].*\n)?\s*", "", rest)
        mark = badge(path, repository)
        text = "\n\n".join(filter(None, [title, mark, intro]))
        heading["source"], code["source"] = text.splitlines(True), cell.splitlines(True)
        code["metadata"] = {"cellView": "form", "jupyter": {"source_hidden": True}}
        yield path, as_text(notebook)
        items.append((title.removeprefix("# "), path, mark))
    for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))):
        before, begin, rest = _text(page).partition(BEGIN)
        if begin:
            link = {path: os.path.relpath(path, page.parent) for _, path, _ in items}
            lines = [f"- [{title}]({link[path]}) {mark}".rstrip() for title, path, mark in items]
            colab = os.path.relpath(ROOT / "docs" / "colab.md", page.parent)
            lines += [] if mark else ["", NO_BADGES.format(colab=colab)]
            listed = "\n".join(lines)
            yield page, f"{before}{BEGIN}\n{listed}\n{END}{rest.partition(END)[2]}"


def first_cell(repository: str) -> str:
    """Return the cell that installs the package, with the address in it."""
    cell = _text(ROOT / "scripts" / "first_cell.py").removesuffix("\n")
    return cell.replace('ADDRESS = ""', f'ADDRESS = "{repository}"')


def badge(path: Path, repository: str) -> str:
    """Return a notebook's badge, or "" where Colab cannot open it from the address."""
    host, _, name = repository.removeprefix("https://").partition("/")
    if host != "github.com":
        return ""
    link = COLAB.format(repository=name, path=path.relative_to(ROOT).as_posix())
    return BADGE.format(link=link)


def run(notebook: dict[str, Any], folder: Path) -> None:
    """Run a notebook in a folder; its cells then hold what they print, and small images.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbclient
    import nbformat

    opened = nbformat.reads(as_text(notebook), as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(
        opened, timeout=1800, kernel_name="python3", resources=resources, record_timing=False
    )
    client.execute()
    for cell, done in zip(notebook["cells"], opened.cells, strict=True):
        if cell["cell_type"] == "code":
            cell["execution_count"] = done.execution_count
            cell["outputs"] = [kept(output) for output in joined(done.outputs)]


def exercises(notebook: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Return each exercise: the place of its cell, its folded solution, and how that is checked.

    An exercise is a cell that calls `check`; what comes before its first empty line is to be filled
    in. The solution is the code in the <details> below it.
    """
    found = []
    cells = notebook["cells"]
    for place, cell in enumerate(cells[2:], 2):
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and "check(" in text:
            below = "".join(cells[place + 1]["source"])
            solution = re.search(r"<details>.*?```python\n(.*?)```", below, re.DOTALL)
            found.append((place, solution[1] if solution else "", text.partition("\n\n")[2]))
    return found


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return outputs with each stream in one: a kernel cuts it into parts, also within a line."""
    found: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] == "stream" and found and found[-1].get("name") == output["name"]:
            found[-1]["text"] = "".join([*found[-1]["text"], *output["text"]]).splitlines(True)
        else:
            found.append(dict(output))
    return found


def kept(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output without what differs from run to run, and its image with few colours."""
    output = json.loads(json.dumps(output))
    data = output.get("data", {})
    for place, name in ((output, "text"), (data, "text/plain"), (data, "text/html")):
        if name in place:
            place[name] = SECONDS.sub("", "".join(place[name])).splitlines(True)
    if "image/png" in data:
        image = Image.open(io.BytesIO(base64.b64decode("".join(data["image/png"]))))
        few, file = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE), io.BytesIO()
        few.save(file, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode()
    return output


def differences(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    """Say where the kept outputs of a cell differ from those of now.

    Words, whole numbers and the places of images are compared exactly, other numbers roughly.
    """
    words, found = (NUMBER.split(" ".join(map(_readable, each))) for each in (before, after))
    if len(words) != len(found):
        return [f"kept: {''.join(words)}\nnow:  {''.join(found)}"]
    return [
        f"kept: {''.join(words[max(place - 3, 0) : place])}{old}\nnow:  {new}"
        for place, (old, new) in enumerate(zip(words, found, strict=True))
        if old.split() != new.split() and not _is_near(old, new)
    ]


def _readable(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    text = "".join(output.get("text", data.get("text/plain", "")))
    return "image" if "image/png" in data else DEVICE.sub("", SECONDS.sub("", text))


def _is_near(old: str, new: str) -> bool:
    if "." not in old + new or not (NUMBER.fullmatch(old) and NUMBER.fullmatch(new)):
        return False
    a, b = (float(each.replace(",", "")) for each in (old, new))
    return abs(a - b) <= max(ABSOLUTE, RELATIVE * max(a, b))


def as_text(notebook: dict[str, Any]) -> str:
    """Return a notebook as its file holds it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _text(path: Path) -> str:
    return path.read_text("utf-8")


if __name__ == "__main__":
    raise SystemExit(main())

"""Write the first cell and the "Open in Colab" badge of all notebooks, and the README's list.

python scripts/update_notebooks.py            write them
python scripts/update_notebooks.py --check    write nothing; exit code 1 if one is out of date

The cell is scripts/first_cell.py, the address of the repository `Repository` in [project.urls] of
pyproject.toml. Colab opens notebooks from GitHub only: another address gives no badges.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

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
    "[docs/colab.md](docs/colab.md) says how to open the notebooks there."
)


def main() -> int:
    """Run the command; return the exit code: 0, 1 (out of date), 2 (bad input)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
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
    """Give the path and the text of each notebook and of the README for an address, or ""."""
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
        yield path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        name = title.removeprefix("# ")
        items.append(f"- [{name}](notebooks/{path.name}) {mark}".rstrip())
    before, _, rest = _text(ROOT / "README.md").partition(BEGIN)
    listed = "\n".join(items) + ("" if mark else f"\n\n{NO_BADGES}")
    yield ROOT / "README.md", f"{before}{BEGIN}\n{listed}\n{END}{rest.partition(END)[2]}"


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


def _text(path: Path) -> str:
    return path.read_text("utf-8")


if __name__ == "__main__":
    raise SystemExit(main())

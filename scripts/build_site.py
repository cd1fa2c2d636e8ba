"""Build the documentation as a site of static files, which asks no other host for anything.

python scripts/build_site.py          write the pages to build/pages, and the site to build/site
python scripts/build_site.py --pages  only the pages

The pages are docs/*.md, as they are read on a code host, with three differences: a line
`<!-- generated: NAME -->` is replaced by the reference of that name, commands that Windows writes
otherwise get a second tab, and links to files outside docs/ lead to copies. Zensical makes the
site. It is the successor of Material for MkDocs, whose mkdocs.yml it reads, and runs no plugins of
MkDocs: that is why the pages are written before it starts.
"""

import argparse
import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

import modelzoo
from modelzoo.cli.arguments import COMMANDS, make_parser
from modelzoo.config.published import PublishedWeights, Scores
from modelzoo.config.sections import SECTIONS, Model, model_struct
from modelzoo.networks import BUILDERS
from modelzoo.networks.layer import KerasObject

ROOT = Path(__file__).resolve().parents[1]
DOCS, BUILD = ROOT / "docs", ROOT / "build"
PROJECT = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")  # pages that stand beside docs/
CELLS = ROOT / "modelzoo" / "networks" / "layers" / "neocognitron.py"
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
SHELL = re.compile(r"^```(?:sh|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
GENERATED = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
HERE = re.compile(  # a here-document, into a file or a command
    r"^(?:cat > (?P<file>\S+)|(?P<command>\S.*?)) <<'(?P<end>\w+)'\n(?P<text>.*?)^(?P=end)$",
    re.DOTALL | re.MULTILINE,
)
POWERSHELL = {  # what our pages write for a POSIX shell; in PowerShell, commas make a list
    r" \\\n": " `\n",
    r" && ": "\n",
    r"^python3 -m venv": "py -m venv",
    r"^source ": "",
    r"\.venv/bin/": r".venv\\Scripts\\",
    r"^export ([A-Z_]+)=(\S+)$": r'$env:\1 = "\2"',
    r"^([A-Z_]+)=(\S+) ": r'$env:\1 = "\2"; ',
    r"(?<=\s)(?![\"'])(\S*,[^\s`]*)": r'"\1"',
}
SHIM = "https://unpkg.com/iframe-worker/shim"  # which Zensical's pages would fetch: ours stands in
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def main() -> int:
    """Run the command; return the exit code: 0, or what Zensical ended with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", action="store_true", help="only write the pages")
    only_pages = parser.parse_args().pages
    write_pages(BUILD / "pages")
    if only_pages:
        return 0
    words = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(words, cwd=ROOT)  # noqa: S603
    for path in (BUILD / "site").rglob("*.html"):
        text, own = (
            path.read_text("utf-8"),
            os.path.relpath(BUILD / "site" / "worker.js", path.parent),
        )
        path.write_text(text.replace(SHIM, own), "utf-8")
    return done.returncode


def write_pages(folder: Path) -> None:
    """Write all pages of the site, and the files that they link to, in place of earlier ones."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("*.md"))
    for source in [*DOCS.rglob("*.md"), *(ROOT / name for name in PROJECT)]:
        target = place_of(source, folder)
        text = GENERATED.sub(lambda found: REFERENCES[found[1]](), source.read_text("utf-8"))
        text = SHELL.sub(lambda found: in_tabs(found[1]), text)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(relinked(text, source, folder), "utf-8")


def place_of(source: Path, folder: Path) -> Path:
    """Return the page, or the copy, that a file of the repository becomes."""
    if source.is_relative_to(DOCS):
        return folder / source.relative_to(DOCS)
    is_page = source.parent == ROOT and source.name in PROJECT
    return folder / (source.name.lower() if is_page else "files" / source.relative_to(ROOT))


def relinked(text: str, source: Path, folder: Path) -> str:
    """Return a page with its links as they lead from its place; copy files that are no pages."""

    def relink(found: re.Match[str]) -> str:
        label, link, anchor = found.groups("")
        if "://" in link:
            return found[0]
        path = (source.parent / link).resolve()
        if path.is_dir():  # which only a code host shows
            return label
        there = place_of(path, folder)
        if there.is_relative_to(folder / "files"):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)
        here = place_of(source, folder).parent
        return f"[{label}]({Path(os.path.relpath(there, here)).as_posix()}{anchor})"

    return LINK.sub(relink, text)


def in_tabs(block: str) -> str:
    """Return the commands of a block, with a tab for Windows where they differ there."""
    if (windows := powershell(block)) == block:
        return f"```sh\n{block}```"
    tabs = {"Linux, macOS": f"```sh\n{block}```", "PowerShell": f"```powershell\n{windows}```"}
    return "\n\n".join(
        f'=== "{name}"\n\n{textwrap.indent(code, "    ")}' for name, code in tabs.items()
    )


def powershell(block: str) -> str:
    """Return commands for a POSIX shell as PowerShell takes them."""
    texts: list[str] = []

    def keep(found: re.Match[str]) -> str:
        into = f"Set-Content -Encoding utf8 {found['file']}" if found["file"] else found["command"]
        texts.append(f"@'\n{found['text']}'@ | {into}")
        return f"\0{len(texts) - 1}\0"

    block = HERE.sub(keep, block)
    for posix, windows in POWERSHELL.items():
        block = re.sub(posix, windows, block, flags=re.MULTILINE)
    return re.sub("\0(\\d+)\0", lambda found: texts[int(found[1])], block)


def python_reference() -> str:
    """Return what mkdocstrings turns into the documentation of each public name."""
    names = [name for name in modelzoo.__all__ if not name.startswith("_")]
    return "\n".join(f"::: modelzoo.{name}\n" for name in names)


def command_reference() -> str:
    """Return each command with its options, from the parser."""
    (commands,) = (each for each in make_parser()._actions if isinstance(each.choices, dict))
    lines = []
    for each in COMMANDS:
        example = each.example.replace("; ", "\n")
        lines += [f"## modelzoo {each.name}", "", each.about, ""]
        lines += [f"```\nmodelzoo {example}\n```", "", "| Argument | What it is |", "|---|---|"]
        for action in commands.choices[each.name]._actions[1:]:  # the first is --help
            lines.append(f"| {_typed(action)} | {_about(action)} |")
        lines.append("")
    return "\n".join(lines)


def _typed(action: argparse.Action) -> str:
    name = action.option_strings[0] if action.option_strings else ""
    choices = " or ".join(map(str, action.choices or ()))
    value = "" if action.nargs == 0 else str(action.metavar or choices)
    more = "…" if action.nargs in ("+", "*") or isinstance(action, argparse._AppendAction) else ""
    return f"`{f'{name} {value}'.strip()}`{more}"


def _about(action: argparse.Action) -> str:
    return _cell((action.help or "").replace("%(default)s", str(action.default)))


def configuration_reference() -> str:
    """Return each section of a YAML with its keys, from the types that check them."""
    parts: dict[str, tuple[Any, Any]] = {}
    for section, struct in SECTIONS.items():
        if section == "model":
            builders = {f"model, builder {name}": name for name in BUILDERS}
            parts |= {
                title: (BUILDERS[name], model_struct(name)) for title, name in builders.items()
            }
        else:
            parts[section] = (struct, struct)
    parts |= {
        "weights": (PublishedWeights, PublishedWeights),
        "weights, scores": (Scores, Scores),
    }
    lines = []
    for title, (documented, struct) in parts.items():
        text = inspect.getdoc(documented) or ""
        about = re.split(r"\n\n(?:Args|Layers|The arguments are)", text)[0]
        said = (_of_cells() if "SCells" in text else {}) | meanings(text)
        lines += [f"## {title}", "", about, "", *_keys(struct, said), ""]
    return "\n".join(lines)


def _of_cells() -> dict[str, str]:
    """Return what the Neocognitron's layers say of their arguments; to import them starts Keras."""
    said: dict[str, str] = {}
    for node in ast.parse(CELLS.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name in ("SCells", "CCells"):
            found = meanings(ast.get_docstring(node) or "")
            said |= found | {f"{node.name[0].lower()}_{name}": text for name, text in found.items()}
    return said


def meanings(text: str) -> dict[str, str]:
    """Return what a docstring says of each argument: its lines that are set in by four."""
    found = re.findall(r"^ {4}(\w+): (.*?)(?=\n {0,4}\S|\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return {name: " ".join(about.split()).rstrip(".") for name, about in found}


def _keys(struct: Any, said: dict[str, str]) -> Iterator[str]:
    yield from ["| Key | Meaning | Value | Default |", "|---|---|---|---|"]
    for shared in (BUILDERS["lenet5"], Model):
        said = meanings(inspect.getdoc(shared) or "") | said
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        made = field.default_factory
        value = field.default if made is msgspec.NODEFAULT else made()
        default = "must be given"
        if not field.required:
            default = f"`{textwrap.shorten(json.dumps(value), 100, placeholder=' …')}`"
        cells = said.get(field.name, ""), value_of(hints[field.name]), default
        yield f"| `{field.name}` | {' | '.join(map(_cell, cells))} |"


def value_of(hint: Any) -> str:
    """Say in words which values a type hint admits."""
    if hint == KerasObject:
        return "an object of Keras"
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        notes = hint.__metadata__
        said = [each.description for each in notes if getattr(each, "description", None)]
        return said[0] if said else value_of(inner[0]) + "".join(map(_limits, notes))
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in inner)
    if origin in (typing.Union, types.UnionType):
        if set(typing.get_args(KerasObject)) <= set(inner):
            return value_of(KerasObject)
        one, *others = dict.fromkeys(map(value_of, inner))
        return " or ".join([one, *(word.replace(f", each {one}", "") for word in others)])
    if origin is dict:
        return "keys and values"
    if origin:
        return f"a list, each {value_of(inner[0]).partition(' or ')[0]}"
    return "nothing" if hint in (None, type(None)) else WORDS.get(hint, f"{hint.__name__}, below")


def _limits(note: Any) -> str:
    signs = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    pairs = ((word, getattr(note, name, None)) for name, word in signs.items())
    return "".join(
        f" {word} {limit:g}" for word, limit in pairs if limit is not None and limit < 1e6
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


REFERENCES: dict[str, Callable[[], str]] = {
    "python": python_reference,
    "commands": command_reference,
    "configuration": configuration_reference,
}

if __name__ == "__main__":
    raise SystemExit(main())

"""The pages of the site: complete, as the parsers and types have it, and readable on Windows."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

import build_site
import modelzoo
from modelzoo.cli.arguments import COMMANDS, SHORT_NAMES, make_parser
from modelzoo.config.sections import all_keys

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM = re.compile(r"^(?:modelzoo |python -m (?=train|evaluate|predict))(.*)", re.DOTALL)
PARSERS = next(each for each in make_parser()._actions if isinstance(each.choices, dict)).choices


def blocks(text: str) -> list[str]:
    """Return the commands in blocks, without comments, lines that go on joined."""
    found = re.findall(r"^```(?:sh|bash)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    joined = "\n".join(found).replace("\\\n", " ")
    lines = re.sub(r"<<'(\w+)'\n.*?\n\1\n", "\n", joined, flags=re.DOTALL).splitlines()
    return [part.strip() for line in lines for part in re.split(r"  +#| && |  {2,}", line)[:1]]


def test_the_readme_is_short_and_installs_as_the_site_says():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 120
    (command,) = re.findall(r"<!-- main -->\n```\n(.*?)\n```", readme)
    assert f"```bash\n{command}\n```" in (ROOT / "docs" / "install.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_blocks_can_be_typed(page, capsys):
    """Also those that no test runs: downloads, other machines, your own files."""
    for line in blocks(page.read_text("utf-8")):
        if (found := PROGRAM.match(line)) and found[1] and not found[1].startswith("-"):
            try:
                make_parser().parse_args(shlex.split(found[1]))
            except SystemExit:
                pytest.fail(f"{line}: {capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_sentences_exist_with_their_options(page):
    for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", page.read_text("utf-8")):
        found = PROGRAM.match(" ".join(code.split()))
        if found and (words := found[1].split()) and re.fullmatch("[a-z]+", words[0]):
            assert words[0] in PARSERS, code
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert options <= set(PARSERS[words[0]]._option_string_actions), code


def test_every_page_is_in_the_navigation_once():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = re.findall(r"[\w/-]+\.md", str(yaml.safe_load(text)["nav"]))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]}
    assert sorted(named) == sorted(pages | {name.lower() for name in build_site.PROJECT})


def test_the_python_reference_is_complete():
    names = {name for name in modelzoo.__all__ if not name.startswith("_")}
    page = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(names)
    assert set(re.findall(r"^::: modelzoo\.(\w+)$", build_site.python_reference(), re.M)) == names


def test_the_command_reference_is_that_of_the_parser():
    page = build_site.command_reference()
    for each in COMMANDS:
        _, _, part = page.partition(f"## modelzoo {each.name}\n")
        part = part.partition("\n## ")[0]
        assert each.about in part and each.example.partition(";")[0] in part
        rows = re.findall(r"^\| `(\S+)", part, re.MULTILINE)
        assert len(rows) == len(each.options) + 1  # --quiet, which all have
        assert [row.rstrip("`…") for row in rows if row.startswith("--")] == [
            *(name for name, _ in each.options if name.startswith("--")), "--quiet"
        ]  # fmt: skip
    assert "| `--batch-size N` | images in a batch |" in page
    assert "0,0.01,0.03" in page and "%(default)s" not in page
    assert not set(SHORT_NAMES) & set(page.split())


def test_the_configuration_reference_has_every_key():
    page = build_site.configuration_reference()
    parts = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    found = {
        f"{part.partition(',')[0].split()[0]}.{key}"
        for part in parts
        for key in re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
    }
    keys = {key for key in all_keys() if key.count(".") == 1}
    assert keys <= found
    size = "images between two updates of the weights | from 1 to 2**31 - 1 | `32` |"
    assert f"| `batch_size` | {size}" in page
    assert '| `digit`, `contain`, `cover`, `stretch` | `"cover"` |' in page
    assert re.search(r"\| `epochs` \|.* from 1 to 2\*\*31 - 1 \| must be given \|", page)
    assert not re.search(r"^\| `\w+` \|  \|", page, re.MULTILINE), "a key without a meaning"


@pytest.mark.parametrize(
    ("posix", "windows"),
    [
        ("modelzoo list\n", "modelzoo list\n"),
        (".venv/bin/pip install . && .venv/bin/python -m train\n",
         ".venv\\Scripts\\pip install .\n.venv\\Scripts\\python -m train\n"),
        ("source .venv/bin/activate\n", ".venv\\Scripts\\activate\n"),
        ("A_B=2 python -m train --epochs 1\n", '$env:A_B = "2"; python -m train --epochs 1\n'),
        ("export A_B=2\n", '$env:A_B = "2"\n'),
        ("modelzoo attack lenet5 \\\n  --strengths 0,0.1\n",
         'modelzoo attack lenet5 `\n  --strengths "0,0.1"\n'),
        ('modelzoo train --set "a.b=[1, 2]"\n', 'modelzoo train --set "a.b=[1, 2]"\n'),
        ("cat > a.yaml <<'YAML'\nmaps: [1, 2]\nA=1 x\nYAML\nmodelzoo info a.yaml\n",
         "@'\nmaps: [1, 2]\nA=1 x\n'@ | Set-Content -Encoding utf8 a.yaml\nmodelzoo info a.yaml\n"),
        ("python - <<'PYTHON'\nprint(1, 2)\nPYTHON\n", "@'\nprint(1, 2)\n'@ | python -\n"),
    ],
)  # fmt: skip
def test_what_powershell_takes(posix, windows):
    assert build_site.powershell(posix) == windows


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_shows_what_powershell_cannot_take(page):
    """Such as tools of POSIX systems: what is left must be commands of ours, Python's or Git's."""
    for block in re.findall(build_site.SHELL, page.read_text("utf-8")):
        windows = re.sub(r"@'\n.*?\n'@ \| ", "", build_site.powershell(block), flags=re.DOTALL)
        for line in windows.splitlines():
            if line and not line.startswith(("#", " ", "$env:")):
                first = line.split()[0]
                assert first in ("modelzoo", "python", "pip", "py", "git", "Set-Content") or (
                    first.startswith(".venv\\Scripts\\")
                ), line


def test_the_messages_that_the_questions_quote_are_ours():
    """Each part of a heading that is set as code stands in a message of the package."""
    texts = [path.read_text("utf-8") for path in (ROOT / "modelzoo").rglob("*.py")]
    source = " ".join(re.sub(r'"\s*\n\s*f?"|\\n', " ", text) for text in texts)
    source = re.sub(r"\s+", " ", re.sub(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", "…", source))
    page = (ROOT / "docs" / "faq.md").read_text("utf-8")
    quoted = re.findall(r"^### .*?`([^`]+)`", page, re.MULTILINE)
    assert len(quoted) > 20
    for message in quoted:
        for part in re.split("…", message):
            if len(part.strip(" ;:,.`?")) > 3 and "modelzoo" not in message:
                assert part.strip() in source, f"{message}: {part}"

"""What is printed fits the terminal: lines are broken at spaces, and no number is broken."""

import html
import io
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from modelzoo import cli
from modelzoo.cli.printing import evaluation_lines, show, study_lines, table_lines
from modelzoo.data.source import Dataset
from modelzoo.support import terminal
from modelzoo.support.terminal import broken, say, tell, width_of, wrapped
from modelzoo.training.evaluation import Evaluation, Scores

LONG = "lenet5 (44,426 parameters): 3,600 training and 10,000 test images; epoch 1/12  loss 0.1234"


def test_lines_are_broken_at_spaces():
    for width in range(14, 95):
        lines = wrapped(LONG, width).split("\n")
        assert max(map(len, lines)) <= width
        assert " ".join(lines).split() == LONG.split()
        assert all(line.startswith("  ") for line in lines[1:])


def test_a_line_stays_whole_where_there_is_no_terminal():
    assert wrapped(LONG, None) == LONG
    assert broken("a-word-that-is-longer", 5) == ["a-word-that-is-longer"]


def test_what_decides_on_the_width(monkeypatch, tmp_path):
    monkeypatch.delenv("COLUMNS", raising=False)
    with (tmp_path / "file").open("w") as file:
        assert width_of(file) is None
    assert width_of(io.StringIO()) is None
    monkeypatch.setenv("COLUMNS", "61")
    assert width_of(io.StringIO()) == 61
    monkeypatch.setenv("COLUMNS", "wide")
    assert width_of(io.StringIO()) is None


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_of_80_columns(monkeypatch):
    import fcntl
    import pty
    import struct
    import termios

    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    path = Path("a folder/" * 12)
    with os.fdopen(slave, "w") as terminal:
        say(LONG, file=terminal)
        tell(Console(file=terminal), LONG)
        say(path, file=terminal)
        terminal.flush()
        shown = b""
        while shown.count(b"\n") < 5:
            shown += os.read(master, 4096)
    os.close(master)
    lines = shown.decode().replace("\r\n", "\n").splitlines()
    assert lines == [*wrapped(LONG, 80).split("\n") * 2, str(path)]


def printed(command: str, capsys: Any) -> list[str]:
    assert cli.main(command.split()) == 0
    return list(capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("command", ["list", "list --weights", "info alexnet_2012 --layers"])
def test_tables_fit_80_columns(command, monkeypatch, capsys):
    """Also in a pipe; and nothing is cut: all words of a wide terminal are in a narrow one."""
    monkeypatch.setenv("COLUMNS", "1000")
    words = sorted(" ".join(printed(command, capsys)).split())
    monkeypatch.delenv("COLUMNS")
    assert max(map(len, printed(command, capsys))) <= 80
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = printed(command, capsys)
        assert max(map(len, lines)) <= columns
        assert sorted(" ".join(lines).split()) == words


def test_evaluation_and_study_fit_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"a class with the number {number} and a rather long name" for number in range(20)]
    confusion = np.arange(10_000, 10_400).reshape(20, 20)
    images, labels = np.zeros((20, 1, 1, 1), np.uint8), np.arange(20)
    data = Dataset("drawn", images, labels, images, labels, tuple(names), "a note " * 20)
    scores = Scores("test", 0.1, 0.5, labels, np.eye(20), 1.0)
    evaluation = Evaluation(scores, data, confusion, names, 0, "tensorflow on cpu:0")
    show(Namespace(json=False), None, evaluation_lines("lenet5", evaluation))
    columns = ("train_accuracy", "val_accuracy", "gap", "test_accuracy")
    row: dict[str, Any] = dict.fromkeys(columns, 0.5)
    row |= {"variant": "a variant " * 9, "epochs": 100, "seconds": 1e6}
    show(Namespace(json=False), None, study_lines("title", [row]))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert set(map(str, confusion.flat)) <= set(out.split())
    assert all(f"{number} {name}" in " ".join(out.split()) for number, name in enumerate(names))


def test_the_column_that_gives_way():
    heads, row = ("NAME", ">COUNT", "TITLE"), ("net", "10,000", "some words and some more")
    assert table_lines(heads, [row], 40) == [
        "NAME   COUNT  TITLE",
        "net   10,000  some words and some more",
    ]
    assert table_lines(heads, [row], 28) == [
        "NAME   COUNT  TITLE",
        "net   10,000  some words and",
        "              some more",
    ]
    assert table_lines(heads, [row], 22) == [
        "NAME   COUNT",
        "    TITLE",
        "net   10,000",
        "    some words and",
        "    some more",
    ]
    assert table_lines(("NAME", "T"), [("宽字", "x"), ("é", "y")], 40)[1:] == [
        "宽字  x",
        "é     y",
    ]


def test_progress_in_a_notebook_is_one_output_drawn_again(monkeypatch):
    shown: list[dict[str, str]] = []
    handle = Namespace(update=lambda data, raw: shown.append(data))
    display = pytest.importorskip("IPython.display")
    monkeypatch.setattr(display, "display", lambda data, **_: shown.append(data) or handle)
    monkeypatch.setattr(terminal, "REDRAW", -1.0)
    line = "epoch 1/2  loss < 0.5"
    with terminal.ProgressBar(10, console=terminal.make_console(force_jupyter=True)) as bar:
        bar.begin("epoch 1/2")
        bar.show(4, str, note="loss < 0.9")
        bar.say(line)
        bar.begin("epoch 2/2")
    bars = [data["text/html"].partition("<div>")[2] for data in shown]
    assert bars[1] == ('epoch 1/2  loss &lt; 0.9 <progress value="4" max="10"></progress></div>')
    assert bars[3].startswith("epoch 2/2") and bars[-1] == ""
    assert shown[-1] == {"text/plain": line, "text/html": f"<pre>{html.escape(line)}</pre>"}


@pytest.mark.parametrize("quiet", [False, True])
def test_a_message_in_a_notebook_is_printed(quiet, capsys):
    terminal.tell(terminal.make_console(force_jupyter=True, quiet=quiet), "note: " + 40 * "long ")
    assert capsys.readouterr() == ("" if quiet else f"note: {40 * 'long '}\n", "")


def test_a_command_in_a_notebook_draws_no_bar(monkeypatch):
    """Its output is kept as it comes: only the lines that are results are printed."""
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    file = io.StringIO()
    console = terminal.make_console(file=file, force_terminal=True, force_interactive=True)
    with terminal.ProgressBar(10, console=console, interval=-1.0) as bar:
        bar.begin("epoch 1/1")
        bar.show(4, lambda: "batch 4 of 10")
        bar.say("epoch 1/1  loss 0.5")
    assert file.getvalue() == "epoch 1/1  loss 0.5\n"

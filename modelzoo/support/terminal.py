"""All that is printed for people goes through here, so that no text can command the terminal.

Names of classes, files and layers, texts in a YAML and answers of servers come from others. What a
terminal would act on (escape sequences, control characters, changes of the writing direction) is
shown as text: ESC as `\\x1b`.

Lines are broken at spaces to fit a terminal, which would break them within a number or a word. In a
pipe or a file a line stays whole, so that other programs find it; tables fit 80 columns there, too.
The environment variable COLUMNS sets the width for all of them.

In a notebook, progress is one output of its cell: lines, and a bar that is drawn again in place.
What a command after `!` writes there is kept as it comes, so such a command draws no bar.
"""

from __future__ import annotations

import html
import os
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

REDRAW = 0.2  # seconds between two states of a bar in a notebook


def plain(text: str) -> str:
    """Return text in which everything but line ends is printable; the rest as Python writes it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def on_one_line(text: str) -> str:
    """Return plain text without line ends, as a comment in a YAML must be."""
    return plain(text).replace("\n", "\\n")


def say(text: object, *, file: IO[str] | None = None, flush: bool = False) -> None:
    """Print a line, or several, on stdout or on `file`; a path stays in one piece."""
    out = file or sys.stdout
    shown = plain(str(text))
    print(shown if isinstance(text, Path) else wrapped(shown, width_of(out)), file=out, flush=flush)


def tell(console: Console, message: str, *, style: str | None = None) -> None:
    """Print a line, or several, on a console of Rich, which would break a long path."""
    if console.is_jupyter and not console.quiet:  # where Rich makes a paragraph of it, cut off
        print(plain(message))
        return
    text = wrapped(plain(message), width_of(console.file))
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def width_of(file: IO[str]) -> int | None:
    """Return the columns that a line may have; None in a pipe or a file, where it stays whole."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    try:
        return (os.get_terminal_size(file.fileno()).columns or None) if file.isatty() else None
    except (AttributeError, OSError, ValueError):  # what stands in its place has no number
        return None


def wrapped(text: str, width: int | None) -> str:
    """Break lines at spaces so that they have at most `width` columns; None leaves them whole."""
    if width is None:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))]
        fits = columns_of(line) <= width
        lines += [line] if fits else broken(line, width, indent=f"{indent}  ")
    return "\n".join(lines)


def broken(text: str, width: int, *, indent: str = "") -> list[str]:
    """Return the lines of a text that is broken at spaces only; a longer word stays whole."""
    lines = textwrap.wrap(
        text,
        max(width, 1),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return lines or [""]


def columns_of(text: str) -> int:
    """Return the columns that printable text takes: Chinese letters take two, an accent none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def make_console(**options: Any) -> Console:
    """Return a console of Rich without markup, and without colours for what looks like a number."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(plain(text), **options)

    return PlainConsole(**{"markup": False, "highlight": False, "emoji": False, **options})


class NotebookOutput:
    """An output of a cell that is drawn again in place: lines, and a bar below them."""

    def __init__(self, total: float | None) -> None:
        self.total, self.lines = total, list[str]()
        self.what, self.drawn = "", 0.0
        self._handle: Any = None

    def draw(self, done: float | None = None, note: str = "") -> None:
        """Show the lines and, unless `done` is None, the bar and the note."""
        from IPython.display import display

        self.drawn = time.monotonic()
        text, bar = "\n".join(self.lines), ""
        if done is not None:
            value = f'value="{done}" max="{self.total}"' if self.total else ""
            label = html.escape(plain(f"{self.what}  {note}"))
            bar = f"<div>{label} <progress {value}></progress></div>"
        lines = f"<pre>{html.escape(text)}</pre>" if text else ""
        shown = {"text/plain": text, "text/html": lines + bar}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


class ProgressBar:
    """Shows one pass after the other over work of the same size. A context: it ends the bar.

    `total` is that of a pass, None if unknown; `unit` a column of Rich's for the units done, by
    default "3/12"; `interval` the seconds between two lines where there is no bar.
    """

    def __init__(
        self,
        total: float | None,
        *,
        unit: ProgressColumn | None = None,
        console: Console | None = None,
        interval: float = 10.0,
    ) -> None:
        self.total, self.unit, self.interval = total, unit, interval
        self.console = console or make_console(stderr=True)
        self._bar: Bar | None = None
        is_page = self.console.is_jupyter and not self.console.quiet
        self._output = NotebookOutput(total) if is_page else None
        self._is_below_notebook = "JPY_PARENT_PID" in os.environ  # which Jupyter sets for a kernel
        self._last_line = time.monotonic()

    def begin(self, what: str = "") -> None:
        """Begin a pass, of which nothing is done yet."""
        self._last_line = time.monotonic()
        if self._output:
            self._output.what = what
            self._output.draw(0)
        if self._output or self._is_below_notebook or not self.console.is_interactive:
            return
        if self._bar is None:
            self._bar = self._make_bar()
            self._bar.start()
        for task in self._bar.task_ids or [self._bar.add_task("", total=self.total, note="")]:
            self._bar.reset(task, description=plain(what), note="")

    def show(self, done: float, line: Callable[[], str], *, what: str = "", note: str = "") -> None:
        """Show how many units are done.

        `line` makes what is printed where there is no bar, if it is time for a line; `what` stands
        before the bar, `note` behind it, in a terminal that is wide enough.
        """
        if self._output:
            if time.monotonic() - self._output.drawn > REDRAW:
                self._output.what = what or self._output.what
                self._output.draw(done, note)
            return
        if self._bar is None:
            waited = time.monotonic() - self._last_line
            if waited > self.interval and not self._is_below_notebook:
                self.say(line())
            return
        described = plain(what) if what else None
        for task in self._bar.task_ids:
            self._bar.update(task, completed=done, description=described, note=plain(note))

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._last_line = time.monotonic()
        if self._output:
            self._output.lines.append(plain(line))
            self._output.draw()
        else:
            tell(self.console, line)

    def close(self) -> None:
        """Give the terminal back, and leave the lines in a notebook."""
        if self._output and self._output.drawn:
            self._output.draw()
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _make_bar(self) -> Bar:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        note = TextColumn("{task.fields[note]}", markup=False)
        return Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            self.unit or MofNCompleteColumn(),
            *([note] if self.console.width >= 80 else []),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )

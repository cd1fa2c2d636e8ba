"""How far long work is, for people: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from modelzoo.support.terminal import make_console, plain, tell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn


class Progress:
    """Shows one pass after the other over work of the same size. A context: it ends the bar.

    Args:
        total: of a pass, in units; None if unknown.
        unit: a column of Rich's that says how many units are done; by default "3/12".
        console: where; None for the standard error stream.
        interval: seconds between two lines where there is no bar.
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
        self._last_line = time.monotonic()

    def begin(self, what: str = "") -> None:
        """Begin a pass, of which nothing is done yet."""
        self._last_line = time.monotonic()
        if not self.console.is_interactive:
            return
        if self._bar is None:
            self._bar = self._make_bar()
            self._bar.start()
        for task in self._bar.task_ids or [self._bar.add_task("", total=self.total, note="")]:
            self._bar.reset(task, description=plain(what), note="")

    def show(self, done: float, line: Callable[[], str], *, what: str = "", note: str = "") -> None:
        """Show how many units are done.

        Args:
            done: units.
            line: makes what is printed where there is no bar, if it is time for a line.
            what: stands before the bar, if it is not what the pass began with.
            note: stands behind the bar, in a terminal that is wide enough.
        """
        if self._bar is None:
            if time.monotonic() - self._last_line > self.interval:
                self.say(line())
            return
        described = plain(what) if what else None
        for task in self._bar.task_ids:
            self._bar.update(task, completed=done, description=described, note=plain(note))

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._last_line = time.monotonic()
        tell(self.console, line)

    def close(self) -> None:
        """Give the terminal back."""
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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

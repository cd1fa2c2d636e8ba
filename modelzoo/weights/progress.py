"""What a person sees of a download, on stderr: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from modelzoo.terminal import make_console, say

PLAIN_INTERVAL = 10.0  # seconds between two lines


class Progress:
    """Shows one file's way here. Used as a context; without a call of `begin` nothing is shown."""

    def __init__(self, label: str, total: int | None) -> None:
        self.label, self.total = label, total
        self._bar: object = None
        self._last_line = 0.0

    def begin(self, source: object) -> None:
        """A source is being tried."""
        self.say(f"{self.label}: fetching {_size(self.total)}from {source}")
        self._last_line = time.monotonic()
        if sys.stderr.isatty() and self._bar is None:
            self._start_bar()

    def advance(self, size: int) -> None:
        """So many bytes have come. Called from the thread that reads them."""
        if self._bar is not None:
            self._update_bar(size)
        elif time.monotonic() - self._last_line > PLAIN_INTERVAL:
            self._last_line = time.monotonic()
            share = f" ({size / self.total:.0%})" if self.total else ""
            self.say(f"{self.label}: {size:,} bytes{share}")

    def say(self, message: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar is None:
            say(message, file=sys.stderr, flush=True)
        else:
            self._bar.console.print(message)  # type: ignore[attr-defined]

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()  # type: ignore[attr-defined]

    def _start_bar(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        bar = Bar(*columns, console=make_console(stderr=True), transient=True)
        self._task = bar.add_task("", total=self.total)
        bar.start()
        self._bar = bar

    def _update_bar(self, size: int) -> None:
        self._bar.update(self._task, completed=size)  # type: ignore[attr-defined]


def _size(total: int | None) -> str:
    return f"{total:,} bytes " if total else ""

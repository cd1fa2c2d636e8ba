"""How far a long measurement is, on stderr: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from modelzoo.terminal import make_console, plain

PLAIN_INTERVAL = 10.0  # seconds between two lines where there is no terminal

Advance = Callable[[str, int], None]


@contextlib.contextmanager
def progress_of(total: int) -> Iterator[Advance]:
    """Give a function to call with what has just been done, in words, and how many pictures."""
    console = make_console(stderr=True)
    if console.is_interactive:
        what = TextColumn("{task.description}", markup=False)
        columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bar = Progress(*columns, console=console, transient=True)
        with bar:
            task = bar.add_task("", total=total)
            yield lambda what, pictures: bar.update(task, description=plain(what), advance=pictures)
        return
    done, last = 0, time.monotonic()

    def advance(what: str, pictures: int) -> None:
        nonlocal done, last
        done += pictures
        if time.monotonic() - last > PLAIN_INTERVAL:
            last = time.monotonic()
            line = f"{what}: {done / total:.0%} of all pictures done"
            console.print(line, soft_wrap=True)

    yield advance

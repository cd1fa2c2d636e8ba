"""The one place where tests wait: for a state, never for a time that a machine may need."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

HANGS = 1800.0  # seconds after which something is taken to hang, however busy the machine is


def wait_for(condition: Callable[[], Found], why_not: Callable[[], object] | None = None) -> Found:
    """Return what `condition` returns as soon as that is true; `why_not` may return a reason."""
    end = time.monotonic() + HANGS
    while not (found := condition()):
        reason = why_not and why_not()
        assert not reason, reason
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)
    return found


def text_of(path: Path) -> str:
    """Return what a file holds; nothing, if it does not exist yet."""
    return path.read_text() if path.exists() else ""

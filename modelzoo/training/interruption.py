"""Ctrl-C and SIGTERM as a wish to stop at the next good moment."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class Interruption:
    """Within a block, the first SIGINT or SIGTERM is noted; the second raises KeyboardInterrupt.

    Outside the main thread, where Python hands out no signals, nothing changes.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.is_wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._note) for each in self.SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler or signal.SIG_DFL)  # None: it was set outside Python
        self._before = {}

    def end(self) -> None:
        """Raise KeyboardInterrupt if it is wanted: what must not be lost is saved."""
        if self.is_wanted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_wanted:
            raise KeyboardInterrupt
        self.is_wanted = True

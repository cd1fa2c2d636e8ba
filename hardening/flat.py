"""Whether a process that does the same again and again holds no more and no more."""

import ctypes
import gc
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SHARE = 1.05  # of what was held after the first rounds


@dataclass(frozen=True)
class Held:
    """What this process holds: memory in bytes, open files, and names in the temporary folder."""

    memory: int
    files: int
    temporary: frozenset[str]

    @classmethod
    def now(cls) -> "Held":
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free, but kept for later
        status = Path("/proc/self/status").read_text()
        memory = int(status.partition("VmRSS:")[2].split()[0]) * 1024
        names = frozenset(path.name for path in Path(tempfile.gettempdir()).iterdir())
        return cls(memory, len(list(Path("/proc/self/fd").iterdir())), names)

    def grown(self, before: "Held") -> str:
        """Return what is held beyond what was before, in words; nothing if it is flat."""
        found = []
        if self.memory > SHARE * before.memory:
            found.append(f"memory {before.memory / 1e6:.0f} MB, then {self.memory / 1e6:.0f} MB")
        if self.files > before.files:
            found.append(f"open files {before.files}, then {self.files}")
        if left := self.temporary - before.temporary:
            found.append(f"temporary files left: {sorted(left)[:5]}")
        return "; ".join(found)

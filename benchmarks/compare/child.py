"""What a fresh process does: one work of one contestant. Started by `runner`, not by hand.

python -m benchmarks.compare.child MODULE FUNCTION SETTINGS RESULT
"""

import contextlib
import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    """Call MODULE.FUNCTION with SETTINGS (JSON), and write what it returns to the file RESULT."""
    module, function, settings, result = sys.argv[1:]
    work = getattr(importlib.import_module(f"benchmarks.compare.{module}"), function)
    returned = {**work(json.loads(settings)), "peak_bytes": peak_memory()}
    Path(result).write_text(json.dumps(returned), encoding="utf-8")


def peak_memory() -> int | None:
    """Return the most memory that this process has held, in bytes; None where nobody counts it.

    Linux' getrusage is asked last: it counts what the parent held when it started this process.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()

"""What this process runs on: processor, cores, memory, versions. Starts no framework."""

import contextlib
import os
import platform
import sys
from pathlib import Path

from modelzoo.support.version import __version__


def processor_name() -> str:
    """Return the processor's name where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_peak() -> int | None:
    """Return the most memory that this process has held, in bytes; None if it is unknown.

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


def versions() -> dict[str, str]:
    """Return the versions that a figure may depend on."""
    import importlib.metadata

    found = {"python": platform.python_version(), "modelzoo": __version__}
    for package in ("keras", "tensorflow", "jax", "torch", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found

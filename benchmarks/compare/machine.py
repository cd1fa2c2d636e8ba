"""What a measurement was made on, and whether other work was going on."""

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = ("modelzoo", "keras", "tensorflow", "jax", "torch", "numpy")
# What decides how fast a processor multiplies matrices in 32 and in 16 bits.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")
IDLE = 0.3  # load average above which something else must be running


def describe() -> dict[str, Any]:
    """Return processor, cores, memory in bytes, system, and the versions of what is compared."""
    processor, flags = platform.processor() or platform.machine(), set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "model name":
                processor = value
            elif key in ("flags", "Features"):
                flags = set(value.split())
    return {
        "processor": processor,
        "instructions": [each for each in INSTRUCTIONS if each in flags],
        "cores": usable_cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version(), **_versions()},
    }


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def busy() -> str | None:
    """Return a warning if other work is going on, as far as the load average tells."""
    if not hasattr(os, "getloadavg"):
        return None
    load = os.getloadavg()[0]
    if load <= IDLE:
        return None
    return (
        f"the load average of the last minute is {load:.2f}: something else is running, and what "
        "is measured now is not worth keeping"
    )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found

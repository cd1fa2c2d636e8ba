"""What a measurement was made on, and whether other work was going on."""

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

from modelzoo.support.environment import processor_name, usable_cores, versions

# What decides how fast a processor multiplies matrices in 32 and in 16 bits.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")
IDLE = 0.3  # load average above which something else must be running


def describe() -> dict[str, Any]:
    """Return processor, cores, memory in bytes, system, and the versions of what is compared."""
    return {
        "processor": processor_name(),
        "instructions": [each for each in INSTRUCTIONS if each in _flags()],
        "cores": usable_cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions(),
    }


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


def _flags() -> set[str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("flags", "Features"):
                return set(value.split())
    return set()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None

"""What a fresh process does: one work of one contestant. Started by `runner`, not by hand.

python -m benchmarks.compare.child MODULE FUNCTION SETTINGS RESULT
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelzoo.support.environment import memory_peak

Settings = dict[str, Any]


def main() -> None:
    """Call MODULE.FUNCTION with SETTINGS (JSON), and write what it returns to the file RESULT."""
    module, function, settings, result = sys.argv[1:]
    work = find(importlib.import_module(f"benchmarks.compare.{module}"), function)
    returned = {**work(json.loads(settings)), "peak_bytes": memory_peak()}
    Path(result).write_text(json.dumps(returned), encoding="utf-8")


def find(contestant: Any, function: str) -> Callable[[Settings], dict[str, Any]]:
    """Return what does a work: two of them are the same for all, around `fit_alexnet`."""

    def alexnet_step(settings: Settings) -> dict[str, Any]:
        """Milliseconds a step: means over each stretch but the first."""
        seconds, facts = contestant.fit_alexnet(settings)
        samples = [1000 * each / settings["steps"] for each in seconds[1:]]
        return {"samples": samples, "facts": facts}

    def memory(settings: Settings) -> dict[str, Any]:
        """Train for some steps; the parent asks how much memory that took."""
        return {"facts": contestant.fit_alexnet({**settings, "epochs": 1})[1]}

    common = {"alexnet_step": alexnet_step, "memory": memory}
    return common.get(function) or getattr(contestant, function)


if __name__ == "__main__":
    main()

"""Start a contestant in a fresh process, time it, and collect what it says."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.compare.works import Contestant, Work
from modelzoo.support.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
LAST_LINES = 5  # of what a contestant said before it failed
KEPT = ("parameters", "test_accuracy", "test_loss", "accuracy", "loss", "epochs", "best_epoch")


def missing(contestant: Contestant) -> list[str]:
    """Return the packages that a contestant needs and that are not installed."""
    return [name for name in contestant.needs if importlib.util.find_spec(name) is None]


def measure(
    work: Work, contestant: Contestant, settings: dict[str, Any]
) -> tuple[list[float], dict[str, Any]]:
    """Let a contestant do a work once; return its samples, in the work's unit, and its facts.

    Raises:
        RunError: the process failed; with the end of what it said.
    """
    settings = {**settings, **contestant.settings, "contestant": contestant.name}
    with tempfile.TemporaryDirectory() as folder:
        command = _command(work, contestant, settings, Path(folder))
        result, seconds = _run(command, contestant, Path(folder))
    facts = result.get("facts", {key: result[key] for key in KEPT if key in result})
    if "samples" in result:
        return result["samples"], facts
    if work.unit != "MB":
        return [seconds], facts
    if result["peak_bytes"] is None:
        raise RunError("this system does not say how much memory a process held")
    return [result["peak_bytes"] / 1e6], facts


def _command(
    work: Work, contestant: Contestant, settings: dict[str, Any], folder: Path
) -> list[str]:
    if contestant.command:
        values = {"out": folder / "run", "dataset": work.dataset, "seed": settings.get("seed")}
        return [sys.executable, *(each.format(**values) for each in contestant.command)]
    child = ["-m", "benchmarks.compare.child", str(contestant.module), work.function]
    return [sys.executable, *child, json.dumps(settings), str(folder / "result.json")]


def _run(command: list[str], contestant: Contestant, folder: Path) -> tuple[dict[str, Any], float]:
    """Return what the process wrote, or printed as JSON, and the seconds that it took."""
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(contestant), capture_output=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
        raise RunError(f"exit code {done.returncode}: " + "\n".join(said))
    written = folder / "result.json"
    if written.exists():
        return json.loads(written.read_text("utf-8")), seconds
    return json.loads(done.stdout) if "--json" in command else {}, seconds


def _environment(contestant: Contestant) -> dict[str, str]:
    """Return the environment of a contestant: this checkout first, no GPU, no network."""
    paths = [str(ROOT), str(ROOT / "scripts"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "KERAS_BACKEND": contestant.backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "MODELZOO_OFFLINE": "1",
        **contestant.environment,
    }

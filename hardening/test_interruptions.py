"""A few of the tries that interruptions.py and damaged_runs.py make by hundreds."""

import os
import subprocess
import sys
from pathlib import Path

# Signals are tried in test_training.py, full disks in test_bad_input.py.
WAYS = ("lying-disk", "read-only", "clock", "second")


def run_harness(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=Path(__file__).parents[1],
        env=environment,  # readline sets COLUMNS behind Python's back, and messages would be broken
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_is_the_same_however_it_was_interrupted():
    """Other weights, a gap in the history, a file left over, or a folder that nobody can use."""
    options = ["--times", str(len(WAYS)), "--ways", *WAYS, "--recipes", "saved-often"]
    run_harness("hardening.interruptions", *options)


def test_damage_is_mended_or_named():
    """A traceback, other weights, or a file outside of the run's folder changed."""
    run_harness("hardening.damaged_runs", "--times", "3", "--seed", "2")

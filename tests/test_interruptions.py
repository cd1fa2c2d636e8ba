"""A few of the tries of `python -m tests.interruptions`, which makes hundreds."""

import subprocess
import sys
from pathlib import Path

import pytest

WAYS = ("power-cut", "lying-disk", "read-only", "clock", "second")  # others: test_training.py


@pytest.mark.slow
def test_a_run_is_the_same_however_it_was_interrupted():
    """Other weights, a gap in the history, a file left over, or a folder that nobody can use."""
    pytest.importorskip("mlxtend")
    options = ["--times", str(len(WAYS)), "--ways", *WAYS, "--recipes", "saved-often"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.interruptions", *options],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 lost" in done.stdout

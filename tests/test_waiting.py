"""No test rests on how fast a machine is: they wait for states, in one place."""

import re
from pathlib import Path

import pytest
from waiting import wait_for

TESTS = Path(__file__).parent
# A fixed pause; and a limit that a busy machine can reach, longer than the pause of a loop.
SLEEPS = re.compile(r"\bsleep\(|\bmonotonic\(|\bperf_counter\(|\btime\.time\(")
LIMITS = re.compile(r"\b(?:timeout=|\.wait\(|\.join\(|Timer\()(\d[\d_.]*)")


def test_tests_wait_in_one_place_and_for_long() -> None:
    """`sleep` hopes that something has happened; ten seconds are short beside other work."""
    found = []
    for path in sorted(TESTS.glob("*.py")):
        if path.name in ("waiting.py", Path(__file__).name):
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            limit = LIMITS.search(line)
            if SLEEPS.search(line) or (limit and 0.1 < float(limit[1]) < 600):
                found.append(f"{path.name}:{number}: {line.strip()}")
    assert found == []


def test_what_cannot_come_any_more_is_not_waited_for() -> None:
    """A process that has ended writes no file."""
    assert wait_for(lambda: "here") == "here"
    with pytest.raises(AssertionError, match="exit code 3"):
        wait_for(lambda: False, lambda: "exit code 3")

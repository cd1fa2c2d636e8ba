"""What all campaigns share: cases by number, what came of each, and the options of their commands.

A case follows from its number and the seed alone. `--record FILE` appends a line of JSON for each
case that is done, so that `python -m hardening.all` can stop and go on at any time.
"""

import argparse
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

STATUSES = ("ok", "refused", "failed", "skipped", "WRONG")


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        status: "ok"; "refused", an InputError or exit 2; "failed", a RunError or exit 1, such as
            the loss that became NaN; "skipped", what this machine does not allow; or "WRONG",
            what must not be.
        text: the message, or what was wrong.
        seconds: what it took of the processors' time, which is the same on a busy machine.
        bytes: the memory that it added at its peak.
    """

    status: str
    text: str = ""
    seconds: float = 0.0
    bytes: int = 0


@dataclass
class Tally:
    """What came of the cases of one campaign."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, Outcome] = field(default_factory=dict)
    seconds: float = 0.0  # of the longest case
    bytes: int = 0  # of the largest
    longest: int = -1
    largest: int = -1

    def add(self, number: int, outcome: Outcome) -> None:
        """Count a case."""
        self.counts[outcome.status] += 1
        if outcome.status == "WRONG":
            self.wrong[number] = outcome
        if outcome.seconds > self.seconds:
            self.seconds, self.longest = outcome.seconds, number
        if outcome.bytes > self.bytes:
            self.bytes, self.largest = outcome.bytes, number

    def __str__(self) -> str:
        """Return the figures in one line."""
        counts = [f"{self.counts[each]:,} {each}" for each in STATUSES]
        return (
            f"{self.counts.total():,} cases: {', '.join(counts)}; "
            f"longest {self.seconds:.1f} s (case {self.longest}), "
            f"largest {self.bytes / 1e6:.0f} MB (case {self.largest})"
        )


def add_options(parser: argparse.ArgumentParser, count: int = 20) -> None:
    """Add the options that every campaign takes."""
    parser.add_argument("--count", type=int, default=count, help="how many cases")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, action="append", metavar="N", help="this case alone")
    parser.add_argument("--verbose", action="store_true", help="say what came of every case")
    parser.add_argument("--record", type=Path, help="a file that gets a line for each case")


def run(
    name: str,
    options: argparse.Namespace,
    cases: Callable[[Iterable[int]], Iterator[tuple[int, Outcome]]],
) -> int:
    """Run the cases that were asked for; print what is wrong, record all, return the exit code."""
    numbers = options.only or range(options.first, options.first + options.count)
    tally, start = Tally(), time.monotonic()
    before = said = start
    signal.signal(signal.SIGTERM, stop)
    with contextlib.closing(cases(numbers)) as running:  # type: ignore[type-var]
        for number, outcome in running:
            now = time.monotonic()
            tally.add(number, outcome)
            if options.verbose or outcome.status == "WRONG":
                again = f"python -m hardening.{name} --seed {options.seed} --only {number}"
                print(f"{number:4} {outcome.status} {outcome.text}\n     {again}", flush=True)
            elif now - said > 60:
                said = now
                print(f"{name}: {tally}", flush=True)
            if options.record:
                line = {"number": number, **asdict(outcome), "wall": now - before}
                with options.record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            before = now
    minutes = (time.monotonic() - start) / 60
    print(f"{name}, seed {options.seed}: {tally}; {minutes:.1f} minutes", flush=True)
    return 1 if tally.wrong else 0


def stop(number: int, frame: FrameType | None) -> None:
    """End at a signal as at an exception, so that what was begun is ended and removed."""
    sys.exit(128 + number)

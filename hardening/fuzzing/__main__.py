"""`python -m hardening.fuzzing KIND --count N --seed S`: see the package."""

import argparse
import functools
import sys
from collections.abc import Iterable, Iterator

from hardening.cases import Outcome, add_options, run
from hardening.fuzzing.driver import Worker, run_cases
from hardening.fuzzing.kinds import KINDS


def main() -> int:
    """Run the cases; return 1 if one was wrong."""
    parser = argparse.ArgumentParser(prog="python -m hardening.fuzzing")
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    add_options(parser, count=100)
    options = parser.parse_args()
    show = _show if options.only and not options.record else run_cases
    cases = functools.partial(show, options.kind, options.seed)
    return run(f"fuzzing {options.kind}", options, cases)


def _show(kind: str, seed: int, numbers: Iterable[int]) -> Iterator[tuple[int, Outcome]]:
    """Run each case in a worker of its own, with its traceback; keep the files of a wrong one."""
    for number in numbers:
        worker = Worker()
        try:
            outcome = worker.run(kind, seed, number, trace=True)
            print(f"{outcome}\n  {outcome.seconds:.1f} s, {outcome.bytes / 1e6:.0f} MB")
            if outcome.status == "WRONG":
                print(f"  its files are kept in {worker.root}")
                worker.root = worker.root / "nothing"  # so that `close` leaves them
            yield number, outcome
        finally:
            worker.close()


if __name__ == "__main__":
    sys.exit(main())

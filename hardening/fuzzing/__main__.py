"""`python -m hardening.fuzzing KIND --count N --seed S`: see the package."""

import argparse
import sys
import time

from hardening.fuzzing.driver import Tally, Worker, run_cases
from hardening.fuzzing.kinds import KINDS


def main() -> int:
    """Run the cases; return 1 if one was wrong."""
    parser = argparse.ArgumentParser(prog="python -m hardening.fuzzing")
    parser.add_argument("kinds", nargs="+", choices=(*KINDS, "all"), metavar="KIND")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, action="append", metavar="N", help="this case alone")
    parser.add_argument("--verbose", action="store_true", help="say what came of every case")
    options = parser.parse_args()
    wrong = 0
    for kind in KINDS if "all" in options.kinds else options.kinds:
        if options.only:
            wrong += sum(_show(kind, options.seed, number) for number in options.only)
            continue
        tally, start = Tally(), time.monotonic()
        for number, outcome in run_cases(kind, options.seed, range(options.count)):
            tally.add(number, outcome)
            if options.verbose or outcome.status == "WRONG":
                again = f"python -m hardening.fuzzing {kind} --seed {options.seed} --only {number}"
                print(f"{outcome.status} {outcome.text}\n  {again}", flush=True)
            if (number + 1) % 500 == 0:
                print(f"{kind}: {tally}", flush=True)
        minutes = (time.monotonic() - start) / 60
        print(f"{kind}, seed {options.seed}: {tally}; {minutes:.1f} minutes", flush=True)
        wrong += len(tally.wrong)
    return 1 if wrong else 0


def _show(kind: str, seed: int, number: int) -> bool:
    worker = Worker()
    try:
        outcome = worker.run(kind, seed, number, trace=True)
        print(f"{kind} {number}: {outcome.status}: {outcome.text}")
        print(f"  {outcome.seconds:.1f} s, {outcome.bytes / 1e6:.0f} MB")
        if outcome.status == "WRONG":
            print(f"  its files are kept in {worker.root}")
            worker.root = worker.root / "nothing"  # so that `close` leaves them
        return outcome.status == "WRONG"
    finally:
        worker.close()


if __name__ == "__main__":
    sys.exit(main())

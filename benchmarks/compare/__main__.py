"""Measure modelzoo against a plain Keras script and plain PyTorch: the same work, in turn.

    python -m benchmarks.compare [--rounds 5] [--work NAME ...] [--out results/speed.json]
    python -m benchmarks.compare --quick

Each contestant does each work in a fresh process, once a round; the order moves on by one from
round to round. Nothing else may run meanwhile. Prints medians, the range of nine of ten samples,
and how many times modelzoo's median each takes. Every sample is kept in the JSON, of which
`python -m benchmarks.speed_page` makes docs/speed.md. Works that are measured later are added to
the file, if machine and versions are the same. `--quick` only tries out whether everything runs:
its figures mean nothing. Needs mnist.npz and cifar10_jpeg75.npz in $MODELZOO_DATA.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.compare import machine, runner, summary
from benchmarks.compare.works import WORKS, Contestant, Work, chosen_works
from benchmarks.results import open_results, write_results
from modelzoo.config import load_config
from modelzoo.data.datasets import data_folder
from modelzoo.support.errors import InputError, RunError, suggest
from modelzoo.weights.store import find_weights

OUT = runner.ROOT / "results" / "speed.json"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code: 0, 1 (a contestant failed), 2 (bad input)."""
    options = _parser().parse_args(arguments)
    out = options.out or (None if options.quick else OUT)
    try:
        works = _chosen(options.work)
        report: dict[str, Any] = {"machine": machine.describe(), "works": {}}
        if out:
            other = {"machine": "on another machine or with other versions"}
            report = open_results(out, report, other)
        os.environ["MODELZOO_DATA"] = str(data_folder())
        failed = False
        if warning := machine.busy():
            _say(f"warning: {warning}")
        for work in works:
            measured = _measure(work, options)
            failed = failed or any("exit code" in each for each in measured["left_out"].values())
            if not measured["contestants"]:
                continue
            report["works"][work.name] = measured
            print(summary.table(work.name, measured), end="\n\n", flush=True)
            if out:  # after each work, so that an interruption loses one
                write_results(out, report)
    except InputError as error:
        _say(f"benchmarks.compare: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    _say(f"machine: {json.dumps(report['machine'])}")
    if out:
        _say(str(out))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.compare", description=__doc__.splitlines()[0])
    names = ", ".join(work.name for work in WORKS)
    parser.add_argument("--work", nargs="+", metavar="NAME", help=f"of: {names}")
    parser.add_argument("--rounds", type=int, default=5, help="by default 5; 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="try everything, with little work")
    parser.add_argument("--out", type=Path, help="by default results/speed.json; none with --quick")
    parser.add_argument("--without", nargs="+", default=[], metavar="CONTESTANT")
    return parser


def _chosen(names: list[str] | None) -> list[Work]:
    """Return the works, after looking whether their data sets are there."""
    try:
        works = chosen_works(names) if names else list(WORKS)
    except KeyError as error:
        known = [work.name for work in WORKS]
        raise InputError(
            f"--work {error.args[0]}: is none{suggest(error.args[0], known)}"
        ) from None
    for work in works:
        path = data_folder() / f"{work.dataset}.npz"
        if work.dataset and not path.is_file():
            raise InputError(f"{work.name}: needs {path}; set MODELZOO_DATA to where it is")
    return works


def _measure(work: Work, options: argparse.Namespace) -> dict[str, Any]:
    """Let all contestants do a work, in turn, and return all that came of it."""
    settings = {**work.settings, **(work.quick if options.quick else {})}
    settings["weights"] = str(find_weights(load_config("lenet5"), "mnist"))
    left_out = _left_out(work, options.without)
    contestants = [each for each in work.contestants if each.name not in left_out]
    for name, reason in left_out.items():
        _say(f"{work.name}: {name} is left out: {reason}")
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    rounds = 1 if options.quick else options.rounds
    results: dict[str, dict[str, list[Any]]] = {
        each.name: {"samples": [], "facts": []} for each in contestants
    }
    for number in range(rounds):
        first = number % max(1, len(contestants))
        for contestant in [*contestants[first:], *contestants[:first]]:
            if contestant.name in left_out:
                continue
            try:
                samples, facts = runner.measure(work, contestant, {**settings, "seed": number})
            except RunError as error:
                left_out[contestant.name] = str(error)
                _say(f"{work.name}: {contestant.name} is left out: {error}")
                continue
            results[contestant.name]["samples"].append([round(each, 6) for each in samples])
            results[contestant.name]["facts"].append(facts)
            _say(_progress(work, contestant, number + 1, rounds, samples))
    del settings["weights"]  # a path of this machine
    return {
        "began": began,
        "quick": options.quick,
        "rounds": rounds,
        "settings": settings,
        "contestants": {name: each for name, each in results.items() if name not in left_out},
        "left_out": left_out,
    }


def _left_out(work: Work, unwanted: list[str]) -> dict[str, str]:
    """Return the contestants that cannot take part, with the reason."""
    reasons = {}
    for contestant in work.contestants:
        if contestant.name in unwanted:
            reasons[contestant.name] = "--without"
        elif packages := runner.missing(contestant):
            reasons[contestant.name] = f"{', '.join(packages)} is not installed"
    return reasons


def _progress(
    work: Work, contestant: Contestant, number: int, rounds: int, samples: list[float]
) -> str:
    shown = ", ".join(summary.number(sample) for sample in samples[:6])
    more = f", ... ({len(samples)})" if len(samples) > 6 else ""
    return f"{work.name}: round {number} of {rounds}: {contestant.name}: {shown}{more} {work.unit}"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

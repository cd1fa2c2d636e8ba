"""What the same number of training steps teaches AlexNet, with several seeds: modelzoo and others.

    python -m benchmarks.learning [--seeds 0 1 2] [--contestant NAME ...] [--steps 100]

A faster training is worth something if it learns as much. Each contestant trains with each seed in
a fresh process, and its losses and test scores are added to results/learning.json, of which
`python -m benchmarks.speed_page` makes a table. Other work on the machine changes none of these
numbers. Needs cifar10_jpeg75.npz in $MODELZOO_DATA.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.compare import machine, runner, summary
from benchmarks.compare.works import LEARNING, SHOWN, Contestant
from benchmarks.results import open_results, write_results
from modelzoo.data.datasets import data_folder
from modelzoo.support.errors import InputError, RunError, suggest

OUT = runner.ROOT / "results" / "learning.json"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code: 0, 1 (a contestant failed), 2 (bad input)."""
    names = [each.name for each in LEARNING.contestants]
    parser = argparse.ArgumentParser("benchmarks.learning", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--contestant", nargs="+", metavar="NAME", help=f"of: {', '.join(names)}")
    parser.add_argument("--steps", type=int, default=LEARNING.settings["steps"], help="a stretch")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        chosen = _chosen(options.contestant)
        settings = {**LEARNING.settings, "steps": options.steps}
        head = {"machine": machine.describe(), "settings": settings, "contestants": {}}
        report = open_results(options.out, head, {"settings": "with other settings"})
        os.environ["MODELZOO_DATA"] = str(data_folder())
        failed = False
        for contestant in chosen:
            failed |= not _train(contestant, options.seeds, report, options.out)
    except InputError as error:
        print(f"benchmarks.learning: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print("\n".join(section(report)))
    return 1 if failed else 0


def _chosen(names: list[str] | None) -> list[Contestant]:
    """Return the contestants of these names, or all, after looking whether the data set exists."""
    known = {each.name: each for each in LEARNING.contestants}
    for name in names or []:
        if name not in known:
            raise InputError(f"--contestant {name}: does not exist{suggest(name, known)}")
    path = data_folder() / f"{LEARNING.dataset}.npz"
    if not path.is_file():
        raise InputError(f"needs {path}; set MODELZOO_DATA to the folder that holds it")
    return [known[name] for name in names] if names else list(known.values())


def _train(contestant: Contestant, seeds: list[int], report: dict[str, Any], out: Path) -> bool:
    """Add a contestant's trainings to the report and the file; return False if one failed."""
    if missing := runner.missing(contestant):
        print(f"{contestant.name}: left out: {', '.join(missing)} is not installed", flush=True)
        return True
    runs = report["contestants"].setdefault(contestant.name, {})
    for seed in seeds:
        try:
            _, facts = runner.measure(LEARNING, contestant, {**report["settings"], "seed": seed})
        except RunError as error:
            print(f"{contestant.name}, seed {seed}: {error}", file=sys.stderr)
            return False
        runs[str(seed)] = facts
        write_results(out, report)  # after each training, so that an interruption loses one
        loss, accuracy = facts["losses"][-1], facts["test_accuracy"]
        print(f"{contestant.name}, seed {seed}: {loss:.4f}, {accuracy:.4f}", flush=True)
    return True


def last_losses(runs: Mapping[str, Any]) -> list[float]:
    """Return the mean training loss of the last stretch of steps, of each seed."""
    return [facts["losses"][-1] for facts in runs.values()]


def section(report: Mapping[str, Any]) -> Iterator[str]:
    """Return the section of the page: mean and range over the seeds, by contestant."""
    steps, stretches = (report["settings"][key] for key in ("steps", "stretches"))
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield from (f"## {LEARNING.title} in {steps * stretches} steps", "")
    yield (
        f"{LEARNING.explained} The loss is the mean over the last {steps} steps. Figures are means "
        "over the seeds, with the lowest and the highest in brackets: contestants whose ranges "
        "overlap have not been shown to differ. No time was taken. `python -m benchmarks.learning` "
        f"on {machine['processor']}, {machine['cores']} cores, {versions}."
    )
    yield ""
    yield f"|  | Seeds | Training loss, last {steps} steps | Test loss | Test accuracy |"
    yield "|---|---|---|---|---|"
    without = []
    for contestant in LEARNING.contestants:
        runs = report["contestants"].get(contestant.name)
        if not runs:
            without.append(SHOWN[contestant.name])
            continue
        test_losses = [facts["test_loss"] for facts in runs.values()]
        accuracies = [facts["test_accuracy"] for facts in runs.values()]
        cells = [SHOWN[contestant.name], ", ".join(sorted(runs, key=int))]
        cells += [summary.mean_and_range(last_losses(runs), 3)]
        cells += [summary.mean_and_range(test_losses, 3), summary.mean_and_range(accuracies, 4)]
        yield f"| {' | '.join(cells)} |"
    yield ""
    if without:
        yield from (f"Not trained so far: {', '.join(without)}.", "")


if __name__ == "__main__":
    raise SystemExit(main())

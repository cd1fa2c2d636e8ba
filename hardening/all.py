"""Run every campaign with its counts, and write RESULTS.md.

    python -m hardening.all                     # goes on where it was stopped
    python -m hardening.all --only h5 images    # these alone
    python -m hardening.all --quick             # one case in a hundred
    python -m hardening.all --again             # what was wrong, once more, then what is left

It can be stopped at any time. What was done is kept in runs/hardening/COMMIT, where COMMIT is the
last one that changed what users get; a campaign's row is that of the commit where most was done.
"""

import argparse
import functools
import json
import signal
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hardening.cases import Outcome, Tally, stop
from modelzoo.support import environment

PROJECT = Path(__file__).resolve().parents[1]
RECORDS = PROJECT / "runs" / "hardening"
RESULTS = PROJECT / "hardening" / "RESULTS.md"
PRODUCT = ("modelzoo", "configs", "scripts", "pyproject.toml")
SEED = 21
HEAD = """\
# Results of the campaigns

Written by `python -m hardening.all`; each row names the last commit of the package that it tried.
The last one of this checkout is {commit}. A case is *refused* with a message about what is wrong in
it, *failed* as a training does whose loss is NaN, or else it succeeds; *wrong* is everything that
must not be. Minutes are those of this machine beside other work, and no measure of speed.

{machine}; {versions}

| campaign | asked | done | refused | failed | skipped | wrong | minutes | commit |
|---|---:|---:|---:|---:|---:|---:|---:|---|"""

CAMPAIGNS: dict[str, tuple[int, str]] = {  # how many cases, and the command for them
    "images": (2000, "fuzzing images"),
    "h5": (5000, "fuzzing h5"),
    "commands": (3000, "fuzzing commands"),
    "configs": (10_000, "fuzzing configs"),
    "npz": (2000, "fuzzing npz"),
    "runs": (2000, "fuzzing runs"),
    "registry": (2000, "fuzzing registry"),
    "interruptions": (100, "interruptions"),
    "interruptions-jax": (20, "interruptions --backend jax"),
    "damaged-runs": (300, "damaged_runs"),
    "answers": (300, "answers"),
    "together": (3, "together"),
    "hour": (60, "hour"),
    **{
        kind: (1000, f"fuzzing {kind}")
        for kind in ("pth", "keras", "safetensors", "caffe", "idx", "tables", "cifar", "mat",
                     "folders", "trainings")
    },
}  # fmt: skip


@dataclass
class Record:
    """What a campaign has done at a commit: a file with a line for each case.

    A case that was repeated counts as its last line says.
    """

    path: Path
    asked: int

    @property
    def commit(self) -> str:
        return self.path.parent.name

    @functools.cached_property
    def lines(self) -> dict[int, dict[str, Any]]:
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        lines = map(json.loads, text.splitlines())
        return {line["number"]: line for line in lines if line["number"] < self.asked}

    @property
    def missing(self) -> list[int]:
        return [number for number in range(self.asked) if number not in self.lines]

    def tally(self) -> Tally:
        tally = Tally()
        for number, line in self.lines.items():
            tally.add(number, Outcome(*(line[each.name] for each in fields(Outcome))))
        return tally

    @property
    def seconds(self) -> float:
        return sum(line["wall"] for line in self.lines.values())


def main() -> int:
    """Run what is left of the campaigns; return 1 if a case was wrong or a campaign broke off."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CAMPAIGNS, default=list(CAMPAIGNS))
    parser.add_argument("--quick", action="store_true", help="one case in a hundred")
    parser.add_argument("--again", action="store_true", help="repeat the cases that were wrong")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the cases are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the table to write")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    share = 100 if options.quick else 1
    folder = options.records / commit()
    folder.mkdir(parents=True, exist_ok=True)
    bad = False
    for name in options.only:
        count, command = CAMPAIGNS[name]
        record = Record(folder / f"{name}.jsonl", max(1, count // share))
        if options.again:
            ask(record, command, list(record.tally().wrong))
        ask(record, command, record.missing)
        after = Record(record.path, record.asked)
        print(f"{name}: {len(after.lines):,} of {after.asked:,}: {after.tally()}", flush=True)
        bad |= bool(after.missing or after.tally().wrong)
        options.results.write_text(table(options.records), encoding="utf-8")
    return 1 if bad else 0


def ask(record: Record, command: str, numbers: list[int]) -> None:
    """Run cases in a process of their own, which records them."""
    if not numbers:
        return
    if numbers == list(range(numbers[0], record.asked)):
        which = ["--first", str(numbers[0]), "--count", str(len(numbers))]
    else:
        which = [word for number in numbers for word in ("--only", str(number))]
    words = [*command.split(), "--seed", str(SEED), "--record", str(record.path), *which]
    process = subprocess.Popen(
        [sys.executable, "-m", f"hardening.{words[0]}", *words[1:]], cwd=PROJECT
    )
    try:
        process.wait()
    finally:  # this one is stopped: let that one remove what it has made
        process.terminate()
        process.wait()


def commit() -> str:
    """Return the last commit that changed what users get, with a mark if the checkout differs."""

    def git(*words: str) -> str:
        command = ["git", *words, "--", *PRODUCT]
        return subprocess.check_output(command, cwd=PROJECT, text=True).strip()

    mark = "-changed" if git("status", "--short") else ""
    return git("log", "-1", "--format=%h") + mark


def table(records: Path) -> str:
    """Return the text of RESULTS.md, from all that is recorded."""
    machine = f"{environment.processor_name()}, {environment.usable_cores()} cores"
    versions = ", ".join(f"{name} {value}" for name, value in environment.versions().items())
    rows, notes = [], []
    for name, (asked, command) in CAMPAIGNS.items():
        found = [Record(path, asked) for path in records.glob(f"*/{name}.jsonl")]
        found.sort(key=lambda each: (len(each.lines), each.path.stat().st_mtime))
        record = (found or [Record(records / "-" / f"{name}.jsonl", asked)])[-1]
        tally = record.tally()
        figures = [tally.counts[each] for each in ("refused", "failed", "skipped", "WRONG")]
        done = f"{len(record.lines):,}" + (" (incomplete)" if record.missing else "")
        numbers = [f"{asked:,}", done, *(f"{each:,}" for each in figures)]
        rows.append([name, *numbers, f"{record.seconds / 60:.1f}", record.commit])
        skipped = {each["text"] for each in record.lines.values() if each["status"] == "skipped"}
        notes += [f"- {name}, skipped: {text}" for text in sorted(skipped)]
        for number, outcome in tally.wrong.items():
            again = f"python -m hardening.{command} --seed {SEED} --only {number}"
            said = " ".join(outcome.text.split())[:300].replace("`", "'")
            notes.append(f"- `{again}` at {record.commit}: `{said}`")
    head = HEAD.format(machine=machine, versions=versions, commit=commit())
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, *lines, "", *(notes or ["Nothing was wrong."]), ""])


if __name__ == "__main__":
    sys.exit(main())

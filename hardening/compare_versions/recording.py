"""Run the cases with one version of the package, and keep what they print and write."""

import argparse
import fnmatch
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from hardening.compare_versions.cases import CASES, SMALL, Case
from hardening.compare_versions.inputs import write_inputs

DONE = "exit_codes.json"  # written at the end of a case
LIMIT = 1800  # seconds for one command


class Recorder:
    """Runs cases with one interpreter and one checkout."""

    def __init__(self, folder: Path, python: str, checkout: Path | None, old_files: Path) -> None:
        self.folder, self.python, self.old_files = folder.resolve(), python, old_files.resolve()
        data = write_inputs(self.folder / "inputs")
        self.environment = os.environ | {
            "MODELZOO_DATA": str(data),
            "MODELZOO_OFFLINE": "1",
            "COLUMNS": "80",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        if checkout is not None:
            places = (str(checkout.resolve()), str(checkout.resolve() / "scripts"))
            self.environment["PYTHONPATH"] = os.pathsep.join(places)

    def run(self, arguments: list[str], where: Path, name: str) -> int:
        """Run the interpreter in a folder; keep what it prints as `name.out`, `name.err`."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=where,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        (where / f"{name}.out").write_text(done.stdout)
        (where / f"{name}.err").write_text(done.stderr)
        return done.returncode

    def missing(self, case: Case) -> str:
        """What this case needs and this version or machine does not have; else the empty text."""
        for name in case.data:
            if not (Path(self.environment["MODELZOO_DATA"]) / f"{name}.npz").exists():
                return f"no {name}.npz in MODELZOO_DATA"
        if case.old_file and not (self.old_files / case.old_file).exists():
            return f"no {self.old_files / case.old_file}"
        for command in {arguments[0] for arguments in case.commands}:
            asked = [self.python, "-m", "modelzoo", command, "--help"]
            if subprocess.run(asked, env=self.environment, capture_output=True).returncode:
                return f"this version has no command {command}"
        return ""

    def record(self, case: Case) -> str:
        """Run a case in a new folder; return how its commands ended."""
        if why := self.missing(case):
            return f"skipped: {why}"
        where = self.folder / case.name
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        if case.old_file:
            for path in (self.old_files / case.old_file).parent.glob(case.beside):
                shutil.copy(path, where)
        codes = []
        for number, arguments in enumerate(case.commands):
            codes.append(self.run(["-m", "modelzoo", *arguments], where, f"{number}"))
        if case.probe:
            codes.append(self.run(["-c", case.probe], where, "probe"))
        (where / DONE).write_text(json.dumps(codes))
        return f"exit codes {codes}"

    def interrupt(self, name: str, options: tuple[str, ...]) -> str:
        """Train until an epoch is over and another began, and send SIGINT, as Ctrl-C does."""
        where = self.folder / f"interrupted_{name}"
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        with (where / "0.out").open("w") as out, (where / "0.err").open("w") as err:
            training = subprocess.Popen(
                [self.python, "-m", "modelzoo", "train", *options, "--out", "run"],
                cwd=where,
                env=self.environment,
                stdout=out,
                stderr=err,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # a job in the background ignores the signal otherwise
            history, end = where / "run" / "history.csv", time.monotonic() + LIMIT
            while training.poll() is None and time.monotonic() < end:
                if history.exists() and len(history.read_text().splitlines()) > 1:
                    break
                time.sleep(0.01)
            training.send_signal(signal.SIGINT)
            code = training.wait(LIMIT)
        (where / DONE).write_text(json.dumps([code]))
        return f"exit code {code}"

    def resume(self, name: str, old: Path) -> str:
        """Resume what the version of the record `old` was interrupted in."""
        where = self.folder / f"resumed_{name}"
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(old / f"interrupted_{name}", where)
        code = self.run(["-m", "modelzoo", "train", "--resume", "run"], where, "0")
        (where / DONE).write_text(json.dumps([code]))
        return f"exit code {code}"

    def load(self, old: Path) -> str:
        """Score the runs of the record `old`, which another version trained."""
        where = self.folder / "loaded"
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        codes = []
        for run in sorted(old.glob("train_*/run")):
            shutil.copytree(run, where / run.parent.name)
            asked = ["evaluate", "--model", run.parent.name, "--json"]
            codes.append(self.run(["-m", "modelzoo", *asked], where, run.parent.name))
        (where / DONE).write_text(json.dumps(codes))
        return f"exit codes {codes}"


def record(options: argparse.Namespace) -> int:
    """Run the cases that were asked for, and say how each ended."""
    recorder = Recorder(options.folder, options.python, options.checkout, options.old_files)
    interrupted = options.interrupted or options.folder

    def run(name: str, is_quick: bool, function: Any, *arguments: Any) -> None:
        is_kept = options.keep and (options.folder / name / DONE).exists()
        if fnmatch.fnmatch(name, options.only) and (is_quick or not options.quick) and not is_kept:
            began = time.monotonic()
            said = function(*arguments)
            print(f"{name}: {said}, {time.monotonic() - began:.0f} s", flush=True)

    for case in sorted(CASES, key=lambda case: not case.is_quick):
        run(case.name, case.is_quick, recorder.record, case)
    for name, settings in SMALL.items():
        run(f"interrupted_{name}", True, recorder.interrupt, name, settings)
        run(f"resumed_{name}", True, recorder.resume, name, interrupted)
    run("loaded", False, recorder.load, interrupted)
    return 0

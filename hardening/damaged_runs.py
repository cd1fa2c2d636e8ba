"""Damage the files of runs at random, and see what every command that reads a run makes of it.

python -m hardening.damaged_runs --count 300 --seed 0

Each command must succeed, or end with exit code 2 and a short message that names what is damaged.
What is resumed must end in the weights of the undisturbed run, and no file outside of the run's
folder may be touched. Exit code 1 if one went wrong.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from hardening.bars import write_bars
from hardening.cases import Outcome, add_options, run
from modelzoo import cli
from modelzoo.training.device import start_framework

OPTIONS = [
    "--model", "lenet5", "--dataset", "bars", "--device", "cpu", "--epochs", "3",
    "--set", "data.batch_size=50", "--set", "data.validation_split=40",
]  # fmt: skip
SECONDS = 60  # of processors for one command; most take two


def flip(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 3, 100])):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def lengthen(content: bytes, chance: random.Random) -> bytes:
    return content + chance.choice([b"\0" * 4096, b"\n,,,\n", content[: len(content) // 2]])


def other_bytes(content: bytes, chance: random.Random) -> bytes:
    return chance.choice([b"", b"\0" * len(content), b"\xff\xfe", b"[" * 100_000, b"PK\x03\x04"])


def other_values(content: bytes, chance: random.Random) -> bytes:
    """Change words of a text: numbers that are giant, negative, not finite; words for numbers."""
    words = content.decode("utf-8", "replace").replace("\n", " \n ").replace(",", " , ").split(" ")
    for _ in range(chance.randint(1, 3)):
        anything = ["NaN", "-1", "1e999", "9" * 400, "null", "=1+1", "<script>", "{}", "", "\x00"]
        words[chance.randrange(len(words))] = chance.choice(anything)
    return "".join(words).encode()


def other_arrays(content: bytes, chance: random.Random) -> bytes:
    """Write an .npz whose checksums are right, and one of whose arrays is wrong."""
    try:
        with np.load(io.BytesIO(content)) as file:
            arrays = dict(file)
    except (OSError, ValueError, zipfile.BadZipFile):
        return other_bytes(content, chance)
    name = chance.choice(sorted(arrays))
    if name == "progress" and chance.random() < 0.8:
        values = json.loads(arrays[name].tobytes())
        key = chance.choice(sorted(values))
        wrong = [-1, 10**30, float("nan"), "x", None, [], {}, [{"epoch": 1}], [{"wait": "x"}], 0]
        values[key] = chance.choice(wrong)
        arrays[name] = np.frombuffer(json.dumps(values).encode(), np.uint8)
    else:
        anything = [
            np.array([object()]), np.array(["text"]), np.zeros(0), np.zeros((1, 2, 3)),
            np.full(arrays[name].shape, 1j), arrays[name].astype("S3"), np.array(3),
        ]  # fmt: skip
        arrays[name] = chance.choice(anything)
    if chance.random() < 0.1:
        del arrays[name]
    file = io.BytesIO()
    chance.choice([np.savez, np.savez_compressed])(file, **arrays)
    return file.getvalue()


BYTES: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, lengthen, other_bytes]


def damage(path: Path, outside: Path, chance: random.Random) -> str:
    """Do something to a file; return what."""
    changes = [*BYTES, *([other_values] * 4 if path.suffix in (".csv", ".json", ".yaml") else [])]
    changes += [other_arrays] * 4 if path.suffix == ".npz" else []
    names = ["remove", "folder", "link to a file", "link to a folder", "link to itself"]
    chosen = chance.choice([*changes * 3, *names])
    if callable(chosen):
        path.write_bytes(chosen(path.read_bytes(), chance))
        return chosen.__name__
    path.unlink()
    targets = {"link to a file": outside / "file", "link to a folder": outside}
    if chosen == "folder":
        path.mkdir()
        (path / "something").touch()
    elif chosen != "remove":
        path.symlink_to(targets.get(chosen, path))
    return chosen


def run_command(arguments: list[str]) -> tuple[int, str, float]:
    out, err, began = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(arguments)
    return code, err.getvalue(), time.process_time() - began


def weights_of(folder: Path) -> bytes:
    return (folder / "best.weights.h5").read_bytes()


def state_of(folder: Path) -> dict[str, bytes]:
    with np.load(folder / "state.npz") as file:
        return {name: file[name].tobytes() for name in file.files if name != "progress"}


class Bench:
    """The runs that are damaged: one finished, one that was cut, and one like it left in peace."""

    def __init__(self, work: Path) -> None:
        self.work, self.outside = work, work / "outside"
        start_framework("tensorflow", "cpu")  # else the first training has the threads its own way
        self.outside.mkdir()
        (self.outside / "file").write_text("precious")
        self.whole, self.cut = work / "whole", work / "cut"
        for folder, epochs in ((self.whole, "3"), (self.cut, "2")):
            assert (
                run_command(["train", *OPTIONS, "--epochs", epochs, "--out", str(folder)])[0] == 0
            )
        (self.cut / "metrics.json").unlink()
        config = self.cut / "config.yaml"
        config.write_text(config.read_text().replace("epochs: 2", "epochs: 3"))
        shutil.copy(self.cut / "state.npz", self.cut / "state.previous.npz")

    def command(self, chance: random.Random, name: str, run: Path) -> list[str]:
        others = {
            "evaluate": ["evaluate", "--model", str(run), "--device", "cpu"],
            "plot": ["plot", str(run), "--format", "json"],
            "together": [
                "plot",
                str(run),
                str(self.whole),
                "--format",
                "json",
                "--out",
                str(self.work / "charts"),
            ],
            "info": ["info", str(run)],
        }
        return others.get(name) or ["train", "--resume", str(run), "--device", "cpu"]

    def attempt(self, number: int, seed: int) -> Outcome:
        chance = random.Random(f"{seed} damage {number}")
        run = self.work / "run"
        shutil.rmtree(run, ignore_errors=True)
        name = chance.choice(["resume", "resume", "resume", "evaluate", "plot", "together", "info"])
        shutil.copytree(self.cut if name == "resume" else self.whole, run)
        victims = chance.sample(sorted(run.iterdir()), chance.choice([1, 1, 2]))
        told = [f"{path.name}: {damage(path, self.outside, chance)}" for path in victims]
        code, err, seconds = run_command(self.command(chance, name, run))
        story = f"{name}; {', '.join(told)}"
        if problem := self._problem(name, run, code, err, seconds):
            return Outcome("WRONG", f"{story}: {problem}", seconds)
        last = err.splitlines()[-1][:110] if code else ""
        return Outcome("refused" if code else "ok", f"{story}: {last}", seconds)

    def _problem(self, name: str, run: Path, code: int, err: str, seconds: float) -> str:
        if code not in (0, 2) or "Traceback" in err or "This is a bug" in err:
            return f"exit code {code}: {err[-1500:]}"
        if code == 2 and not (str(run) in err and len(err.splitlines()) <= 12):
            return f"unclear: {err[-1500:]}"
        if seconds > SECONDS:
            return f"took {seconds:.0f} s"
        files = {path.name: path.read_text() for path in self.outside.iterdir()}
        if files != {"file": "precious"}:
            return f"touched a file outside: {files}"
        hidden = [path.name for path in run.glob(".*")]
        if hidden:
            return f"left {hidden}"
        if name != "resume" or code == 2:
            return ""
        same = weights_of(run) == weights_of(self.whole) and state_of(run) == state_of(self.whole)
        edited = (run / "config.yaml").read_bytes() != (self.cut / "config.yaml").read_bytes()
        return "" if same or edited else "resumed to other weights"


def main() -> int:
    """Run the tries that were asked for; return 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="damaged-") as work, own_data(Path(work)):
        bench = Bench(Path(work))
        return run("damaged_runs", options, functools.partial(run_tries, bench, options.seed))


def run_tries(bench: Bench, seed: int, numbers: Iterable[int]) -> Iterator[tuple[int, Outcome]]:
    for number in numbers:
        yield number, bench.attempt(number, seed)


@contextlib.contextmanager
def own_data(work: Path) -> Iterator[None]:
    """Put the data set `bars` into a data folder of its own."""
    data = write_bars(work / "data")
    before = os.environ.get("MODELZOO_DATA")
    os.environ["MODELZOO_DATA"] = str(data)
    try:
        yield
    finally:
        os.environ.pop("MODELZOO_DATA")
        if before is not None:
            os.environ["MODELZOO_DATA"] = before


if __name__ == "__main__":
    sys.exit(main())

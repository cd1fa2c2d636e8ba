"""Train for real, interrupt at random moments, resume, and compare with a run left in peace.

python -m hardening.interruptions --count 100 --backend tensorflow --seed 0

Each try is a process `python -m train` of LeNet-5 on mnist5k, which is interrupted in one of the
WAYS, and resumed until it is finished. All that it leaves must then be what the undisturbed run of
the same configuration left: weights, optimizer and random state to the last bit, history.csv and
metrics.json but for times, and no other file. Exit code 1 if one went wrong. Full and read-only
disks are mounts in a namespace of the harness's own; where none is allowed, they are skipped.
"""

import argparse
import contextlib
import csv
import functools
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from hardening.cases import Outcome, add_options, run

AUGMENTED = (
    "model.dropout=0.3",
    "data.augmentation=[{class_name: RandomTranslation, config: {height_factor: 0.1, "
    "width_factor: 0.1}}]",
)
RECIPES = {
    "plain": (),
    "random": (
        *AUGMENTED,
        "fit.callbacks=[{class_name: ReduceLROnPlateau, config: {monitor: val_loss, patience: 1}}]",
        "compile.optimizer={class_name: Adam, config: {learning_rate: 0.01}}",
    ),
    "saved-often": (
        *AUGMENTED,
        "trainer.save_minutes=0",
        "compile.steps_per_execution=4",
        "compile.optimizer={class_name: Adam, config: {learning_rate: {class_name: CosineDecay, "
        "config: {initial_learning_rate: 0.01, decay_steps: 300}}, use_ema: true}}",
    ),
}
SMALL = ("data.training_images=1000", "data.batch_size=16", "data.validation_split=200")
EPOCHS = 3
TIMES = {"finished", "seconds", "seconds_per_epoch", "images_per_second", "peak_memory_bytes"}
NAMESPACE = "MODELZOO_TEST_NAMESPACE"  # set in the process that has mounts of its own
LIMIT = 600  # seconds for one process

# A child whose clock jumps every now and then, by days, to 1970 and past 2038.
CLOCK = """
import os, random, time
chance = random.Random(os.environ["MODELZOO_TEST_CLOCK"])
real, local, universal, text = time.time, time.localtime, time.gmtime, time.strftime
state = {"next": 0.0, "offset": 0.0}
def now():
    if time.monotonic() >= state["next"]:
        state["next"] = time.monotonic() + chance.uniform(0.05, 2)
        days = chance.choice([chance.uniform(-400, 400), chance.uniform(-3, 3), 1e6])
        absolute = chance.choice([86_400.0, 2_150_000_000.0]) - real()
        state["offset"] = absolute if days == 1e6 else days * 86_400
    return real() + state["offset"]
time.time = now
time.time_ns = lambda: int(now() * 1e9)
time.localtime = lambda seconds=None: local(now() if seconds is None else seconds)
time.gmtime = lambda seconds=None: universal(now() if seconds is None else seconds)
time.strftime = lambda form, when=None: text(form, time.localtime() if when is None else when)
"""


class Lost(AssertionError):
    """What must not happen, happened."""


@dataclass
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    def check(self, *codes: int) -> "Ended":
        """Raise Lost unless it ended with one of these codes, and without a traceback."""
        bad = ("Traceback", "This is a bug", "Fatal Python error", "terminate called")
        if self.code not in codes or any(word in self.err for word in bad):
            raise Lost(f"exit code {self.code}, not {codes}:\n{self.err[-3000:]}")
        if self.code == 2 and not self.err.strip():
            raise Lost("exit code 2 without a message")
        return self


@dataclass
class Whole:
    """A run that nothing disturbed, and how long its parts took in seconds."""

    folder: Path
    until_state: float
    in_all: float

    @property
    def epoch(self) -> float:
        """Seconds of one epoch, about."""
        return max(0.05, (self.in_all - self.until_state) / (EPOCHS + 1))

    @functools.cached_property
    def sizes(self) -> list[int]:
        """Of its files, the smallest first."""
        return sorted(path.stat().st_size for path in self.folder.iterdir())


class Training:
    """A process that trains; waits for a moment of its life."""

    def __init__(self, arguments: list[str], folder: Path, **options: object) -> None:
        environment = os.environ | dict(options.get("environment", {}))  # type: ignore[call-overload]
        limit = options.get("file_size")

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # background jobs of a shell ignore it
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # type: ignore[arg-type]

        self.folder = folder
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "train", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            preexec_fn=prepare,
        )

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def end(self) -> Ended:
        try:
            out, err = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise Lost(f"hung:\n{err[-3000:]}") from None
        return Ended(self.process.returncode, out, err)

    def wait_until(self, is_time: Callable[[list[str]], bool]) -> None:
        """Wait until the names in the run's folder are as wanted, or the process has ended."""
        while self.runs and time.monotonic() < self.began + LIMIT:
            try:
                names = [path.name for path in self.folder.iterdir()]
            except OSError:
                names = []
            if is_time(names):
                return
            time.sleep(0.0003)

    def stand_still(self) -> None:
        """Stop the process, and return when it stands, or has ended; SIGCONT lets it go on."""
        if self.runs:
            self.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, seconds))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rows_in(folder: Path) -> int:
    try:
        return len((folder / "history.csv").read_text().splitlines()) - 1
    except OSError:
        return 0


@dataclass
class Try:
    """One training that is interrupted, with everything that chance decides about it."""

    number: int
    way: str
    recipe: str
    backend: str
    chance: random.Random
    whole: Whole
    place: Path  # the folder that will hold the run's folder, and nothing else
    aside: Path  # for files of the harness
    environment: dict[str, str] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)

    @property
    def run(self) -> Path:
        return self.place / "run"

    @property
    def is_begun(self) -> bool:
        return any((self.run / name).exists() for name in ("state.npz", "state.previous.npz"))

    def start(self, resume: bool = False, **options: object) -> Training:
        arguments = arguments_of(self.recipe, self.backend, self.run)
        if resume:
            arguments = ["--resume", str(self.run)]
        return Training(arguments, self.run, environment=self.environment, **options)

    def tell(self, text: str) -> None:
        self.story.append(text)

    def wait_for_a_moment(self, training: Training, *names: str) -> None:
        """Wait for a moment that chance chooses, of all or of those named."""
        moment = self.chance.choice(names or tuple(MOMENTS))
        self.tell(f"{moment}, {MOMENTS[moment](self, training)}")

    def check_signalled(self, ended: Ended) -> None:
        """Check how a process ended that was sent signals."""
        self.tell(f"ended {ended.code}")
        python_starts = ended.code < 0 or ended.err.rstrip().endswith("KeyboardInterrupt")
        if python_starts and not self.run.exists():
            return  # Python itself, before any code of ours
        ended.check(0, 130, -signal.SIGKILL)

    def go_on(self, *interruptions: Callable[["Try", Training], None]) -> None:
        """Resume until the run is finished, interrupted again as often as is said."""
        left = list(interruptions)
        for _ in range(len(left) + 9):
            if not self.is_begun:
                refused = self.start(resume=True).end().check(2)
                if "holds no run" not in refused.err and "no such folder" not in refused.err:
                    raise Lost(f"--resume said: {refused.err}")
                self.tell("nothing saved, begun again")
            training = self.start(resume=self.is_begun)
            if left:
                left.pop()(self, training)
                ended = training.end()
                if "is finished" not in ended.err:
                    self.check_signalled(ended)
                    continue
            else:
                ended = training.end()
            ended.check(0, 2)
            if ended.code == 0 or "is finished" in ended.err:
                self.tell("resumed" if ended.code == 0 else "was finished")
                return
            if self.way == "clock" and "the clock of this machine" in ended.err:
                self.tell("the clock was refused")
                continue
            raise Lost(f"did not resume:\n{ended.err}")
        ended = self.start(resume=True).end().check(2)
        if "is finished" not in ended.err:
            raise Lost(f"does not end:\n{ended.err}")


def arguments_of(recipe: str, backend: str, out: Path) -> list[str]:
    chosen = (*SMALL, f"fit.epochs={EPOCHS}", *RECIPES[recipe])
    options = [part for value in chosen for part in ("--set", value)]
    names = ["--model", "lenet5", "--dataset", "mnist5k", "--device", "cpu"]
    return [*names, "--backend", backend, *options, "--out", str(out)]


# Moments: each waits, and says what it waited for.


def anywhere(chosen: Try, training: Training) -> str:
    seconds = chosen.chance.uniform(0, chosen.whole.in_all * 1.05)
    training.wait(training.began + seconds - time.monotonic())
    return f"{seconds:.2f} s"


def at_start(chosen: Try, training: Training) -> str:
    seconds = chosen.chance.uniform(0, chosen.whole.until_state)
    training.wait(training.began + seconds - time.monotonic())
    return f"{seconds:.2f} s"


def within_an_epoch(chosen: Try, training: Training) -> str:
    done = chosen.chance.randrange(EPOCHS)
    seconds = chosen.chance.uniform(0, chosen.whole.epoch)
    training.wait_until(lambda names: "state.npz" in names and rows_in(training.folder) >= done)
    training.wait(seconds)
    return f"{seconds:.2f} s after epoch {done}"


def while_saving(chosen: Try, training: Training) -> str:
    """A temporary file is there: the n-th that is seen, for they can be too short to be seen."""
    count, seconds = chosen.chance.randint(1, 9), chosen.chance.uniform(0, 0.002)
    seen: set[str] = set()

    def is_time(names: list[str]) -> bool:
        seen.update(name for name in names if name.startswith(".") and name != ".lock")
        return len(seen) >= count

    training.wait_until(is_time)
    time.sleep(seconds)
    return f"file {count} + {1000 * seconds:.1f} ms"


def while_reporting(chosen: Try, training: Training) -> str:
    seconds = chosen.chance.uniform(0, 0.6)
    training.wait_until(lambda names: rows_in(training.folder) >= EPOCHS)
    training.wait(seconds)
    return f"{seconds:.2f} s after the last epoch"


def at_the_end(chosen: Try, training: Training) -> str:
    seconds = chosen.chance.uniform(0, 0.05)
    training.wait_until(lambda names: "metrics.json" in names)
    training.wait(seconds)
    return f"{seconds:.3f} s after metrics.json"


MOMENTS: dict[str, Callable[[Try, Training], str]] = {
    "anywhere": anywhere,
    "start": at_start,
    "epoch": within_an_epoch,
    "saving": while_saving,
    "report": while_reporting,
    "end": at_the_end,
}


# Ways


def send(training: Training, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        training.process.send_signal(number)


def by_signal(number: int, chosen: Try) -> None:
    """Once, at any moment."""
    training = chosen.start()
    chosen.wait_for_a_moment(training)
    send(training, number)
    chosen.check_signalled(training.end())
    chosen.go_on()


def in_a_row(chosen: Try) -> None:
    """The training, and then what resumes it, and that again: up to four times."""

    def interrupt(chosen: Try, training: Training) -> None:
        chosen.wait_for_a_moment(training, "anywhere", "start", "epoch", "saving")
        number = chosen.chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        send(training, number)
        chosen.tell(number.name)

    training = chosen.start()
    interrupt(chosen, training)
    chosen.check_signalled(training.end())
    chosen.go_on(*[interrupt] * chosen.chance.randint(1, 3))


def twice(chosen: Try) -> None:
    """An impatient person: Ctrl-C two or three times, or mixed with SIGTERM."""
    training = chosen.start()
    chosen.wait_for_a_moment(training)
    for _ in range(chosen.chance.randint(2, 3)):
        send(training, chosen.chance.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM]))
        training.wait(chosen.chance.choice([0, 0.001, 0.02, 0.3]))
    chosen.check_signalled(training.end())
    chosen.go_on()


def full_disk(chosen: Try) -> None:
    """A file system with too few pages; later with enough."""
    pages = chosen.chance.randint(1, 2 + sum(chosen.whole.sizes) // 4096)
    mount("-t", "tmpfs", "-o", f"size={pages * 4096}", "none", str(chosen.place))
    ended = chosen.start().end().check(0, 2)
    chosen.tell(f"{4 * pages} KiB, ended {ended.code}")
    if ended.code and "No space left" not in ended.err:
        raise Lost(f"the disk was full, but it says:\n{ended.err}")
    mount("-o", "remount,size=64m", str(chosen.place))
    chosen.go_on()


def file_size(chosen: Try) -> None:
    """A limit of the size of files."""
    size = int(chosen.whole.sizes[-1] * chosen.chance.uniform(0, 1.1))
    ended = chosen.start(file_size=size).end().check(0, 2)
    chosen.tell(f"{size:,} bytes, ended {ended.code}")
    if ended.code and "File too large" not in ended.err:
        raise Lost(f"a file became too large, but it says:\n{ended.err}")
    chosen.go_on()


def read_only(chosen: Try) -> None:
    """The folder's file system can no longer be written to, as after an error of a disk."""
    training = chosen.start()
    chosen.wait_for_a_moment(training)
    place = str(chosen.place)
    mount("--bind", place, place)
    for _ in range(1000):  # busy while a file is being written
        if mount("-o", "remount,bind,ro", place, check=False):
            break
    ended = training.end().check(0, 2)
    chosen.tell(f"ended {ended.code}")
    if ended.code and "Read-only" not in ended.err:
        raise Lost(f"the disk was read-only, but it says:\n{ended.err}")
    again = chosen.start(resume=True).end().check(2)
    if chosen.is_begun and "Read-only" not in again.err and "is finished" not in again.err:
        raise Lost(f"the disk is read-only, but --resume says:\n{again.err}")
    unmount(chosen.place)
    chosen.go_on()


def clock(chosen: Try) -> None:
    """The time of day jumps, to the past too, in the training and in what resumes it."""
    (chosen.aside / "sitecustomize.py").write_text(CLOCK)
    path = f"{chosen.aside}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    chosen.environment |= {
        "PYTHONPATH": path,
        "MODELZOO_TEST_CLOCK": str(chosen.chance.random()),
    }
    training = chosen.start()
    chosen.wait_for_a_moment(training, "epoch", "saving", "report")
    number = chosen.chance.choice([signal.SIGINT, signal.SIGKILL])
    send(training, number)
    ended = training.end()
    if "the clock of this machine" not in ended.err:
        ended.check(0, 130, -9)
    chosen.tell(f"{number.name}, ended {ended.code}")
    chosen.go_on()


def damage(chosen: Try, path: Path) -> str:
    """Do to a file what a disk does that had not yet written it: cut, empty, zeros."""
    content = path.read_bytes()
    cut = chosen.chance.randrange(len(content) + 1)
    changed, what = chosen.chance.choice(
        [
            (content[:cut], f"cut to {cut}"),
            (b"", "emptied"),
            (bytes(len(content)), "zeros"),
            (content[:cut] + bytes(len(content) - cut), f"zeros from {cut}"),
        ]
    )
    path.write_bytes(changed)
    return f"{path.name} {what}"


def power_cut(chosen: Try) -> None:
    """What was not yet on the disk is lost: the files that have no name of their own yet."""
    training = chosen.start()
    chosen.wait_for_a_moment(training, "saving")
    send(training, signal.SIGKILL)
    training.end().check(0, -9)
    unfinished = [p for p in chosen.place.rglob(".*") if p.name != ".lock"]
    chosen.tell(", ".join(damage(chosen, path) for path in unfinished) or "nothing unfinished")
    chosen.go_on()


def lying_disk(chosen: Try) -> None:
    """A disk, or a network's file system, that loses the newest files though it said otherwise.

    What cannot be resumed then is refused, with the command that trains it again.
    """
    training = chosen.start()
    chosen.wait_for_a_moment(training, "anywhere", "epoch", "saving", "report", "end")
    send(training, signal.SIGKILL)
    training.end().check(0, -9)
    files = [path for path in chosen.place.rglob("*") if path.is_file() and path.name != ".lock"]
    files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    lost = files[: chosen.chance.randint(1, 3)]
    chosen.tell(", ".join(damage(chosen, path) for path in lost) or "no file")
    if not chosen.is_begun:
        chosen.go_on()
        return
    ended = chosen.start(resume=True).end().check(0, 2)
    if ended.code == 0:
        said = " from the state before" if "state before it" in ended.err else ""
        chosen.tell(f"resumed{said}")
        return
    if "is finished" in ended.err:
        chosen.tell("was finished")
        return
    named = [path.name for path in lost if path.name in ended.err]
    if not named:
        raise Lost(f"does not say which file is damaged:\n{ended.err}")
    chosen.tell(f"refused: {named[0]}")
    advice = re.search(r"python -m train (--config \S+ --out) ANOTHER", ended.err)
    if advice is None:  # config.yaml itself
        shutil.rmtree(chosen.run)
        chosen.start().end().check(0)
        return
    another = chosen.place / "another"
    Training([*advice[1].split(), str(another)], another).end().check(0)
    shutil.rmtree(chosen.run)
    another.rename(chosen.run)


def second_training(chosen: Try) -> None:
    """Another one for the same folder, begun or resumed, is refused; the first goes on.

    The first stands still meanwhile: otherwise it could end after a look at it.
    """
    training = chosen.start()
    training.wait_until(lambda names: "config.yaml" in names)
    chosen.wait_for_a_moment(training, "anywhere", "epoch", "saving")
    training.stand_still()
    writes = (chosen.run / ".lock").exists()
    try:
        for resume in (True, False):
            expected = "another training is writing"
            if not writes:
                expected = "is finished" if resume else "already holds a run"
            elif resume and not chosen.is_begun:
                expected = "holds no run"
            other = chosen.start(resume=resume).end().check(2)
            if expected not in other.err:
                raise Lost(f"the second was refused without {expected!r}:\n{other.err}")
    finally:
        send(training, signal.SIGCONT)
    ended = training.end().check(0)
    chosen.tell(f"refused twice, the first {'ran' if writes else 'was done'}, ended {ended.code}")


def mount(*arguments: str, check: bool = True) -> bool:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise Lost(f"mount: {done.stderr}")
    return done.returncode == 0


def unmount(place: Path) -> bool:
    done = subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
    return done.returncode == 0


WAYS: dict[str, Callable[[Try], None]] = {
    "SIGINT": functools.partial(by_signal, signal.SIGINT),
    "SIGTERM": functools.partial(by_signal, signal.SIGTERM),
    "SIGKILL": functools.partial(by_signal, signal.SIGKILL),
    "in-a-row": in_a_row,
    "twice": twice,
    "full-disk": full_disk,
    "file-size": file_size,
    "read-only": read_only,
    "clock": clock,
    "power-cut": power_cut,
    "lying-disk": lying_disk,
    "second": second_training,
}
NEED_MOUNTS = {"full-disk", "read-only"}


# What must be the same


def compare(found: Path, expected: Path) -> None:
    """Raise Lost unless a run left what the undisturbed one left."""
    others = [path.name for path in found.parent.iterdir() if path != found]
    _same("beside the run", others, [])
    contents = [contents_of(folder) for folder in (found, expected)]
    for name in contents[1].keys() | contents[0].keys():
        _same(name, *(each.get(name, "missing") for each in contents))


def contents_of(folder: Path) -> dict[str, object]:
    """Return what the files of a run hold, but for times."""
    found: dict[str, object] = {path.name: "" for path in folder.iterdir()}
    # The first line names the folder.
    found["config.yaml"] = (folder / "config.yaml").read_text().split("\n", 1)[1]
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows_of(folder)]
    found["history.csv"] = rows
    metrics = json.loads((folder / "metrics.json").read_text())
    found["metrics.json"] = {k: v for k, v in metrics.items() if k not in TIMES}
    for name in ("state.npz", "report-data.npz"):
        found[name] = arrays_of(folder / name)
    found["best.weights.h5"] = datasets_of(folder / "best.weights.h5")
    found["model.keras"] = network_of(folder / "model.keras")
    found["report.html"] = (folder / "report.html").read_bytes().rstrip()[-7:]
    return found


def _same(what: str, found: object, expected: object) -> None:
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in found.keys() | expected.keys():
            if found.get(key) != expected.get(key):
                what, found, expected = f"{what}, {key}", found.get(key), expected.get(key)
                break
    if found != expected:
        raise Lost(f"{what}: {str(found)[:500]}\nis not\n{str(expected)[:500]}")


def arrays_of(path: Path) -> dict[str, object]:
    """Return the arrays of an .npz as bytes; of a state's progress, what is no time."""
    with np.load(path) as file:
        arrays: dict[str, object] = {
            name: (str(file[name].dtype), file[name].shape, hash(file[name].tobytes()))
            for name in file.files
            if name != "progress"
        }
        if "progress" in file.files:
            progress = json.loads(file["progress"].tobytes())
            for row in progress["history"]:
                del row["seconds"]
            del progress["seconds"]
            arrays["progress"] = progress
    return arrays


def datasets_of(path: Path) -> dict[str, tuple[str, bytes]]:
    found: dict[str, tuple[str, bytes]] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (f"{item.dtype} {item.shape}", item[()].tobytes())

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def network_of(path: Path) -> tuple[str, dict[str, tuple[str, bytes]]]:
    with zipfile.ZipFile(path) as file, tempfile.TemporaryDirectory() as folder:
        architecture = re.sub(r'"shared_object_id": \d+', "", file.read("config.json").decode())
        return architecture, datasets_of(Path(file.extract("model.weights.h5", folder)))


# The loop


def train_undisturbed(recipe: str, backend: str, work: Path) -> Whole:
    folder = work / f"whole-{recipe}-{backend}" / "run"
    folder.parent.mkdir()
    training = Training(arguments_of(recipe, backend, folder), folder)
    training.wait_until(lambda names: "state.npz" in names)
    until_state = time.monotonic() - training.began
    training.end().check(0)
    return Whole(folder, until_state, time.monotonic() - training.began)


@contextlib.contextmanager
def folders(work: Path, number: int) -> Iterator[tuple[Path, Path]]:
    place, aside = work / f"try-{number}", work / f"aside-{number}"
    for folder in (place, aside):
        folder.mkdir()
    try:
        yield place, aside
    finally:
        while os.path.ismount(place) and unmount(place):
            pass
        for folder in (place, aside):
            shutil.rmtree(folder, ignore_errors=True)


def may_mount(work: Path) -> bool:
    place = work / "mount"
    place.mkdir()
    try:
        return mount("-t", "tmpfs", "-o", "size=4096", "none", str(place), check=False) and unmount(
            place
        )
    finally:
        place.rmdir()


def enter_namespace() -> None:
    """Begin again where mounts are seen by nobody else, and end with this process."""
    if NAMESPACE in os.environ or shutil.which("unshare") is None:
        return
    command = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        os.environ[NAMESPACE] = "1"
        module = [sys.executable, "-m", "hardening.interruptions", *sys.argv[1:]]
        os.execvp(command[0], [*command, *module])


def main() -> int:
    """Run the tries that were asked for; return 1 if one went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backend", default="tensorflow", choices=["tensorflow", "jax", "torch"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    add_options(parser, count=len(WAYS))
    options = parser.parse_args()
    enter_namespace()
    with tempfile.TemporaryDirectory(prefix="interruptions-") as work:
        name = f"interruptions --backend {options.backend}"
        return run(name, options, functools.partial(run_tries, options, Path(work)))


def run_tries(
    options: argparse.Namespace, work: Path, numbers: Iterable[int]
) -> Iterator[tuple[int, Outcome]]:
    wholes: dict[str, Whole] = {}
    mounts = may_mount(work)
    for number in numbers:
        chance = random.Random(f"{options.seed} {options.backend} {number}")
        way = options.ways[number % len(options.ways)]
        recipe = chance.choice(options.recipes)
        if way in NEED_MOUNTS and not mounts:
            yield number, Outcome("skipped", f"{way}: mounts are not allowed here")
            continue
        if recipe not in wholes:
            wholes[recipe] = train_undisturbed(recipe, options.backend, work)
        with folders(work, number) as (place, aside):
            whole = wholes[recipe]
            chosen = Try(number, way, recipe, options.backend, chance, whole, place, aside)
            status, problem = "ok", ""
            try:
                WAYS[way](chosen)
                compare(chosen.run, whole.folder)
            except Lost as error:
                status, problem = "WRONG", f": {error}"
        yield number, Outcome(status, f"{way}, {recipe}: {'; '.join(chosen.story)}{problem}")


if __name__ == "__main__":
    sys.exit(main())

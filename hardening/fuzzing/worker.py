"""The process in which cases run: one after the other, each watched, each in empty folders."""

import contextlib
import faulthandler
import gc
import importlib
import io
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from hardening.cases import Outcome
from hardening.fuzzing.kinds import find

PACKAGE = str(Path(__file__).resolve().parents[2] / "modelzoo")
GIGABYTE = 2**30
DATA = 3 * GIGABYTE  # that may be mapped beyond what the process has when a case begins
LARGEST_FILE = GIGABYTE
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events of Python's audit hooks, and which of their arguments are paths that would be changed.
CHANGES = {
    "os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.rename": (0, 1), "os.link": (1,),
    "os.symlink": (1,), "os.truncate": (0,), "os.chmod": (0,), "os.utime": (0,),
    "shutil.rmtree": (0,),
}  # fmt: skip
NEVER = (
    "socket.connect", "socket.sendto", "subprocess.Popen", "os.system", "os.exec",
    "os.posix_spawn", "os.startfile", "pickle.find_class", "webbrowser.open",
)  # fmt: skip
# But for the process of fixed words that makes the library of charts while a training starts.
LIBRARY = "import vl_convert; print(vl_convert.javascript_bundle("


@dataclass(frozen=True)
class Place:
    """The folders of a case.

    Attributes:
        inputs: where its files are made; empty at first.
        work: the current folder, empty at first, and again after a refusal.
        seeds: what `prepare` of its kind has left there.
        number: of the case.
    """

    inputs: Path
    work: Path
    seeds: Path
    number: int = -1


class Kind(Protocol):
    """A kind of input: a module that makes cases and gives them to the program."""

    def prepare(self, seeds: Path) -> None:
        """Write the files that cases are mutated from, once a worker."""

    def run(self, chance: random.Random, place: Place) -> None:
        """Make a case and use it; raise what the program raises."""


class Ended(Exception):
    """A command has ended with another exit code than 0."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def command(*words: str) -> str:
    """Run a command in this process and return its output; raise `Ended` unless it ends well."""
    from modelzoo import cli

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(list(words))
    if code:
        # What it says of its progress comes before the last message, which begins so.
        said = re.split(r"^modelzoo[ \w]*: ", err.getvalue(), flags=re.MULTILINE)
        raise Ended(code, said[-1].strip())
    return out.getvalue()


def work(root: Path, connection: Connection) -> None:
    """Answer ("prepare", kind) and ("run", kind, seed, number, trace) until the pipe closes."""
    place = _enter(root)
    watch = _Watch(root)
    sys.addaudithook(watch.see)
    prepared: dict[str, Kind] = {}
    with contextlib.suppress(EOFError):
        while True:
            kind, seed, number, trace = connection.recv()
            if kind not in prepared:
                prepared[kind] = _prepare(kind, root / "seeds" / kind)
                connection.send("prepared")
            limit_memory()
            here = Place(place.inputs, place.work, root / "seeds" / kind, number)
            chance = random.Random(f"{kind}/{seed}/{number}")
            connection.send(_run(prepared[kind], chance, here, watch, trace=trace))


def limit_memory() -> None:
    """Let no case take the machine's memory: what asks for so much is told that there is none."""
    size = _status("VmData") + DATA  # not of address space: V8, which draws charts, reserves much
    resource.setrlimit(resource.RLIMIT_DATA, (size, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def _enter(root: Path) -> Place:
    """Make the folders, and let everything that looks for a place find one of them."""
    faulthandler.register(signal.SIGUSR1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    place = Place(root / "inputs", root / "a" / "b" / "c" / "work", root / "seeds")
    for folder in (place.inputs, place.work, root / "seeds", root / "home", root / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    os.chdir(place.work)
    return place


def environment(root: Path) -> dict[str, str]:
    """Return the variables that a worker is started with."""
    home = str(root / "home")
    return {
        "HOME": home,
        "XDG_CACHE_HOME": f"{home}/.cache",
        "KERAS_HOME": f"{home}/.keras",
        "MODELZOO_HOME": f"{home}/modelzoo",
        "MODELZOO_DATA": str(root / "data"),
        "TMPDIR": str(root / "tmp"),
        "MODELZOO_OFFLINE": "1",
        "MODELZOO_DEBUG": "1",  # an unexpected exception comes out as it is
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "100",
    }


def _prepare(name: str, seeds: Path) -> Kind:
    kind: Kind = find(name)
    seeds.mkdir(parents=True)
    kind.prepare(seeds)
    if name in ("commands", "runs", "trainings"):  # else a case puts it into the cache
        importlib.import_module("modelzoo.charts.style").vega_library()
    gc.collect()
    gc.freeze()  # to look through the framework's objects after each case would take half a second
    return kind


class _Watch:
    """What a case does outside of its folders, as far as Python sees it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.on = False
        self.seen: list[str] = []

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "subprocess.Popen" and str(arguments[1][-1]).startswith(LIBRARY):
            return
        if event in NEVER:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITES:
                self._changes(event, path)
        elif event in CHANGES:
            for index in CHANGES[event]:
                self._changes(event, arguments[index])

    def _changes(self, event: str, path: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100, resolves no link
        if not text.startswith((f"{self.root}/", "/dev/", "/proc/self/")):
            self.seen.append(f"{event} {text[:200]}")


def _run(kind: Kind, chance: random.Random, place: Place, watch: _Watch, *, trace: bool) -> Outcome:
    for folder in (place.inputs, place.work):
        _empty(folder)
    kept = [place.seeds, Path(os.environ["HOME"]), Path(os.environ["MODELZOO_DATA"])]
    before = [_listing(folder) for folder in kept]
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts from what is held now
    held, start = _status("VmRSS"), time.process_time()
    watch.seen.clear()
    watch.on = True
    try:
        outcome = _judged(kind, chance, place, trace)
    finally:
        watch.on = False
    seconds = time.process_time() - start
    peak = _status("VmHWM") - held
    os.chdir(place.work)
    wrong = [f"outside: {each}" for each in watch.seen[:3]]
    for folder, listing in zip(kept, before, strict=True):
        wrong += [f"changed: {each}" for each in sorted(_listing(folder) ^ listing)[:3]]
    if outcome.status == "refused" and (left := _listing(place.work)):
        wrong.append(f"left behind after {outcome.text[:200]!r}: {sorted(left)[:3]}")
    if peak > 2 * GIGABYTE:
        wrong.append(f"took {peak / GIGABYTE:.1f} GB; {outcome.status}: {outcome.text[:300]}")
    gc.collect()
    if wrong:
        said = [outcome.text] if outcome.status == "WRONG" else []
        outcome = Outcome("WRONG", "\n".join([*said, *wrong]))
    return Outcome(outcome.status, outcome.text, seconds, peak)


def _judged(kind: Kind, chance: random.Random, place: Place, trace: bool) -> Outcome:
    from modelzoo.support.errors import InputError, RunError

    try:
        kind.run(chance, place)
    except Ended as ended:
        if ended.code not in (1, 2):
            return Outcome("WRONG", f"exit code {ended.code}: {ended.text}")
        return _said("refused" if ended.code == 2 else "failed", ended.text)
    except InputError as error:
        return _said("refused", str(error))
    except RunError as error:
        return _said("failed", str(error))
    except BaseException as error:
        if trace:
            traceback.print_exc()
        frames = traceback.extract_tb(error.__traceback__)
        ours = [each for each in frames if each.filename.startswith(PACKAGE)]
        last = (ours or list(frames))[-1]
        is_own = not ours and not isinstance(error, AssertionError)  # of the mutation, not of ours
        whose = "the case's own " if is_own else ""
        where = f"{Path(last.filename).name}:{last.lineno}"
        return Outcome("WRONG", f"{whose}{type(error).__name__} at {where}: {str(error)[:600]}")
    return Outcome("ok")


def _said(status: str, text: str) -> Outcome:
    """Return the outcome, unless its message helps nobody."""
    if not 1 <= len(text.splitlines()) <= 7 or not 12 <= len(text) <= 3000:
        return Outcome("WRONG", f"a message of {len(text.splitlines())} lines: {text[:600]!r}")
    for bad in (
        "Traceback",
        "object at 0x",
        "<class '",
        "This is a bug",
        "NoneType",
        "KerasTensor",
    ):
        if bad in text:
            return Outcome("WRONG", f"a message that says {bad}: {text[:600]!r}")
    if re.match(r"[\w.]*(Error|Exception)\b", text):
        return Outcome("WRONG", f"a message that is an exception's: {text[:600]!r}")
    return Outcome(status, text)


def _status(name: str) -> int:
    with open("/proc/self/status") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise LookupError(name)


def _listing(folder: Path) -> set[tuple[str, int]]:
    """Return the files and folders below, with their sizes; what is fetched may come to a cache."""
    return {
        (str(path.relative_to(folder)), 0 if path.is_dir() else path.lstat().st_size)
        for path in folder.rglob("*")
        if not re.search("modelzoo/(weights|checked)", str(path)) and path.name != "modelzoo"
    }


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

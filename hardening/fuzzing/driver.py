"""Start workers, give them cases, and end those that hang."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from hardening.cases import Outcome
from hardening.fuzzing.worker import environment, work

SECONDS = 90.0  # of processors for a case: `import` may search, which took 57 on a busy machine
PATIENCE = 300.0  # seconds until it is asked whether it sleeps, or computes without end
PREPARING = 900.0  # seconds for a worker to start the framework and make its files
CASES = 600  # for a worker: frameworks keep something of every network,
TRAININGS = 60  # and much of every training


class Worker:
    """A process for cases of any kind, in a folder of its own."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fuzzing-"))
        (self.root / "data").mkdir()
        self.prepared: set[str] = set()
        self.done = 0
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(self.root, theirs), daemon=True)
        with _environment(environment(self.root)):
            self._process.start()
        theirs.close()

    def run(
        self, kind: str, seed: int, number: int, *, limit: float = PATIENCE, trace: bool = False
    ) -> Outcome:
        """Run a case; if it hangs or ends the process, say so, and use this worker no more."""
        self.done += 1
        try:
            self._pipe.send((kind, seed, number, trace))
            if kind not in self.prepared:
                if not self._pipe.poll(PREPARING):
                    raise RuntimeError(f"{kind}: the worker is not ready after {PREPARING:g} s")
                if self._pipe.recv() != "prepared":
                    raise RuntimeError(f"{kind}: could not be prepared")
                self.prepared.add(kind)
            start, first = time.monotonic(), self._processor_seconds()
            last = first
            while not (answered := self._pipe.poll(limit)):
                now = self._processor_seconds()
                if now - first > SECONDS or now - last < limit / 100:
                    break
                last = now  # others have the processors: it may still end in time
            if answered:
                outcome: Outcome = self._pipe.recv()
                if outcome.seconds <= SECONDS:
                    return outcome
                return replace(outcome, status="WRONG", text=f"slow: {outcome.text}")
            os.kill(self._process.pid or 0, signal.SIGUSR1)  # shows where it hangs
            self._process.join(0.5)  # it prints meanwhile
            self._process.kill()
            self._process.join()
            return Outcome("WRONG", f"hangs: no answer in {limit:g} s", time.monotonic() - start)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join()
            if kind not in self.prepared:
                raise RuntimeError(f"{kind}: the worker ended while it was prepared") from None
            return Outcome("WRONG", f"ended the process, exit code {self._process.exitcode}")

    def _processor_seconds(self) -> float:
        times = (
            Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        )
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")

    @property
    def is_usable(self) -> bool:
        """Whether it waits for the next case."""
        return self._process.is_alive()

    def close(self) -> None:
        """End the process, and remove its folder."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        shutil.rmtree(self.root, ignore_errors=True)


def run_cases(kind: str, seed: int, numbers: Iterable[int]) -> Iterator[tuple[int, Outcome]]:
    """Run cases of a kind, in one worker after the other."""
    worker: Worker | None = None
    try:
        for number in numbers:
            if worker is None:
                worker = Worker()
            outcome = worker.run(kind, seed, number)
            if not worker.is_usable or worker.done >= (TRAININGS if kind == "trainings" else CASES):
                worker.close()
                worker = None
            yield number, outcome
    finally:
        if worker is not None:
            worker.close()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

"""The fuzzer notices what is wrong, and a few cases of each kind: `python -m hardening.fuzzing`."""

from collections.abc import Iterator

import pytest

from hardening.cases import Tally
from hardening.fuzzing.driver import PATIENCE, Worker
from hardening.fuzzing.kinds import KINDS


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A process without a framework."""
    started = Worker()
    yield started
    started.close()


NOTICED = [
    "the case's own KeyError at wrong.py", "a message that is an exception's",
    "a message of 1 lines", "left behind", "changed: ('foreign'", "changed: ('kept'",
    "outside: os.mkdir", "os.system",
    "took 2.", "ok", "refused something.yaml",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(NOTICED)))
def test_the_fuzzer_notices(number: int, worker: Worker) -> None:
    """What each case does wrong is said; what is right is called so."""
    outcome = worker.run("wrong.Wrong", 0, number)
    said = outcome.text if outcome.status == "WRONG" else f"{outcome.status} {outcome.text}".strip()
    assert NOTICED[number] in said


@pytest.mark.parametrize(
    ("number", "word", "limit"), [(98, "hangs", 0.2), (99, "exit code 7", PATIENCE)]
)
def test_a_worker_that_hangs_or_dies_is_noticed(number: int, word: str, limit: float) -> None:
    """The case is named, and the next one gets a worker of its own."""
    worker = Worker()
    try:
        outcome = worker.run("wrong.Wrong", 0, number, limit=limit)
        assert outcome.status == "WRONG" and word in outcome.text
    finally:
        worker.close()
    assert not worker.root.exists()


# Cases. The last ones train, draw and export: they take longest.

COUNTS = {
    "configs": 120, "registry": 60, "h5": 80, "pth": 40, "keras": 40,
    "safetensors": 40, "caffe": 40, "images": 60, "npz": 50, "runs": 8,
    "idx": 60, "tables": 60, "cifar": 60, "mat": 60, "folders": 60,
    "commands": 12, "trainings": 3,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_input_is_used_or_refused(kind: str, cases: Worker) -> None:
    """No traceback, no hang, no 2 GB, nothing outside of the given folders."""
    tally = Tally()
    for number in range(COUNTS[kind]):
        tally.add(number, cases.run(kind, 1980, number))
    assert not tally.wrong
    assert tally.counts["refused"] and tally.counts["ok"]


@pytest.fixture(scope="module")
def cases() -> Iterator[Worker]:
    """One process with the framework for the cases of all kinds."""
    started = Worker()
    yield started
    started.close()

"""What a run's folder holds after a kill, a power cut or damage, and what is made of it."""

import os
import random
import signal
from pathlib import Path

import filelock
import numpy as np
import pytest

from modelzoo import InputError, cli, resume
from modelzoo.support import files
from modelzoo.training.run_folder import Progress, RunFolder, SharedRunFolder

ARRAYS = [np.arange(6, dtype="float32").reshape(2, 3), np.array(7, "int64")]


def saved(epochs: int) -> tuple[list[np.ndarray], Progress]:
    """Return what a run would save after some epochs; each differs."""
    rows = [{"epoch": e + 1, "loss": 1.0, "seconds": 2.0} for e in range(epochs)]
    return [array + epochs for array in ARRAYS], Progress(epochs, rows, best_epoch=epochs)


def a_folder(path: Path, epochs: int) -> RunFolder:
    path.mkdir()
    folder = RunFolder(path)
    folder.config.write_text("base: lenet5\n")
    for done in range(epochs + 1):
        folder.save_state(*saved(done))
    return folder


def is_state_of(folder: RunFolder, epochs: int) -> bool:
    arrays, progress = folder.load_state()
    wanted, _ = saved(epochs)
    same = all(np.array_equal(a, b) for a, b in zip(arrays, wanted, strict=True))
    return same and progress.epochs_done == epochs


# Starting


def test_what_a_killed_start_left_is_in_nobody_s_way(tmp_path):
    """The same command again was refused: the folder was not empty."""
    for name in (".lock", "config.yaml", ".0123abcd.state.npz", ".89abcdef.config.yaml"):
        (tmp_path / name).write_text("left")
    with pytest.raises(InputError, match=r"holds no run to resume.*started again as it was"):
        RunFolder.open(tmp_path)
    folder = RunFolder.create(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "config.yaml"]
    folder.release()  # nothing came of this one either
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_not_taken_for_leftovers(tmp_path):
    mine = {tmp_path / "config.yaml", tmp_path / ".0123abcd.state.npz"}
    for path in mine:
        path.write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        RunFolder.create(tmp_path)
    assert set(tmp_path.iterdir()) == mine


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    """A second training took a file that the first, still running, was writing."""
    run = a_folder(tmp_path / "run", 1).path
    written = run / ".0123abcd.state.npz"
    written.write_text("half of it")
    with filelock.FileLock(run / ".lock"):
        for attempt in (RunFolder.create, RunFolder.open, resume):
            with pytest.raises(InputError, match="another training is writing"):
                attempt(run)
    SharedRunFolder.open(run)
    assert written.exists()
    with pytest.raises(InputError, match="already holds a run"):
        RunFolder.create(run)
    RunFolder.open(run).release()
    assert not written.exists()


# The state


def test_a_byte_that_changed_is_noticed_wherever_it_is(tmp_path):
    """Never other arrays; 400 of its bytes, one at a time."""
    folder = a_folder(tmp_path / "run", 2)
    whole, chance = folder.state.read_bytes(), random.Random(0)
    went_back = 0
    for place in chance.sample(range(len(whole)), 400):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chance.randrange(8)
        folder.state.write_bytes(damaged)
        if is_state_of(folder, 2):  # a byte that says nothing, such as the file's time
            continue
        assert is_state_of(folder, 1) and "state.npz: damaged" in folder.warning
        went_back += 1
    assert went_back > 250


@pytest.mark.parametrize("left", [b"", b"PK", None])
def test_a_state_that_is_lost_costs_the_epoch_after_the_one_before(tmp_path, left):
    """None: it is not there at all, as when a kill comes between two names."""
    folder = a_folder(tmp_path / "run", 3)
    folder.state.unlink() if left is None else folder.state.write_bytes(left)
    folder = RunFolder.open(folder.path)
    assert is_state_of(folder, 2) and bool(folder.warning) == (left is not None)
    folder.reopen()  # the good one must not be given up for the damaged one
    assert not folder.previous_state.exists()
    folder.save_state(*saved(3))
    assert is_state_of(folder, 3)
    folder.state.unlink()
    assert is_state_of(folder, 2)
    folder.release()


def test_two_damaged_states_are_refused_with_the_way_on(tmp_path):
    folder = a_folder(tmp_path / "run", 2)
    for path in (folder.state, folder.previous_state):
        path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"state\.npz: damaged.*\n.*train again: python -m train"):
        folder.load_state()


def test_a_state_that_would_grow_is_refused(tmp_path):
    folder = a_folder(tmp_path / "run", 0)
    np.savez_compressed(folder.state, progress=np.zeros(10**6))
    with pytest.raises(InputError, match=r"state\.npz: damaged"):
        folder.load_state()


def test_a_result_that_is_no_json_is_none(tmp_path):
    """An empty metrics.json made a run finished for ever."""
    folder = a_folder(tmp_path / "run", 1)
    for content, is_finished in (("", False), ("[]", False), ("[" * 99_999, False), ("{}", True)):
        folder.metrics.write_text(content)
        assert folder.is_finished is is_finished


@pytest.mark.parametrize("text", ["", "PK\x03\x04", "epoch,loss\n1,x\n", "a,b\n1,2\n"])
def test_a_history_that_is_none_is_named(tmp_path, text):
    """Charts said which column they lacked, but not of which file."""
    folder = RunFolder(tmp_path)
    folder.history.write_text(text)
    with pytest.raises(InputError, match=r"history\.csv: (damaged|cannot be read)"):
        folder.read_history()


# Files


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    """After a power cut the name could stand for nothing."""
    done: list[str] = []
    fsync, rename = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name[-8:]}")
        fsync(descriptor)

    def noted_rename(self: Path, target: Path) -> Path:
        done.append(f"rename to {target.name}")
        rename(self, target)
        return target

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    (tmp_path / "a folder").mkdir()
    files.write_text(tmp_path / "a folder" / "file.txt", "text")
    assert done == ["sync file.txt", "rename to file.txt", "sync a folder"]


def test_a_read_only_disk_is_said_and_nothing_else(tmp_path, monkeypatch):
    """Tidying up fails there as well; that must not hide why."""

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(InputError, match="file: cannot be written: Read-only file system"):
        files.write_text(tmp_path / "file", "text")
    folder = RunFolder.create(tmp_path / "run")
    folder.release()  # says nothing


def test_a_second_ctrl_c_ends_as_the_first_would(monkeypatch):
    """It came while the first was answered, and ended in a traceback."""

    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    monkeypatch.setattr(cli.atexit, "register", lambda function: function)
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as end:
            cli.run_program(["list"])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert end.value.code == 130

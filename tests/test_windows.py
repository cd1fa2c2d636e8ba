"""What Windows and macOS do otherwise, simulated: neither is needed to run this."""

import io
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from modelzoo import InputError, cli, load_config
from modelzoo.config.published import file_at, parse_source
from modelzoo.data.datasets import picture_folder
from modelzoo.data.library_sets import HuggingFaceSet
from modelzoo.support import environment, files
from modelzoo.training.run_folder import LOCK, Progress, RunFolder
from modelzoo.weights.store import find_weights


@pytest.fixture
def opened(monkeypatch):
    """Let another program have files open: the names in the list that this returns."""
    held, clock = [], iter(range(10**6))
    monkeypatch.setattr(files.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if Path(target).name in held:
            error = PermissionError(13, "Access is denied")
            error.winerror = 32
            raise error
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    return held


def test_a_file_that_is_open_elsewhere_is_waited_for_and_then_named(opened, tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    files.write_text(path, "old")
    opened.append(path.name)
    with pytest.raises(files.InUseError, match=r"table\.csv: cannot be replaced: another program"):
        files.write_text(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    monkeypatch.setattr(files.time, "sleep", lambda seconds: opened.clear())  # it is closed
    files.write_text(path, "new")
    assert path.read_text() == "new"


def test_history_csv_in_excel_does_not_end_a_training(opened, tmp_path):
    from modelzoo.training.callbacks import Saving

    said = io.StringIO()
    config = SimpleNamespace(trainer=SimpleNamespace(save_minutes=10))
    session = SimpleNamespace(distribution=SimpleNamespace(replicas=1), config=config)
    saving = Saving(session, RunFolder(tmp_path), Console(file=said, width=200))
    saving.progress = Progress(history=[{"epoch": 1, "loss": 2.0}])
    opened.append("history.csv")
    saving.write_history()
    assert "has it open; close it there" in said.getvalue()
    opened.clear()
    saving.progress.history.append({"epoch": 2, "loss": 1.0})
    saving.write_history()
    assert (tmp_path / "history.csv").read_text() == "epoch,loss\n1,2.0\n2,1.0\n"


def test_ctrl_break_saves_as_ctrl_c_does(monkeypatch):
    from modelzoo.training.callbacks import Interruption

    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    before = signal.getsignal(signal.SIGUSR1)
    noted = Interruption(is_noted=True)
    with noted:
        signal.raise_signal(signal.SIGUSR1)
    assert noted.is_wanted and signal.getsignal(signal.SIGUSR1) is before
    monkeypatch.setattr(cli, "resolve_name", lambda name: lambda _: signal.raise_signal(before_run))
    before_run = signal.SIGUSR1
    assert cli.main(["list"]) == 130 and signal.getsignal(signal.SIGUSR1) is before


def test_paths_with_a_drive_are_paths(tmp_path, monkeypatch):
    assert picture_folder("folder:C:\\digits") == Path("C:\\digits")
    for name in ("C:\\sets\\digits", "C:/sets/digits", "\\\\server\\digits", ".\\digits"):
        assert HuggingFaceSet.pattern.fullmatch(name), name
    for name in ("C:\\..\\digits", "C:digits/x/y"):
        assert not HuggingFaceSet.pattern.fullmatch(name), name
    assert parse_source("file:C:\\old.h5") == ("file", "C:\\old.h5")
    assert file_at("file:C:\\old.h5", None).file.startswith("-own/old-")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"x\.h5") as caught:  # looked for, not fetched
        find_weights(load_config("lenet5"), "C://x.h5")
    assert "address" not in str(caught.value) and "https" not in str(caught.value)


def test_what_is_printed_into_a_file_is_utf_8_on_windows(monkeypatch):
    monkeypatch.setattr(environment, "IS_WINDOWS", True)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="cp1252") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setattr(environment, "owns_process", False)
    monkeypatch.setattr(cli.atexit, "register", lambda function: function)
    monkeypatch.setattr(cli, "main", lambda arguments: print("a → ü \udc80") or 0)
    before = {each: signal.getsignal(each) for each in environment.ending_signals()}
    with pytest.raises(SystemExit):
        cli.run_program(["list"])
    for each, handler in before.items():
        signal.signal(each, handler)
    streams[0].flush()
    assert streams[0].buffer.getvalue() == "a → ü \\udc80\n".encode()


def test_the_processor_has_its_name_on_every_system(monkeypatch):
    with monkeypatch.context() as mac:
        mac.setattr(sys, "platform", "darwin")
        mac.setattr(environment.subprocess, "check_output", lambda *a, **k: "Apple M2\n")
        assert environment.processor_name() == "Apple M2"
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        registry = SimpleNamespace(
            OpenKey=lambda *key: io.StringIO(),
            QueryValueEx=lambda *key: ("AMD Ryzen 7  ", 1),
            HKEY_LOCAL_MACHINE=0,
        )
        windows.setitem(sys.modules, "winreg", registry)
        assert environment.processor_name() == "AMD Ryzen 7"


def test_the_lock_is_removed_where_no_open_file_can_be(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "IS_WINDOWS", True)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == LOCK and folder._lock.is_locked:
            raise PermissionError(13, "Access is denied")
        unlink(path, missing_ok=missing_ok)

    folder = RunFolder.create(tmp_path / "new" / "run")
    monkeypatch.setattr(Path, "unlink", refuse)
    folder.release()
    assert list(tmp_path.iterdir()) == []


def test_macs_with_intel_processors_are_told_what_to_use(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="no builds for Macs with Intel") as caught:
        environment.check_installed("--backend tensorflow", "tensorflow")
    assert "pip install" not in str(caught.value)


def test_commands_in_the_documentation_work_in_every_shell():
    """cmd.exe takes a single quote for a letter."""
    pages = [
        Path(__file__).parents[1] / "README.md",
        *Path(__file__).parents[1].rglob("docs/**/*.md"),
    ]
    lines = [line for page in pages for line in page.read_text("utf-8").splitlines()]
    commands = [line for line in lines if line.startswith(("modelzoo ", "python -m ", "pip "))]
    assert len(commands) > 20
    assert [line for line in commands if "'" in line.partition("  ")[0]] == []

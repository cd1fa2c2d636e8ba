"""Attacks that concern no single module; SECURITY.md lists these and those of the other files."""

import ast
import contextlib
import os
import stat
import sys
import tempfile
import threading
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import modelzoo
from modelzoo import cli
from modelzoo.charts.report import load_report_data
from modelzoo.cli import printing
from modelzoo.config import load_config
from modelzoo.config.published import WeightsFile
from modelzoo.data.datasets import load_dataset
from modelzoo.data.npz import read_npz
from modelzoo.networks.keras_objects import make
from modelzoo.support import environment, files, terminal
from modelzoo.support.errors import InputError
from modelzoo.support.files import record_path, sha256_of
from modelzoo.training import prepare
from modelzoo.training.run_folder import Progress, RunFolder
from modelzoo.weights import store
from modelzoo.weights.store import cached_path

PACKAGE = Path(modelzoo.__file__).parent
PROCESSES = ("support/environment.py", "charts/style.py")
SOURCES = {path: ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
BASE = "base: lenet5\nabout:\n  title: {}\n"
ESCAPES = {
    "colours": "\x1b[31mred\x1b[0m",
    "the window's title": "\x1b]0;owned\a",
    "a link": "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "8-bit sequences": "\x9b31mred",
    "back over the line": "good\rbad \b\b\b",
    "the other direction": "gnp.\u202egpj.exe",
    "bytes that are no text": "\udc9b\udcff",
}


@pytest.fixture(autouse=True)
def own_folder(home, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def called(call: ast.Call) -> str:
    return ast.unparse(call.func)


# The terminal


@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES)
def test_no_text_commands_the_terminal(text, capsys):
    """In a line, in a table, in a notice, and with what Rich takes for markup."""
    terminal.say(text)
    printing.print_notice(text)
    terminal.make_console(force_terminal=True, width=200).print(text, "[red]not red[/red]")
    columns = ("train_accuracy", "val_accuracy", "gap", "test_accuracy")
    row: dict[str, Any] = dict.fromkeys(columns, 0.5)
    row |= {"variant": text, "epochs": 1, "seconds": 1.0}
    printing.show(Namespace(json=False), None, printing.study_lines(text, [row]))
    out, err = capsys.readouterr()
    own = out.replace("\x1b[3m", "").replace("\x1b[1m", "").replace("\x1b[0m", "")  # of Rich itself
    assert all(c.isprintable() or c == "\n" for c in own + err), repr(out + err)
    assert "[red]not red[/red]" in out


def test_all_that_is_printed_goes_through_one_module():
    """`print` stands nowhere else, but for JSON, in which everything is ASCII."""
    for path, tree in SOURCES.items():
        for call in calls(tree):
            if called(call) == "print" and path.name != "terminal.py":
                assert ast.unparse(call).startswith("print(json.dumps("), f"{path}:{call.lineno}"
            assert called(call) != "Console", f"{path}:{call.lineno}"


def test_a_yaml_does_not_command_the_terminal(capsys):
    """YAML has escapes of its own, so that looking at the file itself is not enough."""
    Path("evil.yaml").write_text(BASE.format(r'"\e]0;owned\a"'))
    assert cli.main(["info", "evil.yaml"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"\x1b]0;owned\x07" in out


def test_a_path_does_not_write_into_a_yaml(tmp_path):
    """The head of a run's configuration names its path, in a comment."""
    path = tmp_path / "a\nmodel: {builder: alexnet}\n\x1b"
    folder = RunFolder.create(path)
    folder.write_config(load_config("lenet5"))
    assert load_config(folder.config).model.builder == "lenet5"
    folder.release()


# Code


def test_no_source_runs_code_from_elsewhere():
    """No pickles, no `eval`, no unpacking of archives, no network in Keras' hands.

    Two processes start, of fixed words: macOS' sysctl, and Python that makes the charts' library.
    """
    never = {
        "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load",
        "pickle.loads", "torch.load", "keras.models.load_model", "keras.saving.load_model",
        "load_model", "model_from_json", "extractall", "unpack_archive", "joblib.load",
    }  # fmt: skip
    for path, tree in SOURCES.items():
        for call in calls(tree):
            where, name = f"{path}:{call.lineno}", called(call)
            keywords = {each.arg: ast.unparse(each.value) for each in call.keywords}
            assert name not in never and name.rpartition(".")[2] != "extractall", where
            starts = name.startswith(("subprocess.", "multiprocessing."))
            assert not starts or path.relative_to(PACKAGE).as_posix() in PROCESSES, where
            assert keywords.get("shell", "False") == "False", where
            assert keywords.get("allow_pickle", "False") == "False", where
            assert name != "yaml.load" or ast.unparse(call.args[1]) == "_Loader", where


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"class_name": "Lambda", "config": {"function": "print"}}, "runs code"),
        ({"class_name": "TFSMLayer", "config": {"filepath": "evil"}}, "runs code"),
        ({"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}, "reads files"),
        ({"class_name": "TextVectorization", "config": {"vocabulary": "x"}}, "reads files"),
        ({"class_name": "Dense", "config": {"activation": {"class_name": "Lambda"}}}, "objects"),
        ({"class_name": "Pipeline", "config": {"layers": [{"class_name": "Lambda"}]}}, "objects"),
    ],
)
def test_a_yaml_makes_no_objects_within_objects(spec, word):
    """Keras would deserialise them: the names of its classes and functions, and what they open."""
    with pytest.raises(InputError, match=word):
        make("layer", spec, "data.preprocessing.0")


# Files


@pytest.mark.skipif(sys.platform == "win32", reason="has neither")
@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_a_file_that_never_ends_is_not_read(kind):
    endless, done = Path("pipe"), threading.Event()
    if kind == "a pipe":
        os.mkfifo(endless)
        threading.Thread(target=hang_up, args=(endless, done), daemon=True).start()
    else:
        endless.symlink_to("/dev/null")
    Path("evil.yaml").write_text("base: pipe\n")
    Path("set").mkdir()
    for name in ("report-data.npz", "history.csv", "config.yaml", "state.npz", "set/train.csv"):
        Path(name).symlink_to(endless.absolute())
    tries: list[Callable[[], object]] = [
        lambda: load_config("evil.yaml"),
        lambda: load_config("."),
        lambda: load_report_data(Path()),
        lambda: files.ordinary(Path("history.csv")),
        lambda: RunFolder.open(Path()),
        lambda: load_dataset("./set"),
        lambda: read_npz(Path("state.npz"), "x"),
    ]
    try:
        for each in tries:
            with pytest.raises(InputError, match=r"not an ordinary file|is missing"):
                each()
    finally:
        done.set()


def hang_up(pipe: Path, done: threading.Event) -> None:
    """Give whoever reads the pipe, which nobody should, an end."""
    while not done.wait(0.05):
        with contextlib.suppress(OSError):
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def test_a_number_to_the_base_of_60_is_refused():
    """A long one takes minutes; and 12:30 was hardly meant to be 750."""
    Path("evil.yaml").write_text("base: lenet5\nfit:\n  epochs: 1" + ":1" * 20_000 + "\n")
    with pytest.raises(InputError, match=r"line 3: 1:1:1:.* base of 60"):
        load_config("evil.yaml")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_at_a_target_is_replaced_and_not_followed(tmp_path):
    """The folder of a run, or of a cache, may come from somebody else, in an archive."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    run = tmp_path / "run"
    run.mkdir()
    names = ("history.csv", "metrics.json", "config.yaml", "study.csv")
    for name in names:
        (run / name).symlink_to(victim)
    folder = RunFolder(run)
    folder.write_history([{"epoch": 1, "loss": 0.5}])
    folder.write_metrics({"seed": 0})
    folder.write_config(load_config("lenet5"))
    files.write_csv(run / "study.csv", ["a"], [{"a": 1}])
    assert victim.read_text() == "precious"
    assert not any((run / name).is_symlink() for name in names)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_at_a_lock_is_not_followed(tmp_path):
    """The file that it leads to would be emptied."""
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    run.mkdir()
    (run / ".lock").symlink_to(victim)
    (run / "config.yaml").write_text("base: lenet5\n")
    (run / "state.npz").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        RunFolder.open(run)
    file = own_weights(tmp_path)
    path = cached_path(file)
    path.parent.mkdir(parents=True)
    path.with_name(f".{path.name}.lock").symlink_to(victim)
    with pytest.raises(InputError, match="cannot be written"):
        store.fetch(file)
    assert victim.read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_in_the_cache_is_replaced(tmp_path):
    victim, file = tmp_path / "victim", own_weights(tmp_path)
    victim.write_text("precious")
    path = cached_path(file)
    path.parent.mkdir(parents=True)
    for each in (path, record_path(path)):
        each.symlink_to(victim)
    found = store.fetch(file)
    assert found.path == path and not path.is_symlink() and not record_path(path).is_symlink()
    assert sha256_of(path) == file.sha256 and victim.read_text() == "precious"


def own_weights(folder: Path) -> WeightsFile:
    source = folder / "source.h5"
    source.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    size = source.stat().st_size
    sources = (f"file:{source}",)
    return WeightsFile("net/x", "net/x.weights.h5", sources, sha256_of(source), size, size)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_permissions_that_the_user_wants(mask, tmp_path):
    """Those of the umask: neither those of temporary files, nor wider, nor executable."""
    before = os.umask(mask)
    try:
        run = RunFolder.create(tmp_path / "deep" / "run")
        run.write_config(load_config("lenet5"))
        run.write_history([{"epoch": 1, "loss": 0.5}])
        run.save_state([], Progress())
        with files.staging(tmp_path / "staged") as staged:
            (staged / "file").write_text("x")
            (staged / "folder").mkdir()
        store.fetch(own_weights(tmp_path))
    finally:
        os.umask(before)
    made = [each for top in ("deep", "staged", "home") for each in (tmp_path / top).rglob("*")]
    assert len(made) >= 10
    for each in made:
        mode = stat.S_IMODE(each.stat().st_mode)
        wanted = (0o777 if each.is_dir() else 0o666) & ~mask
        lock = each.name.endswith(".lock")  # filelock's, empty: not for others to write to
        assert mode == wanted or (lock and not mode & 0o133), f"{each}: {mode:o}"


def test_the_cache_is_never_in_the_folder_that_all_share(monkeypatch):
    for name in ("MODELZOO_HOME", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert not environment.cache_folder().is_relative_to(tempfile.gettempdir())


# What is written


def test_the_password_in_an_address_is_not_written_down(tmp_path, monkeypatch):
    """A run's files name the weights that it began with."""
    (tmp_path / "w.h5").write_bytes(b"x")
    monkeypatch.setattr(prepare, "find_weights", lambda *_, **__: tmp_path / "w.h5")
    start = {"trainer": {"weights": "https://me:se@cret@weights.example/w.h5"}}
    found, _ = prepare.find_start(load_config("lenet5").with_values(start, "test"))
    assert found.trainer.weights == "https://weights.example/w.h5"

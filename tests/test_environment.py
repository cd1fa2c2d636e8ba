"""Odd places to run in: no home folder, nowhere for temporary files, odd names, odd terminals."""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs
import pytest

from modelzoo import cli
from modelzoo.config.published import file_at, parse_source
from modelzoo.support import environment
from modelzoo.support.environment import in_home
from modelzoo.support.errors import InputError
from modelzoo.support.files import as_typed
from modelzoo.training.device import quiet_stderr, without_collections
from modelzoo.weights.store import fetch


@pytest.fixture
def homeless(monkeypatch):
    """Run as a user without $HOME and without a line in the list of users."""

    def unknown(user: object) -> None:
        raise KeyError(user)

    pwd = pytest.importorskip("pwd")
    for name in ("HOME", "XDG_CACHE_HOME", "MODELZOO_HOME", "MODELZOO_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize("folder", ["~/.cache/modelzoo", None])
def test_without_a_home_the_variable_is_named(folder, homeless, tmp_path, monkeypatch):
    """What is fetched has to be kept somewhere; where is for the person to say."""
    if folder:  # of an older platformdirs
        monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: folder)
    (tmp_path / "w.h5").write_bytes(b"")
    with pytest.raises(InputError, match="MODELZOO_HOME"):
        fetch(file_at(f"file:{tmp_path / 'w.h5'}", "0" * 64))


def test_a_home_of_nobody_is_a_name_like_another(tmp_path):
    assert in_home("~no-such-user/x") == Path("~no-such-user/x")
    assert cli.main(["train", "--model", "lenet5", "--dataset", "folder:~no-such-user/x"]) == 2
    assert parse_source("file:///a%20b/c").value == str(Path("/a b/c"))


def test_nowhere_for_temporary_files(monkeypatch):
    """What a library prints is not held back then; nothing else is lost."""

    def refuse() -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with quiet_stderr():
        ran = True
    assert ran


@pytest.mark.parametrize("alone", [True, False])
def test_garbage_is_collected_again_after_a_framework_was_imported(alone, monkeypatch):
    """Only a command that is alone in its process may change what all in it share."""
    monkeypatch.setattr(environment, "owns_process", alone)
    frozen = gc.get_freeze_count()
    with pytest.raises(ImportError), without_collections():
        assert gc.isenabled() is not alone
        raise ImportError
    assert gc.isenabled()
    assert (gc.get_freeze_count() > frozen) is alone
    gc.unfreeze()


def test_every_text_is_read_and_written_with_its_encoding(tmp_path):
    """Windows and old locales have another default than UTF-8."""
    code = (
        "import sys; from modelzoo.cli import main\n"
        "for line in ('list', 'info lenet5', 'list --weights', 'verify', 'train --help'):\n"
        "    assert main(line.split()) == 0, line\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-W", "error::EncodingWarning", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="another shell quotes otherwise")
def test_a_command_that_is_told_can_be_copied():
    for name in ("run", "my run", "o'ne", "$(x)"):
        told = f"printf %s {as_typed(Path(name))}"
        assert subprocess.check_output(["sh", "-c", told], text=True) == name

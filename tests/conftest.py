"""Fixtures that several files use."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelzoo import cli


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of its own, no mirror and no proxy; a test that wants no network says so."""
    for name in ("MODELZOO_MIRROR", "MODELZOO_OFFLINE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("MODELZOO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def one(tmp_path):
    """A drawn 1 of 28x28 pixels, which the digit weights know with certainty."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:16] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    return tmp_path / "one.png"


def listing(folder: Path) -> list[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(str(path) for path in paths if path.parts[0] != ".cache")  # of a site being built


@pytest.fixture
def refuses(monkeypatch, capfd):
    """A function that runs a command and checks how it is refused; it returns the message.

    "~" stands for a space within a word, "{files}" for a folder. Nothing may be left in it, nor
    in the current folder, and the message has one to five lines that hold the words.
    """
    monkeypatch.delenv("MODELZOO_DEBUG", raising=False)

    def refuse(command: str, *words: str, files: Path | None = None) -> str:
        folders = [Path(), *([files] if files else [])]
        before = [listing(folder) for folder in folders]
        capfd.readouterr()
        code = cli.main([word.replace("~", " ").format(files=files) for word in command.split()])
        out, err = capfd.readouterr()
        assert (code, out) == (2, ""), (code, out, err)
        assert 1 <= len(err.splitlines()) <= 5, err
        for never in ("Traceback", "This is a bug", "\x1b"):
            assert never not in err, err
        for word in words:
            assert word in err, err
        assert [listing(folder) for folder in folders] == before, "something was left"
        return err

    return refuse

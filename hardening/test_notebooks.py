"""The notebooks that the tests leave out run from top to bottom."""

from pathlib import Path

import pytest

from tests import test_notebooks as notebooks


@pytest.mark.parametrize("path", notebooks.NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, without a network."""
    notebooks.test_notebooks_run(path, tmp_path, monkeypatch)

"""Whole runs whose files are damaged or missing go on, or are refused before training."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hardening.bars import draw_bars
from modelzoo import InputError, Trainer, load_config, resume
from modelzoo.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same configuration, of two epochs and of three; the second is the best."""
    work = tmp_path_factory.mktemp("runs")
    (x_train, y_train), (x_test, y_test) = draw_bars(100, 0), draw_bars(20, 1)
    np.savez(work / "bars.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MODELZOO_DATA", str(work))
        for epochs in (2, 3):
            options = [f"fit.epochs={epochs}", "data.batch_size=25", "data.validation_split=20"]
            config = load_config("lenet5", dataset="bars", overrides=options)
            run = Trainer(config, device="cpu", out=work / f"{epochs} epochs").fit()
    assert run.metrics["best_epoch"] >= 1
    return work


@pytest.fixture
def run(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy of the run of two epochs."""
    monkeypatch.setenv("MODELZOO_DATA", str(runs))
    shutil.copytree(runs / "2 epochs", tmp_path / "run")
    return RunFolder(tmp_path / "run")


def same_weights(folder: RunFolder, whole: Path) -> bool:
    """Whether best.weights.h5 is byte for byte that of another run."""
    return folder.best_weights.read_bytes() == (whole / "best.weights.h5").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_best_weights_of_the_last_epoch_are_in_the_state_too(run, runs, content):
    """A kill between the two files, or damage to one, cost the run."""
    arrays, progress = run.load_state()
    progress.best_epoch, progress.best_sha256 = 2, ""  # as it is when the second is the best
    run.save_state(arrays, progress)
    run.best_weights.unlink() if content is None else run.best_weights.write_bytes(content)
    run.metrics.unlink()
    assert resume(run.path, device="cpu").metrics["best_epoch"] == 2
    assert run.best_weights.stat().st_size == (runs / "2 epochs/best.weights.h5").stat().st_size


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_older_best_weights_are_refused_before_training(run, content):
    """Other weights would be scored, and published, as the best."""
    arrays, progress = run.load_state()
    progress.best_epoch = 1
    progress.best_sha256 = "0" * 64
    run.save_state(arrays, progress)
    if content is None:
        run.best_weights.unlink()
    state = run.state.read_bytes()
    with pytest.raises(
        InputError, match=r"best\.weights\.h5: is (missing|damaged).*\nTrain it again"
    ):
        resume(run.path, device="cpu", epochs=3)
    assert run.state.read_bytes() == state


def test_a_longer_run_that_was_killed_is_not_finished(run, runs, monkeypatch):
    """metrics.json of the shorter one said so, and --resume refused to go on."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("modelzoo.training.train.write_results", killed)
        with pytest.raises(KeyboardInterrupt):
            resume(run.path, device="cpu", epochs=3)
    assert not run.is_finished
    assert resume(run.path, device="cpu").metrics["epochs"] == 3
    assert same_weights(run, runs / "3 epochs")
    assert sorted(p.name for p in run.path.iterdir()) == sorted(
        p.name for p in (runs / "3 epochs").iterdir()
    )


def test_a_run_goes_on_from_the_state_before(run, runs, capsys):
    """With a warning; it ends in the same weights."""
    shutil.copy(run.state, run.previous_state)
    run.state.write_bytes(run.state.read_bytes()[:-1000])
    resume(run.path, device="cpu", epochs=3)
    said = " ".join(capsys.readouterr().err.split())
    assert "state.npz: damaged" in said and "going on from the state before it" in said
    assert same_weights(run, runs / "3 epochs")


def test_a_damaged_result_is_written_again(run, runs):
    """With the same numbers."""
    expected = json.loads(run.metrics.read_text())["test_loss"]
    run.metrics.write_bytes(b"\0" * 100)
    assert resume(run.path, device="cpu").metrics["test_loss"] == expected
    assert run.is_finished

"""A few of the tries that interruptions.py and damaged_runs.py make by hundreds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_training import (
    EVERYTHING_RANDOM,
    config_of,
    interrupt_in_epoch,
    press_ctrl_c,
    resumed_as_if_never_stopped,
    stop_at_once,
)

from modelzoo import InputError, Trainer, resume
from modelzoo.training.run_folder import RunFolder

# Signals are tried in test_training.py.
WAYS = ("full-disk", "lying-disk", "read-only", "clock", "second")


def run_harness(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=Path(__file__).parents[1],
        env=environment,  # readline sets COLUMNS behind Python's back, and messages would be broken
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_is_the_same_however_it_was_interrupted():
    """Other weights, a gap in the history, a file left over, or a folder that nobody can use."""
    options = ["--count", str(len(WAYS)), "--ways", *WAYS, "--recipes", "saved-often"]
    run_harness("hardening.interruptions", *options)


def test_damage_is_mended_or_named():
    """A traceback, other weights, or a file outside of the run's folder changed."""
    run_harness("hardening.damaged_runs", "--count", "3", "--seed", "2")


def test_ctrl_c_in_the_last_batch_finishes_the_epoch(bars, tmp_path, monkeypatch, capsys):
    """An epoch without batches left could not be resumed."""
    config = config_of("bars", 3, *EVERYTHING_RANDOM)
    Trainer(config, out=tmp_path / "whole").fit()
    with monkeypatch.context() as patched:
        interrupt_in_epoch(patched, 1, press_ctrl_c, batch=4)
        with pytest.raises(KeyboardInterrupt):
            Trainer(config, out=tmp_path / "cut").fit()
    said = capsys.readouterr().err
    assert "validating, then saving" in said and "2 of 3 epochs are saved" in said
    assert resumed_as_if_never_stopped(tmp_path / "cut", tmp_path / "whole")


def test_long_epochs_are_saved_within(bars, tmp_path, monkeypatch):
    """A kill would lose an epoch of hours."""
    config = config_of("bars", 3, *EVERYTHING_RANDOM, "trainer.save_minutes=0")
    Trainer(config, out=tmp_path / "whole").fit()
    with monkeypatch.context() as patched:
        interrupt_in_epoch(patched, 1, stop_at_once, batch=2)
        with pytest.raises(KeyboardInterrupt):
            Trainer(config, out=tmp_path / "cut").fit()
    _, progress = RunFolder(tmp_path / "cut").load_state()
    assert (progress.epochs_done, progress.batches_done) == (1, 2) and progress.seconds > 0
    assert resumed_as_if_never_stopped(tmp_path / "cut", tmp_path / "whole")
    with pytest.raises(InputError, match="save_minutes: -1 should be"):
        config_of("bars", 1, "trainer.save_minutes=-1")


def test_early_stopping_is_remembered(bars, tmp_path):
    """A run that stopped early would go on training when resumed after a kill at the end."""
    stop = "fit.callbacks=[{class_name: EarlyStopping, config: {monitor: val_loss, patience: 0, "
    run = Trainer(config_of("bars", 30, stop + "min_delta: 9}}]"), out=tmp_path / "run").fit()
    assert run.metrics["epochs"] == 2
    (run.folder / "metrics.json").unlink()
    assert resume(run.folder).metrics["epochs"] == 2

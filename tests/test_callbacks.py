"""Callbacks that write: into the run's folder only, and on where a run was interrupted."""

import contextlib
import csv
import re
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_training import interrupt_in_epoch, press_ctrl_c

from modelzoo import InputError, cli, load_config
from modelzoo.networks import keras_objects
from modelzoo.training.session import Session

WRITERS = (
    "fit.callbacks=[{class_name: CSVLogger, config: {filename: more/log.csv}}, "
    "{class_name: ModelCheckpoint, config: {filepath: 'epoch-{epoch:02d}.keras'}}]"
)
SMALL = ("data.batch_size=32", "data.validation_split=40", "compile.steps_per_execution=2")


def scalars(folder, name):
    """Return what TensorBoard shows of a scalar, by the step."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {each.step: float(tf.make_ndarray(each.tensor_proto)) for each in events.Tensors(name)}


def test_tensorboard_shows_the_losses_of_history_csv_also_after_a_resume(
    bars, tmp_path, monkeypatch, capsys
):
    changed = [word for text in (*SMALL, WRITERS) for word in ("--set", text)]
    command = ["train", "--model", "lenet5", "--dataset", "bars", "--epochs", "3", *changed]
    with monkeypatch.context() as patched:
        interrupt_in_epoch(patched, 1, press_ctrl_c)
        assert cli.main([*command, "--tensorboard", "--out", "run"]) == 130
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert cli.main(["train", "--resume", "run", "--tensorboard"]) == 0
    assert "tensorboard --logdir run/tensorboard" in capsys.readouterr().out
    with (tmp_path / "run" / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    for part, prefix in (("train", ""), ("validation", "val_")):
        for metric in ("loss", "accuracy"):
            shown = scalars(tmp_path / "run" / "tensorboard" / part, f"epoch_{metric}")
            wanted = [np.float32(row[prefix + metric]) for row in history]
            assert shown == dict(enumerate(wanted)), (part, metric)
    with (tmp_path / "run" / "more" / "log.csv").open() as file:
        logged = list(csv.DictReader(file))
    assert [row["epoch"] for row in logged] == ["0", "1", "2"]
    assert [float(row["loss"]) for row in logged] == [float(row["loss"]) for row in history]
    last = keras.models.load_model(tmp_path / "run" / "epoch-03.keras")
    assert (
        last.count_params() == 44_426 and len(last.layers) > 3
    )  # the network, not what was fitted
    assert (tmp_path / "run" / "epoch-01.keras").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "run"]


class StandIn(types.ModuleType):
    """A package that keeps what it was called with, under the name of the function."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple] = []
        self.summary: dict = {}

    def __getattr__(self, name: str):
        def called(*given, **named):
            self.calls.append((name, *given, *named.values()))
            return contextlib.nullcontext(self)

        return called


def test_the_callbacks_on_the_page_on_tracking_log_every_epoch(bars, monkeypatch):
    text = (Path(__file__).parents[1] / "docs" / "tracking.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for name, block in zip(("mlflow", "wandb"), blocks, strict=True):
        monkeypatch.setitem(sys.modules, name, stand_in := StandIn(name))
        names: dict = {"__name__": "page"}
        exec(block.replace("mnist5k", "bars").replace("with_epochs(3)", "with_epochs(2)"), names)
        run = names["run"]
        logged = [each[1] for each in stand_in.calls if each[0] in ("log_metrics", "log")]
        assert [each["loss"] for each in logged] == run.history["loss"].tolist()
        assert [each["val_accuracy"] for each in logged] == run.history["val_accuracy"].tolist()
        if name == "mlflow":
            assert ("log_metric", "test_accuracy", run.metrics["test_accuracy"]) in stand_in.calls
            assert Path(stand_in.calls[-1][1]) == run.folder / "report.html"
        else:
            assert stand_in.summary == {"test_accuracy": run.metrics["test_accuracy"]}


OUTSIDE = [
    "/tmp/x.csv",
    "../x.csv",
    "a/../../x.csv",
    "C:\\x.csv",
    "C:x.csv",
    "..\\x.csv",
    "",
    ".",
    3,
]


@pytest.mark.parametrize("path", [*OUTSIDE, "{epoch:c}{epoch:c}/x", "{epoch.real}", "x{"])
def test_callbacks_write_nowhere_but_into_the_run(path):
    spec = {"class_name": "CSVLogger", "config": {"filename": path}}
    with pytest.raises(InputError, match=r"callbacks\.0\.config\.filename: .* within the run's"):
        keras_objects.make("callback", spec, "fit.callbacks.0")


@pytest.mark.parametrize("link", ["log.csv", "more", "more/epoch-01.keras"])
def test_callbacks_write_through_no_link(link, tmp_path):
    """A run of somebody else, resumed, overwrote any file of the user."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    (run / link).parent.mkdir(parents=True)
    (run / link).symlink_to(outside)
    writer = keras.callbacks.ModelCheckpoint("more/epoch-{epoch:02d}.keras")
    session = types.SimpleNamespace(callbacks=[writer], distribution=types.SimpleNamespace())
    session.distribution.is_chief, session._show_network = True, print
    with pytest.raises(InputError, match=f"{link}: is a link, and ModelCheckpoint may write"):
        Session.callbacks_in(session, run)
    (run / link).unlink()
    assert Session.callbacks_in(session, run) == [writer] and not outside.exists()


def test_callbacks_leave_the_run_s_own_files_and_run_no_code():
    for name in ("state.npz", "History.csv", "report.html", ".lock"):
        spec = {"class_name": "CSVLogger", "config": {"filename": name}}
        with pytest.raises(InputError, match="the run writes this file itself"):
            keras_objects.make("callback", spec, "fit.callbacks.0")
    for name in ("LambdaCallback", "BackupAndRestore", "RemoteMonitor", "LearningRateScheduler"):
        with pytest.raises(InputError, match="Keras has no callback"):
            keras_objects.make("callback", name, "fit.callbacks.0")


def test_tensorboard_that_is_missing_is_one_message(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="TensorBoard needs tensorboard"):
        keras_objects.make("callback", "TensorBoard", "fit.callbacks.0")
    assert load_config("lenet5").fit.callbacks == []

"""Training: repeatable, resumable, honest about what it measured."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from waiting import HANGS

from modelzoo import InputError, RunError, Trainer, cli, load_config, resume
from modelzoo.api import evaluate
from modelzoo.data.source import Dataset
from modelzoo.training.prepare import fit_config_to_data
from modelzoo.training.run_folder import RunFolder
from modelzoo.weights.store import find_weights

EVERYTHING_RANDOM = [
    "compile.steps_per_execution=2",
    "model.dropout=0.3",
    "data.augmentation=[{class_name: RandomTranslation, config: {height_factor: 0.1, "
    "width_factor: 0.1}}, {class_name: RandomRotation, config: {factor: 0.05}}]",
    "fit.callbacks=[{class_name: ReduceLROnPlateau, config: {monitor: val_loss, patience: 1}}, "
    "{class_name: EarlyStopping, config: {monitor: val_loss, patience: 3}}]",
    "compile.optimizer={class_name: Adam, config: {learning_rate: 0.01}}",
]
SMALL = ["data.batch_size=32", "data.validation_split=40", "compile.steps_per_execution=1"]


PROMISED = {
    "config.yaml", "history.csv", "metrics.json", "best.weights.h5", "model.keras", "report.html",
    "report-data.npz", "state.npz",
}  # fmt: skip
METRICS = {
    "model", "dataset", "parameters", "epochs", "test_loss", "test_accuracy", "val_accuracy",
    "train_accuracy", "seconds", "seconds_per_epoch", "images_per_second", "peak_memory_bytes",
    "device", "backend", "precision", "seed", "versions",
}  # fmt: skip


def rows(folder: Path) -> list[dict[str, str]]:
    """Return history.csv without the seconds, which no seed decides."""
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def same_state(first: Path, second: Path) -> bool:
    with np.load(first / "state.npz") as a, np.load(second / "state.npz") as b:
        names = [name for name in a.files if name != "progress"]
        same = a.files == b.files and all(np.array_equal(a[name], b[name]) for name in names)
        stands = [json.loads(each["progress"].tobytes()) for each in (a, b)]
    for values in stands:
        values["history"] = [{**row, "seconds": 0} for row in values["history"]]
        if keras.backend.backend() != "tensorflow":  # the file has Keras' number of the optimizer
            del values["best_sha256"]
    return same and stands[0] == stands[1]


def config_of(dataset: str, epochs: int, *overrides: str):
    chosen = [*SMALL, f"fit.epochs={epochs}", *overrides]
    return load_config("lenet5", dataset=dataset, overrides=chosen)


class Interrupt(keras.callbacks.Callback):
    """Calls something at the end of a batch: of the second execution of an epoch, by default."""

    def __init__(self, press: Callable[[], None], epoch: int, batch: int) -> None:
        super().__init__()
        self.press, self.epoch, self.batch = press, epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch >= self.batch:
            self.press()


def stop_at_once() -> None:
    """A second Ctrl-C, or a kill: nothing is saved any more."""
    raise KeyboardInterrupt


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def interrupt_in_epoch(monkeypatch, epoch, press=stop_at_once, batch=1) -> None:
    original = keras.Model.fit

    def fit(self, *args, callbacks, **kwargs):
        first = Interrupt(press, epoch, batch)
        return original(self, *args, callbacks=[first, *callbacks], **kwargs)

    monkeypatch.setattr(keras.Model, "fit", fit)


def test_a_run_leaves_the_promised_files(bars, tmp_path):
    run = Trainer(config_of("bars", 3), out=tmp_path / "run").fit()
    assert {path.name for path in run.folder.iterdir()} == PROMISED
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert set(metrics) >= METRICS
    assert (metrics["model"], metrics["dataset"], metrics["epochs"]) == ("lenet5", "bars", 3)
    assert "CPU:0" in metrics["device_placement"] and metrics["parameters"] == 44_426
    header = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds"
    assert (run.folder / "history.csv").read_text().splitlines()[0] == header
    assert run.evaluate()["accuracy"] == metrics["test_accuracy"]


class Counting(keras.callbacks.Callback):
    """Notes each epoch with its validation accuracy, and ends a training after the third."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, float] = {}

    def on_epoch_end(self, epoch, logs=None):
        self.seen[epoch] = logs["val_accuracy"]
        self.model.stop_training = epoch == 2


def test_callbacks_of_ones_own_see_every_epoch(bars, tmp_path):
    """In a new run and in one that goes on; and they may end it."""
    counting = Counting()
    Trainer(config_of("bars", 2), out=tmp_path / "run", callbacks=[counting]).fit()
    assert list(counting.seen) == [0, 1]
    run = resume(tmp_path / "run", epochs=9, callbacks=[counting])
    assert list(counting.seen) == [0, 1, 2] and run.metrics["epochs"] == 3
    assert [*counting.seen.values()] == pytest.approx([*run.history["val_accuracy"]])
    for wrong in (["EarlyStopping"], [keras.callbacks.EarlyStopping], [counting, None], "x"):
        with pytest.raises(InputError, match=r"is no keras\.callbacks\.Callback"):
            Trainer(config_of("bars", 2), callbacks=wrong)
        with pytest.raises(InputError, match=r"is no keras\.callbacks\.Callback"):
            resume(tmp_path / "run", callbacks=wrong)


def test_the_best_validation_epoch_is_what_is_kept_and_scored(bars, tmp_path):
    """The test score must belong to best.weights.h5, and the test set must not choose it."""
    run = Trainer(config_of("bars", 6, *EVERYTHING_RANDOM), out=tmp_path / "run").fit()
    accuracies = run.history["val_accuracy"]
    assert run.metrics["best_epoch"] == accuracies.idxmax() + 1
    config = load_config(run.folder)
    again = evaluate(config, find_weights(config, run.folder))
    assert again.scores.accuracy == run.metrics["test_accuracy"]
    assert again.scores.loss == pytest.approx(run.metrics["test_loss"], rel=1e-6)
    validation = evaluate(config, run.folder / "best.weights.h5", split="validation")
    assert validation.scores.accuracy == pytest.approx(accuracies.max())
    saved = keras.models.load_model(run.folder / "model.keras")
    assert all(map(np.array_equal, saved.get_weights(), run.model.get_weights()))


@pytest.mark.slow
def test_another_seed_gives_another_history(bars, tmp_path):
    """The same seed gives the same one, as tests of resuming show."""
    for seed in (5, 6):
        config = config_of("bars", 1, *EVERYTHING_RANDOM)
        Trainer(config, seed=seed, out=tmp_path / str(seed)).fit()
    assert rows(tmp_path / "5") != rows(tmp_path / "6")


def resumed_as_if_never_stopped(cut: Path, whole: Path) -> bool:
    """Resume a run, and compare all it leaves with what an uninterrupted one left."""
    assert not (cut / "metrics.json").exists()
    keras.utils.set_random_seed(999)  # nothing may depend on what this process did before
    found = resume(cut).metrics
    expected = json.loads((whole / "metrics.json").read_text())
    keys = ("test_loss", "test_accuracy", "best_epoch", "val_accuracy", "train_loss")
    return (
        rows(cut) == rows(whole)
        and same_state(cut, whole)
        and all(found[key] == expected[key] for key in keys)
    )


@pytest.mark.parametrize("epoch", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_run_stopped_at_once_resumes_as_if_it_had_not_been(bars, tmp_path, monkeypatch, epoch):
    config = config_of("bars", 5, *EVERYTHING_RANDOM)
    Trainer(config, out=tmp_path / "whole").fit()
    with monkeypatch.context() as patched:
        interrupt_in_epoch(patched, epoch)
        with pytest.raises(KeyboardInterrupt):
            Trainer(config, out=tmp_path / "cut").fit()
    _, progress = RunFolder(tmp_path / "cut").load_state()
    assert (progress.epochs_done, progress.batches_done) == (epoch, 0)
    assert resumed_as_if_never_stopped(tmp_path / "cut", tmp_path / "whole")
    assert not list(tmp_path.rglob(".*"))  # no lock, no temporary file


AVERAGED = (
    "compile.optimizer={class_name: Adam, config: {use_ema: true, ema_momentum: 0.9, "
    "learning_rate: {class_name: CosineDecay, config: {initial_learning_rate: 0.01, "
    "decay_steps: 20}}}}"
)
AUGMENTED_ONLY = EVERYTHING_RANDOM[:3]


@pytest.mark.parametrize(
    ("epoch", "overrides"),
    [
        (1, [*EVERYTHING_RANDOM, "fit.adversarial={epsilon: 0.1, steps: 2}"]),
        pytest.param(0, [*AUGMENTED_ONLY, AVERAGED], marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_loses_no_batch(bars, tmp_path, monkeypatch, capsys, epoch, overrides):
    """Of five batches an epoch, in executions of two, the fourth is the last."""
    config, handler = config_of("bars", 3, *overrides), signal.getsignal(signal.SIGINT)
    Trainer(config, out=tmp_path / "whole").fit()
    with monkeypatch.context() as patched:
        interrupt_in_epoch(patched, epoch, press_ctrl_c, batch=2)
        with pytest.raises(KeyboardInterrupt):
            Trainer(config, out=tmp_path / "cut").fit()
    _, progress = RunFolder(tmp_path / "cut").load_state()
    assert (progress.epochs_done, progress.batches_done, progress.batches) == (epoch, 4, 5)
    assert f"{epoch} of 3 epochs and batch 4 of 5 are saved" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is handler
    with monkeypatch.context() as patched:  # no batch is done twice
        interrupt_in_epoch(patched, epoch, stop_at_once, batch=1)
        with pytest.raises(KeyboardInterrupt):
            resume(tmp_path / "cut")
    assert f"{epoch} of 3 epochs and batch 4 of 5 are done" in capsys.readouterr().err
    assert resumed_as_if_never_stopped(tmp_path / "cut", tmp_path / "whole")


def test_a_resumed_run_keeps_its_split(bars, tmp_path):
    """More than half of the images validate, as was asked; config.yaml does not say who asked."""
    config = config_of("bars", 1, "data.validation_split=120")
    first = Trainer(config, out=tmp_path / "run").fit()
    again = resume(tmp_path / "run", epochs=2)
    for run in (first, again):
        assert run.config.data.validation_split == run.pipeline.images_in("validation") == 120


def test_a_begun_epoch_needs_the_same_batches(bars, tmp_path, monkeypatch):
    """Other batches after the fourth would leave images out and show others twice."""
    with monkeypatch.context() as patched:
        interrupt_in_epoch(patched, 0, press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            Trainer(config_of("bars", 2), out=tmp_path / "run").fit()
    text = (tmp_path / "run" / "config.yaml").read_text()
    other = text.replace("batch_size: 32", "batch_size: 16")
    (tmp_path / "run" / "config.yaml").write_text(other)
    with pytest.raises(InputError, match=r"epoch of 5 batches, which now has 10"):
        resume(tmp_path / "run")
    assert (tmp_path / "run" / "config.yaml").read_text() == other


def test_resume_takes_options_that_the_run_has_anyway(bars, tmp_path, capsys):
    words = "--model lenet5 --dataset bars --seed 0 --set data.validation_split=40 --device cpu"
    assert cli.main(["train", *words.split(), "--epochs", "1", "--out", "run"]) == 0
    again = ["train", "--resume", "run", "--out", "run/", *words.split()]
    assert cli.main([*again, "--epochs", "2"]) == 0
    assert json.loads(Path("run/metrics.json").read_text())["epochs"] == 2
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    rate = "compile.optimizer.config.learning_rate"
    for option, value, said in (
        ("--model", "alexnet", "--model alexnet: not what run was trained with (lenet5)"),
        ("--weights", "mnist", "--weights mnist: not what run was trained with (None)"),
        ("--seed", "3", "--seed: trainer.seed is 0 in run, not 3"),
        ("--learning-rate", "0.1", f"--learning-rate: {rate} is 1.0 in run, not 0.1"),
        ("--set", "fit.class_weight={1: 2}", "--set fit.class_weight={1: 2}: fit.class_weight is"),
    ):
        capsys.readouterr()
        assert cli.main(["train", "--resume", "run", "--epochs", "3", option, value]) == 2
        error = capsys.readouterr().err
        assert said in error and "--model lenet5 --dataset bars --weights run" in error
    assert before == {path.name: path.read_bytes() for path in Path("run").iterdir()}


def test_a_state_of_an_older_version_resumes(bars, tmp_path):
    Trainer(config_of("bars", 1), out=tmp_path / "run").fit()
    Trainer(config_of("bars", 2), out=tmp_path / "whole").fit()
    with pytest.raises(InputError, match="is finished"):
        resume(tmp_path / "run")
    with np.load(tmp_path / "run" / "state.npz") as saved:
        arrays = dict(saved)
    values = json.loads(arrays["progress"].tobytes())
    for name in ("batches_done", "batches", "seconds", "learning_rate"):
        del values[name]
    arrays["progress"] = np.frombuffer(json.dumps(values).encode(), np.uint8)
    np.savez(tmp_path / "run" / "state.npz", **arrays)
    resume(tmp_path / "run", epochs=2)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert same_state(tmp_path / "run", tmp_path / "whole")


def test_resuming_refuses_the_state_of_another_network(bars, tmp_path):
    Trainer(config_of("bars", 1), out=tmp_path / "run").fit()
    text = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(text.replace("- 120", "- 121"))
    with pytest.raises(InputError, match="belongs to another network"):
        resume(tmp_path / "run", epochs=2)


def test_a_loss_that_is_not_a_number_stops_the_run_with_a_reason(bars, tmp_path):
    """Hours would be spent on NaN, and best.weights.h5 would hold it."""
    relu = ("model.conv_activation=relu", "model.dense_activation=relu")
    config = config_of("bars", 3, "compile.optimizer.config.learning_rate=1e30", *relu)
    with pytest.raises(RunError, match=r"became (nan|inf) in epoch 1, by batch .*learning rate"):
        Trainer(config, out=tmp_path / "run").fit()
    assert not (tmp_path / "run" / "best.weights.h5").exists()


def test_mnist_out_of_reach_becomes_mnist5k_everywhere(tmp_path, monkeypatch, capsys):
    """A figure measured on 5,000 digits would be labelled mnist."""
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = Trainer(load_config("lenet5", overrides=["fit.epochs=1"])).fit()
    assert run.metrics["dataset"] == "mnist5k" and "mnist5k" in run.folder.name
    assert "MNIST's training set" in run.metrics["note"]
    assert load_config(run.folder).data.dataset == "mnist5k"
    assert "lenet5 on mnist5k" in (run.folder / "report.html").read_text()
    notice = capsys.readouterr().err
    assert "mnist" in notice and "Going on with mnist5k" in notice
    again = evaluate(load_config("lenet5"), run.folder / "best.weights.h5", notify=print)
    assert (again.data.name, len(again.scores.labels)) == ("mnist5k", 1000)
    assert again.scores.accuracy == run.metrics["test_accuracy"]


def three_classes() -> Dataset:
    images, labels = np.zeros((6, 28, 28, 1), np.uint8), np.arange(6) % 3
    return Dataset("three", images, labels, images, labels, ("ant", "bee", "cow"))


def test_the_number_of_classes_follows_the_data_unless_set_by_hand():
    said: list[str] = []
    config = load_config("lenet5", overrides=["data.dataset=three"])
    fitted = fit_config_to_data(config, three_classes(), said.append)
    assert fitted.model.num_classes == 3 and "3 classes" in said[0]
    assert fitted.data.class_names == ["ant", "bee", "cow"]
    by_hand = load_config("lenet5", overrides=["data.dataset=three", "model.num_classes=5"])
    assert fit_config_to_data(by_hand, three_classes(), print).model.num_classes == 5
    too_few = load_config("lenet5", overrides=["data.dataset=three", "model.num_classes=2"])
    with pytest.raises(InputError, match="2 is too few for the 3 classes"):
        fit_config_to_data(too_few, three_classes(), print)


def test_a_small_data_set_keeps_images_to_train_on():
    said: list[str] = []
    data = three_classes()
    config = load_config("lenet5", overrides=["data.dataset=three"])
    assert fit_config_to_data(config, data, said.append).data.validation_split == 0.2
    assert "a fifth of them, not 5,000, is kept for validation" in said[-1]
    for value in (0.1, 0, 2, 9_999):
        by_hand = load_config("lenet5", overrides=[f"data.validation_split={value}"])
        assert fit_config_to_data(by_hand, data, print).data.validation_split == value


def test_a_folder_of_pictures_trains_and_a_broken_picture_is_named(tmp_path, monkeypatch):
    from PIL import Image

    from hardening.bars import draw_bars

    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 40), ("test", 20)):
        for number, (image, label) in enumerate(zip(*draw_bars(count, 0), strict=True)):
            folder = tmp_path / "pictures" / split / ("low" if label < 5 else "high")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
    name = f"folder:{tmp_path / 'pictures'}"
    options = ("image.ink=as_is", "data.validation_split=4")
    run = Trainer(config_of(name, 2, *options), out=tmp_path / "run").fit()
    assert run.config.model.num_classes == 2
    assert run.config.data.class_names == ["high", "low"]
    victim = next((tmp_path / "pictures" / "train" / "low").iterdir())
    victim.write_bytes(victim.read_bytes()[:60])
    with pytest.raises(InputError, match=victim.name):
        Trainer(config_of(name, 1, *options), out=tmp_path / "broken").fit()


def test_mixed_precision_keeps_float32_weights_and_outputs(bars, tmp_path):
    """bfloat16 weights would lose small updates; a bfloat16 softmax small probabilities."""
    run = Trainer(config_of("bars", 1), precision="mixed_bfloat16", out=tmp_path / "run").fit()
    assert run.metrics["precision"] == "mixed_bfloat16"
    layer = run.model.get_layer("C1")
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    assert run.scores.probabilities.dtype == np.float32
    assert keras.config.dtype_policy().name == "float32"


# What follows trains in processes of its own, as `python -m train` does.


def start(*program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as CI may be, ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


# Trains `whole`, and resumes the others: in one process, for each start of TensorFlow takes long.
RESUME_ALL = """
import contextlib, sys
from pathlib import Path
from modelzoo.training.device import start_framework
start_framework("tensorflow", "cpu")
sys.path.insert(0, sys.argv[1])
import test_training as t
from modelzoo import cli
with contextlib.redirect_stdout(sys.stderr):
    assert cli.main(sys.argv[2:] + ["--out", "whole"]) == 0
for name in ("SIGINT", "SIGTERM", "SIGKILL"):
    assert t.resumed_as_if_never_stopped(Path(name), Path("whole")), name
assert cli.main(["train", "--resume", "SIGINT", "--epochs", "4", "--device", "cpu", "--json"]) == 0
"""


@pytest.mark.slow
def test_a_signal_loses_no_batch_and_a_kill_no_epoch(bars, tmp_path):
    """Each comes after batch 2 of 5 of the second epoch, where the training waits for it."""
    words = ["train", "--model", "lenet5", "--dataset", "bars", "--epochs", "3", "--device", "cpu"]
    # Shares of a batch are for a process that trains once; the last one here trains four times.
    settings = ("trainer.share_batches=false", *SMALL, *EVERYTHING_RANDOM)
    words += [part for each in settings for part in ("--set", each)]
    here = Path(__file__).parent
    said = {}
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        training = start(
            str(here.parent / "hardening" / "held.py"), "1", "1", *words, "--out", sent.name
        )
        assert training.stdout.readline() == "held\n", training.communicate()[1]
        training.send_signal(sent)
        out, said[sent.name] = training.communicate("go on\n", timeout=HANGS)
        assert (training.returncode, out) == (-9 if sent == signal.SIGKILL else 130, "")
        assert not Path(sent.name, "metrics.json").exists()
        assert "Traceback" not in said[sent.name]
    for name in ("SIGINT", "SIGTERM"):
        assert "1 of 3 epochs and batch 2 of 5 are saved" in said[name]
        assert f"continue with: python -m train --resume {name}" in said[name]
    out, err = start("-c", RESUME_ALL, str(here), *words).communicate(timeout=HANGS)
    for stood in ("1 of 3 epochs and batch 2 of 5", "1 of 3 epochs", "3 of 4 epochs"):
        assert f"{stood} are done" in err, err
    assert json.loads(out)["epochs"] == 4

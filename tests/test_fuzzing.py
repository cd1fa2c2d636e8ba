"""What fuzzing has found: `python -m hardening.fuzzing` looks for more."""

import io
import json
import os
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelzoo import charts, cli
from modelzoo.charts.report import ReportData, load_report_data, save_report_data
from modelzoo.convert.formats import open_onnx
from modelzoo.data.npz import read_arrays, read_npz
from modelzoo.data.preprocessor import Preprocessor
from modelzoo.networks.keras_objects import make
from modelzoo.support.errors import InputError
from modelzoo.training.run_folder import Progress, RunFolder
from modelzoo.training.study import table_of


def header(shape: Any, descr: str = "|u1", numbers: bytes = b"") -> bytes:
    """Return an .npy file that says anything of the numbers behind."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + numbers


def zipped(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return target.getvalue()


LIES = {
    "no array": (b"touch ran", "magic"),
    "nothing": (b"", "magic"),
    "pickle": (header((1,), "|O", b"\x80\x04]\x94."), "Python objects"),
    "larger": (header((2**40,), numbers=bytes(8)), "8 bytes are there"),
    "smaller": (header((4,), numbers=bytes(8)), "8 bytes are there"),
    "negative": (header((-2, -4), numbers=bytes(8)), "8 bytes are there"),
    "endless and empty": (header((2**70, 0)), "0 bytes are there"),
    "code": (header("__import__('os')"), "shape is not valid"),
    "version": (b"\x93NUMPY\x09\x09" + bytes(100), "9"),
    "call": (header((1,)).replace(b"'|u1'", b"eval()"), "malformed|parse"),
}


@pytest.mark.parametrize("case", LIES)
def test_an_entry_that_lies_is_refused(case, tmp_path):
    """NumPy returns what is no array as bytes, and allocates what a header says."""
    content, word = LIES[case]
    path = tmp_path / "lies.npz"
    path.write_bytes(zipped([("x_train.npy", content)]))
    with pytest.raises(ValueError, match=word) as caught:
        read_arrays(path)
    assert " at 0x" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"lies\.npz can't be read"):
        read_npz(path, "own")


def test_an_entry_is_not_there_twice(tmp_path):
    right = header((1,), numbers=b"x")
    with pytest.warns(UserWarning, match="Duplicate"):
        (tmp_path / "two.npz").write_bytes(zipped([("x.npy", right), ("x.npy", right)]))
    with pytest.raises(ValueError, match="twice"):
        read_arrays(tmp_path / "two.npz")


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path):
    """100 MB of zeros are 100 kB in the file; they are not unpacked to find that out."""
    bomb = header((10**8,), numbers=bytes(10**8))
    (tmp_path / "bomb.npz").write_bytes(zipped([("x.npy", bomb)], zipfile.ZIP_DEFLATED))
    del bomb
    with pytest.raises(ValueError, match="would grow from"):
        read_arrays(tmp_path / "bomb.npz")


def test_only_the_arrays_that_are_asked_for_are_read(tmp_path):
    entries = [("x.npy", header((1,), numbers=b"x")), ("notes.txt", b"no array")]
    (tmp_path / "more.npz").write_bytes(zipped(entries))
    assert read_arrays(tmp_path / "more.npz", "x".__eq__)["x"].tolist() == [ord("x")]


def test_a_state_of_texts_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save_state([np.array(["weights"])], Progress())
    with pytest.raises(InputError, match="damaged: 0 of 1 arrays of numbers"):
        folder.load_state()


@pytest.mark.parametrize("name", ["true", "confidence", "images", "class_names", "confusion"])
def test_report_data_that_do_not_fit_together_are_refused(name, tmp_path):
    wrong = np.zeros((2, 3, 3, 1), np.uint8), ["a", "b"], ["b", "a"], [0.5, 0.9]
    path = save_report_data(tmp_path, ReportData(np.eye(2, dtype=int), ["a", "b"], *wrong))
    arrays = read_arrays(path)
    key = name if name in arrays else f"mistakes_{name}"
    np.savez(path, **(arrays | {key: arrays[key][:-1]}))
    with pytest.raises(InputError, match=r"report-data\.npz: damaged"):
        load_report_data(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"epochs": "x"}', "[" * 10**5, "\x00"])
def test_metrics_that_are_none_are_refused(text, tmp_path):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json: "):
        table_of({"one": tmp_path})


@pytest.mark.parametrize(
    "epoch", ["2000000000", "1" + "0" * 400, "1e300", "-5", "x", "inf", "-inf"]
)
def test_an_epoch_may_be_any_number(epoch):
    """A tick of the axis is not looked for among two thousand million epochs."""
    history = pd.read_csv(io.StringIO(f"epoch,loss\n1,{epoch}\n{epoch},3\n7,1\n"))
    spec = str(charts.training_curves(history).to_dict())
    assert len(spec) < 100_000
    assert "inf" not in epoch or "Training curves over 2 epochs" in spec


def test_a_run_without_validation_has_no_gap(tmp_path):
    columns = ("train_accuracy", "test_accuracy", "epochs", "best_epoch", "seconds")
    (tmp_path / "metrics.json").write_text(json.dumps(dict.fromkeys(columns, 1)))
    assert table_of({"one": tmp_path})[0]["gap"] is None


def test_a_message_is_short():
    error = InputError(f"a.yaml: unknown {'x' * 10**6!r}\nUse another")
    assert len(str(error)) < 700
    assert str(error).startswith("a.yaml: unknown") and str(error).endswith("\nUse another")


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Resizing", "config": {"height": 10**5, "width": 10**5}},
        {"class_name": "ZeroPadding2D", "config": {"padding": 10**6}},
        {"class_name": "UpSampling2D", "config": {"size": 10**4}},
        {"class_name": "Dense", "config": {"units": 10**9}},
    ],
    ids=lambda layer: layer["class_name"],
)
def test_a_layer_that_makes_immense_pictures_is_refused(layer):
    images = np.zeros((2, 28, 28, 1), np.uint8)
    many = r"\.0: [\d,]+ values for each image; at most"
    with pytest.raises(InputError, match=r"data\.preprocessing" + many):
        Preprocessor([layer])(images)
    with pytest.raises(InputError, match=r"data\.augmentation" + many):
        prepare = Preprocessor([], [layer])
        prepare.augment(images, np.zeros(2), prepare.batch_seeds(0, 0, 1)[0])


def test_a_refused_optimizer_is_shown_as_it_was_written():
    """Not with the address of the schedule that was made of its learning rate."""
    config = {"initial_learning_rate": 0.1, "decay_steps": 5}
    schedule = {"class_name": "CosineDecay", "config": config}
    config = {"learning_rate": schedule, "momentum": 100}
    with pytest.raises(InputError, match=r"'decay_steps': 5.*momentum"):
        make("optimizer", {"class_name": "SGD", "config": config}, "compile.optimizer")


@pytest.mark.parametrize("value", [2**63 - 1, 1, "yes", None, [True]])
def test_a_switch_is_true_or_false(value):
    """Keras takes anything, and TensorFlow fails in the first batch."""
    config = {"learning_rate": 0.1, "momentum": 0.5, "nesterov": value}
    with pytest.raises(InputError, match=r"optimizer\.config\.nesterov: .* be true or false"):
        make("optimizer", {"class_name": "SGD", "config": config}, "compile.optimizer")


def test_a_schedule_may_mix_whole_numbers_and_others():
    """`values: [1, 0.1]` is what people write; TensorFlow multiplies no int by a float."""
    config = {"boundaries": [2, 4], "values": [1, 0.5, 0]}
    schedule = {"class_name": "PiecewiseConstantDecay", "config": config}
    made = make("schedule", schedule, "compile.optimizer.config.learning_rate")
    assert [float(made(step)) for step in (0, 2, 3, 5)] == [1, 1, 0.5, 0]


MLP = ["train", "--model", "mlp", "--dataset", "bars", "--device", "cpu", "--out", "out", "--set"]


def test_a_schedule_that_cannot_be_computed_is_refused(bars, capsys):
    config = "{boundaries: [[1], 2], values: [1, 2, 3]}"
    rate = f"{{class_name: PiecewiseConstantDecay, config: {config}}}"
    assert cli.main([*MLP, f"compile.optimizer.config.learning_rate={rate}"]) == 2
    assert "compile.optimizer" in capsys.readouterr().err
    assert not Path("out").exists()


def test_weights_that_end_as_nan_are_not_the_best(bars, capsys):
    """An epoch of one batch: its loss is computed before the step that ruins the weights."""
    optimizer = "compile.optimizer={class_name: SGD, config: {learning_rate: 1e39}}"
    whole = ["--set", "data.batch_size=200", "--set", "data.validation_split=0"]
    assert cli.main([*MLP, optimizer, *whole]) == 1
    assert "the weights became NaN or infinite in epoch 1" in capsys.readouterr().err
    assert not Path("out/best.weights.h5").exists()


def test_onnx_runtime_reports_nothing(monkeypatch):
    """Without this variable it keeps a number of the machine in the home folder, and uses it."""
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    seen = []

    def session(*_: Any, **__: Any) -> None:
        seen.append(os.environ["ORT_DISABLE_TELEMETRY"])
        raise NotImplementedError

    runtime = types.SimpleNamespace(InferenceSession=session)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    with pytest.raises(NotImplementedError):
        open_onnx(Path("x.onnx"), "x", "y")
    assert seen == ["1"]

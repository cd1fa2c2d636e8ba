"""Bad input is refused in at most five lines that name it, and leaves nothing behind."""

import errno
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelzoo import cli

TINY = """\
base: lenet5
data: {dataset: tiny, batch_size: 16, validation_split: 12}
fit: {epochs: 1}
"""


def tiny_arrays(classes: int = 3) -> dict[str, np.ndarray]:
    """60 training and 30 test pictures, a stripe in another place for each class."""
    labels = np.arange(60) % classes
    images = np.zeros((60, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 4 + 6 * label : 8 + 6 * label] = 255
    names = np.array(["left", "middle", "right"][:classes])
    return {
        "x_train": images,
        "y_train": labels,
        "x_test": images[:30],
        "y_test": labels[:30],
        "class_names": names,
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of file that is wrong, and the few right ones to compare with."""
    folder = tmp_path_factory.mktemp("files")
    _write_configs(folder)
    _write_data(folder / "data")
    _write_pictures(folder)
    _write_folders(folder)
    return folder


@pytest.fixture(scope="module")
def run(files: Path) -> Path:
    """The folder of a finished run of one epoch."""
    before = os.environ.get("MODELZOO_DATA")
    os.environ["MODELZOO_DATA"] = str(files / "data")
    try:
        out = files / "run"
        assert cli.main(["train", "--model", str(files / "tiny.yaml"), "--out", str(out)]) == 0
    finally:
        os.environ.pop("MODELZOO_DATA")
        if before is not None:
            os.environ["MODELZOO_DATA"] = before
    return out


@pytest.fixture
def work_folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and only the small data sets."""
    monkeypatch.setenv("MODELZOO_DATA", str(files / "data"))
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.delenv("MODELZOO_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Refuses = Callable[..., str]


@pytest.fixture
def refuses(work_folder: Path, files: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Refuses]:
    """Return a function that runs a command and checks how it is refused."""

    def run_command(command: str, *words: str) -> str:
        before = _listing(files)
        capfd.readouterr()
        arguments = [part.replace("~", " ").format(files=files) for part in command.split()]
        code = cli.main(arguments)
        out, err = capfd.readouterr()
        assert code == 2, (code, err)
        assert out == ""
        assert 1 <= len(err.splitlines()) <= 5, err
        assert "Traceback" not in err
        assert "This is a bug" not in err
        for word in words:
            assert word in err, err
        assert _listing(work_folder) == [], "something was left in the current folder"
        assert _listing(files) == before, "something was left beside the input"
        return err

    yield run_command


def _listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# The files


def _write_configs(folder: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    texts = {
        "tiny": TINY,
        "empty": "# nothing here\n",
        "list": "- model\n- data\n",
        "syntax": "model:\n  builder: lenet5\n  conv_maps: [6, 16\ndata: {}\n",
        "tag": "model: !!python/object/apply:os.system ['touch ran']\n",
        "bomb": bomb,
        "merge": "base: lenet5\nfit: &f {epochs: 1}\ndata:\n  <<: *f\n",
        "twice": "base: lenet5\nfit:\n  epochs: 1\n  epochs: 2\n",
        "control": "base: lenet5\nname: \x1b[31mred\n",
        "nested": "[" * 500,
        "circle_a": "base: circle_b.yaml\n",
        "circle_b": "base: circle_a.yaml\n",
        "base": "base: lenet6\n",
        "section": "base: lenet5\ncompyle: {}\n",
        "no_builder": "model: {num_classes: 10}\n",
        "date": "base: lenet5\nfit: {epochs: 2012-13-45}\n",
        "name": "base: lenet5\nname: ../up\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "large.yaml").write_text("# " + "x" * 2_000_000)


def _write_data(folder: Path) -> None:
    folder.mkdir()
    right = tiny_arrays()

    def write(name: str, **changes: Any) -> None:
        np.savez(folder / f"{name}.npz", **(right | changes))  # type: ignore[arg-type]

    write("tiny")
    np.savez(folder / "no_test.npz", x_train=right["x_train"], y_train=right["y_train"])
    (folder / "cut.npz").write_bytes((folder / "tiny.npz").read_bytes()[:3000])


def _write_pictures(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(folder / "right.png")
    (folder / "text.png").write_text("this is not a picture\n")


def _write_folders(folder: Path) -> None:
    (folder / "nothing").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "thesis.txt").write_text("years of work")
    (folder / "a_file").write_text("a file")
    (folder / "pictures_no_train" / "test" / "cat").mkdir(parents=True)


# Refused before any framework starts: (command, what the message must hold). "~" is a space.

TINY_TRAIN = "train --model {files}/tiny.yaml"
BAD_COMMANDS = {
    "no command": ("", "COMMAND"),
    "unknown command": ("trian", "trian", "did you mean 'train'"),
    "unknown option": ("train --modle lenet5", "--modle", "did you mean '--model'"),
    "missing value": ("train --model", "--model"),
    "no model": ("train", "no model", "lenet5"),
    "endless model name": ("info " + "x" * 5000, "xxx"),
    "missing YAML": ("info {files}/missing.yaml", "missing.yaml", "no such file"),
    "empty YAML": ("info {files}/empty.yaml", "empty.yaml", "model:"),
    "YAML list": ("info {files}/list.yaml", "list.yaml", "list"),
    "YAML syntax": ("info {files}/syntax.yaml", "syntax.yaml, line 4"),
    "YAML tag": ("info {files}/tag.yaml", "tag.yaml", "line 1", "os.system"),
    "alias bomb": ("info {files}/bomb.yaml", "bomb.yaml, line 2", "*a0"),
    "merge key": ("info {files}/merge.yaml", "merge.yaml, line 4", "*f"),
    "key twice": ("info {files}/twice.yaml", "twice.yaml, line 4", "fit.epochs", "twice"),
    "control bytes": ("info {files}/control.yaml", "control.yaml", "control characters"),
    "binary": ("info {files}/binary.yaml", "binary.yaml", "UTF-8"),
    "2 MB of YAML": ("info {files}/large.yaml", "large.yaml", "1,000,000"),
    "deep list": ("info {files}/nested.yaml", "nested.yaml, line 1", "deep"),
    "base in a circle": ("info {files}/circle_a.yaml", "circle_", "circle"),
    "unknown base": ("info {files}/base.yaml", "base.yaml, line 1", "'lenet6'", "'lenet5'"),
    "unknown section": ("info {files}/section.yaml", "line 2", "compyle", "'compile'"),
    "no builder": ("info {files}/no_builder.yaml", "no_builder.yaml, line 1", "model.builder"),
    "impossible date": ("info {files}/date.yaml", "date.yaml", "month"),
    "name with a path": ("info {files}/name.yaml", "name.yaml", "'../up'"),
    "config that is missing": ("train --config {files}/no.yaml", "no.yaml"),
    "unknown builder": ("info lenet5 --set model.builder=lenet", "'lenet'", "'lenet5'"),
    "key that looks like a path": (
        "info lenet5 --set fit.`~-~at~`$[0]#epochs=3",
        "--set fit.` - at `$[0]#epochs=3: unknown key fit. - at $[0]#epochs",
    ),
    "set without =": ("info lenet5 --set fit.epochs", "fit.epochs", "SECTION.KEY=VALUE"),
    "set of an unknown section": ("info lenet5 --set fitt.epochs=3", "'fitt'", "'fit'"),
    "set with bad YAML": ("info lenet5 --set fit.epochs=[1", "fit.epochs=[1", "YAML"),
    "set of an endless key": ("info lenet5 --set " + ".".join("a" * 5000) + "=1", "--set a.a."),
    "list for a number": ("info lenet5 --set model.num_classes=[1]", "model.num_classes", "int"),
    "epochs in words": ("train --model lenet5 --epochs three", "--epochs: three", "whole number"),
    "endless epochs": ("train --model lenet5 --epochs " + "9" * 5000, "--epochs: 999"),
    "split above 1": ("info lenet5 --set data.validation_split=1.5", "validation_split", "1.5"),
    "huge seed": ("train --model lenet5 --seed 4294967296", "--seed: 4294967296", "4294967295"),
    "unknown distribution": (
        "train --model lenet5 --distribute device",
        "'device'",
        "did you mean 'devices'",
    ),
    "unknown backend": ("train --model lenet5 --backend pytorch", "'pytorch'", "'torch'"),
    "int labels, one-hot loss": (
        "info lenet5 --set data.label_mode=int",
        "categorical_crossentropy",
        "--set data.label_mode=int",
        "categorical",
    ),
    "one-hot labels, int loss": (
        "info lenet5 --set compile.loss=sparse_categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "label_mode: int",
        "lenet5.yaml, line",
    ),
    "near data set": (TINY_TRAIN + " --dataset minst", "minst", "mnist", "folder:PATH"),
    "folder without train": (
        TINY_TRAIN + " --dataset folder:{files}/pictures_no_train",
        "pictures_no_train/train",
    ),
    "unknown device": (TINY_TRAIN + " --device tpu", "--device tpu", "auto, cpu, gpu"),
    "gpu:x": (TINY_TRAIN + " --device gpu:x", "--device gpu:x", "gpu:0"),
    "out is a file": (TINY_TRAIN + " --out {files}/a_file", "a_file", "file"),
    "out below a device": (TINY_TRAIN + " --out /dev/null/x", "/dev/null/x"),
    "out in use": (TINY_TRAIN + " --out {files}/full", "full", "not empty"),
    "endless out": (TINY_TRAIN + " --out " + "x" * 300, "xxx", "too long"),
    "resume missing": ("train --resume {files}/no", "/no", "no such folder"),
    "resume nothing": ("train --resume {files}/nothing", "nothing", "state.npz"),
    "evaluate without weights": ("evaluate --model lenet5_augmented", "lenet5", "weights"),
    "missing weights": (
        "evaluate --model lenet5 --weights no.weights.h5",
        "no.weights.h5",
        "No such",
    ),
    "folder for weights": (
        "evaluate --model lenet5 --weights {files}/nothing",
        "nothing",
        "folder",
    ),
    "no image": ("predict --model lenet5", "IMAGE"),
    "top in words": ("predict --model lenet5 --top many a.png", "--top", "many"),
    "export without a format": ("export lenet5", "--format"),
    "export as pb": ("export lenet5 --format tensorflow", "'tensorflow'", "saved_model"),
    "export without weights": (
        "export alexnet_2012 --format saved_model",
        "alexnet_2012",
        "which weights",
    ),
    "export into a file": ("export lenet5 --format saved_model --out {files}/a_file", "a_file"),
    "plot of nothing": ("plot {files}/nothing", "nothing"),
    "plot as pdf": ("plot {files}/nothing --format pdf", "pdf", "png"),
}


@pytest.mark.parametrize("case", BAD_COMMANDS, ids=lambda name: name.replace(" ", "-"))
def test_it_is_refused_at_once(case: str, refuses: Refuses) -> None:
    """Without a framework: what was wrong is named, with the nearest right name."""
    command, *words = BAD_COMMANDS[case]
    refuses(command, *words)


# Refused by Keras' names or by the data: the framework is up, nothing has been trained.

BAD_TRAININGS = {
    "no GPU": ("--device gpu:63", "--device gpu:63", "GPUs that tensorflow sees", "CPU: "),
    "unknown layer": ("--set data.preprocessing=[Rescalling]", "preprocessing.0", "'Rescaling'"),
    "layer without its argument": ("--set data.preprocessing=[Resizing]", "Resizing", "height"),
    "layer that changes the shape": (
        "--set data.preprocessing=[Flatten]",
        "data.preprocessing",
        "(784,)",
        "(28, 28, 1)",
    ),
    "metric for other labels": (
        "--set compile.metrics=[sparse_categorical_accuracy]",
        "compile.metrics",
    ),
    "callback that watches nothing": (
        "--set fit.callbacks=[{{class_name:~EarlyStopping,~config:~{{monitor:~val_lost}}}}]",
        "fit.callbacks.0.config.monitor",
        "'val_loss'",
    ),
    "Lambda": (
        "--set data.preprocessing=[{{class_name:~Lambda,~config:~{{function:~print}}}}]",
        "data.preprocessing.0",
        "Lambda",
        "code",
    ),
    "unknown optimizer": ("--set compile.optimizer.class_name=Adem", "compile.optimizer", "'Adam'"),
    "no learning rate": ("--set compile.optimizer.class_name=Adam", "learning_rate", "missing"),
    "rate in words": ("--set compile.optimizer.config.learning_rate=fast", "'fast'", "number"),
    "negative rate": ("--set compile.optimizer.config.learning_rate=-1", "-1", "above 0"),
    "unknown schedule": (
        "--set compile.optimizer.config.learning_rate={{class_name:~CosineDecai}}",
        "'CosineDecay'",
    ),
    "unknown loss": ("--set compile.loss=categorical_crossentropi", "'categorical_crossentropy'"),
    "unknown callback": ("--set fit.callbacks=[EarlyStoping]", "'EarlyStopping'"),
    "unknown activation": ("--set model.conv_activation=rellu", "conv_activation", "'relu'"),
    "too few classes": ("--set model.num_classes=2", "model.num_classes", "2", "3", "tiny"),
    "split of everything": ("--set data.validation_split=60", "validation_split", "60"),
    "MixUp of ints": (
        "--set data.augmentation=[MixUp] --set data.label_mode=int "
        "--set compile.loss=sparse_categorical_crossentropy",
        "MixUp",
        "label_mode",
    ),
    "data without a test set": ("--dataset no_test", "no_test.npz", "x_test"),
    "data cut off": ("--dataset cut", "cut.npz"),
}


@pytest.mark.parametrize("case", BAD_TRAININGS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("out", ["", " --out out"], ids=["default", "out"])
def test_a_training_is_refused_before_it_begins(case: str, out: str, refuses: Refuses) -> None:
    """No folder is left, neither the one that was asked for nor one under runs/."""
    options, *words = BAD_TRAININGS[case]
    device = "" if "--device" in options else " --device cpu"
    refuses(f"{TINY_TRAIN} {options}{device}{out}", *words)


def test_a_backend_that_is_not_installed_is_refused(
    refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "jax" else find_spec(name, *a)
    )
    refuses(f"{TINY_TRAIN} --backend jax --out out", "jax", 'pip install "jax>=0.4.34"')


def test_what_is_echoed_cannot_command_the_terminal(
    refuses: Refuses, capfd: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences in a name are printed as text."""
    assert "\x1b" not in refuses("info \x1b[31mlenet5", "x1b")


# Files of a run


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("state.npz", b"", "state.npz"),
        ("state.npz", b"not a state", "state.npz"),
        ("state.npz", None, "state.npz"),
        ("config.yaml", b"model: [", "config.yaml"),
        ("config.yaml", b"\x00\x01", "config.yaml"),
    ],
)
def test_a_damaged_run_is_not_resumed(
    name: str, content: bytes | None, word: str, run: Path, files: Path, refuses: Refuses
) -> None:
    """None stands for the first half of the file."""
    damaged = files / "damaged"
    shutil.copytree(run, damaged)
    try:
        whole = (damaged / name).read_bytes()
        (damaged / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
        refuses("train --resume {files}/damaged --epochs 2", word)
    finally:
        shutil.rmtree(damaged)


@pytest.mark.parametrize(
    "progress",
    [np.array([object()]), np.frombuffer(b'{"epochs_done": "x"}', np.uint8), np.zeros(3)],
    ids=["pickled", "wrong-type", "no-json"],
)
def test_a_state_that_lies_is_not_resumed(
    progress: np.ndarray, run: Path, files: Path, refuses: Refuses
) -> None:
    """Nothing is unpickled, and what is read has the types that it should have."""
    damaged = files / "damaged"
    shutil.copytree(run, damaged)
    try:
        with np.load(run / "state.npz") as saved:
            arrays = {key: saved[key] for key in saved.files if key != "progress"}
        np.savez(damaged / "state.npz", progress=progress, **arrays)  # type: ignore[arg-type]
        refuses("train --resume {files}/damaged --epochs 2", "state.npz", "damaged")
    finally:
        shutil.rmtree(damaged)


def test_a_run_is_not_overwritten(run: Path, refuses: Refuses) -> None:
    """A folder that holds a run is named, with the two ways on."""
    refuses(f"{TINY_TRAIN} --out {run}", str(run), "--resume", "--out")


BAD_FILES = {
    "truncated weights": (
        "evaluate --model {files}/run --weights {files}/truncated.weights.h5",
        "truncated.weights.h5",
    ),
    "weights of another network": (
        "evaluate --model {files}/run --weights {files}/run --set model.dense_units=[120,85]",
        "best.weights.h5",
        "does not hold the weights of",
    ),
    "evaluate unknown data": ("evaluate --model {files}/run --dataset tinny", "tinny", "tiny"),
    "evaluate too many classes": (
        "evaluate --model {files}/run --dataset digits --device cpu",
        "digits",
        "10 classes",
        "3",
    ),
    "evaluate on no GPU": ("evaluate --model {files}/run --device gpu:63", "gpu:63"),
    "missing image": ("predict --model {files}/run {files}/no.png", "no.png"),
    "one bad image of two": (
        "predict --model {files}/run {files}/right.png {files}/text.png",
        "text.png",
    ),
    "plot to a file": ("plot {files}/run --format json --out {files}/a_file", "a_file"),
}


@pytest.mark.parametrize("case", BAD_FILES, ids=lambda name: name.replace(" ", "-"))
def test_a_bad_file_is_refused(case: str, run: Path, files: Path, refuses: Refuses) -> None:
    """Weights, pictures and data are named, and said to be what they are."""
    whole = (run / "best.weights.h5").read_bytes()
    (files / "truncated.weights.h5").write_bytes(whole[: len(whole) // 2])
    command, *words = BAD_FILES[case]
    refuses(command, *words)


# A full disk


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("out", ["", " --out out"], ids=["default", "out"])
def test_a_disk_that_takes_nothing_is_said(
    error: int, out: str, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file that cannot be written ends the run, and its folder goes."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(np.lib.format, "write_array", full)
    refuses(f"{TINY_TRAIN} --device cpu{out}", "state.npz", os.strerror(error))

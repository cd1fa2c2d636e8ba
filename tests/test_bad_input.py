"""Bad input is refused in at most five lines that name it, and leaves nothing behind."""

import errno
import importlib.util
import os
import shutil
from functools import partial
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


def tiny_arrays() -> dict[str, np.ndarray]:
    """60 training and 30 test images, a stripe in another place for each class."""
    labels = np.arange(60) % 3
    images = np.zeros((60, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 4 + 6 * label : 8 + 6 * label] = 255
    test = {"x_test": images[:30], "y_test": labels[:30]}
    names = np.array(["left", "middle", "right"])
    return {"x_train": images, "y_train": labels, **test, "class_names": names}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with every kind of file that is wrong, and the few right ones to compare with."""
    folder = tmp_path_factory.mktemp("files")
    write_configs(folder)
    right = tiny_arrays()
    for name in ("data", "nothing", "full", "pictures_no_train/test/cat"):
        (folder / name).mkdir(parents=True)
    np.savez(folder / "data" / "tiny.npz", **right)
    whole = (folder / "data" / "tiny.npz").read_bytes()
    (folder / "data" / "cut.npz").write_bytes(whole[:3000])
    one = np.full((64, 64), 255, np.uint8)
    one[12:52, 29:35] = 0
    Image.fromarray(one).save(folder / "right.png")
    for name in ("text.png", "full/thesis.txt", "a_file"):
        (folder / name).write_text("this is not an image\n")
    return folder


def write_configs(folder: Path) -> None:
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


@pytest.fixture(scope="module")
def run(files):
    """The folder of a finished run of one epoch."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MODELZOO_DATA", str(files / "data"))
        command = ["train", "--model", str(files / "tiny.yaml"), "--out", str(files / "run")]
        assert cli.main(command) == 0
    return files / "run"


@pytest.fixture
def refused(home, files, refuses, tmp_path, monkeypatch):
    """`refuses` in an empty folder, with the small data sets only."""
    monkeypatch.setenv("MODELZOO_DATA", str(files / "data"))
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return partial(refuses, files=files)


TINY_TRAIN = "train --model {files}/tiny.yaml"


def shown(value):
    return value[0][:40].replace(" ", "-") if isinstance(value, tuple) else value


# Before any framework starts: the command, and what the message must hold.
BAD_COMMANDS = [
    ("", "COMMAND"),
    ("trian", "trian", "did you mean 'train'"),
    ("train --modle lenet5", "--modle", "did you mean '--model'"),
    ("train --model", "--model"),
    ("train", "no model", "lenet5"),
    ("info " + "x" * 5000, "xxx"),
    ("info {files}/missing.yaml", "missing.yaml", "no such file"),
    ("info {files}/empty.yaml", "empty.yaml", "model:"),
    ("info {files}/list.yaml", "list.yaml", "list"),
    ("info {files}/syntax.yaml", "syntax.yaml, line 4"),
    ("info {files}/tag.yaml", "tag.yaml", "line 1", "os.system"),
    ("info {files}/bomb.yaml", "bomb.yaml, line 2", "*a0"),
    ("info {files}/merge.yaml", "merge.yaml, line 4", "*f"),
    ("info {files}/twice.yaml", "twice.yaml, line 4", "fit.epochs", "twice"),
    ("info {files}/control.yaml", "control.yaml", "control characters"),
    ("info {files}/binary.yaml", "binary.yaml", "UTF-8"),
    ("info {files}/large.yaml", "large.yaml", "1,000,000"),
    ("info {files}/nested.yaml", "nested.yaml, line 1", "deep"),
    ("info {files}/circle_a.yaml", "circle_", "circle"),
    ("info {files}/base.yaml", "base.yaml, line 1", "'lenet6'", "'lenet5'"),
    ("info {files}/section.yaml", "line 2", "compyle", "'compile'"),
    ("info {files}/no_builder.yaml", "no_builder.yaml, line 1", "model.builder"),
    ("info {files}/date.yaml", "date.yaml", "month"),
    ("info {files}/name.yaml", "name.yaml", "'../up'"),
    ("train --config {files}/no.yaml", "no.yaml"),
    ("info lenet5 --set model.builder=lenet", "'lenet'", "'lenet5'"),
    (
        "info lenet5 --set fit.`~-~at~`$[0]#epochs=3",
        "--set fit.` - at `$[0]#epochs=3: unknown key fit. - at $[0]#epochs",
    ),
    ("info lenet5 --set fit.epochs", "fit.epochs", "SECTION.KEY=VALUE"),
    ("info lenet5 --set fitt.epochs=3", "'fitt'", "'fit'"),
    ("info lenet5 --set fit.epochs=[1", "fit.epochs=[1", "YAML"),
    ("info lenet5 --set " + ".".join("a" * 5000) + "=1", "--set a.a."),
    ("info lenet5 --set model.num_classes=[1]", "model.num_classes", "int"),
    ("train --model lenet5 --epochs three", "--epochs: three", "whole number"),
    ("train --model lenet5 --epochs " + "9" * 5000, "--epochs: 999"),
    ("info lenet5 --set data.validation_split=1.5", "validation_split", "1.5"),
    ("train --model lenet5 --seed 4294967296", "--seed: 4294967296", "4294967295"),
    ("train --model lenet5 --distribute device", "'device'", "did you mean 'devices'"),
    ("train --model lenet5 --backend pytorch", "'pytorch'", "'torch'"),
    (
        "info lenet5 --set data.label_mode=int",
        "categorical_crossentropy",
        "--set data.label_mode=int",
        "categorical",
    ),
    (
        "info lenet5 --set compile.loss=sparse_categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "label_mode: int",
        "lenet5.yaml, line",
    ),
    (TINY_TRAIN + " --dataset minst", "minst", "mnist", "folder:PATH"),
    (
        TINY_TRAIN + " --dataset folder:{files}/pictures_no_train",
        "pictures_no_train",
        "folder of images",
    ),
    (TINY_TRAIN + " --device tpu", "--device tpu", "auto, cpu, gpu"),
    (TINY_TRAIN + " --device gpu:x", "--device gpu:x", "gpu:0"),
    (TINY_TRAIN + " --out {files}/a_file", "a_file", "file"),
    (TINY_TRAIN + " --out /dev/null/x", "/dev/null/x"),
    (TINY_TRAIN + " --out {files}/full", "full", "not empty"),
    (TINY_TRAIN + " --out " + "x" * 300, "xxx", "too long"),
    ("train --resume {files}/no", "/no", "no such folder"),
    ("train --resume {files}/nothing", "nothing", "state.npz"),
    ("evaluate --model lenet5_augmented", "lenet5", "weights"),
    ("evaluate --model lenet5 --weights no.weights.h5", "no.weights.h5", "No such"),
    ("evaluate --model lenet5 --weights {files}/nothing", "nothing", "folder"),
    ("predict --model lenet5", "no images", "--sample"),
    ("predict --model lenet5 --top many a.png", "--top", "many"),
    ("export lenet5", "--format"),
    ("export lenet5 --format tensorflow", "'tensorflow'", "saved_model"),
    ("export alexnet_2012 --format saved_model", "alexnet_2012", "which weights"),
    ("export lenet5 --format saved_model --out {files}/a_file", "a_file"),
    ("plot {files}/nothing", "nothing"),
    ("plot {files}/nothing --format pdf", "pdf", "png"),
    ("draw", "what"),
    ("draw architectur", "'architecture'"),
    ("draw architecture", "NAME"),
    ("draw activations lenet5", "takes no model"),
    ("draw architecture lenet5 --layer C1", "no layer"),
    ("draw convolution --filter sobel", "did you mean 'sobel_"),
    ("draw kernels lenet5 --filter emboss", "no filter"),
    ("draw kernels lenet5 --layer F5", "--layer F5", "C1, C3"),
    ("draw activations --out {files}/text.png", "text.png"),
    ("features lenet5 {files}/text.png", "not an image"),
    ("features lenet5 --layer C2 {files}/right.png", "'C2'"),
    ("filters {files}/text.png", "not an image"),
    ("filters {files}/right.png --filter blur", "'blur'"),
    ("plot {files} {files}", "twice"),
    ("plot {files}/a {files}/b", "history.csv", "No such file"),
    ("attack lenet5/mnits", "lenet5 has no weights 'mnits'"),
    ("attack lenet5 --strengths 0,x", "--strengths: 0,x should be numbers from 0"),
    ("attack lenet5 --strengths 8", "--strengths: 8 should be numbers from 0 to 1"),
    ("attack lenet5 --method fgms", "--method: invalid choice: 'fgms'"),
    ("attack lenet5 --steps 0", "--steps: 0 should be a whole number from 1"),
    ("attack lenet5 --images ²", "--images"),
    ("attack lenet5 --out {files}/a_file", "is no folder that can be written to"),
    ("attack lenet5 --dataset mnits", "there is no data set mnits"),
    ("robustness lenet5 --kinds shft", "--kinds: shft should be some of shift,rotation"),
    ("robustness lenet5 --strengths 1", "--strengths: are of one kind"),
    ("robustness lenet5 --kinds shift --strengths 1.5", "a whole number of pixels from 0 to 28"),
    ("robustness lenet5 --kinds noise --strengths 300", "a number from 0 to 255"),
    ("robustness lenet5/mnist lenet5", "lenet5/mnist is named twice"),
    ("robustness lenet5 lenet5/fashion_mnist", "--dataset D names one for all"),
    ("robustness lenet5 lenet_1989 --dataset mnist5k", "cannot be shown the same ones"),
    ("robustness " + "lenet5 " * 7, "at most 6 fit in one chart"),
    ("pull lenet6", "'lenet5'"),
    ("pull alexnet/documents", "published: cifar10, document"),
    ("pull alexnet/../x", "alexnet/../x: no such file or folder"),
    ("pull alexnet/document", "--allow-unverified"),
    ("pull alexnet/document --allow-unverified", "MODELZOO_OFFLINE"),
    ("pull", "NAME"),
    ("evaluate --model alexnet --weights document --check", "--allow-unverified"),
    ("evaluate --model lenet5 --weights https://a.example/x.h5", "--sha256"),
    ("evaluate --model lenet5 --weights https://a.example/x.h5 --sha256 12", "--sha256 '12'"),
    ("evaluate --model lenet5 --weights ftp://a.example/x.h5", "is no source"),
    ("evaluate --model alexnet --weights document --sha256 " + "0" * 64, "for a custom file"),
    ("train --model lenet5 --lr 1", "did you mean '--learning-rate'?"),
    ("train --model lenet5 --batchsize 1", "did you mean '--batch-size'?"),
    ("train --model lenet5 --epoch 1", "did you mean '--epochs'?"),
    ("train --model lenet5 --pooling 1", "did you mean '--set model.pooling='?"),
    ("train --model lenet5 --validation-split 1", "did you mean '--set data.validation_split='?"),
    ("train --model lenet5 --dropuot 1", "did you mean '--set model.dropout='?"),
    (
        "train --model lenet5 --momentum 1",
        "did you mean '--set compile.optimizer.config.momentum='?",
    ),
    ("info lenet6", "unknown model 'lenet6'; did you mean 'lenet5'?"),
    ("info nothing-like-it", "there are: alexnet, "),
    ("info lenet5/minst", "lenet5 has no weights 'minst'; published: mnist, fashion_mnist"),
    ("attack lenet/mnist", "no such file or folder; did you mean the model 'lenet5'?"),
    ("study overfiting", "unknown study 'overfiting'; did you mean 'overfitting'?"),
]


@pytest.mark.parametrize("case", BAD_COMMANDS, ids=shown)
def test_it_is_refused_at_once(case, refused, monkeypatch):
    def started(*_):
        raise AssertionError("a framework was started")

    if "--layer" not in case[0]:  # the layers are known once the network is built
        monkeypatch.setattr("modelzoo.cli.drawing.start_framework", started)
    refused(*case)


# By Keras' names or by the data: the framework is up, nothing has been trained.
BAD_TRAININGS = [
    ("--device gpu:63", "--device gpu:63", "GPUs that tensorflow sees", "CPU: "),
    ("--set data.preprocessing=[Rescalling]", "preprocessing.0", "'Rescaling'"),
    ("--set data.preprocessing=[Resizing]", "Resizing", "height"),
    ("--set data.preprocessing=[Flatten]", "data.preprocessing", "(784,)", "(28, 28, 1)"),
    ("--set compile.metrics=[sparse_categorical_accuracy]", "compile.metrics"),
    (
        "--set fit.callbacks=[{{class_name:~EarlyStopping,~config:~{{monitor:~val_lost}}}}]",
        "fit.callbacks.0.config.monitor",
        "'val_loss'",
    ),
    (
        "--set data.preprocessing=[{{class_name:~Lambda,~config:~{{function:~print}}}}]",
        "data.preprocessing.0",
        "Lambda",
        "code",
    ),
    ("--set compile.optimizer.class_name=Adem", "compile.optimizer", "'Adam'"),
    ("--set compile.optimizer.class_name=Adam", "learning_rate", "missing"),
    ("--set compile.optimizer.config.learning_rate=fast", "'fast'", "number"),
    ("--set compile.optimizer.config.learning_rate=-1", "-1", "above 0"),
    ("--set compile.optimizer.config.learning_rate={{class_name:~CosineDecai}}", "'CosineDecay'"),
    ("--set compile.loss=categorical_crossentropi", "'categorical_crossentropy'"),
    ("--set fit.callbacks=[EarlyStoping]", "'EarlyStopping'"),
    ("--set model.conv_activation=rellu", "conv_activation", "'relu'"),
    ("--set model.num_classes=2", "model.num_classes", "2", "3", "tiny"),
    ("--set data.validation_split=60", "validation_split", "60"),
    (
        "--set data.augmentation=[MixUp] --set data.label_mode=int "
        "--set compile.loss=sparse_categorical_crossentropy",
        "MixUp",
        "label_mode",
    ),
    ("--dataset cut", "cut.npz"),
    ("--weights lenet_1989/mnist16", "mnist16-", "the weights of", "takes"),
    ("--weights alexnet_cifar10/cifar10", "C1 takes 5x5x1x6, 6", "holds"),
    ("--weights lenet5/mnist --set model.kernel_size=3", "C1 takes 3x3x1x6"),
    ("--weights lenet5/mnist --sha256 " + "0" * 64, "SHA-256", "0000"),
    ("--sha256 " + "0" * 64, "--sha256", "--weights"),
    ("--set trainer.freeze=C2", "trainer.freeze", "'C2'", "there are: C1, C3"),
    ("--set trainer.freeze=[S2]", "no layer with weights", "'S2'"),
    ("--set trainer.freeze='*'", "nothing is left to be trained"),
]


@pytest.mark.parametrize("case", BAD_TRAININGS, ids=shown)
@pytest.mark.parametrize("out", ["", " --out out"], ids=["default", "out"])
def test_a_training_is_refused_before_it_begins(case, out, refused):
    """No folder is left, neither the one that was asked for nor one under runs/."""
    options, *words = case
    device = "" if "--device" in options else " --device cpu"
    refused(f"{TINY_TRAIN} {options}{device}{out}", *words)


def test_a_backend_that_is_not_installed_is_refused(refused, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "jax" else find_spec(name, *a)
    )
    refused(f"{TINY_TRAIN} --backend jax --out out", "jax", 'pip install "jax>=0.4.34"')


def test_what_is_echoed_cannot_command_the_terminal(refused, capfd):
    assert "\x1b" not in refused("info \x1b[31mlenet5", "x1b")


# Files of a run


@pytest.fixture
def damaged(run, files):
    yield shutil.copytree(run, files / "damaged")
    shutil.rmtree(files / "damaged")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.npz", b""),
        ("state.npz", b"not a state"),
        ("state.npz", None),  # the first half of it
        ("config.yaml", b"model: ["),
        ("config.yaml", b"\x00\x01"),
    ],
)
def test_a_damaged_run_is_not_resumed(name, content, damaged, refused):
    whole = (damaged / name).read_bytes()
    (damaged / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    refused("train --resume {files}/damaged --epochs 2", name)


@pytest.mark.parametrize(
    "progress",
    [np.array([object()]), np.frombuffer(b'{"epochs_done": "x"}', np.uint8), np.zeros(3)],
    ids=["pickled", "wrong-type", "no-json"],
)
def test_a_state_that_lies_is_not_resumed(progress, damaged, refused):
    """Nothing is unpickled, and what is read has the types that it should have."""
    with np.load(damaged / "state.npz") as saved:
        arrays = dict(saved)
    np.savez(damaged / "state.npz", **(arrays | {"progress": progress}))
    refused("train --resume {files}/damaged --epochs 2", "state.npz", "damaged")


BAD_FILES = [
    ("evaluate --model {files}/run --weights {files}/truncated.weights.h5", "truncated.weights.h5"),
    (
        "evaluate --model {files}/run --weights {files}/run --set model.dense_units=[120,85]",
        "best.weights.h5",
        "does not hold the weights of",
    ),
    ("evaluate --model {files}/run --dataset tinny", "tinny", "tiny"),
    ("evaluate --model {files}/run --dataset digits --device cpu", "digits", "10 classes", "3"),
    ("evaluate --model {files}/run --device gpu:63", "gpu:63"),
    ("predict --model {files}/run {files}/no.png", "no.png"),
    ("plot {files}/run --format json --out {files}/a_file", "a_file"),
    (TINY_TRAIN + " --out {files}/run", "/run", "--resume", "--out"),
    ("attack lenet5 --dataset mnist5k --images 1001", "mnist5k has 1,000 test images"),
    ("import {files}/run/best.weights.h5 --model lenet_1989", "the weights of lenet_1989"),
    ("import {files}/run/best.weights.h5 --model lenet5_1998", "the weights of lenet5_1998"),
    ("import {files}/run/best.weights.h5 --model neocognitron", "the weights of neocognitron"),
]


@pytest.mark.parametrize("case", BAD_FILES, ids=shown)
def test_a_bad_file_is_refused(case, run, files, refused):
    whole = (run / "best.weights.h5").read_bytes()
    (files / "truncated.weights.h5").write_bytes(whole[: len(whole) // 2])
    refused(*case)


# A full disk


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("out", ["", " --out out"], ids=["default", "out"])
def test_a_disk_that_takes_nothing_is_said(error, out, refused, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(np.lib.format, "write_array", full)
    refused(f"{TINY_TRAIN} --device cpu{out}", "state.npz", os.strerror(error))

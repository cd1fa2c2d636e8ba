"""Bad input is refused in at most five lines that name it, and leaves nothing behind."""

import contextlib
import errno
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from modelzoo import cli
from modelzoo.config import load_config
from modelzoo.networks import BUILDERS
from modelzoo.support.errors import InputError

CONFIGS = Path(__file__).parents[1] / "configs"
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
        "local_tag": "model: !network lenet5\n",
        "bomb": bomb,
        "merge": "base: lenet5\nfit: &f {epochs: 1}\ndata:\n  <<: *f\n",
        "twice": "base: lenet5\nfit:\n  epochs: 1\n  epochs: 2\n",
        "control": "base: lenet5\nname: \x1b[31mred\n",
        "nested": "[" * 500,
        "nested_map": "base: lenet5\nmodel: " + "{a: " * 200 + "1" + "}" * 200,
        "circle_a": "base: circle_b.yaml\n",
        "circle_b": "base: circle_a.yaml\n",
        "base": "base: lenet6\n",
        "base_file": "base: lenet6.yaml\n",
        "base_list": "base: [lenet5]\n",
        "section": "base: lenet5\ncompyle: {}\n",
        "no_builder": "model: {num_classes: 10}\n",
        "no_model": "fit: {epochs: 1}\n",
        "int_key": "base: lenet5\nfit: {1: 2, epochs: 1}\n",
        "int_section": "base: lenet5\n7: {}\n",
        "date": "base: lenet5\nfit: {epochs: 2012-13-45}\n",
        "list_key": "base: lenet5\n? [a, b]\n: 1\n",
        "per_dataset": "base: lenet5\nper_dataset: [mnist]\n",
        "weights": "base: lenet5\nweights: [{sources: []}]\n",
        "name": "base: lenet5\nname: ../up\n",
        "superscript": "base: lenet5\nmodel: {conv_maps: {\u00b2: 7}}\n",
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
    write("pickled", y_train=np.array([object()] * 60))
    write("float_pixels", x_train=right["x_train"] / 255)
    write("short_labels", y_train=right["y_train"][:-1])
    write("flat", x_train=right["x_train"].reshape(60, -1))
    (folder / "text.npz").write_text("x_train,y_train\n")
    (folder / "zero.npz").touch()
    (folder / "cut.npz").write_bytes((folder / "tiny.npz").read_bytes()[:3000])


def _write_pictures(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    for suffix in ("png", "jpg"):
        Image.fromarray(noise).save(folder / f"right.{suffix}")
        whole = (folder / f"right.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("this is not a picture\n")
    (folder / "zero.png").touch()


def _write_folders(folder: Path) -> None:
    (folder / "some_folder.yaml").mkdir()
    (folder / "nothing").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "thesis.txt").write_text("years of work")
    (folder / "a_file").write_text("a file")
    (folder / "pictures_no_train" / "test" / "cat").mkdir(parents=True)
    shutil.copytree(folder / "pictures_no_train", folder / "pictures_empty")
    (folder / "pictures_empty" / "train" / "cat").mkdir(parents=True)
    (folder / "zero.weights.h5").touch()
    (folder / "text.weights.h5").write_text("weights, honestly\n")
    (folder / "cut.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (folder / "legacy.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))


# Refused before any framework starts: (command, what the message must hold). "~" is a space.

TINY_TRAIN = "train --model {files}/tiny.yaml"
BAD_COMMANDS = {
    "no command": ("", "COMMAND"),
    "unknown command": ("trian", "trian", "did you mean 'train'"),
    "unknown option": ("train --modle lenet5", "--modle", "did you mean '--model'"),
    "missing value": ("train --model", "--model"),
    "unknown split": ("evaluate --model lenet5 --split tset", "'tset'", "validation"),
    "superfluous word": ("list lenet5", "lenet5"),
    "no model": ("train", "no model", "lenet5"),
    "info without a name": ("info", "no model", "lenet5"),
    "endless model name": ("info " + "x" * 5000, "xxx"),
    "missing YAML": ("info {files}/missing.yaml", "missing.yaml", "no such file"),
    "folder for a YAML": ("info {files}/some_folder.yaml", "some_folder.yaml", "folder"),
    "picture for a YAML": ("info {files}/right.png", "right.png", "not a text file"),
    "empty YAML": ("info {files}/empty.yaml", "empty.yaml", "model:"),
    "YAML list": ("info {files}/list.yaml", "list.yaml", "list"),
    "YAML syntax": ("info {files}/syntax.yaml", "syntax.yaml, line 4"),
    "YAML tag": ("info {files}/tag.yaml", "tag.yaml", "line 1", "os.system"),
    "YAML tag of its own": ("info {files}/local_tag.yaml", "line 1", "!network"),
    "alias bomb": ("info {files}/bomb.yaml", "bomb.yaml, line 2", "*a0"),
    "merge key": ("info {files}/merge.yaml", "merge.yaml, line 4", "*f"),
    "key twice": ("info {files}/twice.yaml", "twice.yaml, line 4", "fit.epochs", "twice"),
    "control bytes": ("info {files}/control.yaml", "control.yaml", "control characters"),
    "binary": ("info {files}/binary.yaml", "binary.yaml", "UTF-8"),
    "2 MB of YAML": ("info {files}/large.yaml", "large.yaml", "1,000,000"),
    "deep list": ("info {files}/nested.yaml", "nested.yaml, line 1", "deep"),
    "deep mapping": ("info {files}/nested_map.yaml", "nested_map.yaml, line 2", "deep"),
    "base in a circle": ("info {files}/circle_a.yaml", "circle_", "circle"),
    "unknown base": ("info {files}/base.yaml", "base.yaml, line 1", "'lenet6'", "'lenet5'"),
    "missing base": ("info {files}/base_file.yaml", "base_file.yaml, line 1", "lenet6.yaml"),
    "list as base": ("info {files}/base_list.yaml", "base_list.yaml, line 1", "base"),
    "unknown section": ("info {files}/section.yaml", "line 2", "compyle", "'compile'"),
    "no builder": ("info {files}/no_builder.yaml", "no_builder.yaml, line 1", "model.builder"),
    "no model section": ("info {files}/no_model.yaml", "no_model.yaml", "model.builder"),
    "number as key": ("info {files}/int_key.yaml", "int_key.yaml, line 2", "fit.1"),
    "number as section": ("info {files}/int_section.yaml", "int_section.yaml, line 2", "7"),
    "impossible date": ("info {files}/date.yaml", "date.yaml", "month"),
    "list as key": ("info {files}/list_key.yaml", "list_key.yaml, line 2"),
    "per_dataset list": ("info {files}/per_dataset.yaml", "line 2", "per_dataset"),
    "nameless weights": ("info {files}/weights.yaml", "line 2", "weights"),
    "name with a path": ("info {files}/name.yaml", "name.yaml", "'../up'"),
    "odd digit as key": ("info {files}/superscript.yaml", "line 2", "conv_maps"),
    "config that is missing": ("train --config {files}/no.yaml", "no.yaml"),
    "unknown builder": ("info lenet5 --set model.builder=lenet", "'lenet'", "'lenet5'"),
    "key that looks like a path": (
        "info lenet5 --set fit.`~-~at~`$[0]#epochs=3",
        "--set fit.` - at `$[0]#epochs=3: unknown key fit. - at $[0]#epochs",
    ),
    "set without =": ("info lenet5 --set fit.epochs", "fit.epochs", "SECTION.KEY=VALUE"),
    "set of a section": ("info lenet5 --set fit=3", "fit=3", "SECTION.KEY=VALUE"),
    "set of an unknown section": ("info lenet5 --set fitt.epochs=3", "'fitt'", "'fit'"),
    "set with bad YAML": ("info lenet5 --set fit.epochs=[1", "fit.epochs=[1", "YAML"),
    "set with a tag": ("info lenet5 --set fit.epochs=!!python/name:os.system", "os.system"),
    "set of an endless key": ("info lenet5 --set " + ".".join("a" * 5000) + "=1", "--set a.a."),
    "entry that a list lacks": ("info lenet5 --set model.conv_maps.9=3", "model.conv_maps", "9"),
    "list as data set": ("info lenet5 --set data.dataset=[mnist]", "data.dataset", "str"),
    "list for a number": ("info lenet5 --set model.num_classes=[1]", "model.num_classes", "int"),
    "text for a number": ("info lenet5 --set model.num_classes=ten", "num_classes", "'ten'"),
    "number for a list": ("info lenet5 --set model.conv_maps=6", "model.conv_maps", "6"),
    "padding": ("info lenet5 --set model.conv_padding=sam", "conv_padding", "'same'"),
    "label mode": ("info lenet5 --set data.label_mode=integer", "label_mode", "'int'"),
    "model name": ("info lenet5 --set model.name=a~b", "model.name", "'a b'"),
    "class weight": ("info lenet5 --set fit.class_weight={{0:~-1}}", "class_weight", "-1"),
    "null epochs": ("info lenet5 --set fit.epochs=null", "fit.epochs", "int"),
    "negative epochs": ("train --model lenet5 --epochs -1", "--epochs", "-1", "from 1"),
    "no epochs": ("train --model lenet5 --epochs 0", "--epochs", "0", "from 1"),
    "epochs in words": ("train --model lenet5 --epochs three", "--epochs: three", "whole number"),
    "endless epochs": ("train --model lenet5 --epochs " + "9" * 5000, "--epochs: 999"),
    "batch of true": ("info lenet5 --set data.batch_size=true", "data.batch_size", "int"),
    "immense batch": ("info lenet5 --set data.batch_size=1" + "0" * 30, "data.batch_size"),
    "split above 1": ("info lenet5 --set data.validation_split=1.5", "validation_split", "1.5"),
    "split nan": ("info lenet5 --set data.validation_split=.nan", "validation_split", "nan"),
    "split negative": ("info lenet5 --set data.validation_split=-5", "validation_split", "-5"),
    "negative seed": ("train --model lenet5 --seed -1", "--seed", "-1", "from 0"),
    "huge seed": ("train --model lenet5 --seed 4294967296", "--seed: 4294967296", "4294967295"),
    "unknown precision": ("train --model lenet5 --precision float16", "'float16'", "float"),
    "unknown distribution": (
        "train --model lenet5 --distribute device",
        "'device'",
        "did you mean 'devices'",
    ),
    "distribution on torch": (
        "train --model lenet5 --distribute devices --backend torch",
        "--distribute devices",
        "--backend tensorflow or jax",
    ),
    "all devices, and one": (
        "train --model lenet5 --distribute devices --device gpu:1",
        "--device gpu:1",
        "CUDA_VISIBLE_DEVICES",
    ),
    "workers without a cluster": (
        "train --model lenet5 --distribute workers --out out",
        "--distribute workers",
        "TF_CONFIG",
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
    "far data set": (TINY_TRAIN + " --dataset imagenet", "imagenet", "mnist", "folder:PATH"),
    "data set with a path": (TINY_TRAIN + " --dataset ../tiny", "../tiny"),
    "no Hugging Face name": (TINY_TRAIN + " --dataset hf:a/b/c", "hf:a/b/c", "hf:OWNER/NAME"),
    "no TFDS name": (TINY_TRAIN + " --dataset tfds:../x", "tfds:../x", "tfds:NAME"),
    "negative minutes": (TINY_TRAIN + " --set trainer.save_minutes=-1", "save_minutes", "-1"),
    "minutes nan": (TINY_TRAIN + " --set trainer.save_minutes=.nan", "save_minutes", "nan"),
    "missing folder": (TINY_TRAIN + " --dataset folder:{files}/no", "/no", "train"),
    "folder without train": (
        TINY_TRAIN + " --dataset folder:{files}/pictures_no_train",
        "pictures_no_train/train",
    ),
    "unknown device": (TINY_TRAIN + " --device tpu", "--device tpu", "auto, cpu, gpu"),
    "gpu:x": (TINY_TRAIN + " --device gpu:x", "--device gpu:x", "gpu:0"),
    "out is a file": (TINY_TRAIN + " --out {files}/a_file", "a_file", "file"),
    "out below a file": (TINY_TRAIN + " --out {files}/a_file/x", "a_file/x", "Not a directory"),
    "out below a device": (TINY_TRAIN + " --out /dev/null/x", "/dev/null/x"),
    "out in use": (TINY_TRAIN + " --out {files}/full", "full", "not empty"),
    "endless out": (TINY_TRAIN + " --out " + "x" * 300, "xxx", "too long"),
    "resume missing": ("train --resume {files}/no", "/no", "no such folder"),
    "resume nothing": ("train --resume {files}/nothing", "nothing", "state.npz"),
    "resume with words": ("train --resume {files}/nothing --epochs x", "--epochs: x"),
    "evaluate without weights": ("evaluate --model lenet5_augmented", "lenet5", "weights"),
    "missing weights": (
        "evaluate --model lenet5 --weights no.weights.h5",
        "no.weights.h5",
        "No such",
    ),
    "unpublished weights": ("evaluate --model lenet5 --weights mnits", "'mnits'", "mnist"),
    "0 bytes of weights": ("evaluate --model lenet5 --weights {files}/zero.weights.h5", "empty"),
    "text as weights": ("evaluate --model lenet5 --weights {files}/text.weights.h5", "not an HDF5"),
    "folder for weights": (
        "evaluate --model lenet5 --weights {files}/nothing",
        "nothing",
        "folder",
    ),
    "legacy weights": ("evaluate --model lenet5 --weights {files}/legacy.h5", "legacy.h5"),
    "endless weights": ("evaluate --model lenet5 --weights " + "x" * 300 + ".h5", "xxx"),
    "no image": ("predict --model lenet5", "IMAGE"),
    "top in words": ("predict --model lenet5 --top many a.png", "--top", "many"),
    "top 0": ("predict --model lenet5 --top 0 a.png", "--top: 0", "from 1"),
    "export without a format": ("export lenet5", "--format"),
    "export as pb": ("export lenet5 --format tensorflow", "'tensorflow'", "saved_model"),
    "export of nothing": ("export lenet --format saved_model", "'lenet'", "'lenet5'"),
    "export without weights": (
        "export alexnet_2012 --format saved_model",
        "alexnet_2012",
        "which weights",
    ),
    "export of other weights": ("export lenet5 --weights mnits --format saved_model", "'mnits'"),
    "export into a file": ("export lenet5 --format saved_model --out {files}/a_file", "a_file"),
    "plot of nothing": ("plot {files}/nothing", "nothing"),
    "plot of a missing folder": ("plot {files}/no", "/no"),
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
    "unknown argument of a layer": (
        "--set data.preprocessing.0.config.scales=1",
        "data.preprocessing.0",
        "'scales'",
        "'scale'",
    ),
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
    "rate nan": ("--set compile.optimizer.config.learning_rate=.nan", "nan", "above 0"),
    "unknown schedule": (
        "--set compile.optimizer.config.learning_rate={{class_name:~CosineDecai}}",
        "'CosineDecay'",
    ),
    "decay in words": ("--set compile.optimizer.config.weight_decay=x", "weight_decay", "'x'"),
    "smoothing in words": (
        "--set compile.loss={{class_name:~CategoricalCrossentropy}} "
        "--set compile.loss.config={{label_smoothing:~x}}",
        "label_smoothing",
        "'x'",
    ),
    "unknown loss": ("--set compile.loss=categorical_crossentropi", "'categorical_crossentropy'"),
    "unknown metric": ("--set compile.metrics=[acuracy]", "compile.metrics.0", "'accuracy'"),
    "unknown callback": ("--set fit.callbacks=[EarlyStoping]", "'EarlyStopping'"),
    "unknown activation": ("--set model.conv_activation=rellu", "conv_activation", "'relu'"),
    "kernel too large": ("--set model.kernel_size=99", "99x99", "28x28"),
    "two sides": ("--set model.input_shape=[28,28]", "model.input_shape", "[28, 28]"),
    "two channels": ("--set model.input_shape=[28,28,2]", "28, 28, 2"),
    "lists of unlike lengths": ("--set model.pooling=[max,max,max]", "pooling", "3", "2"),
    "too many dropouts": ("--set model.dropout=[0.1]", "dropout", "1", "2"),
    "dropout of 1": ("--set model.dropout=1.0", "dropout", "1.0"),
    "0 maps": ("--set model.conv_maps=[0,16]", "maps", "0"),
    "0 classes": ("--set model.num_classes=0", "num_classes", "0"),
    "too few classes": ("--set model.num_classes=2", "model.num_classes", "2", "3", "tiny"),
    "split of everything": ("--set data.validation_split=60", "validation_split", "60"),
    "MixUp of ints": (
        "--set data.augmentation=[MixUp] --set data.label_mode=int "
        "--set compile.loss=sparse_categorical_crossentropy",
        "MixUp",
        "label_mode",
    ),
    "data without a test set": ("--dataset no_test", "no_test.npz", "x_test"),
    "data with a pickle": ("--dataset pickled", "pickled.npz", "pickle"),
    "data of floats": ("--dataset float_pixels", "float_pixels.npz", "float64", "uint8"),
    "data with a label too few": ("--dataset short_labels", "short_labels.npz", "(59,)", "60"),
    "data in rows": ("--dataset flat", "flat.npz", "(60, 784)"),
    "data in text": ("--dataset text", "text.npz"),
    "data of 0 bytes": ("--dataset zero", "zero.npz", "empty"),
    "data cut off": ("--dataset cut", "cut.npz"),
    "folder with an empty class": (
        "--dataset folder:{files}/pictures_empty",
        "pictures_empty/train/cat",
        "no picture",
    ),
}


@pytest.mark.parametrize("case", BAD_TRAININGS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("out", ["", " --out out"], ids=["default", "out"])
def test_a_training_is_refused_before_it_begins(case: str, out: str, refuses: Refuses) -> None:
    """No folder is left, neither the one that was asked for nor one under runs/."""
    options, *words = BAD_TRAININGS[case]
    device = "" if "--device" in options else " --device cpu"
    refuses(f"{TINY_TRAIN} {options}{device}{out}", *words)


def test_groups_that_do_not_divide_are_refused(refuses: Refuses) -> None:
    """AlexNet's towers need maps that they can share."""
    refuses("train --model alexnet --dataset shapes --set model.groups=7", "groups", "7", "96")


def test_a_backend_that_is_not_installed_is_refused(
    refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "jax" else find_spec(name, *a)
    )
    refuses(f"{TINY_TRAIN} --backend jax --out out", "jax", 'pip install "jax>=0.4.34"')


def test_a_tag_in_a_yaml_runs_nothing(refuses: Refuses, work_folder: Path) -> None:
    """`!!python/object/apply:os.system` is refused by name, and the command has not run."""
    for option in ("--model", "--config"):
        refuses(f"train {option} {{files}}/tag.yaml", "python/object/apply:os.system")
    assert not (work_folder / "ran").exists()


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
    "cut weights": ("evaluate --model {files}/tiny.yaml --weights {files}/cut.weights.h5", "cut"),
    "truncated weights": (
        "evaluate --model {files}/run --weights {files}/truncated.weights.h5",
        "truncated.weights.h5",
    ),
    "weights of another network": (
        "evaluate --model {files}/run --weights {files}/run --set model.dense_units=[120,85]",
        "best.weights.h5",
        "does not hold the weights of",
    ),
    "weights of a deeper network": (
        "evaluate --model {files}/run --set model.dense_units=[120,84,10]",
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
    "folder for an image": ("predict --model {files}/run {files}/nothing", "nothing"),
    "text as image": ("predict --model {files}/run {files}/text.png", "text.png"),
    "cut PNG": ("predict --model {files}/run {files}/cut.png", "cut.png"),
    "cut JPEG": ("predict --model {files}/run {files}/cut.jpg", "cut.jpg"),
    "image of 0 bytes": ("predict --model {files}/run {files}/zero.png", "zero.png"),
    "one bad image of two": (
        "predict --model {files}/run {files}/right.png {files}/text.png",
        "text.png",
    ),
    "endless image": ("predict --model {files}/run " + "x" * 300, "xxx"),
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


@pytest.mark.parametrize(("size", "left"), [("300k", []), ("800k", ["config.yaml", "state.npz"])])
def test_a_really_full_disk_is_said(
    size: str, left: list[str], work_folder: Path, files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a small file system: exit code 2, the reason, and what is left can be resumed."""
    disk = work_folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        out = disk / "out"
        code = cli.main(["train", "--model", str(files / "tiny.yaml"), "--out", str(out)])
        err = capfd.readouterr().err
        assert code == 2
        assert "No space left" in err
        assert "Traceback" not in err
        assert _listing(disk) == (["out", *(f"out/{name}" for name in left)] if left else [])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# Whatever stands in a YAML


def mutated(values: Any, chance: random.Random) -> Any:
    """Return a configuration with one place changed to something else, removed or doubled."""
    anything: list[Any] = [
        None, True, -1, 0, 2**40, 10**400, 0.5, float("nan"), float("inf"), "", "x", "\x00",
        "relu", "²", [], [[]], [1, 2], {}, {"a": 1}, {1: 2}, {None: []}, {"class_name": 3},
        "../..", "💥" * 99,
    ]  # fmt: skip
    values = json.loads(json.dumps(values))
    place = values
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return values
        key = chance.choice(keys)
        if isinstance(place[key], dict | list) and chance.random() < 0.7:
            place = place[key]
            continue
        action = chance.randrange(4)
        if action == 0:
            del place[key]
        elif action == 1 and isinstance(place, dict):
            place[chance.choice(["weight", "²", 1, None, f"{key}s", "base", "name"])] = place[key]
        else:
            place[key] = chance.choice(anything)
        return values


def check_without_a_framework(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load a configuration, and let its builder check its arguments: it does so before Keras."""
    config = load_config(path)
    config.with_dataset("mnist5k").to_yaml()
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "keras", None)
        with contextlib.suppress(ImportError):
            config.builder(**config.builder_arguments)
    assert config.builder in BUILDERS.values()


@pytest.mark.parametrize("name", ["lenet5", "alexnet_2012", "neocognitron"])
def test_a_mutated_configuration_raises_only_input_errors(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred mutations of each: it loads, or says why not. `hardening.fuzzing` tries more."""
    original = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    chance = random.Random(1998)
    refused = 0
    for _ in range(100):
        values = original
        for _ in range(chance.randint(1, 3)):
            values = mutated(values, chance)
        path = tmp_path / "mutated.yaml"
        path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        try:
            check_without_a_framework(path, monkeypatch)
        except InputError as error:
            refused += 1
            assert len(str(error).splitlines()) <= 5
    assert refused > 30

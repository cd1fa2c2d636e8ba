"""The command line as people and programs use it: help, JSON, exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
from test_bad_input import TINY, tiny_arrays
from waiting import HANGS

from modelzoo import cli
from modelzoo.cli.arguments import COMMANDS
from modelzoo.support.version import __version__

SECRET = "nobody-shall-read-this"


@pytest.fixture(scope="module")
def work_folder(tmp_path_factory):
    """A folder with a small data set of three classes, and a configuration for it."""
    folder = tmp_path_factory.mktemp("work_folder")
    (folder / "data").mkdir()
    np.savez(folder / "data" / "tiny.npz", **tiny_arrays())
    (folder / "tiny.yaml").write_text(TINY)
    return folder


def run(*arguments: str, folder: Path | None = None, **options: Any) -> Any:
    """Run Python in a folder, with its data sets only; return exit code, output and errors."""
    secrets = dict.fromkeys(("API_KEY", "USER", "LOGNAME", "HOSTNAME"), SECRET)
    data = {"MODELZOO_DATA": str((folder or Path()) / "data"), "MODELZOO_OFFLINE": "1"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    environment = os.environ | secrets | data | options.pop("env", {})
    words = [sys.executable, *arguments]
    done = subprocess.run(words, cwd=folder, env=environment, timeout=HANGS, check=False, **options)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def trained(work_folder):
    """A run of one epoch in a process of its own: its folder, stdout and stderr."""
    command = ("train", "--model", "tiny.yaml", "--epochs", "1", "--device", "cpu", "--json")
    code, out, err = run("-m", *command, "--out", "run", folder=work_folder)
    assert code == 0, err
    return work_folder / "run", out, err


@pytest.fixture
def at_work(work_folder, monkeypatch):
    monkeypatch.setenv("MODELZOO_DATA", str(work_folder / "data"))
    monkeypatch.chdir(work_folder)


def test_quiet_keeps_results_and_errors(capsys, monkeypatch, tmp_path):
    """The notice that MNIST is unavailable goes; what was measured on which set stays."""
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    monkeypatch.setenv("MODELZOO_HOME", str(tmp_path))
    command = ["evaluate", "--model", "lenet5"]
    assert cli.main(command) == 0
    result, notice = capsys.readouterr()
    assert "Going on with mnist5k" in notice and "on mnist5k" in result
    assert cli.main([*command, "--quiet"]) == 0
    quiet, nothing = capsys.readouterr()
    seconds = re.compile(r"\d+\.\d s")
    assert (seconds.sub("", quiet), nothing) == (seconds.sub("", result), "")
    assert cli.main(["evaluate", "--model", "lenet6", "--quiet"]) == 2
    assert "did you mean 'lenet5'" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_shows_an_example_of_every_command(command, capsys):
    """And the function that it names as a text, imported when it is called, is there."""
    assert cli.main([command.name, "--help"]) == 0
    assert f"example: modelzoo {command.name}" in capsys.readouterr().out
    assert cli.main(["--help"]) == 0
    assert re.search(rf"\n    {command.name}\s", capsys.readouterr().out)
    assert callable(resolve_name(command.run))


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"modelzoo {__version__}\n"


def test_list(capsys):
    assert cli.main(["list"]) == 0
    assert "lenet5" in capsys.readouterr().out
    assert cli.main(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["lenet5"]["parameters"] == 44_426
    assert rows["alexnet"]["input_shape"] == [32, 32, 3]


def test_list_takes_a_pattern(capsys):
    assert cli.main(["list", "lenet5_1998*", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names == ["lenet5_1998", "lenet5_1998_distorted"]
    assert cli.main(["list", "*/mnist16", "--weights", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == ["lenet_1989"] and rows[0]["where"] == "package"
    for words in (["lenet55"], ["lenet55", "--weights"]):
        assert cli.main(["list", *words]) == 2
        assert "no name fits 'lenet55'; did you mean 'lenet5'?" in capsys.readouterr().err


def test_info(capsys):
    assert cli.main(["info", "lenet5"]) == 0
    out = capsys.readouterr().out
    assert "44,426" in out
    assert "modelzoo info lenet5 --layers" in out
    assert cli.main(["info", "lenet5", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    keys = ("name", "builder", "parameters", "trainable_parameters", "input_shape", "classes")
    assert set(keys) | {"layers", "weights", "source"} <= set(facts)
    assert facts["parameters"] == facts["trainable_parameters"] == 44_426
    assert sum(layer["parameters"] for layer in facts["layers"]) == 44_426
    assert "LeCun" in facts["source"]


WITHOUT_A_FRAMEWORK = """
import modelzoo
modelzoo.list_models()
modelzoo.load_config('lenet5')
[getattr(modelzoo, name) for name in modelzoo.__all__]
modelzoo.saliency('lenet5/mnist', modelzoo.load_dataset('mnist5k').x_test[:1])
from modelzoo.cli import main
main(['--help'])
main(['train', '--help'])
assert main(['list']) == 0
assert main(['list', '--weights']) == 0
assert main(['info', 'lenet5']) == 0
assert main(['verify']) == 0
assert main(['pull', 'lenet5']) == 0
assert main(['info', 'alexnet', '--layers']) == 0
assert main(['info', 'neocognitron', '--json']) == 0
assert main(['draw', 'architecture', 'alexnet', '--format', 'json']) == 0
from modelzoo.charts import report
assert main(['evaluate', '--model', 'lenet5', '--dataset', 'mnist5k', '--json']) == 0
from PIL import Image; Image.linear_gradient('L').save('gradient.png')
assert main(['predict', '--model', 'alexnet_cifar10/cifar10', 'gradient.png']) == 0
assert main(['features', 'alexnet_cifar10/cifar10', 'gradient.png']) == 0
assert main(['draw', 'kernels', 'lenet5_1998/mnist']) == 0
assert main(['info', 'lenet']) == 2
assert main(['info', 'lenet5', '--layers', '--set', 'model.kernel_size=15']) == 2
assert main(['train', '--model', 'lenet']) == 2
assert main(['train', '--model', 'lenet5', '--out', '/dev/null/x']) == 2
assert main(['evaluate', '--model', 'lenet5', '--weights', 'no.weights.h5']) == 2
assert main(['train', '--model', 'lenet5', '--dataset', 'minst']) == 2
"""


def test_no_framework_is_started_for_nothing(work_folder):
    check = "assert not {'keras', 'tensorflow', 'jax', 'torch', 'requests'} & set(sys.modules), "
    lines = ["import sys, modelzoo.cli; assert not {'numpy', 'altair'} & set(sys.modules)"]
    for line in WITHOUT_A_FRAMEWORK.strip().splitlines():
        lines += [line, f"{check}{line!r}"]
    code, _, err = run("-c", "\n".join(lines), folder=work_folder)
    assert code == 0, err


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "modelzoo list"])
def test_the_modules_run_from_any_folder(command, tmp_path):
    code, out, err = run("-m", *command.split(), "--help", folder=tmp_path)
    assert code == 0, err
    assert out.startswith(f"usage: modelzoo {command.removeprefix('modelzoo ')} ")


def test_train_prints_one_json_object(trained):
    folder, out, err = trained
    assert len(out.splitlines()) == 1
    metrics = json.loads(out)
    written = json.loads((folder / "metrics.json").read_text())
    assert metrics == {**written, "folder": "run"}
    assert "epoch 1/1" in err
    assert "model.num_classes is set to 3" in err
    assert "Traceback" not in err
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_run_s_files_hold_nothing_of_the_environment(trained):
    """They are sent to others: no variable, no user, no host, and no path that was not given."""
    home = re.compile(rf"{re.escape(str(Path.home()))}(?!\w)".encode())
    for path in trained[0].rglob("*"):
        content = path.read_bytes()
        assert SECRET.encode() not in content and not home.search(content), path


def test_evaluate_repeats_the_training_s_score(trained, at_work, capfd):
    assert cli.main(["evaluate", "--model", "run", "--device", "cpu", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    keys = ("model", "weights", "dataset", "split", "images", "loss", "accuracy")
    assert set(keys) | {"published_accuracy", "parameters", "seconds"} <= set(result)
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    assert result["accuracy"] == metrics["test_accuracy"]
    assert result["loss"] == pytest.approx(metrics["test_loss"], rel=1e-5)
    assert (result["dataset"], result["split"], result["images"]) == ("tiny", "test", 30)
    assert np.sum(result["confusion"]) == 30


def test_evaluate_prints_tables(trained, at_work, capfd):
    command = ["evaluate", "--model", "tiny.yaml", "--weights", "run", "--split", "validation"]
    assert cli.main([*command, "--set", "model.num_classes=3", "--device", "cpu"]) == 0
    out = capfd.readouterr().out
    assert "Confusion matrix" in out
    assert "run on tiny (validation, 12 images): accuracy " in out


def test_plot(trained, at_work, capfd):
    assert cli.main(["plot", "run", "--format", "json", "--out", "charts"]) == 0
    paths = [Path(line) for line in capfd.readouterr().out.splitlines()]
    assert {path.name for path in paths} >= {"run-curves.json", "run-confusion.json"}
    assert all("$schema" in json.loads(path.read_text()) for path in paths)


LIST = "import sys; from modelzoo.cli import main; sys.exit(main(['list']))"


def test_a_broken_pipe_is_silent():
    """`modelzoo list | head -1` ends without a word when the reader has gone."""
    read, write = os.pipe()
    os.close(read)
    assert run("-c", LIST, stdout=write) == (0, None, "")
    os.close(write)


@pytest.mark.parametrize("command", [["--help"], ["info", "lenet5"]])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_some_letters_gets_them_escaped(command, encoding):
    """An old locale has no letter for an ellipsis, nor for a name in a path."""
    code = "import sys; from modelzoo.cli import run_program; run_program(sys.argv[1:])"
    done = run("-c", code, *command, env={"PYTHONIOENCODING": encoding}, text=False)
    assert (done[0], done[2]) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
@pytest.mark.parametrize("command", [["list"], ["list", "--json"]])
def test_output_that_cannot_be_written_is_said(command):
    """`modelzoo list > file` on a full disk: no bug of ours, and no success either."""
    with Path("/dev/full").open("wb") as full:
        code, _, err = run("-m", "modelzoo", *command, stdout=full)
    assert code == 1 and "bug" not in err
    assert "standard output: cannot be written: No space left on device" in err

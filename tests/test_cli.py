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
from PIL import Image, ImageDraw
from test_bad_input import TINY, tiny_arrays
from waiting import HANGS

from modelzoo import cli
from modelzoo.cli.arguments import COMMANDS, Command
from modelzoo.support.version import __version__

SECRET = "nobody-shall-read-this"


@pytest.fixture(scope="module")
def work_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set of three classes, and a configuration for it."""
    folder = tmp_path_factory.mktemp("work_folder")
    (folder / "data").mkdir()
    np.savez(folder / "data" / "tiny.npz", **tiny_arrays())
    (folder / "tiny.yaml").write_text(TINY)
    return folder


def start(work_folder: Path, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start a Python process in the work folder, with its data sets only."""
    environment = os.environ | {
        "MODELZOO_DATA": str(work_folder / "data"),
        "MODELZOO_OFFLINE": "1",
        "API_KEY": SECRET,
        "USER": SECRET,
        "LOGNAME": SECRET,
        "HOSTNAME": SECRET,
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=work_folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Wait for a process, and return its exit code, its output and its errors."""
    out, err = process.communicate(timeout=HANGS)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def trained(work_folder: Path) -> tuple[Path, str, str]:
    """A run of one epoch in a process of its own: its folder, stdout and stderr."""
    command = ("train", "--model", "tiny.yaml", "--epochs", "1", "--device", "cpu", "--json")
    code, out, err = finish(start(work_folder, "-m", *command, "--out", "run"))
    assert code == 0, err
    return work_folder / "run", out, err


@pytest.fixture
def at_work(work_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELZOO_DATA", str(work_folder / "data"))
    monkeypatch.chdir(work_folder)


@pytest.mark.parametrize("command", [each.name for each in COMMANDS])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`modelzoo COMMAND --help` ends with a command that can be copied."""
    assert cli.main([command, "--help"]) == 0
    assert f"example: modelzoo {command}" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`modelzoo --help` lists them with what they do."""
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"\n    {command.name}\s", out) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_a_function(command: Command) -> None:
    """It is named as a text, and imported when the command is called."""
    assert callable(resolve_name(command.run))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`modelzoo --version` prints the package's."""
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"modelzoo {__version__}\n"


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a network for people, an object a network for programs."""
    assert cli.main(["list"]) == 0
    assert "lenet5" in capsys.readouterr().out
    assert cli.main(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["lenet5"]["parameters"] == 44_426
    assert rows["alexnet"]["input_shape"] == [32, 32, 3]


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    """The facts of the configuration, and how to see the layers."""
    assert cli.main(["info", "lenet5"]) == 0
    out = capsys.readouterr().out
    assert "44,426" in out
    assert "modelzoo info lenet5 --layers" in out


def test_info_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The keys that the design promises, measured on the network."""
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
modelzoo.Trainer
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
assert main(['info', 'lenet']) == 2
assert main(['info', 'lenet5', '--layers', '--set', 'model.kernel_size=15']) == 2
assert main(['train', '--model', 'lenet']) == 2
assert main(['train', '--model', 'lenet5', '--out', '/dev/null/x']) == 2
assert main(['evaluate', '--model', 'lenet5', '--weights', 'no.weights.h5']) == 2
assert main(['train', '--model', 'lenet5', '--dataset', 'minst']) == 2
"""


def test_no_framework_is_started_for_nothing(work_folder: Path) -> None:
    """Neither Keras nor what runs it is imported before a network is needed."""
    check = "assert not {'keras', 'tensorflow', 'jax', 'torch', 'requests'} & set(sys.modules), "
    lines = ["import sys"]
    for line in WITHOUT_A_FRAMEWORK.strip().splitlines():
        lines += [line, f"{check}{line!r}"]
    status, _, err = finish(start(work_folder, "-c", "\n".join(lines)))
    assert status == 0, err


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_the_modules_run_from_any_folder(command: str, tmp_path: Path) -> None:
    """`python -m train` is `modelzoo train`."""
    code, out, err = finish(start(tmp_path, "-m", command, "--help"))
    assert code == 0, err
    assert out.startswith(f"usage: modelzoo {command} ")


def test_train_prints_one_json_object(trained: tuple[Path, str, str]) -> None:
    """The metrics go to stdout, progress and notices to stderr."""
    folder, out, err = trained
    assert len(out.splitlines()) == 1
    metrics = json.loads(out)
    written = json.loads((folder / "metrics.json").read_text())
    assert metrics == {**written, "folder": "run"}
    assert "epoch 1/1" in err
    assert "model.num_classes is set to 3" in err
    assert "Traceback" not in err
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_run_s_files_hold_nothing_of_the_environment(trained: tuple[Path, str, str]) -> None:
    """They are sent to others: no variable, no user, no host, and no path that was not given."""
    home = re.compile(rf"{re.escape(str(Path.home()))}(?!\w)".encode())
    for path in trained[0].rglob("*"):
        content = path.read_bytes()
        assert SECRET.encode() not in content and not home.search(content), path


def test_evaluate_repeats_the_training_s_score(
    trained: tuple[Path, str, str], at_work: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same weights on the same split give the same numbers."""
    assert cli.main(["evaluate", "--model", "run", "--device", "cpu", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    keys = ("model", "weights", "dataset", "split", "images", "loss", "accuracy")
    assert set(keys) | {"published_accuracy", "parameters", "seconds"} <= set(result)
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    assert result["accuracy"] == metrics["test_accuracy"]
    assert result["loss"] == pytest.approx(metrics["test_loss"], rel=1e-5)
    assert (result["dataset"], result["split"], result["images"]) == ("tiny", "test", 30)
    assert np.sum(result["confusion"]) == 30


def test_evaluate_prints_tables(
    trained: tuple[Path, str, str], at_work: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """People get each class, the confusion matrix and a line that says it all."""
    command = ["evaluate", "--model", "tiny.yaml", "--weights", "run", "--split", "validation"]
    assert cli.main([*command, "--set", "model.num_classes=3", "--device", "cpu"]) == 0
    out = capfd.readouterr().out
    assert "Confusion matrix" in out
    assert "run on tiny (validation, 12 images): accuracy " in out


def test_predict(
    trained: tuple[Path, str, str], at_work: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """A drawn digit, dark on light and of another size, becomes classes with probabilities."""
    picture = Image.new("L", (120, 90), 255)
    ImageDraw.Draw(picture).line([(40, 15), (40, 75)], fill=0, width=8)
    picture.save("one.png")
    command = ["predict", "--model", "run", "one.png", "--top", "2", "--device", "cpu"]
    assert cli.main([*command, "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["images"][0]["file"] == "one.png"
    classes = result["images"][0]["classes"]
    assert len(classes) == 2
    assert {each["name"] for each in classes} <= {"left", "middle", "right"}
    assert 1 >= classes[0]["probability"] >= classes[1]["probability"] >= 0
    assert any("inverted" in note for note in result["images"][0]["notes"])
    assert cli.main(command) == 0
    assert capfd.readouterr().out.startswith(f"one.png: {classes[0]['name']} ")


def test_plot(
    trained: tuple[Path, str, str], at_work: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The charts of a run are drawn again into another folder; their paths are printed."""
    assert cli.main(["plot", "run", "--format", "json", "--out", "charts"]) == 0
    paths = [Path(line) for line in capfd.readouterr().out.splitlines()]
    assert {path.name for path in paths} >= {"run-curves.json", "run-confusion.json"}
    assert all("$schema" in json.loads(path.read_text()) for path in paths)


def test_a_broken_pipe_is_silent(work_folder: Path) -> None:
    """`modelzoo list | head -1` ends without a word when the reader has gone."""
    read, write = os.pipe()
    os.close(read)
    code = "import sys; from modelzoo.cli import main; sys.exit(main(['list']))"
    result = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert result.stderr == ""
    assert result.returncode == 0


def test_python_m_modelzoo_is_the_command():
    """For when the folder of scripts is not on the PATH."""
    done = subprocess.run(
        [sys.executable, "-m", "modelzoo", "list", "--json"], capture_output=True, check=False
    )
    assert done.returncode == 0 and json.loads(done.stdout)


@pytest.mark.parametrize("command", [["--help"], ["info", "lenet5"]])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_some_letters_gets_them_escaped(
    command: list[str], encoding: str
) -> None:
    """An old locale has no letter for an ellipsis, nor for a name in a path."""
    code = "import sys; from modelzoo.cli import run_program; run_program(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
@pytest.mark.parametrize("command", [["list"], ["list", "--json"]])
def test_output_that_cannot_be_written_is_said(command: list[str]) -> None:
    """`modelzoo list > file` on a full disk: no bug of ours, and no success either."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "modelzoo", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "standard output: cannot be written: No space left on device" in done.stderr
    assert "bug" not in done.stderr

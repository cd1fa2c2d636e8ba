"""One grammar in all commands: NAME, NAME/WEIGHTS, a YAML and a run's folder mean one thing."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli
from modelzoo.cli.arguments import make_parser
from modelzoo.config import find_config, load_config
from modelzoo.training.resolve import resolve
from modelzoo.training.study import load_study
from modelzoo.weights.store import find_weights

FORMS = ("lenet5", "own.yaml", "lenet5/mnist", "own.yaml/mnist", "run")


@pytest.fixture
def forms(one, tmp_path, monkeypatch):
    """A folder with LeNet-5 as a YAML of one's own and as a run, and with an image of a 1."""
    monkeypatch.chdir(tmp_path)
    config = load_config("lenet5")
    text = find_config("lenet5").read_text()
    Path("own.yaml").write_text(f"name: lenet5\n{text}")
    Path("run").mkdir()
    Path("run/config.yaml").write_text(config.to_yaml())
    shutil.copy(find_weights(config, "mnist"), "run/best.weights.h5")
    return tmp_path


def printed(capsys: Any, *arguments: str) -> Any:
    assert cli.main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def info(form: str, capsys: Any) -> Any:
    """Everything but the published weights, which a run does not hold."""
    return {**printed(capsys, "info", form), "weights": None}


def architecture(form: str, capsys: Any) -> Any:
    assert cli.main(["draw", "architecture", form, "--format", "json", "--out", "drawn"]) == 0
    return Path("drawn/lenet5-architecture.json").read_text()


def export(form: str, capsys: Any) -> Any:
    pytest.importorskip("onnxruntime")
    shutil.rmtree("exported", ignore_errors=True)
    found = printed(capsys, "export", form, "--format", "onnx", "--out", "exported")
    import onnxruntime

    path = next(Path("exported").glob("*.onnx"))
    session = onnxruntime.InferenceSession(path.read_bytes())
    image = np.asarray(Image.open("one.png"), "float32").reshape(1, 28, 28, 1)
    assert found["format"] == "onnx"
    return session.run(None, {session.get_inputs()[0].name: image})[0].tolist()


def train(form: str, capsys: Any) -> Any:
    """From the published weights in every form: NAME alone and a YAML need `--weights`."""
    start = [] if form.endswith("/mnist") else ["--weights", "run" if form == "run" else "mnist"]
    # A run says what its data set needs; the packaged YAML says it for each data set.
    few = ("--dataset", "mnist5k", "--set", "data.training_images=64", "--epochs", "1")
    few += ("--batch-size", "16", "--set", "data.validation_split=0.1")
    shutil.rmtree("trained", ignore_errors=True)
    printed(capsys, "train", "--model", form, *start, *few, "--out", "trained", "--device", "cpu")
    return pd.read_csv("trained/history.csv").drop(columns="seconds", errors="ignore").to_dict()


def study(form: str, capsys: Any) -> Any:
    Path("study.yaml").write_text(
        f"title: t\nbase: {form}\ndataset: mnist\nvariants: {{a: {{fit: {{epochs: 2}}}}}}\n"
    )
    return load_study("study.yaml").variants["a"].to_yaml()


def demo(form: str, capsys: Any) -> Any:
    source = resolve(form)
    return source.config.to_yaml(), source.weights.read_bytes()


def pull(form: str, capsys: Any) -> Any:
    """A run has its weights, and publishes none."""
    if form == "run":
        assert cli.main(["pull", form]) == 2
        assert "no weights are published" in capsys.readouterr().err
        return pull("lenet5", capsys)
    return [row["sha256"] for row in printed(capsys, "pull", form)["files"]]


def verify(form: str, capsys: Any) -> Any:
    if form == "run":
        return verify("lenet5", capsys)
    files = printed(capsys, "verify", form)["files"]
    return [row["state"] for row in files if row["weights"] == "lenet5/mnist"]


def answer(words: str, *keys: str) -> Callable[[str, Any], Any]:
    """Return what a command prints with `--json`: these keys of it, or all but names."""

    def read(form: str, capsys: Any) -> Any:
        found = printed(capsys, *words.format(form).split())
        return [found[key] for key in keys] if keys else _without_names(found)

    return read


FEW = "--images 20 --dataset mnist5k --format json"
SCORED = ("model", "dataset", "trained_on", "accuracy", "confusion")
COMMANDS: dict[str, Callable[[str, Any], Any]] = {
    "attack": answer(f"attack {{}} --method fgsm --strengths 0,0.1 {FEW}"),
    "demo": demo,
    "draw": architecture,
    "evaluate": answer("evaluate --model {} --dataset mnist5k", *SCORED),
    "export": export,
    "features": answer("features {} one.png --format json", "classes", "layers"),
    "info": info,
    "predict": answer("predict --model {} one.png", "images"),
    "pull": pull,
    "robustness": answer(f"robustness {{}} --kinds noise {FEW}"),
    "study": study,
    "train": train,
    "verify": verify,
}
# `--model` says something about the file; and a range test takes no weights.
ELSEWHERE = {"import", "learning-rate"}


def _without_names(value: Any) -> Any:
    """Return nested values without the names of files and networks, and without seconds."""
    if isinstance(value, dict):
        names = ("files", "seconds", "name", "names", "weights", "model", "models", "label")
        return {key: _without_names(each) for key, each in value.items() if key not in names}
    return [_without_names(each) for each in value] if isinstance(value, list) else value


def test_every_command_that_takes_a_network_is_here():
    parser = make_parser()
    actions = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    takes = {
        name
        for name, each in next(actions).choices.items()
        if any(action.metavar == "NAME" for action in each._actions)
    }
    assert takes | {"study"} == set(COMMANDS) | ELSEWHERE


@pytest.mark.parametrize("command", COMMANDS)
def test_all_forms_of_a_network_give_the_same_answer(command, forms, capsys):
    forms = FORMS if command not in ("attack", "export", "train") else FORMS[::2]  # these take long
    answers = {form: COMMANDS[command](form, capsys) for form in forms}
    for form in forms:
        assert answers[form] == answers["lenet5"], form


@pytest.mark.parametrize("command", ["info", "draw", "features", "predict", "train", "pull"])
def test_unknown_weights_are_named(command, forms, refuses):
    words = {"draw": "draw architecture", "predict": "predict one.png --model"}
    rest = "one.png" if command == "features" else ""
    words |= {"train": "train --model"}
    refuses(f"{words.get(command, command)} lenet5/minst {rest}", "'minst'")


def test_weights_are_named_once(forms, refuses):
    for command in ("train --model lenet5/mnist", "features lenet5/mnist one.png"):
        refuses(f"{command} --weights mnist", "names weights already")


def test_python_takes_the_same_names():
    images = np.arange(4 * 28 * 28, dtype=np.uint8).reshape(4, 28, 28)
    fashion = load_config("lenet5", dataset="fashion_mnist")
    named = modelzoo.preprocess("lenet5/fashion_mnist", images)
    assert np.array_equal(named, modelzoo.preprocess(fashion, images))
    assert modelzoo.build("lenet5/mnist").count_params() == 44_426

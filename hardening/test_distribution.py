"""Trainings on several devices and processes end where one device does, also after a loss."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from waiting import HANGS, text_of, wait_for

from hardening import held
from hardening.bars import write_bars
from modelzoo import evaluate, load_config

HELD = Path(held.__file__)


# 160 training images in batches of 53: slices of 27 and 26, and a last batch of one image.
UNEVEN = ["data.validation_split=40", "data.batch_size=53"]


AUGMENTED = [
    "data.augmentation=[{class_name: RandomTranslation, config: {height_factor: 0.1, "
    "width_factor: 0.1}}]",
    "fit.class_weight={1: 3.0}",
]


# A learning rate that ruins the weights in the fifth epoch of 20 batches.
RUINED = [
    "data.validation_split=40",
    "data.batch_size=8",
    "compile.optimizer={class_name: Adam, config: {learning_rate: {class_name: "
    "PiecewiseConstantDecay, config: {boundaries: [80], values: [0.003, 1e3]}}}}",
]


NORMALISED = [
    "data.training_images=99",
    "data.validation_split=40",
    "data.batch_size=33",
    "model.conv_maps=[8,8,8,8,8]",
    "model.dense_units=[16,16]",
    "model.dropout=0.0",
]


RUN_ALL = """
import json, sys
from modelzoo import cli
sys.exit(max(cli.main(words) for words in json.load(sys.stdin)))
"""


NEW = ("--model", "lenet5", "--dataset", "bars", "--device", "cpu")


DEVICES = ("--distribute", "devices")


def environment(folder: Path, **more: str) -> dict[str, str]:
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MODELZOO_DATA": str(folder), **more}
    variables.pop("KERAS_BACKEND", None)
    return variables


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def command(*arguments: str, out: Path, epochs: int = 2, overrides=()) -> list[str]:
    """Return a command that trains LeNet-5 on the bars, unless it says otherwise."""
    # Shares of a batch are for a process that trains once.
    settings = [
        text for each in ("trainer.share_batches=false", *overrides) for text in ("--set", each)
    ]
    return ["train", *NEW, "--epochs", str(epochs), *arguments, *settings, "--out", str(out)]


def run_all(commands: list[list[str]], data: Path) -> str:
    """Run commands one after the other, in one process that has two devices; return its output."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps(commands),
        env=environment(data, MODELZOO_CPU_DEVICES="2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings on one and on two devices, NAME-one and NAME-two, and the data in `data`."""
    folder = tmp_path_factory.mktemp("runs")
    data = write_bars(folder / "data")

    def pair(name: str, *words: str, overrides: list[str]) -> list[list[str]]:
        return [
            command(*words, *chosen, out=folder / f"{name}-{number}", overrides=overrides)
            for number, chosen in (("one", ()), ("two", DEVICES))
        ]

    # Processes of their own: TensorFlow takes the second of two networks for the first.
    other = ("--model", "alexnet", "--dataset", "shapes", "--epochs", "1")
    normalised = pair("normalised", *other, overrides=NORMALISED)
    lenets = pair("augmented", overrides=[*UNEVEN, *AUGMENTED])
    lenets.append(command(out=folder / "long", epochs=4, overrides=UNEVEN))
    ruined = [command(*DEVICES, out=folder / "ruined", epochs=5, overrides=RUINED)]
    for commands in (normalised, lenets, ruined):
        assert run_all(commands, data).count("2 replicas in 1 process") == 1
    return folder


def free_ports(count: int) -> list[int]:
    """Return ports below those that a system gives to connections, which others may get."""
    found: list[int] = []
    for port in random.sample(range(15_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def start_workers(runs: Path, out: Path, *words: str, held: bool = False) -> list[subprocess.Popen]:
    """Start two workers; the second waits in its second epoch, if it is held."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    started = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        # The test waits so long until a loss is noticed; else it is for a start on a busy machine.
        patience = "60" if held else "600"
        variables = {"TF_CONFIG": json.dumps(task), "MODELZOO_WORKER_TIMEOUT": patience}
        program = [str(HELD), "1", "1"] if held and index else ["-m", "modelzoo"]
        with log_of(out, index).open("w") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, *program, *words],
                    env=environment(runs / "data", **variables),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    return started


def log_of(out: Path, index: int) -> Path:
    return out.with_name(f"{out.name}{index}.log")


def end_of(workers: list[subprocess.Popen], out: Path) -> list[tuple[int, str]]:
    """Wait for workers; return the exit code and the output of each."""
    try:
        return [(each.wait(HANGS), text_of(log_of(out, n))) for n, each in enumerate(workers)]
    finally:
        for each in workers:
            each.kill()


def difference(first: Path, second: Path) -> float:
    """Return the largest difference of weights and optimizer state between two runs."""
    with np.load(first / "state.npz") as a, np.load(second / "state.npz") as b:
        assert a.files == b.files
        names = [name for name in a.files if a[name].dtype.kind == "f"]
        assert len(names) > 20
        return max(float(np.abs(a[name] - b[name]).max()) for name in names)


def test_two_devices_train_what_one_does(runs):
    """A mean of the slices' means, or another order of images, would train something else."""
    one, two = runs / "augmented-one", runs / "augmented-two"
    assert difference(one, two) < 1e-6
    assert metrics(one)["test_accuracy"] == metrics(two)["test_accuracy"]
    assert metrics(one)["val_loss"] == pytest.approx(metrics(two)["val_loss"], abs=1e-5)
    assert (metrics(two)["replicas"], metrics(two)["workers"]) == (2, 1)
    assert metrics(one)["replicas"] == 1


def test_the_model_of_a_run_on_two_devices_is_the_best_epoch_s(runs, tmp_path, monkeypatch):
    """It held the last epoch's weights."""
    monkeypatch.setenv("MODELZOO_DATA", str(runs / "data"))
    folder, weights = runs / "ruined", tmp_path / "own.weights.h5"
    reached = pd.read_csv(folder / "history.csv")["val_accuracy"]
    assert reached.max() > reached.iloc[-1]  # or the last epoch is the best
    keras.models.load_model(folder / "model.keras").save_weights(weights)
    found = evaluate(load_config(folder), weights, split="validation")
    assert found.scores.accuracy == pytest.approx(reached.max(), abs=1e-6)
    assert metrics(folder)["val_accuracy"] == pytest.approx(reached.max(), abs=1e-6)


def test_batch_normalisation_is_that_of_the_whole_batch(runs):
    """With the statistics of its slice, each replica would train another network."""
    assert difference(runs / "normalised-one", runs / "normalised-two") < 1e-4


def test_two_devices_of_jax_train_what_one_does(bars, tmp_path):
    """Also what depends on the whole batch: clipping, dropout, batches that two do not divide."""
    pytest.importorskip("jax")
    one, two = tmp_path / "one", tmp_path / "two"
    clipped = "compile.optimizer={class_name: Adam, config: {learning_rate: 0.01, clipnorm: 0.1}}"
    overrides = [*UNEVEN, *AUGMENTED, "model.dropout=0.3", clipped]
    jax = ("--backend", "jax")
    commands = [
        command(*jax, out=one, overrides=overrides),
        command(*jax, *DEVICES, out=two, overrides=overrides),
    ]
    assert run_all(commands, bars).count("2 replicas in 1 process") == 1
    assert difference(one, two) < 1e-5


def test_two_workers_survive_a_loss_and_train_what_one_does(runs, tmp_path):
    """Two processes; one is killed in the middle, the other ends by itself, both resume."""
    lost = tmp_path / "lost"
    words = command("--distribute", "workers", out=lost, epochs=4, overrides=UNEVEN)
    workers = start_workers(runs, lost, *words, held=True)
    wait_for(
        lambda: "held" in text_of(log_of(lost, 1)),
        lambda: [text_of(log_of(lost, n)) for n, each in enumerate(workers) if each.poll()],
    )
    workers[1].kill()
    (code, said), _ = end_of(workers, lost)
    assert code == 1, said
    message = said.splitlines()[-1]
    assert "another worker has ended" in message
    assert f"--resume {lost}" in message
    assert "Traceback" not in said

    workers = start_workers(runs, lost, "train", "--resume", str(lost), "--device", "cpu")
    (code, chief), (other_code, other) = end_of(workers, lost)
    assert (code, other_code) == (0, 0), chief + other
    assert "2 replicas in 2 processes" in chief and "1 of 4 epochs are done" in chief
    assert other == ""
    assert difference(runs / "long", lost) < 1e-6
    assert metrics(lost)["workers"] == 2
    assert metrics(lost)["test_accuracy"] == metrics(runs / "long")["test_accuracy"]

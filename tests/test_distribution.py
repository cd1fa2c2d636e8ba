"""Several devices and processes: they train what one would, and end clearly when one is lost."""

import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from waiting import HANGS, text_of, wait_for

from conftest import write_bars
from modelzoo import InputError, load_config
from modelzoo.data.pipeline import InputPipeline
from modelzoo.data.source import Dataset
from modelzoo.data.tensorflow_batches import ReplicaSlices
from modelzoo.training.cluster import (
    Cluster,
    expand_hosts,
    expand_tasks,
    parse_slurm,
    parse_tf_config,
    read_cluster,
)
from modelzoo.training.distribution import Replicas
from modelzoo.training.prepare import build_network, open_dataset, open_pipeline

HELD = Path(__file__).with_name("held.py")
# 160 training images in batches of 53: slices of 27 and 26, and a last batch of one image.
UNEVEN = ["data.validation_split=40", "data.batch_size=53"]
AUGMENTED = [
    "data.augmentation=[{class_name: RandomTranslation, config: {height_factor: 0.1, "
    "width_factor: 0.1}}]",
    "fit.class_weight={1: 3.0}",
]
NORMALISED = [
    "data.training_images=99",
    "data.validation_split=40",
    "data.batch_size=33",
    "model.conv_maps=[8,8,8,8,8]",
    "model.dense_units=[16,16]",
    "model.dropout=0.0",
]
TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


RUN_ALL = """
import json, sys
from modelzoo import cli
sys.exit(max(cli.main(words) for words in json.load(sys.stdin)))
"""
NEW = ("--model", "lenet5", "--dataset", "bars", "--device", "cpu")
DEVICES = ("--distribute", "devices")


def command(*arguments: str, out: Path, epochs: int = 2, overrides=()) -> list[str]:
    """Return a command that trains LeNet-5 on the bars, unless it says otherwise."""
    # Shares of a batch are for a process that trains once.
    settings = [
        text for each in ("trainer.share_batches=false", *overrides) for text in ("--set", each)
    ]
    return ["train", *NEW, "--epochs", str(epochs), *arguments, *settings, "--out", str(out)]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return variables for a process that finds its data in a folder."""
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MODELZOO_DATA": str(folder), **more}
    variables.pop("KERAS_BACKEND", None)
    return variables


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
    lenets = pair("uneven", overrides=UNEVEN)
    lenets += pair("augmented", overrides=[*UNEVEN, *AUGMENTED])
    lenets.append(command(out=folder / "long", epochs=4, overrides=UNEVEN))
    assert run_all(normalised, data).count("2 replicas in 1 process") == 1
    assert run_all(lenets, data).count("2 replicas in 1 process") == 2
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


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_the_model_of_a_run_on_two_devices_is_the_best_epoch_s(bars, tmp_path):
    """It held the last epoch's weights: here those after a learning rate that ruins them."""
    rates = "{class_name: PiecewiseConstantDecay, config: {boundaries: [80], values: [0.003, 1e3]}}"
    adam = f"compile.optimizer={{class_name: Adam, config: {{learning_rate: {rates}}}}}"
    code = f"""
from modelzoo import Trainer, load_config
overrides = {["data.validation_split=40", "data.batch_size=8", "fit.epochs=5", adam]!r}
config = load_config("lenet5", dataset="bars", overrides=overrides)
run = Trainer(config, device="cpu", distribute="devices", out="two").fit()
print(run.history["val_accuracy"].tolist(), run.evaluate("validation")["accuracy"], sep="|")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(bars, MODELZOO_CPU_DEVICES="2"),
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    history, found = done.stdout.splitlines()[-1].split("|")
    reached = json.loads(history)
    assert max(reached) > reached[-1]  # or the last epoch is the best
    assert float(found) == pytest.approx(max(reached), abs=1e-6)
    assert metrics(tmp_path / "two")["val_accuracy"] == pytest.approx(max(reached), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uneven", "augmented"])
def test_two_devices_train_what_one_does(runs, name):
    """A mean of the slices' means, or another order of pictures, would train something else."""
    one, two = runs / f"{name}-one", runs / f"{name}-two"
    assert difference(one, two) < 1e-6
    assert metrics(one)["test_accuracy"] == metrics(two)["test_accuracy"]
    assert metrics(one)["val_loss"] == pytest.approx(metrics(two)["val_loss"], abs=1e-5)
    assert (metrics(two)["replicas"], metrics(two)["workers"]) == (2, 1)
    assert metrics(one)["replicas"] == 1


@pytest.mark.slow
def test_batch_normalisation_is_that_of_the_whole_batch(runs):
    """With the statistics of its slice, each replica would train another network."""
    assert difference(runs / "normalised-one", runs / "normalised-two") < 1e-4


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.batch_size=1", "data.batch_size: 1 is the batch of all replicas"),
        ("data.validation_split=1", "data.validation_split: leaves 1 validation images"),
        ("trainer.precision=mixed_float16", "--precision mixed_float16"),
        (
            "compile.optimizer={class_name: Adam, config: {learning_rate: 0.1, clipnorm: 1.0}}",
            "compile.optimizer.config.clipnorm",
        ),
    ],
)
def test_what_replicas_would_train_otherwise_is_refused(bars, override, expected):
    """Another network than that of one replica would be trained, in silence."""
    config = load_config("lenet5", dataset="bars", overrides=["data.validation_split=40", override])
    with pytest.raises(InputError, match=re.escape(expected)):
        Replicas(2, Cluster()).check(config, build_network(config), open_bars(config))


def open_bars(config):
    return open_pipeline(config, open_dataset(config, lambda message: None)[0])


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize("augmented", [False, True])
def test_slices_are_of_the_same_batches(augmented):
    """What the replicas get, put together, is what one replica gets, with weights that add up."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    labels = (np.arange(30) % 3).astype("uint8")
    data = Dataset("noise", images, labels, images[:6], labels[:6], ("a", "b", "c"))
    factors = {"height_factor": 0.3, "width_factor": 0.3}
    layer = {"class_name": "RandomTranslation", "config": factors}

    def batches(slices: ReplicaSlices | None) -> list:
        pipeline = InputPipeline(
            data,
            num_classes=3,
            batch_size=11,
            validation_split=0,
            augmentation=[layer] if augmented else [],
        )
        found = pipeline.training_batches(0, slices, {0: 1.0, 1: 2.0, 2: 0.5} if slices else None)
        pipeline.start_epoch(3)
        return list(found.as_numpy_iterator())

    whole = batches(None)
    first, second = batches(ReplicaSlices(3, 0, 2)), batches(ReplicaSlices(3, 2, 1))
    assert (len(first), len(second)) == (2 * len(whole), len(whole))
    for step, (pictures, classes) in enumerate(whole):
        parts = [*first[2 * step : 2 * step + 2], second[step]]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), pictures)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), classes)
        of_class = np.array([1.0, 2.0, 0.5])[classes]
        # Each replica takes the mean of its slice, and TensorFlow the mean over the replicas.
        mean = sum((part[2] / len(part[2])).sum() for part in parts) / 3
        assert mean == pytest.approx(of_class.mean())


def test_no_replica_is_without_a_picture():
    """Convolutions refuse an empty batch; a picture of weight 0 changes nothing."""
    slices = ReplicaSlices(4, 0, 4)
    assert np.diff(slices.bounds(2)).tolist() == [0, 1, 0, 1]
    assert slices.scoring_size(count=10, size=9) == 6  # 9 and 1, 8 and 2, 7 and 3 will not do


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not json", "TF_CONFIG: is not JSON"),
        ("[]", "TF_CONFIG: 'cluster' is missing"),
        ('{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG: 'task' is missing"),
        (
            '{"cluster": {"ps": ["a:1"]}, "task": {}}',
            "cluster: holds 'ps'; it should hold 'worker'",
        ),
        ('{"cluster": {"worker": "a:1"}, "task": {}}', "should be a list of HOST:PORT"),
        ('{"cluster": {"worker": ["a"]}, "task": {}}', "should be a list of HOST:PORT"),
        ('{"cluster": {"worker": ["a:70000"]}, "task": {}}', "should be a list of HOST:PORT"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {}}', "two workers have one address"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps"}}', "'ps' is not in the cluster"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "task.index: 1 should be from 0 to 0, as cluster.worker has 1",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": true}}',
            "task.index: True should be",
        ),
    ],
)
def test_a_wrong_tf_config_is_one_message(text, expected):
    """TensorFlow would wait for workers that nobody starts, or end with a traceback."""
    with pytest.raises(InputError, match="TF_CONFIG") as caught:
        parse_tf_config(text)
    assert expected in str(caught.value)


def test_tf_config_names_workers_and_a_chief():
    """The chief is worker 0, whatever it is called."""
    assert parse_tf_config(json.dumps(TWO)) == Cluster(("a:1", "b:2"), 1)
    config = {"cluster": {"worker": ["b:2"], "chief": ["a:1"]}}
    task = {"task": {"type": "worker", "index": 0}}
    assert parse_tf_config(json.dumps({**config, **task})) == Cluster(("a:1", "b:2"), 1)
    task = {"task": {"type": "chief", "index": 0}}
    assert parse_tf_config(json.dumps({**config, **task})).is_chief


def test_slurm_says_who_takes_part():
    """Four tasks on three nodes; the nodes stay in Slurm's order, n9 before n10."""
    step = {
        "SLURM_PROCID": "2",
        "SLURM_NODEID": "1",
        "SLURM_STEP_NODELIST": "n[9-10],m",
        "SLURM_STEP_TASKS_PER_NODE": "2,1(x2)",
        "SLURM_JOB_ID": "10007",
    }
    addresses = ("n9:20007", "n9:20008", "n10:20007", "m:20007")
    assert read_cluster("workers", "tensorflow", "gpu", step) == Cluster(addresses, 2)
    with pytest.raises(InputError, match=r"task 2 on node 0 is not where .*distribution=block"):
        parse_slurm({**step, "SLURM_NODEID": "0"})
    with pytest.raises(InputError, match="SLURM_NODEID: not set"):
        parse_slurm({key: step[key] for key in step if key != "SLURM_NODEID"})
    for name, value in {"STEP_NODELIST": "n[1", "STEP_TASKS_PER_NODE": "x", "PROCID": "?"}.items():
        with pytest.raises(InputError, match="Slurm's variables"):
            parse_slurm({**step, f"SLURM_{name}": value})


@pytest.mark.parametrize("hosts", ["a", "n[1-3]", "n[08-11,20],gpu-1.local,m[7]", "a,b[1,3-4],c"])
def test_lists_of_hosts_are_read_as_tensorflow_reads_them(hosts):
    """A wrong list sends a worker to another machine."""
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as theirs

    assert expand_hosts(hosts) == theirs.expand_hostlist(hosts)
    for tasks in ("1", "3(x2),2,1"):
        assert expand_tasks(tasks) == theirs.expand_tasks_per_node(tasks)


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (("workers", "tensorflow", "auto"), {}, "--distribute workers: needs TF_CONFIG, or"),
        (("devices", "torch", "auto"), {}, "no engine for it on PyTorch; choose --backend"),
        (("devices", "tensorflow", "gpu:1"), {}, "--device gpu:1: is one device"),
        (("workers", "jax", "gpu:0"), {}, "--device gpu:0: is one device"),
        (("workers", "jax", "gpu"), {}, "--distribute workers: is not built for JAX"),
    ],
)
def test_what_cannot_be_distributed_is_refused_before_anything_starts(
    arguments, environment, expected
):
    """The message names the option and what to do."""
    with pytest.raises(InputError) as caught:
        read_cluster(*arguments, environment)
    assert expected in str(caught.value)
    assert read_cluster("none", "torch", "gpu:1", environment) == Cluster()

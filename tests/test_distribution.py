"""Several devices and processes: they train what one would, and end clearly when one is lost."""

import json
import re

import numpy as np
import pytest

from modelzoo import InputError, load_config
from modelzoo.config.sections import Data, Trainer
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
from modelzoo.training.distribution import Distribution
from modelzoo.training.prepare import build_network, open_dataset

TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


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
    config = load_config("lenet5", dataset="bars", overrides=["data.validation_split=40", override])
    with pytest.raises(InputError, match=re.escape(expected)):
        Distribution(2).check(config, build_network(config), open_bars(config))


def open_bars(config):
    data, _ = open_dataset(config, lambda message: None)
    return InputPipeline(data, config.data, num_classes=10)


@pytest.mark.parametrize("augmented", [False, True])
def test_slices_are_of_the_same_batches(augmented):
    """What the replicas get, put together, is what one replica gets, with weights that add up."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    labels = (np.arange(30) % 3).astype("uint8")
    data = Dataset("noise", images, labels, images[:6], labels[:6], ("a", "b", "c"))
    factors = {"height_factor": 0.3, "width_factor": 0.3}
    layers = [{"class_name": "RandomTranslation", "config": factors}] if augmented else []
    settings = Data(dataset="noise", batch_size=11, validation_split=0, augmentation=layers)

    def batches(slices: ReplicaSlices | None) -> list:
        pipeline = InputPipeline(data, settings, num_classes=3)
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
    """Convolutions refuse an empty batch; an image of weight 0 changes nothing."""
    slices = ReplicaSlices(4, 0, 4)
    assert np.diff(slices.bounds(2)).tolist() == [0, 1, 0, 1]
    assert slices.scoring_size(count=10, size=9) == 6  # 9 and 1, 8 and 2, 7 and 3 will not do


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not json", "TF_CONFIG: JSON is malformed"),
        ('{"cluster": {"worker": ["a:1"]}}', "missing required field `task`"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {}}', "Invalid enum value 'ps' - at `key` in `$.cl"),
        ('{"cluster": {"worker": ["a"]}, "task": {}}', "Expected `str` matching regex"),
        (
            '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
            "two workers have one address",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "task: the cluster has no worker 1",
        ),
    ],
)
def test_a_wrong_tf_config_is_one_message(text, expected):
    """TensorFlow would wait for workers that nobody starts, or end with a traceback."""
    with pytest.raises(InputError, match="TF_CONFIG") as caught:
        parse_tf_config(text)
    assert expected in str(caught.value)


def test_tf_config_names_workers_and_a_chief():
    assert parse_tf_config(json.dumps(TWO)) == Cluster(("a:1", "b:2"), 1)
    config = {"cluster": {"worker": ["b:2"], "chief": ["a:1"]}}
    task = {"task": {"type": "worker", "index": 0}}
    assert parse_tf_config(json.dumps({**config, **task})) == Cluster(("a:1", "b:2"), 1)
    task = {"task": {"type": "chief", "index": 0}}
    assert parse_tf_config(json.dumps({**config, **task})).is_chief


def section(distribute: str, backend: str = "tensorflow") -> Trainer:
    return Trainer(distribute=distribute, backend=backend)


def test_slurm_says_who_takes_part():
    step = {
        "SLURM_PROCID": "2",
        "SLURM_NODEID": "1",
        "SLURM_STEP_NODELIST": "n[9-10],m",
        "SLURM_STEP_TASKS_PER_NODE": "2,1(x2)",
        "SLURM_JOB_ID": "10007",
    }
    addresses = ("n9:20007", "n9:20008", "n10:20007", "m:20007")
    assert read_cluster(section("workers"), "gpu", step) == Cluster(addresses, 2)
    with pytest.raises(InputError, match=r"task 2 on node 0 is not where .*distribution=block"):
        parse_slurm({**step, "SLURM_NODEID": "0"})
    with pytest.raises(InputError, match="SLURM_NODEID: not set"):
        parse_slurm({key: step[key] for key in step if key != "SLURM_NODEID"})


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
    with pytest.raises(InputError) as caught:
        distribute, backend, device = arguments
        read_cluster(section(distribute, backend), device, environment)
    assert expected in str(caught.value)
    assert read_cluster(section("none", "torch"), "gpu:1", environment) == Cluster()

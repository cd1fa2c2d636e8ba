"""Which processes train together, from TF_CONFIG or Slurm's variables, and how they meet.

Importing this starts no framework, so that what cannot work is refused at once.
"""

import os
import re
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from modelzoo.config.sections import Trainer
from modelzoo.support.errors import InputError, RunError, reason_of
from modelzoo.training.device import number_in

EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'  # noqa: E501
SLURM = ("SLURM_PROCID", "SLURM_NODEID", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE")
FIRST_PORT, PORTS = 20_000, 10_000  # of Slurm's workers; a job's number chooses among these
PATIENCE = "MODELZOO_WORKER_TIMEOUT"  # seconds that a worker waits for another, if that is set
DEFAULT_PATIENCE = 180

Job = Literal["chief", "worker"]
Address = Annotated[str, msgspec.Meta(pattern=r"\A([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}\Z")]


class Task(msgspec.Struct):
    """The process that reads a TF_CONFIG."""

    type: Job
    index: Annotated[int, msgspec.Meta(ge=0)]


class TensorFlowConfig(msgspec.Struct):
    """What TF_CONFIG holds."""

    cluster: dict[Job, list[Address]]
    task: Task


@dataclass(frozen=True)
class Cluster:
    """The worker processes of one training."""

    addresses: tuple[str, ...] = ()  # HOST:PORT of each; none for a process that trains alone
    index: int = 0  # of this process; worker 0, the chief, writes the run's files

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.index == 0


def read_cluster(
    trainer: Trainer, device: str, environment: Mapping[str, str] = os.environ
) -> Cluster:
    """Return the cluster of TF_CONFIG, or else of `srun`, if `distribute` is "workers"."""
    distribute = trainer.distribute
    if distribute == "none":
        return Cluster()
    if trainer.backend == "torch":
        raise InputError(
            f"--distribute {distribute}: Keras has no engine for it on PyTorch; choose --backend "
            "tensorflow or jax, or train one run a device (docs/several-machines.md)"
        )
    if ":" in device:
        raise InputError(
            f"--device {device}: is one device, and --distribute {distribute} takes all of a "
            "kind; use --device gpu, and CUDA_VISIBLE_DEVICES to choose among GPUs"
        )
    if distribute == "devices":
        return Cluster()
    if trainer.backend == "jax":
        raise InputError(
            "--distribute workers: is not built for JAX; choose --backend tensorflow, or "
            "--distribute devices for the devices of one process"
        )
    if environment.get("TF_CONFIG"):
        return parse_tf_config(environment["TF_CONFIG"])
    if "SLURM_PROCID" in environment:
        return parse_slurm(environment)
    raise InputError(
        "--distribute workers: needs TF_CONFIG, or to be started by Slurm's srun; for the first "
        f"of two workers, TF_CONFIG='{EXAMPLE}'"
    )


def parse_tf_config(text: str) -> Cluster:
    """Return the cluster in TF_CONFIG: workers, or a chief and workers."""
    try:
        config = msgspec.json.decode(text, type=TensorFlowConfig)
    except msgspec.DecodeError as error:
        raise InputError(f"TF_CONFIG: {error}; it should be like {EXAMPLE}") from None
    jobs, task = config.cluster, config.task
    addresses = (*jobs.get("chief", []), *jobs.get("worker", []))
    if len(set(addresses)) < len(addresses):
        raise InputError(f"TF_CONFIG: cluster: two workers have one address: {addresses!r:.200}")
    if task.index >= len(jobs.get(task.type, [])):
        raise InputError(f"TF_CONFIG: task: the cluster has no {task.type} {task.index}")
    before = len(jobs.get("chief", [])) if task.type == "worker" else 0
    return Cluster(addresses, before + task.index)


def parse_slurm(environment: Mapping[str, str]) -> Cluster:
    """Return the cluster of a job step, one worker a task, as `srun` describes it.

    TensorFlow's SlurmClusterResolver sorts the nodes by name, so that n10 comes before n9 and
    ranks and addresses no longer match, and fails on nodes without GPUs; hence this.
    """
    missing = [name for name in SLURM if name not in environment]
    if missing:
        raise InputError(f"--distribute workers: {', '.join(missing)}: not set; start with srun")
    rank, node = int(environment["SLURM_PROCID"]), int(environment["SLURM_NODEID"])
    hosts = expand_hosts(environment["SLURM_STEP_NODELIST"])
    tasks = expand_tasks(environment["SLURM_STEP_TASKS_PER_NODE"])
    port = FIRST_PORT + int(environment.get("SLURM_JOB_ID", "0")) % PORTS
    places = [(number, task) for number, count in enumerate(tasks) for task in range(count)]
    if places[rank][0] != node:
        raise InputError(
            f"--distribute workers: task {rank} on node {node} is not where it should be among "
            f"{len(places)} tasks on {len(hosts)} nodes; srun needs --distribution=block"
        )
    return Cluster(tuple(f"{hosts[number]}:{port + task}" for number, task in places), rank)


def expand_hosts(text: str) -> list[str]:
    """Return ["n08", "n09", "n10", "gpu1"] from "n[08-10],gpu1"."""
    hosts: list[str] = []
    for head, ranges, tail in re.findall(r"([^,\[]+)(?:\[([^\]]+)\])?([^,\[]*)", text):
        for each in ranges.split(","):
            first, _, last = each.partition("-")
            if not first:
                hosts.append(head)
                continue
            for number in range(int(first), int(last or first) + 1):
                hosts.append(f"{head}{number:0{len(first)}}{tail}")
    return hosts


def expand_tasks(text: str) -> list[int]:
    """Return [2, 2, 1] from "2(x2),1"."""
    parts = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(count) for count, times in parts for _ in range(int(times or 1))]


def start_workers(cluster: Cluster) -> Any:
    """Start TensorFlow's server, wait for the other workers, and return their strategy."""
    import tensorflow as tf
    from tensorflow.python.eager import context  # no public name sets these times

    class Workers(tf.distribute.MultiWorkerMirroredStrategy):
        """Takes the mean of the metrics' values, which Keras asks for along an axis they lack.

        Each worker's value is already the one of all: reading a metric sums its counts.
        """

        def reduce(self, reduce_op: Any, value: Any, axis: int | None) -> Any:
            local = self.experimental_local_results(value)
            if axis == 0 and all(each.shape.rank == 0 for each in local):
                return tf.reduce_mean(local)
            return super().reduce(reduce_op, value, axis)

    addresses, patience = list(cluster.addresses), number_in(PATIENCE, DEFAULT_PATIENCE, 86_400)
    wait = patience * 1000
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
    )
    job = context.coordination_config_pb2.CoordinatedJob
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=wait,
        heartbeat_timeout_in_ms=wait,
        coordinated_jobs=[job(name="worker", num_tasks=len(addresses))],
    )
    handler = signal.getsignal(signal.SIGTERM)
    try:
        strategy = Workers(resolver)
    except RuntimeError as error:
        raise InputError(
            "--distribute workers: TensorFlow runs already; start a new process"
        ) from error
    except tf.errors.OpError as error:
        own = addresses.pop(cluster.index)
        reason = reason_of(error).partition(". ")[0]
        raise RunError(
            f"worker {cluster.index} ({own}) did not reach the others ({', '.join(addresses):.200})"
            f" within {patience} s ({PATIENCE}): {reason:.200}"
        ) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # TensorFlow has put its own in its place
    return strategy

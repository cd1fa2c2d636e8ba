"""Arithmetic and memory traffic of each network, this machine's peaks, and the fraction reached.

    python -m benchmarks.roofline [--speed results/speed.json] [--out results/roofline.json]

A training step can be no faster than its operations at the machine's best matrix product, and no
faster than its bytes at the machine's bandwidth. The peaks are measured: a product of two 2048x2048
matrices in float32 and bfloat16, by TensorFlow, and a triad a = b + s c of arrays that no cache
holds, by NumPy on all cores. What our training reached is taken from results/speed.json. Nothing
else may run meanwhile.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

from benchmarks.compare import machine, summary
from benchmarks.compare.runner import ROOT
from benchmarks.compare.works import OURS
from benchmarks.results import write_results
from modelzoo.config import Config, list_models, load_config
from modelzoo.networks import Network
from modelzoo.networks.network import count_parameters
from modelzoo.support.environment import usable_cores
from modelzoo.support.errors import InputError

SIZE = 2048  # of the matrices
FLOAT = 4  # bytes of a float32
CHUNK = 65_536  # floats of the triad that stay in a core's cache between its two passes
MOVED = ("Flatten", "Dropout", "InputLayer")  # layers whose outputs are no new array


def main() -> int:
    """Measure, print the tables, and write them as JSON; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    results = ROOT / "results"
    parser.add_argument("--speed", type=Path, default=results / "speed.json", metavar="FILE")
    parser.add_argument("--out", type=Path, default=results / "roofline.json", metavar="FILE")
    parser.add_argument("--repeats", type=int, default=20, help="of each peak; the best counts")
    parser.add_argument("--megabytes", type=int, default=256, help="of each array of the triad")
    options = parser.parse_args()
    if warning := machine.busy():
        print(f"warning: {warning}", file=sys.stderr)
    try:
        peaks = measure_peaks(options.repeats, options.megabytes)
        networks = {name: costs(load_config(name)) for name in list_models()}
        reached = reached_by_training(options.speed, networks, peaks)
    except InputError as error:
        print(f"benchmarks.roofline: {error}", file=sys.stderr)
        return 2
    report = {"machine": machine.describe(), "peaks": peaks, "networks": networks}
    report["reached"] = reached
    write_results(options.out, report)
    print(text(report))
    return 0


def measure_peaks(repeats: int, megabytes: int) -> dict[str, float]:
    """Return operations a second of the matrix product by precision, and bytes a second."""
    return {
        "float32": matrix_product("float32", repeats),
        "bfloat16": matrix_product("bfloat16", repeats),
        "bytes": triad(megabytes, max(3, repeats // 4)),
    }


def matrix_product(precision: str, repeats: int, size: int = SIZE) -> float:
    """Return the operations a second of a product of two square matrices, the best of some."""
    import tensorflow as tf

    a, b = (tf.cast(tf.random.normal((size, size), seed=seed), precision) for seed in (0, 1))
    multiply = tf.function(tf.matmul)
    return 2 * size**3 / _best(lambda: multiply(a, b)[0, 0].numpy(), repeats)


def triad(megabytes: int, repeats: int) -> float:
    """Return the bytes a second of a = b + s c on all cores: two arrays read, one written.

    The line of a cache that is read before it is written to is not counted, as in STREAM.
    """
    import numpy as np

    length = megabytes * 1_000_000 // FLOAT
    a, b, c = np.zeros(length, "float32"), np.ones(length, "float32"), np.ones(length, "float32")
    cores = usable_cores()

    def work(core: int) -> None:
        for start in range(core * CHUNK, length, cores * CHUNK):
            part = slice(start, start + CHUNK)
            np.multiply(c[part], 3.0, out=a[part])
            np.add(a[part], b[part], out=a[part])

    with ThreadPoolExecutor(cores) as pool:
        return 3 * FLOAT * length / _best(lambda: list(pool.map(work, range(cores))), repeats)


def _best(call: Callable[[], Any], repeats: int) -> float:
    """Return the seconds of the fastest call, after one that warms up."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def training_operations(network: Network) -> int | None:
    """Return the operations of a training step for one image, without the optimizer's.

    Backward, each layer does its forward work once more for the gradient by its inputs, and once
    more for that by its weights. The first layer with weights needs only the latter. None where no
    weight has a gradient, or the network brings its own learning rule.
    """
    trained = [
        layer.operations(inputs)
        for layer, inputs in network.with_inputs
        if count_parameters(layer, inputs, trainable=True)
    ]
    if not trained or network.learns_alone:
        return None
    return 2 * network.operations + sum(trained) - trained[0]


def costs(config: Config) -> dict[str, Any]:
    """Return what a network needs: operations for one image, bytes of its arrays in float32.

    Returns:
        `forward` and `training` operations of an image (see `modelzoo.networks.network`),
        `batch_size`, `weights`, `optimizer` (its state), `activations` (of a batch) in bytes;
        `step_bytes`, what a training step moves if every array comes from memory and goes back
        to it: weights are read forward, backward and by the optimizer, which writes them;
        gradients are written and read; its state is read and written; activations are written,
        read by the next layer, read backward, and so are their gradients, but for one reading.
    """
    from modelzoo.api import build
    from modelzoo.networks import keras_objects

    described = config.network
    if described is None:
        raise InputError(f"{config.name}: its builder gives no description to count operations of")
    network, batch_size = build(config), config.data.batch_size
    optimizer = keras_objects.make("optimizer", config.compile.optimizer, "optimizer")
    optimizer.build(network.trainable_variables)
    trained = FLOAT * sum(math.prod(each.shape) for each in network.trainable_variables)
    state = FLOAT * sum(math.prod(each.shape) for each in optimizer.variables)
    outputs = sum(
        math.prod(layer.output.shape[1:])
        for layer in network.layers
        if type(layer).__name__ not in MOVED
    )
    activations = FLOAT * batch_size * outputs
    training = training_operations(described)
    return {
        "forward": described.operations,
        "training": training,
        "batch_size": batch_size,
        "weights": FLOAT * network.count_params(),
        "optimizer": state,
        "activations": activations,
        "step_bytes": None if training is None else 6 * trained + 2 * state + 5 * activations,
    }


def reached_by_training(
    speed: Path, networks: dict[str, dict[str, Any]], peaks: dict[str, float]
) -> dict[str, dict[str, float]]:
    """Return what our trainings in speed.json reached, by network; nothing if they are not there.

    Raises:
        InputError: the file was measured on another machine, or holds no measurement.
    """
    if not speed.exists():
        return {}
    try:
        report = json.loads(speed.read_text("utf-8"))
        here = machine.describe()
        same = all(report["machine"][key] == here[key] for key in ("processor", "cores"))
        works = report["works"] if same else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{speed}: holds no measurement: {error}") from None
    if works is None:
        raise InputError(f"{speed}: was measured on another machine; measure again, or --speed")
    found = {}
    if seconds := _our_median(works.get("lenet5-epoch")):
        settings, own = works["lenet5-epoch"]["settings"], networks["lenet5"]
        steps = math.ceil(settings["training"] / own["batch_size"])
        done = settings["training"] * own["training"] + settings["validation"] * own["forward"]
        found["lenet5"] = _reached(done, steps * own["step_bytes"], seconds, peaks)
    if milliseconds := _our_median(works.get("alexnet-step")):
        own = networks["alexnet"]
        done = own["batch_size"] * own["training"]
        found["alexnet"] = _reached(done, own["step_bytes"], milliseconds / 1000, peaks)
    return found


def _our_median(work: dict[str, Any] | None) -> float | None:
    if work is None or work["quick"] or OURS not in work["contestants"]:
        return None
    return summary.spread(summary.all_samples(work["contestants"][OURS])).median


def _reached(done: float, moved: float, seconds: float, peaks: dict[str, float]) -> dict[str, Any]:
    """Return operations and bytes a second, their share of the peaks, and of the time at best."""
    return {
        "seconds": seconds,
        "operations_per_second": done / seconds,
        "share_of_operations": done / seconds / peaks["float32"],
        "bytes_per_second": moved / seconds,
        "share_of_bytes": moved / seconds / peaks["bytes"],
    }


def text(report: dict[str, Any]) -> str:
    """Return the tables for a terminal."""
    peaks = report["peaks"]
    lines = [
        f"matrix product {SIZE}x{SIZE}: {peaks['float32'] / 1e9:.0f} GFLOP/s in float32, "
        f"{peaks['bfloat16'] / 1e9:.0f} in bfloat16; triad: {peaks['bytes'] / 1e9:.1f} GB/s",
        "",
        f"{'NETWORK':22} {'FORWARD':>9} {'BATCH':>6} {'STEP':>8} {'WEIGHTS':>8} {'STATE':>8} "
        f"{'ACTIVATIONS':>11} {'MOVED':>8} {'COMPUTE':>9} {'MEMORY':>9}",
        f"{'':22} {'MFLOP':>9} {'':>6} {'GFLOP':>8} {'MB':>8} {'MB':>8} {'MB':>11} {'MB':>8} "
        f"{'ms':>9} {'ms':>9}",
    ]
    for name, own in report["networks"].items():
        step = at_best(own, peaks)
        columns = f"{name:22} {own['forward'] / 1e6:9.2f} {own['batch_size']:6}"
        sizes = [own["weights"], own["optimizer"], own["activations"]]
        weights, state, activations = (each / 1e6 for each in sizes)
        if step is None:
            lines.append(f"{columns} {'':>8} {weights:8.2f}   learns by a rule of its own")
            continue
        lines.append(
            f"{columns} {own['training'] * own['batch_size'] / 1e9:8.3f} {weights:8.2f} "
            f"{state:8.2f} {activations:11.1f} {own['step_bytes'] / 1e6:8.1f} "
            f"{1000 * step[0]:9.2f} {1000 * step[1]:9.2f}"
        )
    for name, own in report["reached"].items():
        lines.append(
            f"\n{name}: {own['operations_per_second'] / 1e9:.1f} GFLOP/s, "
            f"{own['share_of_operations']:.1%} of the peak in float32; "
            f"{own['bytes_per_second'] / 1e9:.1f} GB/s, {own['share_of_bytes']:.1%} of the triad"
        )
    return "\n".join(lines)


def at_best(own: dict[str, Any], peaks: dict[str, float]) -> tuple[float, float] | None:
    """Return the least seconds of a training step: by its operations, and by its bytes."""
    if own["training"] is None:
        return None
    return own["training"] * own["batch_size"] / peaks["float32"], own["step_bytes"] / peaks[
        "bytes"
    ]


if __name__ == "__main__":
    raise SystemExit(main())

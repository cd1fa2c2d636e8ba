"""What each change to a training step is worth: Keras' step, then one change after another.

    python -m benchmarks.steps [--rounds 5] [--out results/steps.json]

Every variant runs in a process of its own, in turn, round by round, on the CPU: 300 steps of
LeNet-5 (batches of 128) or 40 of AlexNet (of 32), from a batch that lies in memory, after a few
that are not counted. What a step needs beside it (making batches, callbacks) is not in these times.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.compare.machine import describe
from benchmarks.compare.runner import ROOT
from benchmarks.results import write_results

OUT = ROOT / "results" / "steps.json"
VARIANTS = {  # in the order in which each adds to the one before
    "lenet5": {
        "keras": "Keras' step",
        "optimizer": "each variable's update in one operation",
        "layers": "convolutions of few channels for blocks of 2x2",
        "shares": "half of the batch on each core",
    },
    "alexnet": {
        "keras": "Keras' step",
        "optimizer": "each variable's update in one operation",
        "layers": "large Dense layers' gradients by BatchMatMul, kernels without unused taps",
        "bfloat16": "products in bfloat16",
    },
}
SIZES = {"lenet5": (128, 300), "alexnet": (32, 40)}  # images in a batch, steps


def measure(network: str, variant: str) -> float:
    """Return the median milliseconds of a step, in this process."""
    from modelzoo.training.device import start_framework

    start_framework("tensorflow", "cpu", one_thread=variant == "shares")
    import keras
    import numpy as np
    import tensorflow as tf

    from modelzoo import load_config
    from modelzoo.support.environment import usable_cores
    from modelzoo.training.prepare import build_network

    shares = usable_cores() if variant == "shares" else 1
    batch, steps = SIZES[network]
    precision = "mixed_bfloat16" if variant == "bfloat16" else "float32"
    model = build_network(load_config(network, overrides=[f"trainer.precision={precision}"]))
    model = compiled(
        model,
        variant,
        shares,
        optimizer=keras.optimizers.Adadelta(1.0),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    generator = np.random.default_rng(0)
    images = tf.constant(generator.random((batch, *model.input_shape[1:]), "float32"))
    labels = tf.one_hot(generator.integers(0, 10, batch), 10)

    @tf.function
    def step() -> Any:
        return model.train_step((images, labels))

    return _median_milliseconds(step, steps)


def compiled(
    network: Any, variant: str, shares: int = 1, *, optimizer: Any, **arguments: Any
) -> Any:
    """Return what trains the variables of a Keras network, changed as far as a variant says.

    Args:
        network: built, not compiled.
        variant: of `VARIANTS`.
        shares: of a batch, see `modelzoo.training.fast`.
        optimizer: Keras' own.
        arguments: of `compile`, beside the optimizer.
    """
    from modelzoo.training.fast import faster, fuse

    if variant != "keras":
        optimizer = fuse(optimizer)
    if variant not in ("keras", "optimizer"):
        network = faster(network, shares)
    network.compile(optimizer=optimizer, **arguments)
    return network


def _median_milliseconds(step: Callable[[], Any], steps: int) -> float:
    from time import perf_counter

    times = []
    for index in range(steps + 5):
        began = perf_counter()
        step()["loss"].numpy()
        if index >= 5:
            times.append(1000 * (perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    """Run all variants in turn, print their medians and what each is worth, and write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs=2, metavar=("NETWORK", "VARIANT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(*options.only)))
        return
    samples: dict[str, dict[str, list[float]]] = {
        network: {variant: [] for variant in variants} for network, variants in VARIANTS.items()
    }
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    for number in range(options.rounds):
        for network, variants in samples.items():
            for variant, taken in variants.items():
                command = [sys.executable, "-m", "benchmarks.steps", "--only", network, variant]
                run = subprocess.run(
                    command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True
                )
                taken.append(json.loads(run.stdout.splitlines()[-1]))
                print(f"round {number + 1}: {network}, {variant}: {taken[-1]:.2f} ms", flush=True)
    for network, variants in samples.items():
        first = statistics.median(variants["keras"])
        for variant, taken in variants.items():
            median = statistics.median(taken)
            print(f"{network:8} {variant:10} {median:7.2f} ms   {first / median:.2f}")
    write_results(options.out, {"machine": describe(), "samples": samples})


if __name__ == "__main__":
    main()

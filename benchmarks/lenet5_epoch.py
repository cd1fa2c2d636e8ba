"""One LeNet-5 epoch on MNIST: modelzoo against a plain Keras script, in turn, in one run.

    python benchmarks/lenet5_epoch.py [--rounds 3] [--epochs 4]

Both train the same 55,000 images in batches of 128 with Adadelta 1.0 and score the same number of
validation images after each epoch; each round starts a new process for each. The first epoch of a
process, which compiles, is left out of the medians. Needs mnist.npz in $MODELZOO_DATA.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def plain_keras(epochs: int) -> list[float]:
    """Train as a tutorial would: float arrays, one-hot labels, `model.fit`."""
    import keras
    import numpy as np
    from keras import layers

    with np.load(Path(os.environ["MODELZOO_DATA"]) / "mnist.npz") as data:
        x, y = data["x_train"], data["y_train"]
    x = x.reshape(-1, 28, 28, 1).astype("float32") / 255
    y = keras.utils.to_categorical(y, 10)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="sigmoid"),
            layers.Dense(84, activation="sigmoid"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adadelta(1.0)
    model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    ends = [time.perf_counter()]

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            ends.append(time.perf_counter())

    validation = (x[55_000:], y[55_000:])
    model.fit(
        x[:55_000],
        y[:55_000],
        batch_size=128,
        epochs=epochs,
        validation_data=validation,
        callbacks=[Clock()],
        verbose=0,
    )
    return [after - before for before, after in itertools.pairwise(ends)]


def packaged(epochs: int) -> list[float]:
    """Train with the packaged configuration."""
    from modelzoo import Trainer, load_config

    config = load_config("lenet5", dataset="mnist", overrides=[f"fit.epochs={epochs}"])
    with tempfile.TemporaryDirectory() as folder:
        run = Trainer(config, device="cpu", out=Path(folder) / "run").fit()
        if run.metrics["dataset"] != "mnist":
            sys.exit("needs mnist.npz in $MODELZOO_DATA")
        return [float(seconds) for seconds in run.history["seconds"]]


CONTESTANTS = {"plain Keras": plain_keras, "modelzoo": packaged}


def main() -> None:
    """Run the contestants in turn and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--only", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(CONTESTANTS[options.only](options.epochs)))
        return
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for number in range(options.rounds):
        for name in CONTESTANTS:
            command = [sys.executable, __file__, "--only", name, "--epochs", str(options.epochs)]
            output = subprocess.run(
                command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ).stdout
            times = json.loads(output.splitlines()[-1])[1:]
            seconds[name] += times
            print(f"round {number + 1}: {name}: {', '.join(f'{each:.2f}' for each in times)} s")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    for name, median in medians.items():
        count = len(seconds[name])
        print(f"{name}: median {median:.2f} s an epoch ({count} epochs)")
    print(f"plain Keras / modelzoo: {medians['plain Keras'] / medians['modelzoo']:.2f}")


if __name__ == "__main__":
    main()

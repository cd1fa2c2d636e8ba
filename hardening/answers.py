"""Random networks give the same answers everywhere, trained in one piece or resumed.

python -m hardening.answers --count 300 --seed 0

A case is a network with random arguments of one of the builders. What Keras computes of it on
TensorFlow is compared with NumPy, Keras on JAX, and its ONNX and LiteRT files; what `info` says of
its shapes and parameters, with the Keras model; its weights, with what is read from their file; and
the state of a training that was resumed, with that of one in a single piece. What differs by more
than 1e-4, of the largest value where that is above 1, is wrong.
"""

import argparse
import contextlib
import functools
import io
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hardening.cases import Outcome, add_options, run

TOLERANCE = 1e-4
AT_ONCE = 25  # cases for a process: frameworks keep something of every network
Gaps = dict[str, float | str]  # by comparison, the difference or what went wrong
RECIPE: dict[str, Any] = {
    "data": {
        "dataset": "drawn",
        "batch_size": 8,
        "validation_split": 8,
        "label_mode": "categorical",
    },
    "compile": {
        "optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.001}},
        "loss": "mean_squared_error",
    },
    "fit": {"epochs": 2},
}


def main() -> int:
    """Compare the networks that were asked for; return 1 if an answer differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser)
    options = parser.parse_args()
    return run("answers", options, functools.partial(compare, options.seed))


def compare(seed: int, numbers: Iterable[int]) -> Iterator[tuple[int, Outcome]]:
    """Yield what came of each network; TensorFlow and JAX have a process each."""
    context = multiprocessing.get_context("spawn")
    pools = [ProcessPoolExecutor(1, context, max_tasks_per_child=AT_ONCE) for _ in range(2)]
    with pools[0] as tensorflow, pools[1] as jax:
        for number in numbers:
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="answers-") as folder:
                builder, gaps = tensorflow.submit(
                    on_tensorflow, seed, number, Path(folder)
                ).result()
                gaps |= jax.submit(on_jax, Path(folder)).result()
            bad = {k: v for k, v in gaps.items() if isinstance(v, str) or not v <= TOLERANCE}
            text = f"{builder}: {bad}" if bad else f"{builder}: {max(gaps.values()):.1e}"
            seconds = time.monotonic() - began
            yield number, Outcome("WRONG" if bad else "ok", text, seconds)


def on_tensorflow(seed: int, number: int, folder: Path) -> tuple[str, Gaps]:
    """Write a network, weights and data into a folder, and compare all but JAX."""
    os.environ["MODELZOO_DATA"] = str(folder)
    from modelzoo import export, load_config
    from modelzoo.training.device import start_framework
    from modelzoo.training.engine import KerasEngine, NumPyEngine, start_engine
    from modelzoo.training.prepare import build_network
    from modelzoo.training.resolve import resolve
    from modelzoo.weights.reader import save_weights
    from tests.random_networks import DRAWN, check_against_keras, draw_weights, random_arguments

    start_framework("tensorflow", "cpu")
    import keras

    keras.backend.clear_session()
    builder = sorted(DRAWN)[number % len(DRAWN)]
    chance = random.Random(f"{seed} answers {number}")
    while (arguments := random_arguments(builder, chance))["input_shape"][2] == 2:
        pass  # images are grey or have colours
    config_file, weights = folder / "drawn.yaml", folder / "drawn.weights.h5"
    config_file.write_text(yaml.safe_dump(RECIPE | {"model": {"builder": builder, **arguments}}))
    images = write_data(folder, arguments["input_shape"], arguments["num_classes"])
    config = load_config(config_file)
    model = build_network(config)
    draw_weights(model, np.random.default_rng(number))
    save_weights(model, weights)
    source = resolve(config_file, weights)
    expected = KerasEngine(source, "cpu").predict(images)
    np.save(folder / "expected.npy", expected)

    def computed() -> float:
        engine = start_engine(source)
        assert isinstance(engine, NumPyEngine), "NumPy does not compute it"
        return gap(engine.predict(images), expected)

    def read() -> float:
        pairs = zip(source.build().get_weights(), model.get_weights(), strict=True)
        return float(np.max([0.0, *(gap(found, wanted) for found, wanted in pairs)]))

    def exported(form: str) -> float:
        return export(config_file, weights, format=form, out=folder).difference  # type: ignore[arg-type]

    return builder, {
        "info": attempt(lambda: check_against_keras(config.network, model)),
        "NumPy": attempt(computed),
        "save and load": attempt(read),
        "ONNX": attempt(lambda: exported("onnx")),
        "LiteRT": attempt(lambda: exported("litert")),
        "resumed": attempt(lambda: resumed(config, folder)),
    }


def on_jax(folder: Path) -> Gaps:
    """Compare what JAX computes of a network with what TensorFlow did."""
    os.environ["MODELZOO_DATA"] = str(folder)
    from modelzoo.training.engine import KerasEngine
    from modelzoo.training.resolve import resolve

    def computed() -> float:
        overrides = ["trainer.backend=jax"]
        source = resolve(folder / "drawn.yaml", folder / "drawn.weights.h5", overrides=overrides)
        with np.load(folder / "drawn.npz") as data:
            images = data["x_test"]
        return gap(KerasEngine(source, "cpu").predict(images), np.load(folder / "expected.npy"))

    return {"JAX": attempt(computed)}


def resumed(config: Any, folder: Path) -> float:
    """Return by how much the state of a resumed training differs from an undisturbed one's."""
    from modelzoo import Trainer, resume
    from modelzoo.training.run_folder import RunFolder

    whole, cut = folder / "whole", folder / "cut"
    Trainer(config, device="cpu", out=whole).fit()
    once = config.with_values({"fit": {"epochs": 1}}, "answers")
    Trainer(once, device="cpu", out=cut).fit()
    resume(cut, epochs=2, device="cpu")
    found, expected = (RunFolder(each).load_state()[0] for each in (cut, whole))
    return float(np.max([gap(*pair) for pair in zip(found, expected, strict=True)]))


def write_data(folder: Path, shape: list[int], classes: int) -> np.ndarray:
    """Write the data set `drawn`, and return its test images: uint8, (12, height, width, maps)."""
    images = np.random.default_rng(0).integers(0, 256, (36, *shape), np.uint8)
    labels = np.arange(36) % classes
    parts = {"x_train": images[:24], "y_train": labels[:24], "x_test": images[24:]}
    np.savez(folder / "drawn.npz", y_test=labels[24:], **parts)
    return images[24:]


def attempt(check: Callable[[], float | None]) -> float | str:
    """Return the difference that a comparison found, or what went wrong."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return check() or 0.0
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:500]


def gap(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference; of large values, as a share of the largest."""
    if found.shape != expected.shape:
        return float("inf")
    if not found.size:
        return 0.0
    found, expected = found.astype("float64"), expected.astype("float64")
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


if __name__ == "__main__":
    sys.exit(main())

"""Run an exported file with the runtime of its format, and compare it with the network."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict

from modelzoo.config import Config
from modelzoo.data.datasets import load_dataset, takes_image_options
from modelzoo.support.environment import without_network
from modelzoo.support.errors import InputError
from modelzoo.training.device import quiet_stderr
from modelzoo.training.prepare import scale_images

IMAGES = 100
TOLERANCE = 1e-4  # of a probability; of a score, as a share of the largest


def find_pictures(config: Config) -> tuple[str, np.ndarray]:
    """Return what to check a file on, in words, and the pictures: uint8, (100, h, w, c).

    They are test images of the configuration's data set if it is on this machine, else of mnist5k,
    which comes with this package. Nothing is fetched for them.
    """
    name, shape = config.data.dataset, config.image_shape
    options = asdict(config.image) if takes_image_options(name) else {}
    try:
        with without_network():
            images = load_dataset(name, image_shape=shape, **options).x_test
    except InputError:
        name = "mnist5k"
        images = load_dataset(name, image_shape=shape).x_test
    # From all over the set: a folder's are in the order of their classes.
    chosen = np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(int))
    return f"{len(chosen)} test images of {name}", images[chosen]


def as_input(config: Config, pictures: np.ndarray, *, scaled: bool) -> np.ndarray:
    """Return the pictures as the file takes them: float32."""
    return scale_images(config, pictures) if scaled else pictures.astype("float32")


def largest_difference(found: np.ndarray, expected: np.ndarray, output: str) -> float:
    """Return the largest difference; of scores, as a share of the largest score."""
    if found.shape != expected.shape:
        return float("inf")
    scale = 1.0 if output == "probabilities" else float(np.abs(expected).max())
    return float(np.abs(found - expected).max() / scale)


def run_onnx(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Return what ONNX Runtime answers."""
    # It would report to its maker, and keep a number of this machine in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return _in_batches(lambda batch: session.run([output], {source: batch})[0], images)


def run_saved_model(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Return what TensorFlow answers, by the signature that TensorFlow Serving uses."""
    import tensorflow as tf

    signature = tf.saved_model.load(path).signatures["serving_default"]
    return _in_batches(lambda batch: signature(**{source: tf.constant(batch)})[output], images)


def run_litert(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Return what the LiteRT interpreter answers."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        runner = Interpreter(model_path=str(path)).get_signature_runner()
        return _in_batches(lambda batch: runner(**{source: batch})[output], images)


def _in_batches(answer: Callable[[np.ndarray], Any], images: np.ndarray) -> np.ndarray:
    """Run one picture, then the others together: the size of a batch is free."""
    return np.concatenate(
        [np.asarray(answer(batch)) for batch in np.split(images, [1]) if len(batch)]
    )


RUNNERS: dict[str, Callable[[Path, str, str, np.ndarray], np.ndarray]] = {
    "onnx": run_onnx,
    "saved_model": run_saved_model,
    "litert": run_litert,
}

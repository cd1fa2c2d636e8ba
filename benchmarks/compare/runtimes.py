"""ONNX Runtime and LiteRT on the files that `modelzoo export` writes; writing them is not timed."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare import plain_data

Settings = dict[str, Any]
Run = Callable[[np.ndarray], np.ndarray]  # from images in 0..255 (n, 28, 28, 1) to probabilities


def opened(name: str) -> Run:
    """Export LeNet-5 with its published weights, and return what runs the file."""
    import modelzoo

    with tempfile.TemporaryDirectory() as folder:
        form = {"onnxruntime": "onnx"}.get(name, name)
        path = Path(modelzoo.export("lenet5", "mnist", format=form, out=folder).path)
        if name == "onnxruntime":
            import onnxruntime

            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            return lambda images: session.run(["probabilities"], {"pictures": images})[0]
        from ai_edge_litert.interpreter import Interpreter

        content = path.read_bytes()
    runner = Interpreter(model_content=content, num_threads=2).get_signature_runner()
    return lambda images: runner(pictures=images)["probabilities"]


def latency(settings: Settings) -> dict[str, Any]:
    """Milliseconds from one uint8 image to its probabilities in NumPy."""
    _, (x_test, _) = plain_data.load("mnist")
    run, samples = opened(settings["contestant"]), []
    for picture in x_test[: settings["warm_up"] + settings["calls"]]:
        began = time.perf_counter()
        outputs = run(picture.reshape(1, 28, 28, 1).astype("float32"))
        samples.append(1000 * (time.perf_counter() - began))
    assert outputs.shape == (1, 10)
    return {"samples": samples[settings["warm_up"] :], "facts": {}}


def lenet5_evaluate(settings: Settings) -> dict[str, Any]:
    """Seconds to score the test set, network and images being loaded."""
    _, (x_test, y_test) = plain_data.load("mnist")
    run = opened(settings["contestant"])
    images, labels = x_test.reshape(-1, 28, 28, 1).astype("float32"), y_test.reshape(-1)
    began = time.perf_counter()
    outputs = np.concatenate([run(part) for part in np.split(images, 10)])
    right = outputs[np.arange(len(labels)), labels]
    facts = {
        "test_loss": float(-np.log(np.maximum(right, 1e-7)).mean()),
        "test_accuracy": float((outputs.argmax(axis=1) == labels).mean()),
    }
    return {"samples": [time.perf_counter() - began], "facts": facts}

"""The three formats: how a file of each is written, and how its own runtime runs it.

Not by `keras.Model.export`: its SavedModel (Keras 3.15) would store every weight twice; its ONNX
leaves the convolutions in groups as functions that ONNX can't call; and its LiteRT, which Keras
3.12 lacks, allows operations of TensorFlow's own, which a plain interpreter does not run.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modelzoo.support.files import write_text
from modelzoo.training.device import quiet_stderr

if TYPE_CHECKING:
    import keras

Facts = dict[str, Any]


class Format(NamedTuple):
    """A format: its suffix, what it needs beside TensorFlow, and how it is written and run.

    `write` takes a network with a named input, the name of its output, a path, and what the file
    shall say of itself; `run` takes a path, the names of input and output, and images.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[keras.Model, str, Path, Facts], None]
    run: Callable[[Path, str, str, np.ndarray], np.ndarray]


def write_saved_model(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a TensorFlow SavedModel; the facts stand in its folder `assets.extra`."""
    _save(network, output, path)
    (path / "assets.extra").mkdir()  # where the format keeps what is not TensorFlow's
    write_text(path / "assets.extra" / "modelzoo.json", _as_json(facts))


def run_saved_model(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Run it by the signature that TensorFlow Serving uses."""
    import tensorflow as tf

    signature = tf.saved_model.load(path).signatures["serving_default"]
    return _in_batches(lambda batch: signature(**{source: tf.constant(batch)})[output], images)


def write_onnx(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write an ONNX file; the facts are its `metadata_props`, lists in JSON."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # or convolutions in groups become inner functions
    try:
        with warnings.catch_warnings(), quiet_stderr():
            warnings.simplefilter("ignore")
            answer = _as_function(network, output)
            model, _ = tf2onnx.convert.from_function(answer, answer.input_signature)
    finally:
        tf.config.run_functions_eagerly(eagerly)
    for each in (*model.graph.input, *model.graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "batch"  # tf2onnx calls it unk__44
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, path)


def run_onnx(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Run it with ONNX Runtime."""
    # It would report to its maker, and keep a number of this machine in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return _in_batches(lambda batch: session.run([output], {source: batch})[0], images)


def write_litert(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a .tflite file, with the facts in a JSON file beside it."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory(dir=path.parent) as folder, quiet_stderr():
        _save(network, output, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
    write_text(path.with_name(f"{path.name}.json"), _as_json(facts))


def run_litert(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Run it with the LiteRT interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        runner = Interpreter(model_path=str(path)).get_signature_runner()
        return _in_batches(lambda batch: runner(**{source: batch})[output], images)


FORMATS = {
    "onnx": Format(".onnx", ("tf2onnx", "onnx", "onnxruntime"), write_onnx, run_onnx),
    "saved_model": Format(".saved_model", (), write_saved_model, run_saved_model),
    "litert": Format(".tflite", ("ai_edge_litert",), write_litert, run_litert),
}


def _in_batches(answer: Callable[[np.ndarray], Any], images: np.ndarray) -> np.ndarray:
    """Run one image, then the others together: the size of a batch is free."""
    batches = (batch for batch in np.split(images, [1]) if len(batch))
    return np.concatenate([np.asarray(answer(batch)) for batch in batches])


def _as_function(network: keras.Model, output: str) -> Any:
    """Return the network as a tf.function, its input and its output named."""
    import tensorflow as tf

    shape, name = (None, *network.input_shape[1:]), network.input.name
    return tf.function(
        lambda given: {output: network(given, training=False)},
        input_signature=[tf.TensorSpec(shape, tf.float32, name=name)],
    )


def _save(network: keras.Model, output: str, path: Path) -> None:
    """Write the network as a SavedModel with one signature."""
    import tensorflow as tf

    module = tf.Module()
    module.variables_of_the_network = [variable.value for variable in network.variables]
    signatures = {"serving_default": _as_function(network, output).get_concrete_function()}
    with quiet_stderr():
        tf.saved_model.save(module, str(path), signatures=signatures)


def _as_json(facts: Facts) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"

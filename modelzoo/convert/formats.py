"""The formats that `export` writes: how a Keras network becomes a file, and how that is opened."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modelzoo.convert.c_source import read_c_source, write_c_source
from modelzoo.convert.quantizing import quantities, to_integers
from modelzoo.support.files import write_text

if TYPE_CHECKING:
    import keras

Facts = dict[str, Any]


class Format(NamedTuple):
    """A format: its suffix, what it needs beside TensorFlow, and how it is written and opened.

    `write` takes a network with a named input, the name of its output, a path, and what the file
    shall say of itself; `open` a path and the names of input and output, and returns a function of
    a batch of images.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[..., None]
    open: Callable[[Path, str, str], Callable[[np.ndarray], Any]]


def write_saved_model(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a TensorFlow SavedModel; the facts stand in its folder `assets.extra`."""
    _save(network, output, path)
    (path / "assets.extra").mkdir()  # where the format keeps what is not TensorFlow's
    _write_facts(path / "assets.extra" / "modelzoo.json", facts)


def open_saved_model(path: Path, source: str, output: str) -> Callable[[np.ndarray], Any]:
    """Open it by the signature that TensorFlow Serving uses."""
    import tensorflow as tf

    signature = tf.saved_model.load(path).signatures["serving_default"]
    return lambda batch: signature(**{source: tf.constant(batch)})[output]


def write_onnx(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write an ONNX file; the facts are its `metadata_props`, lists in JSON."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # or convolutions in groups become inner functions
    try:
        with warnings.catch_warnings():
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


def open_onnx(path: Path, source: str, output: str) -> Callable[[np.ndarray], Any]:
    # It would report to its maker, and keep a number of this machine in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: session.run([output], {source: batch})[0]


def write_litert(
    network: keras.Model,
    output: str,
    path: Path,
    facts: Facts,
    calibration: np.ndarray | None = None,
) -> None:
    """Write a .tflite file, with the facts in a JSON file beside it.

    With `calibration`, images as the network takes them, it computes in integers, one image at a
    time: a free batch would be computed in the graph, which costs a microcontroller operations.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        _save(network, output, Path(folder), batch=None if calibration is None else 1)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if calibration is not None:
            to_integers(converter, calibration)
        path.write_bytes(converter.convert())
    if calibration is not None:
        facts |= quantities(path, facts)
    _write_facts(path.with_name(f"{path.name}.json"), facts)


def open_litert(path: Path, source: str, output: str) -> Callable[[np.ndarray], Any]:
    return _runner(path.read_bytes(), source, output)


def write_c_array(
    network: keras.Model,
    output: str,
    path: Path,
    facts: Facts,
    calibration: np.ndarray | None = None,
) -> None:
    """Write a .tflite file with its facts, and the same bytes as a C source with its header."""
    model = path.with_suffix(".tflite")
    write_litert(network, output, model, facts, calibration)
    write_c_source(path, model.read_bytes(), facts)


def open_c_array(path: Path, source: str, output: str) -> Callable[[np.ndarray], Any]:
    return _runner(read_c_source(path), source, output)


def _runner(content: bytes, source: str, output: str) -> Callable[[np.ndarray], Any]:
    """Run a LiteRT file; one of integers gets and gives the numbers that they stand for."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=content).get_signature_runner()
    scale, zero = runner.get_input_details()[source]["quantization"]
    if not scale:  # float32
        return lambda batch: runner(**{source: batch})[output]
    out_scale, out_zero = runner.get_output_details()[output]["quantization"]

    def answer(batch: np.ndarray) -> np.ndarray:
        stored = np.clip(np.rint(batch / scale) + zero, 0, 255).astype("uint8")
        found = [runner(**{source: image[np.newaxis]})[output] for image in stored]
        return np.float32(out_scale) * (np.concatenate(found).astype("float32") - out_zero)

    return answer


def size_in_floats(network: keras.Model, output: str) -> int:
    """Return the bytes of a LiteRT file of the network in float32."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float32.tflite"
        write_litert(network, output, path, {})
        return path.stat().st_size


FORMATS = {
    "onnx": Format(".onnx", ("tf2onnx", "onnx", "onnxruntime"), write_onnx, open_onnx),
    "saved_model": Format(".saved_model", (), write_saved_model, open_saved_model),
    "litert": Format(".tflite", ("ai_edge_litert",), write_litert, open_litert),
    "c_array": Format(".c", ("ai_edge_litert",), write_c_array, open_c_array),
}


def _as_function(network: keras.Model, output: str, batch: int | None = None) -> Any:
    """Return the network as a tf.function, its input and its output named."""
    import tensorflow as tf

    shape, name = (batch, *network.input_shape[1:]), network.input.name
    return tf.function(
        lambda given: {output: network(given, training=False)},
        input_signature=[tf.TensorSpec(shape, tf.float32, name=name)],
    )


def _save(network: keras.Model, output: str, path: Path, batch: int | None = None) -> None:
    """Write the network as a SavedModel with one signature."""
    import tensorflow as tf

    module = tf.Module()
    module.variables_of_the_network = [variable.value for variable in network.variables]
    answer = _as_function(network, output, batch).get_concrete_function()
    tf.saved_model.save(module, str(path), signatures={"serving_default": answer})


def _write_facts(path: Path, facts: Facts) -> None:
    write_text(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")

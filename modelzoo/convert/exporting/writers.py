"""The three writers. Importing this starts the framework."""

import contextlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from modelzoo.analysis.explain import on_pictures
from modelzoo.config import Config
from modelzoo.support.files import write_text
from modelzoo.training.device import quiet_stderr

Facts = dict[str, Any]


def with_named_input(config: Config, network: keras.Model, *, scaled: bool) -> keras.Model:
    """Return the network as it is exported: its input is `pictures`, or `scaled_pictures`."""
    if not scaled:
        return on_pictures(network, config)
    prepared = keras.Input(network.input_shape[1:], name="scaled_pictures", dtype="float32")
    return keras.Model(prepared, network(prepared), name=network.name)


def write_saved_model(wrapped: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a TensorFlow SavedModel; the facts stand in its folder `assets.extra`."""
    _save(wrapped, output, path)
    (path / "assets.extra").mkdir()  # where the format keeps what is not TensorFlow's
    write_text(path / "assets.extra" / "modelzoo.json", _as_json(facts))


def write_onnx(wrapped: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write an ONNX file; the facts are its `metadata_props`, lists in JSON.

    Not by `keras.Model.export`, which leaves the convolutions in groups as functions that ONNX
    can't call.
    """
    import onnx
    import tf2onnx

    with warnings.catch_warnings(), quiet_stderr(), _functions_in_place():
        warnings.simplefilter("ignore")
        answer = _as_function(wrapped, output)
        model, _ = tf2onnx.convert.from_function(answer, answer.input_signature)
    for each in (*model.graph.input, *model.graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "batch"  # tf2onnx calls it unk__44
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, path)


def write_litert(wrapped: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a .tflite file with a JSON file beside it.

    Not by `keras.Model.export`: Keras 3.12 has no LiteRT there, and later ones allow operations of
    TensorFlow's own, which a plain LiteRT interpreter does not run.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory(dir=path.parent) as folder, quiet_stderr():
        _save(wrapped, output, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
    write_text(sidecar(path), _as_json(facts))


def sidecar(path: Path) -> Path:
    """Where the facts of a LiteRT file stand."""
    return path.with_name(f"{path.name}.json")


@contextlib.contextmanager
def _functions_in_place() -> Iterator[None]:
    """Trace inner functions as part of the graph: ONNX can't call them.

    Keras puts a convolution in groups into a function that XLA compiles.
    """
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _as_function(wrapped: keras.Model, output: str) -> Any:
    """Return the network as a tf.function, its input and its output named."""
    import tensorflow as tf

    shape, name = (None, *wrapped.input_shape[1:]), wrapped.input.name
    return tf.function(
        lambda given: {output: wrapped(given, training=False)},
        input_signature=[tf.TensorSpec(shape, tf.float32, name=name)],
    )


def _save(wrapped: keras.Model, output: str, path: Path) -> None:
    """Write the network as a SavedModel with one signature.

    `keras.Model.export` (Keras 3.15) would store every weight twice.
    """
    import tensorflow as tf

    module = tf.Module()
    module.variables_of_the_network = [variable.value for variable in wrapped.variables]
    signatures = {"serving_default": _as_function(wrapped, output).get_concrete_function()}
    with quiet_stderr():
        tf.saved_model.save(module, str(path), signatures=signatures)


def _as_json(facts: Facts) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


WRITERS: dict[str, Callable[[keras.Model, str, Path, Facts], None]] = {
    "onnx": write_onnx,
    "saved_model": write_saved_model,
    "litert": write_litert,
}

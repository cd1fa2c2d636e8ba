"""What computes an answer: NumPy, with Keras' numbers, unless a framework has to."""

from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import cli
from modelzoo.api import evaluate
from modelzoo.config import list_models, load_config
from modelzoo.data.datasets import data_folder, load_dataset
from modelzoo.networks import keras_objects
from modelzoo.training.engine import KerasEngine, NumPyEngine, _loss, start_engine
from modelzoo.training.resolve import resolve
from modelzoo.training.trainer import Trainer

PUBLISHED = {
    each.sha256: f"{model}/{each.name}"
    for model in list_models()
    for each in load_config(model).weights
    if "package" in each.sources
}
LOSSES = [
    "sparse_categorical_crossentropy",
    {"class_name": "SparseCategoricalCrossentropy"},
    "categorical_crossentropy",
    {"class_name": "CategoricalCrossentropy", "config": {"label_smoothing": 0.1}},
    {"class_name": "MAPCriterion", "config": {"j": 10.0}},
    "MAPCriterion",
    "BipolarMeanSquaredError",
]


def real_images(shape: tuple[int, int, int], count: int = 1000) -> np.ndarray:
    """Real digits, and photographs where the data folder has any; in the shape of a network."""
    photographs = (data_folder() / "cifar10_jpeg75.npz").is_file()
    colour = "cifar10_jpeg75" if photographs else "shapes"
    data = load_dataset("mnist5k" if shape[2] == 1 else colour, image_shape=shape)
    return np.asarray(data.x_test[:count])


@pytest.mark.parametrize("name", sorted(PUBLISHED.values()))
def test_published_weights_answer_as_in_keras(name: str) -> None:
    """Whatever the size of the batch."""
    source = resolve(name)
    engine = start_engine(source)
    assert isinstance(engine, NumPyEngine)
    images = real_images(source.config.image_shape)
    found = engine.predict(images)
    wanted = KerasEngine(source, "cpu").predict(images[:200])
    assert found.dtype == wanted.dtype == "float32"
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found[:200], wanted, atol=1e-5 * scale)
    for size in (1, 7):
        np.testing.assert_allclose(engine.predict(images[:size]), found[:size], atol=1e-5 * scale)


@pytest.mark.parametrize("spec", LOSSES, ids=str)
def test_losses_are_keras_own(spec: object) -> None:
    """Those that take a softmax, and those that take scores.

    Called by themselves, those of Keras cut off probabilities below 1e-7.
    """
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 3, (50, 10)).astype("float32")
    labels = generator.integers(0, 10, 50)
    softmax = "rossentropy" in str(spec)
    loss = _loss(spec, softmax)  # type: ignore[arg-type]
    outputs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True) if softmax else scores
    targets = labels if "parse" in str(spec) else np.eye(10, dtype="float32")[labels]
    made = keras_objects.make("loss", spec, "compile.loss")
    made = made if callable(made) else keras_objects.keras.losses.get(made)
    wanted = float(np.mean(made(targets, outputs)))
    assert loss is not None and loss(scores, labels) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("spec", ["hinge", "mean_squared_error", *LOSSES[-3:]], ids=str)
def test_other_losses_are_left_to_keras(spec: object) -> None:
    """So are those of scores, where a network ends in a softmax."""
    assert _loss(spec, softmax=True) is None  # type: ignore[arg-type]


def test_scores_are_those_of_a_framework(capsys: pytest.CaptureFixture[str]) -> None:
    """And `--backend` asks for one; each says what computed."""
    rows = []
    for asked in ([], ["--backend", "tensorflow"]):
        command = ["evaluate", "--model", "lenet5", "--dataset", "mnist5k", *asked]
        assert cli.main(command) == 0
        rows.append(capsys.readouterr().out.splitlines()[-1])
    assert "(NumPy " in rows[0] and "(tensorflow on cpu" in rows[1]
    assert rows[0].partition(", ")[0] == rows[1].partition(", ")[0]  # the accuracy
    one, other = (float(row.partition("loss ")[2][:6]) for row in rows)
    assert one == pytest.approx(other, abs=1e-4)


def test_what_numpy_lacks_is_left_to_keras() -> None:
    """Before the network; and so are other precisions, and a split that is drawn."""
    source = resolve("lenet5")
    changes = {"data": {"preprocessing": [{"class_name": "Equalization", "config": {}}]}}
    other = source.config.with_values(changes, "a test", asked=False)
    engine = start_engine(type(source)(other, source.weights, "lenet5"))
    assert isinstance(engine, KerasEngine)
    half = load_config("mlp", overrides=["trainer.precision=mixed_bfloat16"])
    assert isinstance(start_engine(type(source)(half, resolve("mlp").weights, "mlp")), KerasEngine)
    found = evaluate(load_config("lenet5", dataset="mnist5k"), split="validation")
    assert found.engine.startswith("tensorflow on cpu")


def test_an_old_run_is_computed_too(tmp_path: Path) -> None:
    """Weights of a run, matched without Keras."""
    config = load_config("mlp", dataset="mnist5k", overrides=["fit.epochs=1"])
    run = Trainer(config, device="cpu", out=tmp_path / "run").fit()
    found = evaluate(tmp_path / "run", notify=lambda notice: None)
    assert found.engine.startswith("NumPy")
    assert found.scores.accuracy == run.metrics["test_accuracy"]
    assert found.scores.loss == pytest.approx(run.metrics["test_loss"], rel=1e-4)


def test_a_network_is_loaded_without_keras():
    network = modelzoo.load("lenet5/mnist", engine="numpy")
    images = modelzoo.preprocess("lenet5", real_images((28, 28, 1), 5))
    outputs = network.predict(images)
    kept = dict(network.features(images))
    assert kept["C1"].shape == (5, 24, 24, 6) and np.array_equal(kept["output"], outputs)
    wanted = modelzoo.load("lenet5/mnist").predict(images, verbose=0)
    np.testing.assert_allclose(outputs, wanted, atol=1e-5)

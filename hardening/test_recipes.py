"""Whole trainings on real digits: published recipes, and the other backends."""

import json
import subprocess
import sys

import pytest

from modelzoo.data import datasets


def train(*arguments: str) -> dict:
    """Train in a process of its own, and return its metrics."""
    command = [sys.executable, "-m", "train", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_tutorial_s_recipe_reaches_its_accuracy(tmp_path):
    """Adadelta 1.0, batch 128, 12 epochs on the real MNIST: the tutorial reports 0.9871."""
    if not (datasets.data_folder() / "mnist.npz").is_file():
        pytest.skip("needs mnist.npz in $MODELZOO_DATA")
    metrics = train("--model", "lenet5", "--out", str(tmp_path / "run"))
    assert metrics["dataset"] == "mnist" and metrics["test_images"] == 10_000
    assert metrics["test_accuracy"] >= 0.985


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_train_as_tensorflow_does(tmp_path, backend):
    """JAX or PyTorch through Keras does not run, or learns something else in the same epochs."""
    pytest.importorskip(backend)
    options = ["--model", "lenet5", "--dataset", "mnist5k", "--epochs", "6"]
    ours = train(*options, "--out", str(tmp_path / "tensorflow"))
    other = train(*options, "--backend", backend, "--out", str(tmp_path / backend))
    assert other["backend"] == backend
    assert abs(other["val_accuracy"] - ours["val_accuracy"]) < 0.05
    assert other["test_accuracy"] > 0.85

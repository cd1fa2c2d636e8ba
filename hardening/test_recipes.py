"""Recipes and weights that are published give their accuracies, on any backend, on real data."""

import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_registry import PUBLISHED

import reproduce
from modelzoo import cli
from modelzoo.data import datasets


def train(*arguments: str) -> dict:
    """Train in a process of its own, and return its metrics."""
    command = [sys.executable, "-m", "train", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("place", range(3))
def test_the_cheapest_recipes_give_their_published_figures(place, tmp_path):
    """A fresh run of a seed: the same digits on the same processor with the same versions.

    Elsewhere sums are rounded in another order. The accuracy may then differ by one standard
    deviation: that of the recipe's seeds or, where it is larger or there is one seed, that of a
    share of so many test images, below which no difference can be told from chance.
    """
    recipe = reproduce.recipes()[place]
    published = recipe.kept[0].metrics
    data = recipe.config.data.dataset
    if not reproduce.is_here(data):
        pytest.skip(f"needs {data} in MODELZOO_DATA")
    assert reproduce.train(recipe, published["seed"], tmp_path / "run") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    versions = [
        {name: each["versions"][name] for name in ("keras", "tensorflow", "numpy")}
        for each in (metrics, published)
    ]
    same = all(metrics[key] == published.get(key) for key in ("device", "arithmetic"))
    if same and versions[0] == versions[1]:
        for key in ("test_accuracy", "test_loss", "val_accuracy", "train_loss"):
            assert metrics[key] == published[key], key
    accuracies = [each.metrics["test_accuracy"] for each in recipe.kept]
    share, count = published["test_accuracy"], published["test_images"]
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0
    tolerance = max(spread, math.sqrt(share * (1 - share) / count))
    assert abs(metrics["test_accuracy"] - share) <= tolerance


def test_the_command_and_python_train_the_same(tmp_path):
    """To the last digit: threads or shares of a batch depend on who calls."""
    code = (
        "import sys, modelzoo\n"
        "config = modelzoo.load_config('lenet5', dataset='mnist5k', overrides=['fit.epochs=2'])\n"
        "modelzoo.Trainer(config, device='cpu', out=sys.argv[1]).fit()\n"
    )
    told, called = tmp_path / "command", tmp_path / "python"
    words = ["--model", "lenet5", "--dataset", "mnist5k", "--epochs", "2", "--device", "cpu"]
    train(*words, "--out", str(told))
    subprocess.run([sys.executable, "-c", code, str(called)], check=True)
    first, second = (pd.read_csv(folder / "history.csv") for folder in (told, called))
    pd.testing.assert_frame_equal(first.drop(columns="seconds"), second.drop(columns="seconds"))
    weights = [folder.joinpath("best.weights.h5").read_bytes() for folder in (told, called)]
    assert weights[0] == weights[1]


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


@pytest.mark.parametrize("model", ["alexnet_2012", "alexnet_owt"])
def test_a_recipe_runs_from_pictures_to_ten_crops(
    model: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """Its optimizer, callbacks, metrics and layers fit together, in a network with fewer maps."""
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for label in range(6):
            folder = tmp_path / "imagenet" / split / f"n{label:08}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (60, 80, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.jpg")
    settings = ("model.conv_maps=[8, 12, 16, 16, 12]", "model.dense_units=[24, 20]",
                "data.validation_split=6", "data.batch_size=9")  # fmt: skip
    command = ["--device", "cpu", "--json"]
    overrides = [part for text in settings for part in ("--set", text)]
    train = ["train", "--model", model, "--epochs", "1", "--out", "run", *overrides]
    assert cli.main([*train, *command]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["dataset"] == "imagenet" and metrics["epochs"] == 1
    assert "top5_accuracy" in Path("run/history.csv").read_text().splitlines()[0]
    assert cli.main(["evaluate", "--model", "run", "--crops", "10", *command]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["crops"]) == (12, 10)
    assert 0 <= found["accuracy"] <= found["top5_accuracy"] <= 1


@pytest.mark.parametrize(
    ("model", "entry"), PUBLISHED, ids=lambda each: getattr(each, "name", each)
)
def test_published_scores_hold(model: str, entry: Any, capsys: Any) -> None:
    """What we publish is measured again, where the weights and the data are at hand."""
    if "package" not in entry.sources:
        pytest.skip("not shipped in the package")
    if not (datasets.data_folder() / f"{entry.scores.dataset}.npz").is_file():
        pytest.skip(f"needs {entry.scores.dataset} in MODELZOO_DATA")
    command = ["evaluate", "--model", model, "--weights", entry.name, "--check", "--json"]
    code = cli.main([*command, "--split", entry.scores.split])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert json.loads(out)["published_accuracy"] == entry.scores.accuracy

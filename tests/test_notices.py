"""What a training says of its data and of its outcome, and the weights that balance classes."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from modelzoo import Trainer, load_config, resume
from modelzoo.training.prepare import class_weights
from modelzoo.training.results import notices_on_classes, notices_on_history

TEN = np.arange(1000) % 10  # labels of which a tenth is of each class
SMALL = ["data.batch_size=16", "data.validation_split=20", "model.conv_maps=[2, 4]"]


def rows(*accuracies: float, kind: str = "val_accuracy") -> list[dict[str, float]]:
    return [
        {"epoch": epoch, "loss": 1.0, kind: accuracy, "learning_rate": 0.05}
        for epoch, accuracy in enumerate(accuracies, 1)
    ]


def labels(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def test_good_classes_and_a_good_training_bring_no_notice():
    """Neither do small differences, a small fall, or an accuracy that was better by a little."""
    assert notices_on_classes(labels(100, 10, 50), ["a", "b", "c"]) == []
    assert notices_on_history(rows(0.5, 0.9, 0.98), TEN, 3) == []
    assert notices_on_history(rows(0.5, 0.9, 0.6), TEN, 2) == []
    assert notices_on_history(rows(0.13, 0.14), TEN, 2) == []


def test_imbalance_above_10_to_1():
    found, names = labels(5000, 499, 700), ["cat", "dog", "cow"]
    (notice,) = notices_on_classes(found, names)
    assert notice == (
        "5,000 training images of 'cat', but 499 of 'dog': try --set fit.class_weight=balanced"
    )
    assert notices_on_classes(found, names, is_weighted=True) == []


def test_a_class_without_images():
    (notice,) = notices_on_classes(labels(5, 0, 5), ["a", "b", "c"])
    assert notice.startswith("no training images of 'b', which cannot be learned: ")
    (notice,) = notices_on_classes(labels(5, *[0] * 7), list("abcdefgh"))
    assert "'b', 'c', 'd', 'e', 'f' and 2 more" in notice


@pytest.mark.parametrize("kind", ["val_accuracy", "accuracy"])
def test_no_better_than_chance(kind):
    """Chance is the share of the most frequent class, and some luck with few images."""
    (notice,) = notices_on_history(rows(0.098, 0.1, kind=kind), TEN, 2)
    called = "validation" if kind == "val_accuracy" else "training"
    assert notice.startswith(f"the {called} accuracy 0.100 is no better than chance (0.100, ")
    assert "try a learning rate 10 times lower or higher than 0.05, or more epochs" in notice
    half = np.array([0] * 500 + [1] * 400 + [2] * 100)
    assert notices_on_history(rows(0.51), half, 1) and not notices_on_history(rows(0.56), half, 1)
    few = half[::50]
    assert notices_on_history(rows(0.7), few, 1) and not notices_on_history(rows(0.8), few, 1)


def test_an_accuracy_that_falls_apart():
    (notice,) = notices_on_history(rows(0.5, 0.95, 0.3, 0.12), TEN, 2)
    assert notice == (
        "the validation accuracy fell from 0.950 (epoch 2) to 0.120 (epoch 4): the weights of "
        "epoch 2 are kept; try a lower learning rate than 0.05"
    )
    assert notices_on_history(rows(0.9, 0.51), TEN, 1) == []
    assert notices_on_history(rows(0.9, 0.49), TEN, 1) != []


def test_a_history_without_accuracy_is_no_reason_to_fail():
    """Nor is one that an interrupted version wrote without a learning rate."""
    assert notices_on_history([{"epoch": 1, "loss": 1.0}], TEN, 1) == []
    assert notices_on_history(rows(float("nan")), TEN, 1) == []
    (notice,) = notices_on_history([{"epoch": 1, "loss": 1.0, "accuracy": 0.1}], TEN, 1)
    assert "try a learning rate 10 times lower or higher, or more epochs" in notice


def test_balanced_weights_are_those_of_scikit_learn():
    """And their mean over all images is 1; a class without images gets 1, which nothing uses."""
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.array([0] * 70 + [1] * 20 + [3] * 10)
    found = class_weights("balanced", labels, 5)
    assert found is not None and list(found) == [0, 1, 2, 3, 4]
    expected = sklearn.compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    assert [found[0], found[1], found[3]] == pytest.approx(expected)
    assert found[2] == found[4] == 1
    assert np.mean([found[label] for label in labels]) == pytest.approx(1)
    assert class_weights({1: 3}, labels, 3) == {0: 1.0, 1: 3.0, 2: 1.0}
    assert class_weights(None, labels, 3) is None


@pytest.fixture
def uneven(bars):
    """The data set `uneven`: 100 bars of class 0, 5 of class 1, none of class 2, 20 of class 3."""
    with np.load(bars / "bars.npz") as file:
        arrays = dict(file)
    arrays["class_names"] = np.array(["top", "second", "third", "fourth"])
    chosen = np.repeat([0, 1, 3], [100, 5, 20])
    arrays |= {"x_train": arrays["x_train"][chosen], "y_train": arrays["y_train"][chosen]}
    few = arrays["y_test"] < 4
    arrays |= {"x_test": arrays["x_test"][few], "y_test": arrays["y_test"][few]}
    np.savez(bars / "uneven.npz", **arrays)
    return bars


def train(out: str, *overrides: str, **options: Any) -> Any:
    config = load_config("lenet5", dataset="uneven", overrides=[*SMALL, *overrides])
    return Trainer(config, device="cpu", out=out, **options).fit()


def test_notices_are_printed_and_kept(uneven, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown, low = io.StringIO(), "compile.optimizer.config.learning_rate=1e-6"
    run = train("run", "fit.epochs=1", low, console=Console(file=shown))
    notices = json.loads(Path("run/metrics.json").read_text())["notices"]
    assert notices == run.metrics["notices"] and len(notices) == 3
    assert "no training images of 'third'" in notices[0]
    assert notices[1].startswith("84 training images of 'top', but 4 of 'second': ")
    assert "is no better than chance (0.800" in notices[2]
    assert "lower or higher than 1e-06" in notices[2]
    report, lines = Path("run/report.html").read_text(), shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for notice in notices:
        assert " ".join(" ".join(lines).split()).count(f"notice: {notice}") == 1
        assert notice.split("'")[0] in report


def test_balanced_trains_with_those_weights(uneven):
    labels = np.repeat([0, 1, 3], [84, 4, 17])  # a sixth of each class is for validation
    weights = class_weights("balanced", labels, 4)
    run = train("balanced", "fit.epochs=1", "fit.class_weight=balanced")
    assert "class_weight: balanced" in Path("balanced/config.yaml").read_text()
    assert not any("class_weight" in notice for notice in run.metrics["notices"])
    again = resume("balanced", epochs=2, device="cpu")
    written = train("written", "fit.epochs=2", f"fit.class_weight={weights}")
    columns = ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert again.history[columns].equals(written.history[columns])

"""Studies: variants of one network, trained one after the other and compared."""

import numpy as np
import pandas as pd
import pytest
import yaml

from modelzoo import charts
from modelzoo.cli.printing import study_lines
from modelzoo.config.sections import Data
from modelzoo.data.pipeline import InputPipeline
from modelzoo.data.source import Dataset
from modelzoo.training.study import COLUMNS, list_studies, load_study, means_of

SMALL = {
    "title": "Does tanh help?",
    "base": "lenet5",
    "dataset": "mnist5k",
    "common": {"data": {"training_images": 200, "batch_size": 50}, "fit": {"epochs": 1}},
    "variants": {"as it is": None, "with tanh": {"model": {"dense_activation": "tanh"}}},
}


def written(tmp_path, **changes):
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "tanh.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}, sort_keys=False))
    return path


def test_variants_are_complete_configurations(tmp_path):
    study = load_study(written(tmp_path), ["fit.epochs=3"])
    assert list(study.variants) == ["as it is", "with tanh"]
    for name, activation in (("as it is", "sigmoid"), ("with tanh", "tanh")):
        config = study.variants[name]
        assert config.model.dense_activation == activation
        assert config.data.dataset == "mnist5k" and config.data.training_images == 200
        assert config.fit.epochs == 3


def test_a_grid_is_trained_in_all_combinations_with_each_seed(tmp_path):
    rate = "compile.optimizer.config.learning_rate"
    grid = {"fit.epochs": [1, 2], rate: [0.1, 0.01]}
    study = load_study(written(tmp_path, grid=grid, seeds=[0, 7]))
    assert len(study.variants) == 2 * 4 * 2
    config = study.variants["with tanh, epochs 2, learning_rate 0.01, seed 7"]
    assert (config.fit.epochs, config.value(rate), config.trainer.seed) == (2, 0.01, 7)
    assert config.model.dense_activation == "tanh" and config.data.training_images == 200
    own = [run for run, variant in study.runs.items() if variant.startswith("as it is, epochs 1")]
    assert len(own) == 4 and len(set(study.runs.values())) == 8
    alone = {key: value for key, value in SMALL.items() if key != "variants"}
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump(alone | {"seeds": [3, 4]}))
    assert list(load_study(path).variants) == ["lenet5, seed 3", "lenet5, seed 4"]


def test_seeds_are_a_mean_and_a_deviation_in_the_table(capsys):
    zeros = dict.fromkeys((*COLUMNS, "gap"), 0.0)
    rows = [
        {**zeros, "variant": run, "test_accuracy": value, "val_accuracy": None, "epochs": 2}
        for run, value in (("a, seed 0", 0.9), ("a, seed 1", 0.8), ("a, seed 2", 0.7), ("b", 0.6))
    ]
    runs = {row["variant"]: row["variant"][0] for row in rows}
    first, second = means_of(rows, runs)
    assert (first["variant"], first["runs"], second["runs"]) == ("a", 3, 1)
    assert first["test_accuracy"] == pytest.approx(0.8)
    assert first["test_accuracy_deviation"] == pytest.approx(0.1)
    assert second["test_accuracy"] == 0.6 and second["test_accuracy_deviation"] is None
    assert first["val_accuracy"] is None is first["val_accuracy_deviation"]
    lines = [" ".join(line.split()) for line in study_lines("title", [first, second])]
    assert "0.8000 ±0.1000 2 0.0" in " ".join(lines) and lines[-1].endswith("0.6000 2 0.0")


@pytest.mark.parametrize("name", list_studies())
def test_packaged_studies_are_valid(name):
    study = load_study(name)
    texts = {config.to_yaml() for config in study.variants.values()}
    assert len(texts) == len(study.variants) > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": None}, "study.variants: should hold keys and values, got null: None"),
        (
            {"variants": {"a": 3}},
            "study.variants: should hold keys and values or nothing, got int: {'a': 3}",
        ),
        ({"variants": {"a b": None, "a-b": None}}, "two names make the same folder"),
        ({"base": "lenet6"}, "unknown model 'lenet6'; did you mean 'lenet5'"),
        ({"base": 5}, "study.base: expected str"),
        ({"dataset": None}, "study.dataset: expected str"),
        ({"common": [1]}, "study.common: should hold keys and values or nothing"),
        ({"extra": 1}, "unknown key study.extra"),
        ({"grid": {"fit.epochs": 3}}, "study.grid: should be a list of entries, got int"),
        ({"grid": {"fit.epoch": [3]}}, "grid.fit.epoch: unknown key fit.epoch; did you"),
        ({"grid": {"fit.epochs": [3, 3]}}, "is trained twice"),
        ({"seeds": [-1]}, "study.seeds"),
        ({"variants": {"a": {"fit": {"epoch": 5}}}}, "variants.a: unknown key fit.epoch; did you"),
    ],
)
def test_bad_studies_are_refused_with_the_key(changes, message, tmp_path, monkeypatch, refuses):
    monkeypatch.chdir(tmp_path)
    refuses(f"study {written(tmp_path, **changes)} --out out", message)


def test_curves_of_runs_stand_in_the_same_axes():
    """Else a large gap could look like a small one; names are shown as they are."""
    epochs = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.5, 0.9], "val_accuracy": [0.4, 0.6]})
    worse = epochs.assign(val_accuracy=[0.1, 0.2])
    spec = charts.curves_side_by_side({"a": epochs, "<b>": worse}, "A title").to_dict()
    domains = [panel["encoding"]["y"]["scale"] for panel in spec["concat"]]
    low, high = domains[0]["domain"]
    assert low <= 0.1 and high >= 0.9 and all(domain == domains[0] for domain in domains)
    assert [panel["title"]["text"] for panel in spec["concat"]] == ["a", "<b>"]
    assert "+70.0 points" in spec["concat"][1]["title"]["subtitle"]


def test_training_images_are_fewer_and_the_validation_images_the_same():
    labels = np.arange(600) % 3
    images = np.zeros((600, 4, 4, 1), np.uint8)
    data = Dataset("made", images, labels, images[:9], labels[:9], ("a", "b", "c"), "")

    def pipeline(training_images: int | None) -> InputPipeline:
        settings = Data(dataset="made", validation_split=60, training_images=training_images)
        return InputPipeline(data, settings, num_classes=3)

    whole, few = pipeline(None), pipeline(90)
    assert np.bincount(few.labels("train")).tolist() == [30, 30, 30]
    assert set(few.indices["train"]) < set(whole.indices["train"])
    np.testing.assert_array_equal(few.indices["validation"], whole.indices["validation"])
    assert pipeline(9999).images_in("train") == 540

"""Studies: variants of one network, trained one after the other and compared."""

import numpy as np
import pandas as pd
import pytest
import yaml

from modelzoo import charts
from modelzoo.config.sections import Data
from modelzoo.data.pipeline import InputPipeline
from modelzoo.data.source import Dataset
from modelzoo.training.study import list_studies, load_study

SMALL = {
    "title": "Does tanh help?",
    "base": "lenet5",
    "dataset": "mnist5k",
    "common": {"data": {"training_images": 200, "batch_size": 50}, "fit": {"epochs": 1}},
    "variants": {"as it is": None, "with tanh": {"model": {"dense_activation": "tanh"}}},
}


def written(tmp_path, **changes):
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

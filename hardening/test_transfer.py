"""Whole trainings that start from weights: better than from scratch, and repeated to the bit."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from test_transfer import assert_same, weights_of

import modelzoo
from modelzoo import InputError
from modelzoo.config import load_config
from modelzoo.data.datasets import load_dataset
from modelzoo.training.run_folder import RunFolder

RECIPE = (
    "data.batch_size=16",
    "data.validation_split=0",
    "compile.optimizer={class_name: Adam, config: {learning_rate: 0.01}}",
)


CLASSES = {3: "three", 5: "five", 8: "eight"}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder of PNG files: 100 threes, fives and eights each to train on, 100 to test."""
    folder = tmp_path_factory.mktemp("digits")
    data = load_dataset("mnist5k")
    splits = {"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)}
    for split, (images, labels) in splits.items():
        for label, name in CLASSES.items():
            (folder / split / name).mkdir(parents=True)
            for number, image in enumerate(images[labels == label][:100]):
                Image.fromarray(image[..., 0]).save(folder / split / name / f"{number}.png")
    return f"folder:{folder}"


@pytest.fixture
def train(digits, tmp_path, monkeypatch):
    """Return a function that trains LeNet-5 on the digits for an epoch, and returns the run."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str, epochs: int = 1, out: str | None = None, **options):
        wanted = [f"fit.epochs={epochs}", *RECIPE, *overrides]
        config = load_config("lenet5", dataset=digits, overrides=wanted)
        return modelzoo.Trainer(config, device="cpu", out=out, **options).fit()

    return run


def test_an_epoch_from_weights_goes_further_than_one_from_scratch(train):
    """On 300 images of three classes; most of the way to all right."""
    scratch, tuned = train(), train(weights="mnist")
    assert tuned.metrics["test_accuracy"] > 0.95
    assert tuned.metrics["test_accuracy"] > scratch.metrics["test_accuracy"] + 0.15
    assert tuned.metrics["start_weights"] == "lenet5/mnist"
    assert scratch.metrics["start_weights"] is None


def test_frozen_layers_stay_as_they_were(train, capfd):
    """All but the head; the parameters that are trained are counted apart."""
    run = train("trainer.freeze=all-but-head", weights="mnist")
    start = weights_of(modelzoo.load("lenet5", "mnist"))
    after = weights_of(run.model)
    assert after.pop("output")[0].shape == (84, 3)
    for name, weights in after.items():
        assert_same(weights, start[name])
    assert run.metrics["parameters"] == 43_831
    assert run.metrics["trainable_parameters"] == 84 * 3 + 3
    assert run.metrics["test_accuracy"] > 0.9
    assert "frozen: C1, C3, F5, F6; 255 parameters are trained" in capfd.readouterr().err


def test_resuming_is_bit_identical_and_needs_no_weights(train, tmp_path):
    """The start is gone by then; what is frozen stays so."""
    start = tmp_path / "start.weights.h5"
    modelzoo.load("lenet5", "mnist").save_weights(start)
    options = {"weights": start}
    whole = train("trainer.freeze=[C*]", epochs=2, out="whole", **options)
    train("trainer.freeze=[C*]", epochs=1, out="parts", **options)
    start.unlink()
    modelzoo.resume("parts", epochs=2, device="cpu")
    expected, _ = RunFolder(whole.folder).load_state()
    found, progress = RunFolder("parts").load_state()
    assert progress.epochs_done == 2
    assert_same(found, expected)


def test_the_configuration_repeats_the_run(train, tmp_path):
    """It names the weights and their hash, for published ones and for those of a run."""
    first = train(weights="mnist", out="first")
    trainer = load_config("first").trainer
    entry = load_config("lenet5").weights[0]
    assert (trainer.weights, trainer.weights_sha256) == ("lenet5/mnist", entry.sha256)
    again = modelzoo.Trainer(load_config("first"), device="cpu", out="again").fit()
    for name, weights in weights_of(again.model).items():
        assert_same(weights, weights_of(first.model)[name])
    second = train(weights="first", out="second")
    assert second.metrics["test_accuracy"] > 0.95
    shutil.copy("again/config.yaml", "first/config.yaml")  # not what is hashed
    modelzoo.build("lenet5", num_classes=3).save_weights("first/best.weights.h5")
    with pytest.raises(InputError, match="is another file than the one with the SHA-256"):
        modelzoo.Trainer(load_config("second"), out="third").fit()
    assert not Path("third").exists()

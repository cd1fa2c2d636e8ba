"""From a run to published weights: the folded scaling, the file and the entry."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import modelzoo
from modelzoo.config.published import parse_weights
from modelzoo.support.errors import InputError
from modelzoo.training.resolve import resolve
from publish_weights import entry_text, fold_scaling, publish

STANDARDISED = [{"class_name": "Rescaling", "config": {"scale": 0.02, "offset": -1.5}}]
SHARES = [{"class_name": "Rescaling", "config": {"scale": 1 / 255}}]


def scaled(images: np.ndarray, preprocessing: list) -> np.ndarray:
    settings = preprocessing[0]["config"]
    return images * np.float32(settings["scale"]) + np.float32(settings.get("offset", 0))


def test_a_folded_network_answers_the_same():
    """Other pixels in, the same answers out, borders included."""
    network, images = (
        modelzoo.build("alexnet"),
        np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)),
    )
    wanted = np.asarray(network(scaled(images, STANDARDISED)))
    fold_scaling(network, STANDARDISED, SHARES)
    assert np.abs(np.asarray(network(scaled(images, SHARES))) - wanted).max() < 1e-5


def test_a_padded_convolution_keeps_its_offset():
    """Zeros at the border would be another grey: refused; a mere factor is fine."""
    network = modelzoo.build("lenet5", conv_padding="same")
    with pytest.raises(InputError, match="pads with zeros"):
        fold_scaling(network, STANDARDISED, SHARES)
    fold_scaling(network, [{"class_name": "Rescaling", "config": {"scale": 1.0}}], SHARES)
    with pytest.raises(InputError, match="cannot be folded"):
        fold_scaling(network, [{"class_name": "ZeroPadding2D", "config": {}}], SHARES)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose recipe scales pixels in another way than lenet5 does."""
    overrides = ["fit.epochs=2", f"data.preprocessing={STANDARDISED}"]
    config = modelzoo.load_config("lenet5", dataset="digits", overrides=overrides)
    return modelzoo.Trainer(config, out=tmp_path_factory.mktemp("run") / "run").fit().folder


def test_what_is_published_can_be_loaded_and_measured(run, tmp_path):
    """File and entry agree, and the number is that of the run."""
    entry = publish(run, "lenet5", "digits", folder=tmp_path, notify=lambda message: None)
    file = tmp_path / "lenet5" / f"digits-{entry.sha256[:8]}.weights.h5"
    assert file.stat().st_size == entry.bytes
    again = parse_weights(yaml.safe_load(entry_text(entry)), lambda key: key)
    assert again == [entry]
    measured = yaml.safe_load((run / "metrics.json").read_text())["test_accuracy"]
    assert abs(entry.scores.accuracy - measured) < 0.003 and entry.scores.dataset == "digits"
    from modelzoo.training.engine import KerasEngine, check_golden

    source = resolve("lenet5", file)
    check_golden(source.config, KerasEngine(source, "cpu"), entry.golden)


def test_only_a_finished_run_of_that_network_is_published(run, tmp_path):
    """An empty folder, and a network for other images."""
    with pytest.raises(InputError, match="is no finished run"):
        publish(tmp_path, "lenet5", "digits", folder=tmp_path)
    with pytest.raises(InputError, match="other things than alexnet"):
        publish(run, "alexnet", "digits", folder=tmp_path)
    for model, name in (("lenet5", "../x"), ("../lenet5", "x"), ("lenet5", "a/b")):
        with pytest.raises(InputError, match="NETWORK/NAME"):
            publish(run, model, name, folder=tmp_path)
    assert not list(tmp_path.iterdir())

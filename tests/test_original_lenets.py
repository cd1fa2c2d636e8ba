"""The LeNets of 1989 and 1998: what their papers say beyond the tables of layers."""

import inspect
import json
import re
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from modelzoo import Trainer, cli
from modelzoo.api import build, preprocess
from modelzoo.config import load_config
from modelzoo.networks import BUILDERS, reference
from modelzoo.networks.lenet import EIGHT_OF_TWELVE, TABLE_I, class_codes

ORIGINALS = ["lenet5_1998", "lenet_1989"]


def test_table_i_is_the_paper_s():
    """3 and 4 neighbours in a circle, three sets of 2 and 2, and all: ten maps see each of S2."""
    table = np.array(TABLE_I)
    assert table.sum(axis=1).tolist() == [10] * 6
    assert table.sum(axis=0).tolist() == [3] * 6 + [4] * 9 + [6]
    seen = [set(np.flatnonzero(column)) for column in table.T]
    for count, first in ((3, 0), (4, 6)):
        circle = [{(start + step) % 6 for step in range(count)} for start in range(6)]
        assert seen[first : first + 6] == circle
    assert seen[12:15] == [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}]


def test_h2_sees_eight_of_the_twelve_maps_of_h1():
    """Each map of H2 has 200 inputs, and no map of H1 is seen more than another."""
    table = np.array(EIGHT_OF_TWELVE)
    assert table.shape == (12, 12)
    assert table.sum(axis=0).tolist() == table.sum(axis=1).tolist() == [8] * 12
    assert len({tuple(column) for column in table.T}) == 12


def test_the_digits_are_twelve_by_seven_and_far_apart():
    """A slip in a drawing would make two codes alike, or a row too short."""
    codes = np.array(class_codes("digits", 10))
    assert codes.shape == (10, 84) and set(codes.ravel()) == {-1, 1}
    distances = ((codes[:, np.newaxis] - codes) ** 2).sum(axis=-1)
    assert distances[~np.eye(10, dtype=bool)].min() == 44  # 3 and 8: 11 pixels
    eight, three = codes[8].reshape(12, 7), codes[3].reshape(12, 7)
    assert (eight >= three).all()  # a 3 is an 8 with a part left out


def test_random_codes_serve_any_number_of_classes():
    """Letters have no digits' bitmaps; the codes must be the same each time."""
    model = build("lenet5_1998", num_classes=26, codes="random")
    assert model.output_shape == (None, 26) and model.count_params() == 60_000
    assert class_codes("random", 26) == class_codes("random", 26)
    assert build("lenet5_1998", num_classes=4).output_shape == (None, 4)


@pytest.mark.parametrize("name", ORIGINALS)
def test_initial_weights_are_within_the_paper_s_bounds(name):
    keras.utils.set_random_seed(0)
    table = np.array(load_config(name).model.connection_table)
    inputs = {"C1": 25, "S2": 4, "S4": 4, "C5": 400, "F6": 120, "H1": 25, "H3": 192, "output": 30}
    by_map = 25 * table.sum(axis=0)
    inputs |= dict.fromkeys(("C3", "H2"), np.repeat(by_map, table.sum(axis=0)))
    for layer in build(name).layers:
        if layer.weights:
            weight, bias = layer.get_weights()
            share = np.abs(weight) * inputs[layer.name] / 2.4
            assert 0.3 < share.max() <= 1 and not bias.any()


def randomized(name: str, low: float, high: float) -> Any:
    """Return a network, its weights by layer, and two images."""
    model, generator = build(name), np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([0.3 * generator.normal(size=w.shape) for w in layer.get_weights()])
    images = generator.uniform(low, high, (2, *model.input_shape[1:])).astype("float32")
    return model, {layer.name: layer.get_weights() for layer in model.layers}, images


def test_lenet5_1998_is_its_layers_in_numpy():
    model, weights, images = randomized("lenet5_1998", -0.1, 1.175)
    x = images
    x = reference.scaled_tanh(reference.conv2d(x, *weights["C1"]))
    x = reference.scaled_tanh(reference.trainable_subsampling(x, *weights["S2"]))
    x = reference.scaled_tanh(reference.connection_table_conv2d(x, *weights["C3"], TABLE_I))
    x = reference.scaled_tanh(reference.trainable_subsampling(x, *weights["S4"]))
    x = reference.scaled_tanh(reference.conv2d(x, *weights["C5"]))
    x = reference.scaled_tanh(reference.dense(reference.flatten(x), *weights["F6"]))
    penalties = reference.euclidean_rbf(x, class_codes("digits", 10))
    np.testing.assert_allclose(model(images), -penalties, rtol=1e-4)
    np.testing.assert_allclose(
        keras.Model(model.input, model.get_layer("output").output)(images), penalties, rtol=1e-4
    )


def test_lenet_1989_is_its_layers_in_numpy():
    """The whole network, the background of -1 beyond both borders included."""
    model, weights, images = randomized("lenet_1989", -1, 1)
    window = (2, "same", 1, -1.0)
    x = reference.connection_table_conv2d(images, *weights["H1"], np.ones((1, 12)), *window)
    x = reference.scaled_tanh(x)
    x = reference.connection_table_conv2d(x, *weights["H2"], EIGHT_OF_TWELVE, *window)
    x = reference.flatten(reference.scaled_tanh(x))
    x = reference.scaled_tanh(reference.dense(x, *weights["H3"]))
    x = reference.scaled_tanh(reference.dense(x, *weights["output"]))
    np.testing.assert_allclose(model(images), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "low", "high"),
    [("lenet5_1998", (28, 28), -0.1, 1.175), ("lenet_1989", (16, 16), -1.0, 1.0)],
)
def test_pixels_are_scaled_as_in_the_paper(name, shape, low, high):
    images = np.zeros((1, *shape), np.uint8)
    images[0, 3, 3] = 255
    scaled = preprocess(name, images)
    values, counts = np.unique(scaled, return_counts=True)
    np.testing.assert_allclose(values, [low, high], rtol=1e-6)
    assert counts[1] == 1


@pytest.mark.parametrize("name", ORIGINALS)
def test_scores_are_not_shown_as_percentages(name, tmp_path, capfd):
    """A distance of -80 is no probability of -8000%."""
    weights, picture = tmp_path / "a.weights.h5", tmp_path / "one.png"
    build(name).save_weights(weights)
    Image.fromarray(np.eye(40, dtype="uint8") * 255).save(picture)
    command = ["predict", "--model", name, "--weights", str(weights), str(picture)]
    assert cli.main([*command, "--device", "cpu"]) == 0
    shown = capfd.readouterr().out
    assert "(score " in shown and "%" not in shown and "uncertain" not in shown
    assert cli.main([*command, "--device", "cpu", "--json"]) == 0
    (answers,) = json.loads(capfd.readouterr().out)["images"]
    assert answers["uncertain"] is None
    scores = [each["score"] for each in answers["classes"]]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_a_training_is_reported_without_percentages(bars, tmp_path):
    slow = "compile.optimizer.config.learning_rate=0.0005"  # so that some mistakes are left to show
    overrides = ["fit.epochs=2", "data.batch_size=8", slow]
    config = load_config("lenet5_1998", dataset="bars", overrides=overrides)
    run = Trainer(config, out=tmp_path / "run").fit()
    assert run.history["loss"].iloc[1] < run.history["loss"].iloc[0]
    assert run.metrics["best_epoch"] == 2 and "val_accuracy" not in run.history
    report = (run.folder / "report.html").read_text()
    captions = re.findall(r"read as: [^\"]*", report)
    assert captions and not any("nan" in each or "%" in each for each in captions)
    again = keras.models.load_model(run.folder / "model.keras")
    np.testing.assert_array_equal(again.get_weights()[0], run.model.get_weights()[0])


@pytest.mark.parametrize("name", ORIGINALS)
def test_deviations_are_in_the_docstring_and_in_the_yaml(name):
    """The model card is made from one list, the reader of the code sees the other."""
    listed = load_config(name).about.deviations
    docstring = inspect.getdoc(BUILDERS[name])
    of_the_network = docstring.split("Deviations from the paper:\n")[1].strip().rstrip(".")
    described = [" ".join(line.split()).rstrip(".") for line in of_the_network.split("\n")]
    assert described == [each.removeprefix("paper: ") for each in listed][: len(described)]

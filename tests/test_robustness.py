"""Attacks and corruptions: what they promise of every image, and the commands around them."""

import csv
import functools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from drawn import colours_in
from PIL import Image

import modelzoo
from modelzoo import InputError, charts, cli
from modelzoo.analysis import attacks
from modelzoo.analysis.attacks import answers, fgsm, log_odds, pgd
from modelzoo.analysis.corruptions import (
    CORRUPTIONS,
    KINDS,
    noisy,
    occluded,
    rotated,
    shifted,
    strengths_for,
)
from modelzoo.analysis.explain import before_softmax, on_pictures
from modelzoo.analysis.measuring import telling_strength
from modelzoo.charts.curves import attack_curves, corruption_curves
from modelzoo.charts.explanations import adversarial_pictures, magnification
from modelzoo.data.known_sets import MNIST5K
from modelzoo.data.npz import read_arrays

STRENGTHS = (0.03, 0.1, 0.7, 1.0)  # the nearest float32 to 0.03 * 255 is too large
NAMES = ("lenet5", "lenet5_1998", "lenet_1989")


@functools.cache
def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    arrays = read_arrays(MNIST5K)
    labels = arrays["labels"].astype(int)
    chosen = np.random.default_rng(0).choice(len(labels), count, replace=False)
    return arrays["pixels"][chosen, ..., np.newaxis], labels[chosen]


def attacked(name: str) -> keras.Model:
    return on_pictures(before_softmax(modelzoo.load(name)), modelzoo.load_config(name))


@pytest.fixture(scope="module", params=NAMES)
def victim(request):
    """A network that ends with a softmax, with penalties or with tanh units; and 40 digits."""
    images, labels = digits(40)
    if request.param == "lenet_1989":
        images = np.ascontiguousarray(images[:, 6:22, 6:22])
    return attacked(request.param), images, labels


def linear_model(weights: np.ndarray) -> keras.Model:
    """Return scores = images @ weights, for images of 1 x len(weights) pixels."""
    inputs = keras.Input((1, len(weights), 1))
    dense = keras.layers.Dense(weights.shape[1], use_bias=False)
    model = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    dense.set_weights([weights])
    return model


def losses(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    scores = model.predict_on_batch(images.astype("float32"))
    return keras.ops.convert_to_numpy(log_odds(scores, labels))


# Attacks


def test_the_log_odds_are_those_of_the_softmax():
    """log((1 - p) / p), of which the cross-entropy is a rising function."""
    scores = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    labels = np.arange(6) % 5
    p = np.exp(scores[np.arange(6), labels]) / np.exp(scores).sum(axis=1)
    got = keras.ops.convert_to_numpy(log_odds(scores, labels))
    np.testing.assert_allclose(got, np.log((1 - p) / p), rtol=1e-5)
    np.testing.assert_allclose(np.log1p(np.exp(got)), -np.log(p), rtol=1e-5)


def test_fgsm_on_a_linear_network_is_known_by_hand():
    weights = np.array([[3, 1], [-2, 2], [0.5, 0.5], [1, 4]], "float32")
    images = np.full((2, 1, 4, 1), 100, "uint8")
    moved = fgsm(linear_model(weights), images, np.array([0, 1]), 0.2)  # 51 grey levels
    np.testing.assert_array_equal(moved[0].ravel(), [49, 151, 100, 151])  # equal weights: no slope
    np.testing.assert_array_equal(moved[1].ravel(), [151, 49, 100, 49])


def test_the_gradient_does_not_fade_where_the_network_is_certain():
    """The right score is 10,000 ahead: the softmax is 1, its cross-entropy 0 and flat."""
    weights = np.array([[50, -50], [0, 1]], "float32")
    images = np.array([[[[100], [100]]]], "uint8")
    moved = fgsm(linear_model(weights), images, np.array([0]), 0.1)
    np.testing.assert_array_equal(moved.ravel(), [74.5, 125.5])


@pytest.mark.parametrize("strength", STRENGTHS)
def test_adversarial_pictures_stay_within_strength_and_range(victim, strength):
    """Exactly, in float64: not by a rounding more."""
    model, images, labels = victim
    few = slice(8)
    for attack in (fgsm, lambda *a: pgd(*a, steps=3)):
        moved = attack(model, images[few], labels[few], strength).astype("float64")
        assert moved.min() >= 0 and moved.max() <= 255
        change = np.abs(moved - images[few]).max()
        assert 0.9 * 255 * strength <= change <= 255 * strength


def test_strength_0_changes_nothing(victim):
    model, images, labels = victim
    np.testing.assert_array_equal(fgsm(model, images[:4], labels[:4], 0), images[:4])
    np.testing.assert_array_equal(pgd(model, images[:4], labels[:4], 0, steps=2), images[:4])


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.03, 0.1])
def test_pgd_is_never_weaker_than_fgsm(victim, strength):
    """Image by image, also with a single step."""
    model, images, labels = victim
    weak = fgsm(model, images, labels, strength)
    by_fgsm = answers(model, weak) != labels
    for steps in (1, 8):
        strong = pgd(model, images, labels, strength, steps=steps)
        by_pgd = answers(model, strong) != labels
        assert not (by_fgsm & ~by_pgd).any()
        higher = losses(model, strong, labels) >= losses(model, weak, labels)
        assert higher[~by_pgd].all()
    assert losses(model, strong, labels).mean() > losses(model, weak, labels).mean()


def test_pgd_is_repeated_by_its_seed_whatever_the_batches(monkeypatch):
    images, labels = digits(12)
    model = attacked("lenet5")  # most of these images are attacked best from a random point
    first = pgd(model, images, labels, 0.1, steps=4, seed=3)
    np.testing.assert_array_equal(first, pgd(model, images, labels, 0.1, steps=4, seed=3))
    assert not np.array_equal(first, pgd(model, images, labels, 0.1, steps=4, seed=4))
    monkeypatch.setattr(attacks, "BATCH_SIZE", 3)
    in_threes = pgd(model, images, labels, 0.1, steps=4, seed=3)
    assert (np.abs(first - in_threes) > 1e-3).mean() < 0.01  # but for the sign of a rounding


# Corruptions


def test_shifts_move_pixels_and_lose_what_leaves():
    image = np.arange(1, 7, dtype="uint8").reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(shifted(image, 0, 1)[0, ..., 0], [[0, 1, 2], [0, 4, 5]])
    np.testing.assert_array_equal(shifted(image, -1, 0)[0, ..., 0], [[4, 5, 6], [0, 0, 0]])
    np.testing.assert_array_equal(shifted(image, 1, -2)[0, ..., 0], [[0, 0, 0], [3, 0, 0]])
    assert not shifted(image, 0, 5).any() and not shifted(image, -3, 0).any()


def test_quarter_turns_are_exact():
    image = np.arange(1, 10, dtype="uint8").reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(rotated(image, 90)[0], np.rot90(image[0]))
    np.testing.assert_array_equal(rotated(image, -90)[0], np.rot90(image[0], -1))
    np.testing.assert_array_equal(rotated(image, 0), image)
    colour = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), "uint8")
    np.testing.assert_array_equal(rotated(colour, 180), colour[:, ::-1, ::-1])


def test_noise_has_its_standard_deviation_and_stays_within_the_range():
    grey = np.full((50, 20, 20, 1), 128, "uint8")
    noise = noisy(grey, 10, np.random.default_rng(0)).astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.02) and abs(noise.mean()) < 0.3
    twice = noisy(grey, 20, np.random.default_rng(0)).astype(float) - 128
    assert np.abs(twice - 2 * noise).max() <= 1.5  # each is rounded
    white = noisy(np.full((1, 9, 9, 1), 255, "uint8"), 60, np.random.default_rng(0))
    assert white.dtype == np.uint8 and white.max() == 255
    np.testing.assert_array_equal(noisy(grey, 0, np.random.default_rng(0)), grey)


def test_a_square_is_covered_wholly_inside():
    black = np.zeros((300, 6, 8, 3), "uint8")
    covered = occluded(black, 4, np.random.default_rng(0))
    assert (np.sort(np.unique(covered)) == [0, 128]).all() and not black.any()
    assert ((covered == 128).all(axis=-1).sum(axis=(1, 2)) == 16).all()
    tops = (covered[..., 0] == 128).any(axis=2).argmax(axis=1)
    lefts = (covered[..., 0] == 128).any(axis=1).argmax(axis=1)
    assert set(tops) == {0, 1, 2} and set(lefts) == {0, 1, 2, 3, 4}
    assert (occluded(black, 0, np.random.default_rng(0)) == black).all()


def test_strength_0_of_every_kind_is_the_picture_itself():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), "uint8")
    directions = {"shift": 8, "rotation": 2, "noise": 1, "occlusion": 1}
    for name in CORRUPTIONS:
        kind = KINDS[name]
        for same in kind.change(images, 0, np.random.default_rng(0)):
            np.testing.assert_array_equal(same, images)
        assert len(list(kind.change(images, 2, np.random.default_rng(0)))) == directions[name]


def test_strengths_in_pixels_follow_the_size_of_the_picture():
    """From 0; no square is larger than the image."""
    assert strengths_for("shift", 28) == [0, 1, 2, 3, 4, 5, 6]
    assert strengths_for("shift", 227) == [0, 8, 16, 24, 32, 40, 48]
    assert strengths_for("occlusion", 10) == [0, 4, 8]
    assert strengths_for("rotation", 227)[-1] == 90
    with pytest.raises(InputError, match=r"2\.5: shift takes a whole number of pixels"):
        strengths_for("shift", 28, [2.5])


# Commands


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def is_drawn(path: Path) -> bool:
    image = Image.open(path)
    return min(image.size) > 400 and colours_in(image) > 20


def test_attack_writes_a_table_and_two_charts(tmp_path, capsys):
    command = "attack lenet5/mnist --dataset mnist5k --images 40 --strengths 0.3,0.1 --steps 3"
    assert cli.main([*command.split(), "--json", "--out", str(tmp_path / "new")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "lenet5/mnist" and told["dataset"] == "mnist5k"
    assert told["images"] == 40 and told["test_images"] == 1000
    assert told["published_accuracy"] is None  # it is that of another data set
    table = rows_of(tmp_path / "new" / "lenet5-mnist-mnist5k-attack.csv")
    assert [(row["method"], float(row["strength"])) for row in table] == [
        (method, strength) for method in ("fgsm", "pgd") for strength in (0, 0.1, 0.3)
    ]
    assert [float(row["accuracy"]) for row in table] == [r["accuracy"] for r in told["rows"]]
    fallen = [row["accuracy"] for row in told["rows"]]
    assert fallen[0] == fallen[3] > 0.9 and fallen[0] > fallen[1] >= fallen[4]
    names = ["attack.csv", "attack.png", "attack-pictures.png"]
    paths = [tmp_path / "new" / f"lenet5-mnist-mnist5k-{name}" for name in names]
    assert told["files"] == [str(path) for path in paths]
    assert is_drawn(paths[1]) and is_drawn(paths[2])


def test_robustness_shows_every_network_the_same_pictures(tmp_path, capsys):
    from modelzoo.weights.store import find_weights

    config = modelzoo.load_config("lenet5")
    run = tmp_path / "a run"
    run.mkdir()
    (run / "config.yaml").write_text(config.to_yaml())
    (run / "best.weights.h5").write_bytes(find_weights(config, "mnist").read_bytes())
    command = ["robustness", "lenet5/mnist", str(run), "--dataset", "mnist5k", "--images", "30"]
    assert cli.main([*command, "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["models"] == ["lenet5/mnist", "a run"]
    table = rows_of(tmp_path / "robustness.csv")
    first = [row for row in table if row["model"] == "lenet5/mnist"]
    second = [{**row, "model": "lenet5/mnist"} for row in table if row["model"] == "a run"]
    assert first == second and {row["kind"] for row in first} == set(CORRUPTIONS)
    plain = [row for row in first if float(row["strength"]) == 0]
    assert len({row["accuracy"] for row in plain}) == 1 and float(plain[0]["accuracy"]) > 0.9
    assert {float(row["brightness"]) for row in plain} == {1.0}
    assert is_drawn(tmp_path / "robustness.png")
    words = "robustness lenet5/mnist --dataset mnist5k --images 30 --kinds shift --strengths 0,3"
    assert cli.main([*words.split(), "--out", str(tmp_path), "--format", "svg"]) == 0
    assert "lenet5/mnist  shift  3" in capsys.readouterr().out
    assert (tmp_path / "robustness.svg").read_text().startswith("<svg")


def test_the_public_functions_measure_what_the_commands_do(tmp_path, capsys):
    """PGD as a kind of change, by name, is what `attack` gives for the same images."""
    command = "attack lenet5/mnist --dataset mnist5k --images 40 --strengths 0.1 --steps 20"
    assert cli.main([*command.split(), "--json", "--out", str(tmp_path)]) == 0
    rows = {(r["method"], r["strength"]): r for r in json.loads(capsys.readouterr().out)["rows"]}
    found = modelzoo.robustness("lenet5/mnist", ["pgd"], [0.1], dataset="mnist5k", images=40)
    wanted = [rows["pgd", strength]["accuracy"] for strength in (0, 0.1)]
    assert [row["accuracy"] for row in found.rows] == wanted
    images, labels = found.pictures.images, found.pictures.labels
    changed = modelzoo.attack("lenet5/mnist", images, labels, 0.1)
    assert changed.shape == images.shape and np.abs(changed - images).max() <= 25.5
    names = [each.classes[0][0] for each in modelzoo.predict("lenet5/mnist", changed)]
    assert np.mean(np.array(names) == labels.astype(str)) == pytest.approx(wanted[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: modelzoo.attack("lenet5/mnist", x, y, 1.5), "epsilon 1.5"),
        (lambda x, y: modelzoo.attack("lenet5/mnist", x, y[:1]), "2 classes from 0 to 9"),
        (lambda x, y: modelzoo.attack("lenet5/mnist", x, y + 10), "2 classes from 0 to 9"),
        (lambda x, y: modelzoo.attack("lenet5/mnist", x, y, method="fgms"), "did you mean 'fgsm'"),
        (lambda x, y: modelzoo.attack("lenet5/mnist", x / 255.0, y), "0 to 1 count as scaled"),
        (lambda x, y: modelzoo.attack("lenet5/mnist", x[:, 1:], y), r"lenet5 takes \(28, 28, 1\)"),
        (lambda x, y: modelzoo.robustness("lenet5/mnist", ["shfit"]), "did you mean 'shift'"),
        (lambda x, y: modelzoo.robustness("lenet5/mnist", strengths=[1]), "of one kind"),
        (lambda x, y: modelzoo.robustness("lenet5/mnist", ["pgd"], [2]), "from 0 to 1"),
        (lambda x, y: modelzoo.robustness([]), "0 networks"),
        (
            lambda x, y: modelzoo.robustness("lenet5/mnist", "pgd", dataset="mnist5k", images=0),
            "mnist5k has 1,000 test images",
        ),
    ],
)
def test_what_cannot_be_measured_is_one_error(call, message):
    images = np.full((2, 28, 28, 1), 200, "uint8")
    with pytest.raises(modelzoo.InputError, match=message):
        call(images, np.array([3, 4]))


# Charts


def test_the_figure_shows_a_strength_that_halves_the_accuracy():
    rows = [{"strength": s, "accuracy": a} for s, a in [(0, 0.98), (0.1, 0.6), (0.2, 0.49)]]
    assert telling_strength(rows) == 0.2
    assert telling_strength([*rows, {"strength": 0.3, "accuracy": 0.1}]) == 0.2
    assert telling_strength(rows[:2]) == 0.1 and telling_strength(rows[:1]) == 0


def test_perturbations_are_magnified_as_far_as_black_and_white_allow():
    assert [magnification(s) for s in (1, 0.5, 0.3, 0.1, 0.01)] == [1, 1, 1, 5, 50]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_figure_says_the_factor_and_both_answers(channels, tmp_path):
    images = np.full((2, 12, 12, channels), 100, "uint8")
    moved = images + np.float32(20.4)
    captions = [(["true: 7", "read as: 7 (99%)"], ["read as: 3 (80%)"])] * 2
    captions[1] = (["true: \x1b[31m" + "long " * 9], ["read as: <b>"])
    chart = adversarial_pictures(images, moved, captions, 0.08, "FGSM at strength 0.08")
    text = json.dumps(chart.to_dict())
    assert "20.4 of 255 grey levels" in text and "shown 6 times as strong" in text
    assert "read as: 3 (80%)" in text and "\\u001b" not in text
    assert colours_in(Image.open(charts.save(chart, tmp_path / "a.png"))) > 10


def test_charts_tell_lines_by_dash_and_point_as_well(tmp_path):
    rows = [
        {"model": name, "kind": kind, "strength": s, "accuracy": 1 - s / 10}
        for name in ("<script>", "b")
        for kind in ("shift", "noise")
        for s in range(5)
    ]
    titles = {name: kind.title for name, kind in KINDS.items()}
    chart = corruption_curves(rows, titles, "Title")
    spec = chart.to_dict()
    assert len(spec["concat"]) == 2
    marks = [layer["mark"] for layer in spec["concat"][0]["layer"]]
    dashes = [mark["strokeDash"] for mark in marks if mark["type"] == "line"]
    assert dashes == [[1, 0], [6, 3]]
    points = next(each for each in spec["concat"][0]["layer"] if each["mark"]["type"] == "point")
    assert points["encoding"]["shape"]["scale"]["range"] == ["circle", "diamond"]
    assert points["encoding"]["x"]["title"] == "Shift in pixels, 8 directions"
    assert colours_in(Image.open(charts.save(chart, tmp_path / "a.png"))) > 10
    assert '"<script>"' not in charts.save(chart, tmp_path / "a.html").read_text()
    curve = attack_curves([{"method": "pgd", "strength": 0.1, "accuracy": 0.5}], "T", 0.1)
    assert "guessing: 10%" in json.dumps(curve.to_dict())

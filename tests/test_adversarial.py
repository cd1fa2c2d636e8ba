"""Training on attacked images: the attack of a step, what is learned from it, and refusals."""

from functools import partial

import keras
import numpy as np
import pytest

from modelzoo import InputError, load_config
from modelzoo.analysis.attacks import answers, fgsm, pgd
from modelzoo.analysis.explain import before_softmax, on_pictures
from modelzoo.data.known_sets import MNIST5K
from modelzoo.data.npz import read_arrays
from modelzoo.data.source import Dataset
from modelzoo.networks.keras_objects import to_keras
from modelzoo.training import fast
from modelzoo.training.adversarial import AdversarialTraining, log_odds
from modelzoo.training.callbacks import EpochOrder
from modelzoo.training.device import Device
from modelzoo.training.session import Session

EPSILON = 0.1
arrays = read_arrays(MNIST5K)
IMAGES, LABELS = arrays["pixels"][:60, ..., np.newaxis], arrays["labels"][:60].astype("uint8")
DIGITS = Dataset("digits60", IMAGES, LABELS, IMAGES, LABELS, tuple("0123456789"))


def session(*overrides: str, attack: str = "pgd") -> Session:
    adversarial = f"fit.adversarial={{attack: {attack}, epsilon: {EPSILON}, steps: 3}}"
    small = ["data.validation_split=0", "data.batch_size=30", adversarial, *overrides]
    config = load_config("lenet5", dataset="mnist", overrides=small)
    return Session(config, DIGITS, Device("cpu:0", "CPU"))


def attacked(of: Session) -> np.ndarray:
    labels = keras.ops.one_hot(LABELS, 10)
    return keras.ops.convert_to_numpy(of.fitted.attack(keras.ops.convert_to_tensor(IMAGES), labels))


def scoring(of: Session) -> keras.Model:
    return on_pictures(before_softmax(of.network), of.config)


def losses(of: Session, images: np.ndarray) -> np.ndarray:
    scores = scoring(of).predict_on_batch(images.astype("float32"))
    return keras.ops.convert_to_numpy(log_odds(scores, LABELS))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_images_of_a_step_stay_within_epsilon_and_range_and_raise_the_loss(precision):
    """In grey levels, whatever the preprocessing makes of them."""
    scaled = "data.preprocessing=[{class_name: Rescaling, config: {scale: 0.02, offset: -1}}]"
    made = session(f"trainer.precision={precision}", scaled)
    images = attacked(made)
    assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 255
    change = np.abs(images.astype("float64") - IMAGES).max()
    assert 25 < change <= 255 * EPSILON + 1e-4
    assert (losses(made, images) > losses(made, IMAGES)).all()
    climbs = pgd(scoring(made), IMAGES, LABELS, EPSILON, steps=3)
    gained = losses(made, images).mean() - losses(made, IMAGES).mean()
    assert gained > 0.8 * (losses(made, climbs).mean() - losses(made, IMAGES).mean())


def test_fgsm_of_a_step_is_that_of_the_commands():
    made = session(attack="fgsm")
    expected = fgsm(scoring(made), IMAGES, LABELS, EPSILON)
    np.testing.assert_allclose(attacked(made), expected, atol=1e-4)


def test_random_starts_follow_from_the_seed_and_the_updates(monkeypatch):
    """However many cores share a batch: but for the sign of a rounding now and then."""
    first, again, other = session(), session(), session("trainer.seed=1")
    other.network.set_weights(first.network.get_weights())
    images = attacked(first)
    np.testing.assert_array_equal(images, attacked(again))
    again.fitted.optimizer.iterations.assign(1)
    monkeypatch.setattr(fast, "usable_cores", lambda: 3)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    shared = session("trainer.share_batches=true")
    assert any(isinstance(layer, fast.InShares) for layer in shared.fitted.layers)
    otherwise = [(np.abs(images - attacked(each)) > 1).mean() for each in (other, again, shared)]
    assert min(otherwise[:2]) > 0.001 > 2 * otherwise[2], otherwise


def fragile(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that 60 pixels give away by 10 grey levels each, one by 160 in nine of ten."""
    draw = np.random.default_rng(0)
    labels = np.arange(count) % 2
    sign = 2 * labels[:, np.newaxis] - 1
    images = 128 + 10 * sign * np.ones((count, 61))
    images[:, :1] = 128 + 80 * np.where(draw.random((count, 1)) < 0.9, sign, -sign)
    return images.reshape(count, 1, 61, 1).astype("uint8"), labels.astype("uint8")


LINEAR = """
model:
  builder: sequential
  input_shape: [1, 61, 1]
  num_classes: 2
  layers:
    - {class_name: Flatten, config: {name: flat}}
    - {class_name: Dense, config: {name: output, units: 2, activation: softmax}}
data:
  dataset: fragile
  batch_size: 40
  validation_split: 0
  preprocessing: [{class_name: Rescaling, config: {scale: 0.00784313725490196, offset: -1}}]
compile:
  optimizer: {class_name: Adam, config: {learning_rate: 0.02}}
  loss: sparse_categorical_crossentropy
fit: {epochs: 15}
"""


def test_training_on_attacked_images_withstands_the_attack(tmp_path):
    """An attack turns what the weak pixels say: only the strong one is left to learn from."""
    images, labels = fragile()
    data = Dataset("fragile", images, labels, images, labels, ("a", "b"))
    (tmp_path / "linear.yaml").write_text(LINEAR)
    accuracy = []
    for overrides in ([], ["fit.adversarial={epsilon: 0.1, steps: 2}"]):
        config = load_config(tmp_path / "linear.yaml", overrides=overrides)
        made = Session(config, data, Device("cpu:0", "CPU"))
        made.rehearse()
        order, batches = EpochOrder(made.pipeline), made.pipeline.training_batches()
        fit = partial(made.fitted.fit, shuffle=False, verbose=0)
        fit(batches, epochs=config.fit.epochs, callbacks=[order])
        victim = scoring(made)
        hostile = pgd(victim, images, labels, EPSILON, steps=5)
        accuracy.append([(answers(victim, each) == labels).mean() for each in (images, hostile)])
    share = ((images[:, 0, 0, 0] > 128) == labels).mean()  # of the strong pixel
    assert accuracy[0][0] == 1 and accuracy[0][1] < 0.2
    assert 0.85 < share < 0.95 and accuracy[1] == pytest.approx([share, share], abs=0.02)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{epsilon:~0}", "fit.adversarial.epsilon: 0 should be a number above 0, up to 1"),
        ("{epsilon:~8}", "fit.adversarial.epsilon: 8 should be a number above 0, up to 1"),
        ("{epsilon:~.1,~attack:~pdg}", "unknown 'pdg'; did you mean 'pgd'?"),
        ("{epsilon:~.1,~step:~3}", "unknown key fit.adversarial.step; did you mean"),
        ("{steps:~3}", "fit.adversarial.epsilon is missing"),
    ],
)
def test_bad_settings_give_one_error(refuses, value, words):
    value = value.replace("{", "{{").replace("}", "}}")
    refuses(f"train --model lenet5 --dataset mnist5k --set fit.adversarial={value}", words)


def test_what_cannot_be_attacked_is_refused(monkeypatch):
    overrides = ["fit.adversarial={epsilon: 0.1}", "data.validation_split=0"]
    config = load_config("neocognitron_mnist", overrides=overrides)
    with pytest.raises(InputError, match=r"^fit\.adversarial: \S+ learns by a rule of its own"):
        Session(config, DIGITS, Device("cpu:0", "CPU"))
    network = to_keras(load_config("lenet5").network)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match=r"^fit\.adversarial: needs --backend tensorflow"):
        AdversarialTraining(network, config.fit.adversarial, lambda images: images, 0)

"""What is trained in place of a network computes the same, with the same variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from msgspec.structs import asdict

from benchmarks.steps import compiled
from modelzoo import InputError, load_config
from modelzoo.data.source import Dataset
from modelzoo.networks import keras_objects
from modelzoo.training import fast
from modelzoo.training.device import Device
from modelzoo.training.fast import FUSED, fuse
from modelzoo.training.prepare import build_network
from modelzoo.training.session import Session

LENET = load_config("lenet5", dataset="mnist")
ALEXNET = load_config(
    "alexnet",
    dataset="cifar10",
    overrides=["model.conv_maps=[8, 12, 10, 10, 10]", "model.dense_units=[40, 30]"],
)


def outputs_and_gradients(model, network, images):
    with tf.GradientTape() as tape:
        outputs = model(images, training=False)
        loss = tf.reduce_sum(outputs * np.arange(10, dtype="float32"))
    return outputs, tape.gradient(loss, [each.value for each in network.trainable_variables])


def assert_same(model, network, images):
    ours, our_gradients = outputs_and_gradients(model, network, images)
    plain, gradients = outputs_and_gradients(network, network, images)
    np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-6)
    for variable, one, other in zip(
        network.trainable_variables, our_gradients, gradients, strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5, err_msg=variable.path)


def pictures(count, config):
    keras.utils.set_random_seed(0)
    return np.random.default_rng(0).random((count, *config.model.input_shape), "float32")


@pytest.mark.parametrize("count", [1, 2, 7])
def test_shares_of_a_batch_give_what_the_whole_batch_gives(count):
    """A share is lost, counted twice or out of order; also where the batch is not divisible."""
    images = pictures(count, LENET)
    network = build_network(LENET)
    assert_same(fast.faster(network, shares=3), network, images)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_the_loss_of_shares_is_computed_from_logits(name):
    """A probability that float32 rounds to 0 would be clipped, and give no gradient."""
    network = build_network(LENET)
    network.get_layer("output").bias.assign([200.0] + [0.0] * 9)
    images = pictures(4, LENET)
    labels = np.array([1, 2, 3, 4])
    if name == "categorical_crossentropy":
        labels = keras.utils.to_categorical(labels, 10)
    losses = []
    for model in (network, fast.faster(network, shares=2)):
        model.compile(loss=name)
        losses.append(model.evaluate(images, labels, verbose=0))
    assert losses[0] > 100
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


BLOCKS = {fast.AveragedConv2D, fast.BlockGradientConv2D}
REWRITTEN = {  # what is changed of a configuration, and what takes the place of its layers
    "large layers": (ALEXNET, {}, {fast.LargeDense, fast.CroppedConv2D}),
    "few channels": (LENET, {}, BLOCKS),
    "odd maps of C1": (LENET, {"model.input_shape": [29, 29, 1]}, BLOCKS),
    "odd maps of S2": (LENET, {"model.input_shape": [30, 30, 1]}, {fast.AveragedConv2D}),
    "maxima": (LENET, {"model.pooling": "max"}, {fast.BlockGradientConv2D}),
    "strides": (LENET, {"model.strides": 2, "model.input_shape": [60, 60, 1]}, set()),
    "same padding": (LENET, {"model.conv_padding": "same"}, set()),
    "an even kernel": (LENET, {"model.kernel_size": 4}, set()),
    "many filters": (LENET, {"model.conv_maps": [8, 16]}, set()),
}


@pytest.mark.parametrize(("config", "changes", "kinds"), REWRITTEN.values(), ids=REWRITTEN)
def test_other_layers_give_what_keras_gives(config, changes, kinds, monkeypatch):
    monkeypatch.setattr(fast, "LARGE_KERNEL", 1 if config is ALEXNET else fast.LARGE_KERNEL)
    config = config.with_overrides([f"{key}={value}" for key, value in changes.items()])
    network = build_network(config)
    model = fast.faster(network)
    assert {each for each in map(type, model.layers) if issubclass(each, fast.Rewritten)} == kinds
    assert_same(model, network, pictures(5, config))


def test_the_variables_are_those_of_the_network():
    """What is trained is a copy, so that the network that is saved has not learned."""
    for config, shares in ((LENET, 2), (ALEXNET, 1)):
        network = build_network(config)
        model = fast.faster(network, shares)
        assert [id(v) for v in model.trainable_variables] == [
            id(v) for v in network.trainable_variables
        ]
        assert not any(
            isinstance(layer, fast.Rewritten | fast.InShares) for layer in network.layers
        )


@pytest.mark.parametrize(
    ("kernel", "side", "changed", "used"),
    [
        (3, 1, {}, (1, 2)), (5, 2, {}, (1, 4)), (5, 1, {}, (2, 3)), (7, 2, {}, (2, 5)),
        (3, 2, {}, None), (5, 3, {}, None), (3, 1, {"padding": "valid"}, None),
        (3, 1, {"strides": 2}, None), (3, 1, {"dilation_rate": 2}, None),
        (3, 1, {"groups": 3}, None),
    ],
)  # fmt: skip
def test_taps_that_meet_numbers(kernel, side, changed, used):
    """Convolutions of other kinds are left alone."""
    layer = keras.layers.Conv2D(3, kernel, **{"padding": "same", **changed})
    found = fast._used_taps(layer, (None, side, side, 3))
    assert found == (None if used is None else (slice(*used), slice(*used)))


def test_batch_normalisation_refuses_shares():
    with pytest.raises(InputError, match="normalises over the whole batch"):
        fast.accelerate(build_network(ALEXNET), None, Device("cpu:0", "CPU"), share_batches=True)


LEARNING = load_config(  # large enough to learn three patterns in 24 steps with dropout
    "alexnet",
    dataset="cifar10",
    overrides=["model.conv_maps=[16, 24, 20, 20, 20]", "model.dense_units=[100, 60]"],
)
STEPS, BATCH = 24, 31  # three shares of a batch differ in size


def patterns(shape):
    """Return a data set of noisy images, each with the pattern of its class, one of three."""
    generator = np.random.default_rng(0)
    labels = (np.arange(STEPS * BATCH) % 3).astype("uint8")
    classes = generator.integers(0, 160, (3, *shape), dtype="uint8")
    images = classes[labels] + generator.integers(0, 80, (len(labels), *shape), dtype="uint8")
    return Dataset("patterns", images, labels, images[:9], labels[:9], tuple("abcdefghij"))


def train(config, variant):
    """Train what `python -m train` trains, or a variant of `benchmarks.steps`, step by step.

    Return the losses, the model that was trained, and the network's variables.
    """
    data = patterns(config.model.input_shape)
    session = Session(config, data, Device("cpu:0", "CPU"))
    trained = session.fitted
    if variant != "modelzoo":
        arguments = {**asdict(config.compile), "steps_per_execution": 1}
        arguments["optimizer"] = keras_objects.make(
            "optimizer", arguments["optimizer"], "optimizer"
        )
        trained = compiled(session.network, variant, **arguments)
    session.pipeline.start_epoch(0)
    losses = []
    for images, labels in session.pipeline.training_batches():
        trained.reset_metrics()  # else Keras returns the mean over all steps so far
        losses.append(trained.train_on_batch(images, labels, return_dict=True)["loss"])
    return losses, trained, session.network.variables


@pytest.mark.parametrize(
    ("config", "kinds"),
    [(LENET, {fast.InShares}), (LEARNING, {fast.LargeDense, fast.CroppedConv2D})],
    ids=["lenet5", "alexnet"],
)
def test_training_learns_what_keras_learns(config, kinds, monkeypatch):
    monkeypatch.setattr(fast, "LARGE_KERNEL", 1)
    monkeypatch.setattr(fast, "usable_cores", lambda: 3)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    changes = {"data": {"batch_size": BATCH, "validation_split": 0}}
    config = config.with_values(changes, "the test")
    expected, plain, weights = train(config, "keras")
    assert type(plain.optimizer) is keras.optimizers.Adadelta
    assert len(expected) == STEPS
    assert np.mean(expected[-5:]) < 0.75 * np.mean(expected[:5])
    for variant in ("optimizer", "modelzoo"):
        losses, trained, own = train(config, variant)
        assert type(trained.optimizer) is FUSED[keras.optimizers.Adadelta]
        used = kinds & {type(layer) for layer in trained.layers}
        assert used == (kinds if variant == "modelzoo" else set())
        np.testing.assert_allclose(losses, expected, rtol=1e-3, err_msg=variant)
        for one, other in zip(own, weights, strict=True):  # batch statistics and random state, too
            # Adadelta enlarges what is added in another order, with AVX-512 to 0.0015.
            np.testing.assert_allclose(one, other, atol=5e-3, err_msg=f"{variant} {one.path}")


OPTIMIZERS = [
    keras.optimizers.Adadelta(1.0),
    keras.optimizers.Adam(0.01),
    keras.optimizers.AdamW(0.01, weight_decay=0.1),
    keras.optimizers.SGD(0.1, momentum=0.9),
    keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
def test_a_fused_optimizer_does_what_its_class_does(optimizer):
    start = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    gradients = np.random.default_rng(1).normal(size=(5, 40, 3)).astype("float32")
    ends = []
    for used in (type(optimizer).from_config(optimizer.get_config()), fuse(optimizer)):
        weights = keras.Variable(start)
        used.build([weights])
        for gradient in gradients:
            used.apply([tf.constant(gradient)])
        ends.append([weights, *used.variables])
    assert type(used) is FUSED[type(optimizer)]
    for plain, fused in zip(*ends, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-6, err_msg=plain.path)


@pytest.mark.parametrize(
    "optimizer",
    [keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1, amsgrad=True), keras.optimizers.Lion()],
    ids=lambda each: each.name,
)
def test_what_has_no_kernel_stays_as_it_is(optimizer):
    assert fuse(optimizer) is optimizer

"""What a network sees: features of named layers, gradients by the image, on every backend."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import modelzoo
from modelzoo import InputError
from modelzoo.analysis.explain import (
    before_softmax,
    features,
    input_gradient,
    on_pictures,
    saliency,
)
from modelzoo.analysis.seeing import see
from modelzoo.training.resolve import resolve

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), "uint8")


@pytest.fixture(scope="module", params=["lenet5", "lenet5_1998", "lenet_1989"])
def loaded(request):
    config = modelzoo.load_config(request.param)
    return config, modelzoo.load(request.param)


def pictures_for(config) -> np.ndarray:
    return PICTURES[:, :16, :16] if config.name == "lenet_1989" else PICTURES


def test_on_pictures_answers_what_the_prepared_picture_gets(loaded):
    config, network = loaded
    pictures = pictures_for(config)
    expected = network.predict(modelzoo.preprocess(config, pictures), verbose=0)
    got = on_pictures(network, config).predict(pictures.astype("float32"), verbose=0)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_the_softmax_of_the_scores_is_the_answer(loaded):
    """Scores are what goes into the softmax; a network that ends with scores is left alone."""
    config, network = loaded
    images = modelzoo.preprocess(config, pictures_for(config))
    answer = network.predict(images, verbose=0)
    scores = before_softmax(network).predict(images, verbose=0)
    if getattr(config.model, "output_activation", None) == "softmax":
        scores = keras.ops.convert_to_numpy(keras.ops.softmax(scores))
    else:
        assert before_softmax(network) is network
    np.testing.assert_allclose(scores, answer, rtol=1e-5, atol=1e-6)


def test_features_are_those_of_the_layers(loaded):
    config, network = loaded
    images = modelzoo.preprocess(config, pictures_for(config))
    everything = features(network, images)
    assert list(everything) == [layer.name for layer in network.layers[1:]]
    for layer in network.layers[1:]:
        assert everything[layer.name].shape == (3, *layer.output.shape[1:])
    last, first = network.layers[-1].name, network.layers[1].name
    chosen = features(network, images, [last, first])
    assert list(chosen) == [last, first]
    np.testing.assert_allclose(chosen[last], network.predict(images, verbose=0), rtol=1e-5)
    np.testing.assert_allclose(chosen[first], everything[first], rtol=1e-5)


def test_an_unknown_layer_is_named():
    with pytest.raises(InputError, match="lenet5 has no layer 'outputs'; did you mean 'output'"):
        features(modelzoo.build("lenet5"), np.zeros((1, 28, 28, 1)), ["outputs"])


def test_gradients_by_the_picture_agree_with_finite_differences():
    config = modelzoo.load_config("lenet5")
    model = on_pictures(before_softmax(modelzoo.load("lenet5")), config)

    def third_score(given):
        return model(given, training=False)[:, 3]

    images = PICTURES.astype("float32")
    values, gradients = input_gradient(third_score, images)
    assert values.shape == (3,) and gradients.shape == images.shape
    for picture, row, column in [(0, 14, 14), (1, 9, 17), (2, 20, 5)]:
        step = np.zeros_like(images)
        step[picture, row, column] = 4.0
        after, before = (
            keras.ops.convert_to_numpy(third_score(keras.ops.convert_to_tensor(images + s)))
            for s in (step, -step)
        )
        slope = (after - before)[picture] / 8
        assert gradients[picture, row, column, 0] == pytest.approx(slope, rel=0.05, abs=2e-5)


def test_saliency_follows_the_class_that_is_asked_for():
    network = modelzoo.load("lenet5")
    images = modelzoo.preprocess("lenet5", PICTURES)
    answers = network.predict(images, verbose=0).argmax(axis=1)
    own = saliency(network, images)
    assert own.shape == (3, 28, 28) and own.min() >= 0 and own.max() > 0
    np.testing.assert_allclose(own, saliency(network, images, answers))
    assert not np.allclose(own, saliency(network, images, (answers + 1) % 10))


@pytest.mark.parametrize("label", ["lenet5/mnist", "lenet5_1998/mnist"])
def test_a_name_gives_what_its_keras_model_gives(label):
    """It takes images as they are stored; NumPy computes it."""
    network, config = modelzoo.load(label), resolve(label).config
    prepared = modelzoo.preprocess(label, PICTURES)
    by_keras, found = features(network, prepared), modelzoo.features(label, PICTURES[..., 0])
    assert list(found) == list(by_keras)
    for name, values in by_keras.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)
    last = network.layers[-1].name
    two = modelzoo.features(label, PICTURES.astype("float32"), [last, "C1"], batch_size=2)
    assert list(two) == [last, "C1"]
    np.testing.assert_allclose(two["C1"], found["C1"], rtol=1e-5, atol=1e-6)
    model = on_pictures(before_softmax(network), config)
    for classes in (None, np.array([1, 2, 3])):
        expected = saliency(model, PICTURES, classes)
        by_name = modelzoo.saliency(label, PICTURES, classes)
        np.testing.assert_allclose(by_name, expected, rtol=1e-3, atol=1e-5 * expected.max())
        same = modelzoo.saliency(model, PICTURES, classes)
        np.testing.assert_array_equal(same, expected)
    with pytest.raises(InputError, match="has no layer 'C11'; did you mean 'C1'"):
        modelzoo.features(label, PICTURES, ["C11"])


@pytest.mark.parametrize("label", ["lenet5/mnist", "lenet5_1998/mnist", "lenet_1989/mnist16"])
def test_numpy_sees_what_a_framework_sees(label):
    source = resolve(label)
    picture = pictures_for(source.config)[0]
    seen = see(source, picture)
    asked = source.config.with_values({"trainer": {"backend": keras.backend.backend()}}, "test")
    by_keras = see(replace(source, config=asked), picture)
    assert list(seen.features) == list(by_keras.features)
    for name, values in by_keras.features.items():
        assert seen.kinds[name] == by_keras.kinds[name]
        np.testing.assert_allclose(seen.features[name], values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.outputs, by_keras.outputs, rtol=1e-4, atol=1e-5)
    largest = by_keras.saliency.max()
    np.testing.assert_allclose(seen.saliency, by_keras.saliency, atol=1e-5 * largest, rtol=1e-3)
    last = list(seen.kinds)[-1]
    assert np.array_equal(see(source, picture, [last]).features[last], seen.outputs)

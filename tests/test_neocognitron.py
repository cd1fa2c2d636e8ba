"""The Neocognitron: cells against NumPy, its learning inside `fit`, the paper's demonstration."""

from typing import Any

import keras
import numpy as np
import pytest
from test_lenet_layers import TOLERANCES, run

from modelzoo import InputError, Trainer, load_config
from modelzoo.api import build, summary
from modelzoo.data import fukushima_digits as digits
from modelzoo.data.datasets import load_dataset
from modelzoo.networks import BUILDERS
from modelzoo.networks.layers import CCells, SCells
from modelzoo.networks.reference import neocognitron as reference

BACKEND = keras.backend.backend()
PADS = ((1, 2), (0, 1))
OTHER = {"planes": 3, "area": 2, "padding": PADS, "selectivity": 4.0, "decay": 0.3}
LAYERS = {
    "S": {"planes": 4, "area": 3, "selectivity": 1.5},
    "S, of other sizes": OTHER,
    "C": {"area": 3},
    "C, of other sizes": {"area": 2, "strides": 2, "padding": PADS, "saturation": 0.2},
}

ODD = (1, 7, 5, 2)  # one image, of odd sizes
CASES = [("float64", (2, 6, 6, 2)), ("float64", ODD), ("float32", ODD)]


def made(name: str, dtype: str) -> Any:
    return (SCells if name.startswith("S") else CCells)(**LAYERS[name], dtype=dtype)


def inputs(*shape: int) -> np.ndarray:
    """Return what cells put out: not negative, and a corner without any activity."""
    x = np.abs(np.random.default_rng(0).normal(size=shape))
    x[:, :4, :4] = 0.0
    return x


def synapses(layer: SCells, planes: int) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    shape = (layer.area, layer.area, planes, layer.planes)
    return [generator.uniform(0, 1, shape), generator.uniform(0, 2, layer.planes)]


def compare(name: str, dtype: str, shape: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """Return (ours, NumPy's) outputs, and then the pairs of gradients."""
    layer, arrays = made(name, dtype), [inputs(*shape).astype(dtype)]
    layer.build(shape)
    if isinstance(layer, SCells):
        arrays += [array.astype(dtype) for array in synapses(layer, shape[-1])]
        fixed, options = layer.c, (layer.selectivity, layer.padding)
        forward, gradient = reference.s_cells, reference.s_cells_gradient
    else:
        fixed = reference.fall_off(layer.area, layer.decay)
        options = (layer.saturation, layer.strides, layer.padding)
        forward, gradient = reference.c_cells, lambda *a: (reference.c_cells_gradient(*a),)
    expected = forward(*arrays, fixed, *options)
    upstream = np.random.default_rng(2).normal(size=expected.shape)
    wanted = gradient(*arrays, fixed, upstream, *options)
    call = lambda x, *w: layer.stateless_call([], list(w), x)[0]  # noqa: E731
    outputs, gradients = run(call, upstream, *arrays)
    assert layer(keras.Input(batch_shape=shape, dtype=dtype)).shape == outputs.shape
    return [(outputs, expected), *zip(gradients, wanted, strict=True)]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("dtype", "shape"), CASES)
def test_cells_agree_with_numpy(name, dtype, shape):
    if BACKEND == "jax" and dtype == "float64":
        pytest.skip("JAX computes in float32 unless told before it starts")
    (got, expected), *gradients = compare(name, dtype, shape)
    forward, backward = TOLERANCES[dtype]
    np.testing.assert_allclose(got, expected, **forward)
    for got, expected in gradients:
        np.testing.assert_allclose(got, expected, **backward)


@pytest.mark.parametrize("name", ["S", "S, of other sizes"])
def test_reinforcement_agrees_with_numpy(name):
    layer = SCells(**LAYERS[name], reinforcement=3.0, column=3, dtype="float32")
    pictures = np.abs(np.random.default_rng(5).normal(size=(6, 7, 5, 2))).astype("float32")
    layer.build(pictures.shape)
    ours = expected = [array.astype("float32") for array in synapses(layer, 2)]
    settings = {"selectivity": layer.selectivity, "reinforcement": 3.0, "column": 3}
    for picture in pictures:
        _, *ours = layer.reinforce(
            *(keras.ops.convert_to_tensor(x) for x in (picture[None], *ours))
        )
        expected = reference.reinforce(
            picture, *expected, layer.c, padding=layer.padding, **settings
        )
        for got, wanted in zip(ours, expected, strict=True):
            np.testing.assert_allclose(keras.ops.convert_to_numpy(got), wanted, rtol=1e-4)


def test_learning_selectivity_decides_who_learns_not_what_is_answered():
    """Two thresholds: a plane that answers an image may be too unlike it to be reinforced."""
    picture = np.abs(np.random.default_rng(6).normal(size=(1, 7, 7, 2))).astype("float32")
    answers, reinforced = [], []
    for rate in (None, 9.0):
        layer = SCells(4, 3, selectivity=0.2, learning_selectivity=rate, column=1)
        layer.build(picture.shape)
        a, b = (array.astype("float32") for array in synapses(layer, 2))
        given = (keras.ops.convert_to_tensor(x) for x in (picture, a, b))
        outputs, _, after = (keras.ops.convert_to_numpy(x) for x in layer.reinforce(*given))
        answers.append(outputs)
        reinforced.append((after > b).sum())
    np.testing.assert_array_equal(*answers)
    assert reinforced[0] > reinforced[1]


@pytest.mark.parametrize("name", LAYERS)
def test_cells_are_saved_with_their_settings(name):
    layer, x = made(name, "float32"), inputs(*ODD)
    first = keras.ops.convert_to_numpy(layer(x))
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    np.testing.assert_array_equal(first, keras.ops.convert_to_numpy(again(x)))
    assert again.get_config() == layer.get_config()


# The network


def test_layers_are_those_of_the_paper():
    """Section 5: sizes of all layers, 5x5 synapses to US1, 5x5x24 to US2 and US3."""
    rows = [(row["name"], row["output_shape"], row["parameters"]) for row in summary(default())]
    assert rows == [
        ("input", [16, 16, 1], 0),
        ("US1", [16, 16, 24], 24 * (5 * 5 + 1)),
        ("UC1", [10, 10, 24], 0),
        ("US2", [8, 8, 24], 24 * (5 * 5 * 24 + 1)),
        ("UC2", [6, 6, 24], 0),
        ("US3", [2, 2, 24], 24 * (5 * 5 * 24 + 1)),
        ("UC3", [1, 1, 24], 0),
        ("flatten", [24], 0),
        ("output", [5], 125),
    ]


def default() -> keras.Model:
    return build("neocognitron")


def test_the_default_is_the_configuration():
    configured = load_config("neocognitron").network
    assert configured == BUILDERS["neocognitron"]()
    assert configured.organizing_steps == default().steps == 100


def test_the_fixed_weights_are_normalised():
    for name, planes in (("US1", 1), ("US2", 24), ("US3", 24)):
        assert default().get_layer(name).c.sum() * planes == pytest.approx(1.0)


def test_areas_cover_a_plane_evenly():
    """An odd row of zeros stands first in UC1 and last in UC2, so that the field is centred."""
    pads = [default().get_layer(f"U{name}").padding[0] for name in ("S1", "C1", "S2", "C2", "S3")]
    assert pads == [(2, 2), (4, 3), (1, 1), (3, 4), (0, 0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"s_size": [16, 8, 1]}, "s_size: module 3: 1 areas of 5 .* cover 6 cells .* give 2 to 10"),
        ({"c_size": [12, 6, 1]}, "c_size: module 1: 12 areas of 5 .*; give 7 to 10"),
        ({"planes": [24, 24]}, "planes: 2 values for 3 layers"),
        ({"selectivity": None}, "selectivity: expected float . array, got null"),
        ({"organizing_steps": 0}, "organizing_steps: expected int >= 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        build("neocognitron", **arguments)


def trained(batch_size, steps, labels, pictures=None, epochs=1) -> keras.Model:
    """Return the network after `epochs` over 20 images in a fixed order."""
    keras.utils.set_random_seed(0)
    model = build("neocognitron", organizing_steps=steps)
    model.compile("sgd", "sparse_categorical_crossentropy")
    if pictures is None:
        pictures = digits.presentations()[0][:20] / np.float32(255)
    model.fit(pictures, labels, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0)
    return model


def learned(model: keras.Model) -> list[np.ndarray]:
    layers = (model.get_layer(name) for name in ("US1", "US2", "US3"))
    return [keras.ops.convert_to_numpy(w) for layer in layers for w in (layer.a, layer.b)]


@pytest.mark.slow
def test_fit_organizes_picture_by_picture_without_labels():
    """Neither the batch size nor a label, nor a batch after the last step, changes an S-cell."""
    labels = digits.presentations()[1][:20]
    one_by_one = trained(1, 20, labels)
    untrained = learned(default())
    assert all((new > old).any() for new, old in zip(learned(one_by_one), untrained, strict=True))
    others = trained(5, 4, labels), trained(1, 20, 4 - labels), trained(1, 20, labels, epochs=2)
    for other in others:
        for got, expected in zip(learned(other), learned(one_by_one), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    half = learned(trained(1, 10, labels))
    assert any((a < b).any() for a, b in zip(half, learned(one_by_one), strict=True))


def test_fit_agrees_with_numpy():
    grey = np.random.default_rng(0).uniform(0.5, 1.0, (20, 16, 16, 1))
    pictures = (digits.presentations()[0][:20] / 255 * grey).astype("float32")
    model = trained(4, 5, digits.presentations()[1][:20], pictures)
    state = learned(default())
    for picture in pictures:
        u = picture[np.newaxis]
        for number in range(3):
            s, c = model.get_layer(f"US{number + 1}"), model.get_layer(f"UC{number + 1}")
            a, b = state[2 * number : 2 * number + 2]
            settings = {"selectivity": s.selectivity, "reinforcement": s.reinforcement}
            state[2 * number : 2 * number + 2] = reference.reinforce(
                u[0], a, b, s.c, column=s.column, padding=s.padding, **settings
            )
            u = reference.s_cells(u, a, b, s.c, s.selectivity, s.padding)
            d = reference.fall_off(c.area, c.decay)
            u = reference.c_cells(u, d, c.saturation, c.strides, c.padding)
    for got, expected in zip(learned(model), state, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


def test_a_saved_network_goes_on_as_it_was(tmp_path):
    model = trained(5, 7, digits.presentations()[1][:20])
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    assert type(again) is type(model) and again.steps == 7
    for got, expected in zip(learned(again), learned(model), strict=True):
        np.testing.assert_array_equal(got, expected)


# The demonstration


def test_patterns_stand_everywhere_once():
    """Shift tolerance is measured over all positions where the whole pattern is in the field."""
    pattern = digits.draw(4)
    pictures = digits.at_every_position(pattern)
    assert len(pictures) == (16 - 9 + 1) * (16 - 8 + 1) == len(np.unique(pictures, axis=0))
    assert {int(each.sum()) for each in pictures} == {int(pattern.sum())}
    data = load_dataset("fukushima_digits")
    assert np.bincount(data.y_train).tolist() == [20] * 5 and data.image_shape == (16, 16, 1)
    assert len(data.x_test) == len(data.y_test) == 408 and data.x_test.max() == 255


@pytest.mark.slow
def test_the_command_reads_the_digits_anywhere(tmp_path):
    """`python -m train --model neocognitron`: 408 test images, all places in the field."""
    run = Trainer(load_config("neocognitron"), out=tmp_path / "run").fit()
    assert run.metrics["test_images"] == 408 and run.metrics["test_accuracy"] > 0.97  # 0.998

"""Our layers that change training images: what they do, and that it can be repeated."""

import keras
import numpy as np
import pytest

from modelzoo.data.preprocessor import Preprocessor
from modelzoo.networks.layers.alexnet import (
    IMAGENET_EIGENVALUES,
    IMAGENET_EIGENVECTORS,
    PCAColorAugmentation,
    RandomPatch,
)
from modelzoo.networks.layers.simard import ElasticDistortion

SPECS = [
    {"class_name": "RandomPatch", "config": {"height": 5, "width": 6}},
    {"class_name": "PCAColorAugmentation", "config": {"standard_deviation": 0.1}},
    {"class_name": "ElasticDistortion", "config": {"alpha": 8, "sigma": 1}},
]


def pictures(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


def places(images: np.ndarray, patches: np.ndarray) -> list[tuple[int, int]]:
    """Where each patch lies in its image, by the value of its first pixel."""
    width, channels = images.shape[2:]
    starts = (patches[:, 0, 0, 0] - images[:, 0, 0, 0]) // channels
    found = [(int(start) // width, int(start) % width) for start in starts]
    for image, patch, (i, j) in zip(images, patches, found, strict=True):
        assert np.array_equal(image[i : i + patch.shape[0], j : j + patch.shape[1]], patch)
    return found


def test_every_place_is_as_likely_for_each_picture():
    """A crop that is shared by a batch, or never reaches an edge, is another augmentation."""
    images = pictures(2000, 4, 6, 3)
    found = places(images, np.asarray(RandomPatch(3, 4, seed=0)(images, training=True)))
    counts = [found.count((i, j)) for i in range(2) for j in range(3)]
    assert sum(counts) == 2000
    assert min(counts) > 270 and max(counts) < 400  # 333 expected, 17 standard deviation


def test_the_central_patch_is_taken_in_use():
    images = pictures(2, 8, 9, 3)
    expected = keras.layers.CenterCrop(5, 4)(images)
    assert np.array_equal(RandomPatch(5, 4)(images), expected)
    assert np.array_equal(RandomPatch(8, 9)(images, training=True), images)
    with pytest.raises(ValueError, match="do not fit into images of 8x9"):
        RandomPatch(9, 9)(images)


def test_colour_shifts_have_the_covariance_of_the_paper():
    """Along each eigenvector, by its eigenvalue times a Gaussian of 0.1; one shift an image."""
    images = np.full((4000, 2, 3, 3), 100.0, "float32")
    shifts = np.asarray(PCAColorAugmentation(seed=0)(images, training=True)) - images
    assert np.ptp(shifts, axis=(1, 2)).max() == 0
    along = shifts[:, 0, 0] @ np.array(IMAGENET_EIGENVECTORS)
    expected = 0.1 * 255 * np.array(IMAGENET_EIGENVALUES)
    np.testing.assert_allclose(along.std(axis=0), expected, rtol=0.05)
    assert (np.abs(along.mean(axis=0)) < 4 * expected / 4000**0.5).all()
    correlations = np.corrcoef(along.T) - np.eye(3)
    assert np.abs(correlations).max() < 0.06
    small = np.asarray(PCAColorAugmentation(value_range=(0, 1), seed=0)(images, training=True))
    np.testing.assert_allclose(small - images, shifts / 255, atol=1e-4)
    assert np.array_equal(PCAColorAugmentation()(images), images)


def test_the_published_components_are_a_covariance():
    """Orthogonal columns of length 1; the channels' deviations are those of pixels in 0..1."""
    vectors = np.array(IMAGENET_EIGENVECTORS)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-4)
    covariance = vectors * IMAGENET_EIGENVALUES @ vectors.T
    np.testing.assert_allclose(np.diag(covariance) ** 0.5, [0.2837, 0.2763, 0.2897], atol=1e-4)
    # At a scale of 0..255 an eigenvalue is 255**2 times as large: shifts of 0.1 times 14,143.
    assert round(0.1 * 255**2 * IMAGENET_EIGENVALUES[0]) == 1414


def test_elastic_fields_are_uniform_numbers_smoothed_by_a_gaussian():
    """In NumPy, from the formula; and what comes from beyond the image has the fill value."""
    layer = ElasticDistortion(alpha=34, sigma=4, fill_value=7, seed=3)
    images = np.random.default_rng(0).random((2, 20, 16, 2), "float32")
    drawn = np.asarray(
        keras.random.uniform((2, 2, 20, 16), -1, 1, seed=keras.random.SeedGenerator(3))
    )
    assert -1 <= drawn.min() < -0.99 and 0.99 < drawn.max() <= 1
    expected, reach = np.full_like(images, np.nan), np.arange(-20, 21)
    bell = np.exp(-(reach[:, None] ** 2 + reach**2) / (2 * 4**2))
    bell /= bell.sum()
    for n, i, j in np.ndindex(2, 20, 16):
        weights = bell[20 - i : 40 - i, 20 - j : 36 - j]
        y, x = (i, j) + 34 * (drawn[n] * weights).sum(axis=(1, 2))
        total = 0.0
        for row, column in np.ndindex(2, 2):
            top, left = int(np.floor(y)) + row, int(np.floor(x)) + column
            inside = 0 <= top < 20 and 0 <= left < 16
            pixel = images[n, top, left] if inside else 7
            total = total + (1 - abs(y - top)) * (1 - abs(x - left)) * pixel
        expected[n, i, j] = total
    found = np.asarray(layer(images, training=True))
    np.testing.assert_allclose(found, expected, atol=1e-3)  # of places in float32
    assert (expected == 7).any() and np.array_equal(layer(images), images)


def test_elastic_displacements_deviate_by_as_much_as_documented():
    layer, rows = ElasticDistortion(seed=0), np.arange(101, dtype="float32")
    images = np.broadcast_to(rows[:, None, None], (16, 101, 101, 1))  # whose pixels say their row
    moved = np.asarray(layer(images, training=True))[:, 15:-15, 15:-15, 0] - rows[15:-15, None]
    assert moved.std() == pytest.approx(1.38, abs=0.05)
    assert np.abs(moved[0] - moved[1]).max() > 1  # another field for each image


@pytest.mark.parametrize("values", [{"sigma": 0.0}, {"alpha": -1.0}, {"sigma": np.inf}])
def test_impossible_elastic_distortions_are_refused(values):
    with pytest.raises(ValueError, match="should be from 0"):
        ElasticDistortion(**values)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (RandomPatch(3, 2, seed=4), (1, 7, 5, 3)),
        (PCAColorAugmentation(0.3, [1, 2, 3], np.eye(3).tolist(), (0, 1), seed=4), (1, 7, 5, 3)),
        (ElasticDistortion(5.0, 1.5, 2.0, seed=4), (1, 7, 5, 3)),
    ],
)
def test_a_layer_is_saved_with_its_settings(layer, shape):
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    images = pictures(*shape)
    first, second = (np.asarray(each(images, training=True)) for each in (layer, again))
    assert np.array_equal(first, second)
    assert first.shape == layer(keras.Input(batch_shape=shape)).shape


def test_augmentation_is_named_in_yaml_and_follows_from_seed_and_epoch():
    images = pictures(4, 8, 9, 3) % 256
    first, second = Preprocessor(augmentation=SPECS), Preprocessor(augmentation=SPECS)

    def epoch(preprocessor: Preprocessor, number: int) -> np.ndarray:
        seeds = preprocessor.batch_seeds(7, number, steps=2)
        return np.asarray(preprocessor.augment(images, None, seeds[1])[0])

    before = epoch(first, 0)
    assert np.array_equal(epoch(first, 3), epoch(second, 3))
    assert before.shape == (4, 5, 6, 3) and not np.array_equal(before, epoch(first, 3))

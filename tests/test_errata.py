"""The arithmetic behind docs/errata.md, with NumPy only."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelzoo.networks import reference

Array = np.ndarray[Any, Any]
ERRATA = Path(__file__).parents[1] / "docs" / "errata.md"

POOLED = np.array([[195.0, 241.0], [142.5, 222.0]]).reshape(1, 2, 2, 1)

# Document 3: input, two filters with biases 1 and 0, dense weights, and its printed results.
IMAGE = np.array(
    [
        ["01121", "02202", "02001", "21200", "10110"],
        ["00002", "10212", "11012", "00101", "01010"],
        ["20210", "01022", "22012", "01211", "01002"],
    ]
)
IMAGE = np.array([[list(map(int, row)) for row in plane] for plane in IMAGE])
IMAGE = IMAGE.transpose(1, 2, 0)[np.newaxis]
FILTERS = np.array(
    [
        [
            [[-1, -1, 0], [0, -1, -1], [1, -1, -1]],
            [[0, -1, 0], [-1, 0, 1], [-1, -1, 0]],
            [[0, -1, -1], [1, 1, 0], [0, 1, 1]],
        ],
        [
            [[1, -1, 0], [-1, 1, 0], [0, 1, -1]],
            [[0, 0, -1], [0, 0, 0], [-1, 1, 0]],
            [[-1, 1, -1], [-1, -1, 1], [0, 0, 1]],
        ],
    ]
).transpose(2, 3, 1, 0)
BIASES = [1, 0]
PRINTED_MAPS = np.array(
    [[[0, 0, -2], [-2, -4, -4], [-2, -7, 0]], [[-2, 5, 1], [1, -3, -3], [-1, -1, -3]]]
).transpose(1, 2, 0)
DENSE = np.array([[1, 3, 2, -2, 0, 2, 1, -1], [3, -1, 2, -2, -1, 2, -1, -2]])


def worked_example_pooled() -> Array:
    maps = reference.conv2d(IMAGE, FILTERS, BIASES, strides=2, padding="same")
    return reference.max_pool2d(reference.relu(maps), 2, strides=1)[0]


def convolution_parameters(side: int, channels: int, filters: int) -> int:
    return (side * side * channels + 1) * filters


def test_errata_names_these_tests():
    """A proof that names a test which doesn't exist proves nothing."""
    named = set(re.findall(r"`(test_\w+)`", ERRATA.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_errata_names_these_tests", "test_errata_rows_are_complete"}


def test_errata_rows_are_complete():
    """A row without a proof, or a number used twice, couldn't be cited."""
    rows = re.findall(r"^\| ([EI]\d+) \|(.*)\|$", ERRATA.read_text(encoding="utf-8"), re.M)
    names = [name for name, _ in rows]
    for letter in "EI":
        count = sum(name.startswith(letter) for name in names)
        assert [n for n in names if n[0] == letter] == [f"{letter}{i + 1}" for i in range(count)]
    for name, row in rows:
        cells = [cell.strip() for cell in row.split(" | ")]
        assert len(cells) == 4 and all(len(cell) > 1 for cell in cells), name


# --- Document 1 -------------------------------------------------------------------------------


def test_pooled_maximum():
    """222 isn't the largest of the four numbers."""
    assert reference.max_pool2d(POOLED, 2).item() == 241.0


def test_pooled_mean():
    """The mean beside it is right."""
    assert reference.average_pool2d(POOLED, 2).item() == 200.125


def test_scaled_tanh_as_printed_is_zero():
    """The printed numerator cancels; the paper's function goes through (1, 1)."""
    f = np.linspace(-5, 5, 11)
    printed = 1.7159 * (np.exp(f) - np.exp(f)) / (np.exp(f) + np.exp(f))
    assert not printed.any()
    assert reference.scaled_tanh(1.0) == pytest.approx(1.0, abs=3e-5)
    assert 1.7159 * np.tanh(1.0) == pytest.approx(1.3068, abs=1e-4)  # without the slope


def test_lenet5_parameters():
    """The sentence and the table differ, and 62,006 comes from a colour input of 32x32."""

    def lenet5(side: int, channels: int) -> int:
        first = reference.output_size(reference.output_size(side, 5), 2, 2)
        second = reference.output_size(reference.output_size(first, 5), 2, 2)
        convolutions = convolution_parameters(5, channels, 6) + convolution_parameters(5, 6, 16)
        dense = (second**2 * 16 + 1) * 120 + (120 + 1) * 84 + (84 + 1) * 10
        return convolutions + dense

    assert lenet5(28, 1) == sum([156, 2416, 30840, 10164, 850]) == 44_426
    assert lenet5(32, 1) == 61_706
    assert lenet5(32, 3) == 62_006


def test_lenet5_of_1998_has_60000_parameters():
    """The paper's own layers, with its partial C3 and trained subsampling, sum to 60,000."""
    c3 = 6 * (3 * 25 + 1) + 6 * (4 * 25 + 1) + 3 * (4 * 25 + 1) + (6 * 25 + 1)
    c5 = convolution_parameters(5, 16, 120)
    assert (c3, c5) == (1516, 48_120)
    assert convolution_parameters(5, 1, 6) + 2 * 6 + c3 + 2 * 16 + c5 + (120 + 1) * 84 == 60_000


def test_rbf_smallest_wins():
    """An input that equals a class's vector has output 0 there, and more everywhere else."""
    centres = np.where(np.random.default_rng(0).random((10, 84)) < 0.5, -1.0, 1.0)
    outputs = ((centres[3] - centres) ** 2).sum(axis=1)
    assert outputs[3] == 0.0 and outputs.argmin() == 3 and outputs.argmax() != 3
    np.testing.assert_allclose(outputs, np.linalg.norm(centres[3] - centres, axis=1) ** 2)


def test_linear_function_needs_no_transpose():
    """The sum over n of x_n w_mn is W x; the transpose doesn't even fit."""
    w, x = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal([sum(x[n] * w[m, n] for n in range(3)) for m in range(2)], w @ x)
    with pytest.raises(ValueError):
        w.T @ x


def test_convolution_is_rotated_cross_correlation():
    """True convolution equals cross-correlation with the kernel rotated, not negated."""
    rng = np.random.default_rng(1)
    image, kernel = rng.normal(size=(4, 5)), rng.normal(size=(2, 3))
    convolved = np.zeros((3, 3))
    for i, j in np.ndindex(3, 3):
        for m, n in np.ndindex(2, 3):
            convolved[i, j] += image[i + 1 - m, j + 2 - n] * kernel[m, n]

    def correlate(k: Array) -> Array:
        return reference.conv2d(image[None, :, :, None], k[:, :, None, None], [0.0])[0, :, :, 0]

    np.testing.assert_allclose(convolved, correlate(kernel[::-1, ::-1]))
    assert not np.allclose(convolved, correlate(-kernel))


def test_cross_correlation_table():
    """Table 2 for i = 0, j = 1: its last row adds 1 + 1 to 0."""
    indices = [(0 + m, 1 + n) for m, n in np.ndindex(2, 2)]
    assert indices == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_feature_map_size_is_not_the_kernel_size():
    """3 and 2 give 2, but 5 and 2 give 4."""
    assert reference.output_size(3, 2) == 2
    assert reference.output_size(5, 2) == 4


def test_epochs_are_not_iterations():
    """12 epochs of MNIST in batches of 128 are thousands of updates."""
    updates = -(-60_000 // 128)
    assert (updates, 12 * updates) == (469, 5628)


def test_error_ratio():
    """98.71 % and 99.05 % sound alike; the errors are 129 and 95."""
    assert round((1 - 0.9871) * 10_000) == 129
    assert round(129 / 95, 2) == 1.36


def alexnet_parameters(fifth: int) -> tuple[int, int]:
    """Trainable and other parameters of document 1's network for 32x32 images."""
    shapes = [(11, 3, 96), (5, 96, 256), (3, 256, 384), (3, 384, 384), (3, 384, fifth)]
    dense = (fifth + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 10
    normalisation = 2 * (96 + 256)
    return sum(convolution_parameters(*s) for s in shapes) + dense + normalisation, normalisation


def test_alexnet_parameters():
    """The table is the network with 384 maps; the paper's 256 make another one."""
    trainable, others = alexnet_parameters(384)
    assert (trainable, others, trainable + others) == (22_589_642, 704, 22_590_346)
    assert round(trainable / 1e6, 1) == 22.6
    assert sum(alexnet_parameters(256)) == 21_623_562
    assert convolution_parameters(3, 384, 256) == 884_992


def test_alexnet_file_size():
    """Weights and two Adadelta accumulators in float32 explain the 271 MB."""
    trainable, others = alexnet_parameters(384)
    assert round(4 * (3 * trainable + others) / 1e6) == 271


def test_padded_kernels_that_see_only_zeros():
    """The gradient of these weights is zero for every image: they are never trained."""
    side = reference.output_size(reference.output_size(32, 11, 4), 3, 2)
    assert side == 2 and reference.output_size(side, 3, 2, "same") == 1

    def used(side: int, window: int) -> int:
        x, kernel = np.ones((1, side, side, 1)), np.zeros((window, window, 1, 1))
        return np.count_nonzero(reference.conv2d_gradient(x, kernel, x, padding="same")[1])

    assert (used(2, 5), used(1, 3)) == (9, 1)
    dead = (25 - 9) * 96 * 256 + (9 - 1) * (256 * 384 + 384 * 384 + 384 * 384)
    assert dead == 3_538_944


def test_cross_correlation_is_not_normalised():
    """A bright patch without the feature scores higher than the feature itself."""
    kernel = np.eye(2)
    assert (kernel * np.full((2, 2), 10.0)).sum() > (kernel * np.eye(2)).sum()


def test_cross_entropy_is_not_a_distance():
    """It isn't zero between equal distributions, and isn't symmetric."""
    p, q = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]])
    assert reference.categorical_cross_entropy(p, p) == pytest.approx(np.log(2))
    forward = reference.categorical_cross_entropy(p, q)
    assert forward != pytest.approx(reference.categorical_cross_entropy(q, p))


# --- Document 2 -------------------------------------------------------------------------------


def test_dropout_needs_scaling():
    """Without scaling the mean input of the next layer changes between training and testing."""
    x, keep = np.ones(100_000), 0.5
    dropped = x * (np.random.default_rng(0).random(x.size) < keep)
    assert dropped.mean() == pytest.approx(keep * x.mean(), abs=0.01)
    assert (dropped / keep).mean() == pytest.approx(x.mean(), abs=0.02)


def test_colour_is_one_deep_kernel():
    """Summing three one-channel convolutions is one convolution with a kernel of depth 3."""
    rng = np.random.default_rng(2)
    image, kernel = rng.normal(size=(1, 5, 5, 3)), rng.normal(size=(3, 3, 3, 1))
    separate = [
        reference.conv2d(image[..., c : c + 1], kernel[:, :, c : c + 1], [0.0]) for c in range(3)
    ]
    np.testing.assert_allclose(sum(separate), reference.conv2d(image, kernel, [0.0]))


def test_pooling_leaves_a_quarter():
    """Both sides are halved."""
    assert reference.max_pool2d(np.zeros((1, 24, 24, 6)), 2).size * 4 == 24 * 24 * 6


def test_flattening_keeps_rows_together():
    """Right neighbours stay 1 apart, lower neighbours become a row apart."""
    places = reference.flatten(np.arange(400).reshape(1, 20, 20, 1))[0].tolist()
    assert places.index(8) - places.index(7) == 1
    assert places.index(27) - places.index(7) == 20


def test_convolution_follows_shifts():
    """Shifting the image shifts the map; it doesn't leave it unchanged."""
    rng = np.random.default_rng(3)
    image, kernel = np.zeros((1, 9, 9, 1)), rng.normal(size=(3, 3, 1, 1))
    image[0, 3:5, 3:5] = rng.normal(size=(2, 2, 1))
    before = reference.conv2d(image, kernel, [0.0])
    after = reference.conv2d(np.roll(image, 1, axis=2), kernel, [0.0])
    np.testing.assert_allclose(np.roll(before, 1, axis=2), after)
    assert not np.allclose(before, after)


# --- Document 3 -------------------------------------------------------------------------------


def test_worked_example_convolution():
    """All 18 numbers follow the formula; the layout listed above it is the transpose."""
    maps = reference.conv2d(IMAGE, FILTERS, BIASES, strides=2, padding="same")[0]
    np.testing.assert_array_equal(maps, PRINTED_MAPS)
    padded = np.pad(IMAGE[0], ((1, 1), (1, 1), (0, 0)))
    listed = np.zeros((3, 3, 2))
    for i, j, k in np.ndindex(3, 3, 2):
        window = padded[2 * j : 2 * j + 3, 2 * i : 2 * i + 3]
        listed[i, j, k] = (FILTERS[..., k] * window).sum() + BIASES[k]
    np.testing.assert_array_equal(listed, maps.transpose(1, 0, 2))
    right = listed == PRINTED_MAPS
    assert (right[..., 0].sum(), right[..., 1].sum()) == (5, 3)
    assert right[0, 2, 0] and right[2, 0, 0]


def test_worked_example_pooling_is_by_channel():
    """A maximum over all channels would give one map, not the two printed ones."""
    pooled = worked_example_pooled()
    np.testing.assert_array_equal(pooled[..., 0], np.zeros((2, 2)))
    np.testing.assert_array_equal(pooled[..., 1], [[5, 5], [1, 0]])


def test_worked_example_dense_and_softmax():
    """(11, 4) and 0.9991 are right for channels-first flattening only."""
    pooled = worked_example_pooled()
    by_channel = DENSE @ pooled.transpose(2, 0, 1).ravel()
    np.testing.assert_array_equal(by_channel, [11, 4])
    np.testing.assert_array_equal(reference.softmax(by_channel).round(4), [0.9991, 0.0009])
    channels_last = reference.flatten(pooled[np.newaxis])[0]
    np.testing.assert_array_equal(channels_last, [0, 5, 0, 5, 0, 1, 0, 0])
    np.testing.assert_array_equal(DENSE @ channels_last, [7, -13])


def test_worked_example_depends_on_position():
    """Turning the pooled map upside down changes the output."""
    pooled = worked_example_pooled()
    turned = DENSE @ pooled[::-1].transpose(2, 0, 1).ravel()
    assert turned.tolist() != [11, 4]


def test_printed_slice_is_empty():
    """`:0` takes the columns before column 0."""
    assert IMAGE[0][:, :0].shape == (5, 0, 3)
    assert IMAGE[0][:, :, 0].shape == (5, 5)


def test_output_size_needs_a_floor():
    """The plain quotient isn't a whole number for AlexNet's first layer."""
    assert (224 - 11) / 4 + 1 == 54.25
    assert reference.output_size(224, 11, 4) == 54
    assert reference.output_size(227, 11, 4) == 55
    assert reference.output_size(5 + 2 * 1, 3, 2) == 1 + (5 - 3 + 2 * 1) // 2 == 3


# --- Document 4 -------------------------------------------------------------------------------


def test_image_sizes():
    """Pixels and values differ by the three channels."""
    assert 256 * 256 == 65_536
    assert 256 * 256 * 3 == 196_608
    assert 128 * 196_608 == 25_165_824
    assert (1024 // 256) ** 2 == 16
    assert round(5 * 196_608 / 1e6, 2) == 0.98


@pytest.mark.parametrize("window", [1, 3, 5, 7, 11])
def test_same_padding(window):
    """F - 1 on each side would make the output larger than the input."""
    size, each = 32, (window - 1) // 2
    assert reference.padding_amounts(size, window, 1, "same") == (each, each)
    assert reference.output_size(size + 2 * each, window) == size
    assert reference.output_size(size + 2 * (window - 1), window) == size + window - 1


def test_same_padding_sees_corners_less():
    """The gradient of a sum counts how often each pixel is seen."""
    kernel = np.ones((3, 3, 1, 1))

    def times_seen(pad: int) -> Array:
        x = np.zeros((1, 5 + 2 * pad, 5 + 2 * pad, 1))
        upstream = np.ones((1, 3 + 2 * pad, 3 + 2 * pad, 1))
        seen = reference.conv2d_gradient(x, kernel, upstream)[0][0, :, :, 0]
        return seen[pad : pad + 5, pad : pad + 5]

    assert (times_seen(1)[0, 0], times_seen(1)[0, 2], times_seen(1)[2, 2]) == (4, 6, 9)
    assert (times_seen(2) == 9).all()


def test_crop_of_a_small_filter_is_empty():
    """Minus zero is zero; and an even filter needs f - 1 rows cut off, not f."""
    rows = np.zeros(6)
    assert rows[1 // 2 : -(1 // 2)].size == 0
    assert rows[4 // 2 : -(4 // 2)].size == 2 != reference.output_size(6, 4)
    assert rows[5 // 2 : -(5 // 2)].size == 2 == reference.output_size(6, 5)


def test_average_pooling_axes():
    """The two axes averaged there are the block columns and the channels."""
    x = np.random.default_rng(4).normal(size=(1, 4, 6, 3))
    blocks = x.reshape(1, 2, 2, 3, 2, 3)  # image, block row, row, block column, column, channel
    assert blocks.mean(axis=3).mean(axis=4).shape == (1, 2, 2, 2)
    np.testing.assert_allclose(blocks.mean(axis=2).mean(axis=3), reference.average_pool2d(x, 2))
    np.testing.assert_allclose(blocks.mean(axis=(2, 4)), reference.average_pool2d(x, 2))


def test_max_pooling_mask_counts_ties_once():
    """Raising four equal pixels together raises the maximum once, not four times."""
    x, upstream = np.zeros((1, 2, 2, 1)), np.ones((1, 1, 1, 1))
    slope = (reference.max_pool2d(x + 1e-3, 2) - reference.max_pool2d(x, 2)).item() / 1e-3
    every_tie = (x == reference.max_pool2d(x, 2)).sum()
    assert (slope, every_tie) == (1.0, 4)
    assert reference.max_pool2d_gradient(x, upstream, 2).sum() == slope


def test_softmax_with_a_constant_does_not_sum_to_one():
    """Ten classes end up 1e-7 above 1."""
    probabilities = reference.softmax(np.arange(10.0))
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-15)
    assert (probabilities + 1e-8).sum() - 1 == pytest.approx(1e-7, rel=1e-6)


def test_parameters_are_counted_for_all_filters():
    """One filter of LeNet-5's C1 has 26 parameters, the layer has 156."""
    assert convolution_parameters(5, 1, 1) == 5 * 5 * 1 + 1 == 26
    assert convolution_parameters(5, 1, 6) == 156


def test_largest_slopes():
    """A quarter is the sigmoid's, not that of tanh."""
    x = np.linspace(-4, 4, 801)
    assert reference.sigmoid_gradient(x, np.ones_like(x)).max() == pytest.approx(0.25)
    assert reference.tanh_gradient(x, np.ones_like(x)).max() == pytest.approx(1.0)

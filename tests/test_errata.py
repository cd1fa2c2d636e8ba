"""What docs/errata.md claims and a line of arithmetic does not show, with NumPy only."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.networks import reference

Array = np.ndarray[Any, Any]
ERRATA = Path(__file__).parents[1] / "docs" / "errata.md"

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


# --- Document 2 -------------------------------------------------------------------------------


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


# --- Document 4 -------------------------------------------------------------------------------


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


def test_average_pooling_axes():
    x = np.random.default_rng(4).normal(size=(1, 4, 6, 3))
    blocks = x.reshape(1, 2, 2, 3, 2, 3)  # image, block row, row, block column, column, channel
    assert blocks.mean(axis=3).mean(axis=4).shape == (1, 2, 2, 2)
    np.testing.assert_allclose(blocks.mean(axis=2).mean(axis=3), reference.average_pool2d(x, 2))
    np.testing.assert_allclose(blocks.mean(axis=(2, 4)), reference.average_pool2d(x, 2))

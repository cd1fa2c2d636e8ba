"""The input pipeline: what a batch holds, in which order, and what that follows from."""

import numpy as np
import pytest

from modelzoo.config.sections import Data
from modelzoo.data.pipeline import InputPipeline
from modelzoo.data.preprocessor import Preprocessor
from modelzoo.data.source import Dataset, split_validation
from modelzoo.support.errors import InputError

RESCALE = {"class_name": "Rescaling", "config": {"scale": 1 / 255}}
SHIFT = {
    "class_name": "RandomTranslation",
    "config": {"height_factor": 0.3, "width_factor": 0.3, "fill_mode": "constant"},
}


def numbered(count: int = 50, classes: int = 5) -> Dataset:
    """Return images that carry their own number in every pixel."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((8, 8, 1), np.uint8)
    labels = np.arange(count) % classes
    names = tuple("abcde"[:classes])
    return Dataset("numbered", images, labels, images[:20], labels[:20], names)


def pipeline(**options) -> InputPipeline:
    seed = options.pop("seed", 0)
    settings = Data(**{"dataset": "numbered", "batch_size": 16, "validation_split": 10, **options})
    return InputPipeline(numbered(), settings, num_classes=5, seed=seed)


def epoch_of(one: InputPipeline, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    batches = one.training_batches()
    one.start_epoch(number)
    return [(np.asarray(images), np.asarray(labels)) for images, labels in batches]


def test_an_epoch_holds_every_training_picture_once_with_its_label():
    one = pipeline()
    batches = epoch_of(one, 0)
    assert [len(images) for images, _ in batches] == [16, 16, 8] and one.steps_per_epoch == 3
    numbers = np.concatenate([images[:, 0, 0, 0] for images, _ in batches]).astype(int)
    labels = np.concatenate([labels for _, labels in batches])
    assert sorted(numbers) == sorted(one.indices["train"])
    assert np.array_equal(labels, numbers % 5)
    assert not set(numbers) & set(one.indices["validation"])


@pytest.mark.parametrize("options", [{}, {"augmentation": [SHIFT]}], ids=["order", "augmentation"])
def test_batches_follow_from_seed_and_epoch_alone(options):
    first, second = pipeline(seed=3, **options), pipeline(seed=3, **options)
    epoch_of(first, 0)
    for (a, _), (b, _) in zip(epoch_of(first, 1), epoch_of(second, 1), strict=True):
        assert np.array_equal(a, b)
    other_epoch, other_seed = epoch_of(first, 2), epoch_of(pipeline(seed=4, **options), 1)
    now = epoch_of(first, 1)
    assert not np.array_equal(now[0][0], other_epoch[0][0])
    assert not np.array_equal(now[0][0], other_seed[0][0])


def test_an_epoch_can_begin_at_any_step():
    shift = {"augmentation": [SHIFT, {"class_name": "RandomFlip"}]}
    whole = epoch_of(pipeline(**shift), 2)
    late = pipeline(**shift)
    batches = late.training_batches(first_step=1)
    late.start_epoch(2)
    for (a, b), (images, labels) in zip(whole[1:], batches, strict=True):
        assert np.array_equal(a, images) and np.array_equal(b, labels)
    assert not np.array_equal(whole[0][0][:8], whole[2][0])


def test_augmentation_changes_training_pictures_only():
    one = pipeline(augmentation=[SHIFT], preprocessing=[RESCALE])
    for split in ("validation", "test"):
        images = np.concatenate([np.asarray(images) for images, _ in one.scoring_batches(split)])
        expected = one.images(split, np.arange(one.images_in(split))) / 255
        np.testing.assert_allclose(images, expected, rtol=1e-6)
    assert any((images != images[:, :1, :1]).any() for images, _ in epoch_of(one, 0))


def test_scoring_batches_keep_the_order_and_the_last_pictures():
    """Labels and predictions are matched by position; 9,984 of 10,000 would be a known mistake."""
    one = pipeline(batch_size=7)
    labels = np.concatenate([np.asarray(labels) for _, labels in one.scoring_batches("test")])
    assert np.array_equal(labels, one.labels("test")) and len(labels) == 20


def test_scaling_is_exact_and_pictures_stay_uint8_in_memory():
    """1/255 written out in YAML gives the same float32 as dividing by 255."""
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    scaled = Preprocessor([{"class_name": "Rescaling", "config": {"scale": 0.00392156862745098}}])
    result = scaled.to_numpy(images)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, images.astype("float32") / 255, rtol=2e-7)
    assert pipeline().data.x_train.dtype == np.uint8


def test_one_hot_labels_and_mixup():
    mix = {"class_name": "MixUp", "config": {"alpha": 0.4}}
    one = pipeline(label_mode="categorical", augmentation=[mix])
    _, labels = epoch_of(one, 0)[0]
    assert labels.shape == (16, 5) and np.allclose(labels.sum(axis=1), 1)
    assert ((labels > 0).sum(axis=1) > 1).any()
    with pytest.raises(InputError, match="label_mode: MixUp"):
        pipeline(augmentation=[mix])


@pytest.mark.parametrize("size", [0.25, 50])
def test_validation_takes_each_class_in_proportion_and_for_every_seed_the_same(size):
    """Another seed would choose by other images, and a rare class could be missing."""
    labels = np.repeat([0, 1, 2], [120, 60, 20])
    train, validation = split_validation(labels, size)
    assert np.bincount(labels[validation]).tolist() == [30, 15, 5]
    assert sorted([*train, *validation]) == list(range(200))
    assert pipeline(seed=1).indices["validation"].tolist() == (
        pipeline(seed=2).indices["validation"].tolist()
    )


def test_validation_images_have_not_changed_since_the_first_release():
    """Published weights were chosen on them."""
    train, validation = split_validation(np.arange(50) % 7, 8)
    assert validation.tolist() == [3, 18, 21, 23, 26, 34, 35, 36]
    assert len(train) == 42


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match="leaves none of 50"):
        pipeline(validation_split=50)
    assert pipeline(validation_split=0).images_in("validation") == 0

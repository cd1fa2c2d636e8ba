"""The input pipeline: which images, in which order, scaled and augmented how, a batch at a time.

Images stay uint8 in memory (or files on the disk) until their batch is made. The order of an
epoch follows from (seed, epoch) alone, and the random augmentation of a batch from (seed, epoch,
step): so a run that resumes within an epoch sees what an uninterrupted one would have seen, and
reads none of the batches before.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from modelzoo.config.sections import Data
from modelzoo.data.preprocessor import CROPS, MIXING_LAYERS, Preprocessor, ten_crops
from modelzoo.data.source import READ_AHEAD, BatchSource, Dataset, split_validation
from modelzoo.support.errors import InputError

if TYPE_CHECKING:
    from modelzoo.data.tensorflow_batches import ReplicaSlices

Patch = tuple[int, int] | None  # height and width of the ten patches of each image
LARGE_BATCH_BYTES = 64_000_000  # of float32 input, when a batch only has to be scored


class InputPipeline:
    """The batches of a data set's three splits.

    Args:
        data: the data set; its test images are never used for anything but scoring.
        settings: the section `data` of a configuration. The last batch of an epoch may be smaller
            than its `batch_size`; images for validation are drawn class by class, the same for
            every seed, and so are `training_images` of the others.
        num_classes: units of the network's output, for one-hot labels.
        seed: of the order and the augmentation.
        leaves_pixels: whether training batches keep images in 0..255, for what attacks them.
    """

    def __init__(
        self,
        data: Dataset,
        settings: Data,
        *,
        num_classes: int,
        seed: int = 0,
        leaves_pixels: bool = False,
    ) -> None:
        self.leaves_pixels = leaves_pixels
        self.data, self.batch_size, self.seed = data, settings.batch_size, seed
        self.num_classes = num_classes if settings.label_mode == "categorical" else None
        train, validation = split_validation(data.y_train, settings.validation_split)
        if data.validation is not None and settings.validation_split:
            validation = data.validation  # its publisher's
            train = np.setdiff1d(np.arange(len(data.y_train)), validation)
        wanted = settings.training_images
        if wanted is not None and wanted < len(train):
            _, chosen = split_validation(data.y_train[train], wanted)
            train = train[chosen]
        self.indices = {
            "train": train,
            "validation": validation,
            "test": np.arange(len(data.y_test)),
        }
        self.preprocessor = Preprocessor(settings.preprocessing, settings.augmentation)
        for layer in self.preprocessor.augmentation:
            name = type(layer).__name__
            if name in MIXING_LAYERS and self.num_classes is None:
                raise InputError(f"data.label_mode: {name} mixes labels; set it to categorical")
        self._order = np.array(train)
        self._seeds = self.preprocessor.batch_seeds(seed, 0, self.steps_per_epoch)
        self._on_new_epoch: Callable[[], None] = lambda: None
        self._tensors: dict[str, Any] = {}  # of "train" and "test", where images are in memory
        self._unreadable: InputError | None = None

    def images_in(self, split: str) -> int:
        """Return the number of images in "train", "validation" or "test"."""
        return len(self.indices[split])

    def labels(self, split: str) -> np.ndarray:
        """Return the class numbers of a split, in the order in which it is scored."""
        return self._arrays(split)[1][self.indices[split]]

    def images(self, split: str, positions: np.ndarray) -> np.ndarray:
        """Return the uint8 images at some positions of a split."""
        return self._arrays(split)[0][self.indices[split][positions]]

    def encode(self, labels: Any) -> Any:
        """Return class numbers as the loss takes them: as they are, or one-hot."""
        if self.num_classes is None:
            return labels
        return keras.ops.one_hot(labels, self.num_classes, dtype="float32")

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a training epoch."""
        return -(-self.images_in("train") // self.batch_size)

    def start_epoch(self, epoch: int) -> None:
        """Shuffle the training images, and seed their augmentation, for epoch 0, 1, 2, ..."""
        generator = np.random.default_rng([self.seed, epoch])
        self._order[:] = generator.permutation(self.indices["train"])
        self._seeds[:] = self.preprocessor.batch_seeds(self.seed, epoch, self.steps_per_epoch)
        self._on_new_epoch()

    def training_batches(
        self,
        first_step: int = 0,
        slices: ReplicaSlices | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> Any:
        """Return what `keras.Model.fit` takes: shuffled, augmented training batches.

        From `first_step` on, they are the same as if the batches before had been made. With a
        `slices`, on TensorFlow, these one after the other, and weights with which the mean
        over all replicas is that over the whole batch, also if slices differ in size.
        """
        made = self._batches(
            "train",
            batch_size=self.batch_size,
            first_step=first_step,
            order=self._order,
            seeds=self._seeds,
            finish=functools.partial(self._finish, training=True),
            slices=slices,
            whole_first=len(self.preprocessor.augmentation) > 0,
        )
        if slices is None:
            return made
        count, size = self.images_in("train"), self.batch_size
        sizes = [min(size, count - begin) for begin in range(0, count, size)]
        return slices.weigh(made, sizes[first_step:], class_weight)

    def scoring_batches(
        self, split: str, patch: Patch = None, slices: ReplicaSlices | None = None
    ) -> Any:
        """Return batches of a split in a fixed order, as large as memory allows without harm.

        With a `patch`, (height, width), ten patches of each image take its place; with a
        `slices`, on TensorFlow, there are these only.
        """
        size = int(np.prod(self.data.image_shape)) * 4
        batch_size = max(self.batch_size, min(2048, LARGE_BATCH_BYTES // size))
        if patch is not None:
            batch_size = max(1, LARGE_BATCH_BYTES // (CROPS * size))
        if slices is not None:
            batch_size = slices.scoring_size(self.images_in(split), batch_size)
        steps = -(-self.images_in(split) // batch_size)
        return self._batches(
            split,
            batch_size=batch_size,
            order=self.indices[split],
            seeds=np.zeros((steps, 0, 2), "uint32"),
            finish=functools.partial(self._finish, training=False, patch=patch),
            slices=slices,
        )

    def first_images(self, count: int = 2) -> tuple[Any, Any]:
        """Return a few training images and labels as `fit` gets them, to try a network on."""
        chosen = np.arange(min(count, self.images_in("train")))
        labels = keras.ops.convert_to_tensor(self.labels("train")[chosen].astype("int32"))
        images = keras.ops.convert_to_tensor(self.images("train", chosen))
        return self._finish(images, labels, self._seeds[0], training=True)

    def _arrays(self, split: str) -> tuple[Any, np.ndarray]:
        """Return the images and labels that the positions of a split refer to."""
        data = self.data
        return (data.x_test, data.y_test) if split == "test" else (data.x_train, data.y_train)

    def _batches(
        self,
        split: str,
        *,
        slices: ReplicaSlices | None = None,
        whole_first: bool = False,
        first_step: int = 0,
        **rest: Any,
    ) -> Any:
        """Return a split's batches for the backend; `rest` are what else a `BatchSource` has."""
        on_tensorflow = keras.backend.backend() == "tensorflow"
        pixels = self._as_tensor(split) if on_tensorflow else None
        batches = BatchSource(*self._arrays(split), first_step=first_step, **rest)
        if not on_tensorflow:
            return NumpyBatches(batches)
        from modelzoo.data.tensorflow_batches import make_dataset

        read = functools.partial(self._read, split)
        dataset, start_epoch = make_dataset(batches, pixels, read, slices, whole_first)
        if rest["order"] is self._order:
            self._on_new_epoch = start_epoch
        return dataset

    def _as_tensor(self, split: str) -> Any:
        """Return a split's images as a tensor, which takes the array's place; None of files."""
        import tensorflow as tf

        part = "test" if split == "test" else "train"
        if not isinstance(self._arrays(split)[0], np.ndarray):
            return None
        if part not in self._tensors:
            array = self._arrays(part)[0]
            with tf.device("cpu:0"):  # tf.constant would copy twice; this shares aligned memory
                share = functools.partial(tf.numpy_function, lambda: array, [], tf.uint8)
                tensor = tf.function(share, autograph=False)()
            self._tensors[part] = tensor
            view: Any = {f"x_{part}": np.asarray(memoryview(tensor))}
            self.data = replace(self.data, **view)
        return self._tensors[part]

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raise the InputError of an image that cannot be read, which TensorFlow would wrap."""
        self._unreadable = None
        try:
            yield
        except Exception:
            if self._unreadable is not None:
                raise self._unreadable from None
            raise

    def _read(self, split: str, chosen: np.ndarray) -> np.ndarray:
        """Return the images at some positions, and note why one cannot be read."""
        try:
            return self._arrays(split)[0][chosen]
        except InputError as error:
            self._unreadable = error
            raise

    def _finish(
        self, images: Any, labels: Any, seeds: Any, *, training: bool, patch: Patch = None
    ) -> tuple[Any, Any]:
        """Encode, augment, cut up and scale one gathered batch."""
        labels = self.encode(labels)
        if training:
            images, labels = self.preprocessor.augment(images, labels, seeds)
        if patch is not None:
            images, labels = ten_crops(images, *patch), keras.ops.repeat(labels, CROPS, axis=0)
        is_input = not (training and self.leaves_pixels)
        return self.preprocessor(images) if is_input else images, labels


class NumpyBatches(keras.utils.PyDataset):
    """The batches of a pass, gathered by NumPy."""

    def __init__(self, batches: BatchSource) -> None:
        super().__init__(workers=0)
        self.batches = batches
        self._ahead: dict[int, Future[np.ndarray]] = {}  # by step: files that are being read

    @property
    def num_batches(self) -> int:
        """Batches from the first step on."""
        return self.batches.steps - self.batches.first_step

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return batch number `index` from the first step on."""
        batches, step = self.batches, self.batches.first_step + index
        labels = batches.labels[batches.chosen(step)]
        return batches.finish(self._images(step), labels, batches.seeds[step])

    def _images(self, step: int) -> np.ndarray:
        """Return the images of a batch; files of those that follow are read in the meantime."""
        batches = self.batches
        if batches.in_memory:
            return batches.images[batches.chosen(step)]
        if step not in self._ahead or step == batches.first_step:
            self._ahead.clear()  # of another epoch, in another order
        for each in range(step, min(step + 1 + READ_AHEAD, batches.steps)):
            if each not in self._ahead:
                chosen = batches.chosen(each).copy()  # the next epoch shuffles in place
                self._ahead[each] = _readers().submit(batches.images.__getitem__, chosen)
        return self._ahead.pop(step).result()


@functools.cache
def _readers() -> ThreadPoolExecutor:
    """The threads that read batches ahead."""
    return ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="read-batches")

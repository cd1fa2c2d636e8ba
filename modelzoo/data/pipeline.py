"""The input pipeline: which pictures, in which order, scaled and augmented how, a batch at a time.

Pictures stay uint8 in memory (or files on the disk) until their batch is made. The order of an
epoch follows from (seed, epoch) alone, and the random augmentation of a batch from (seed, epoch,
step): so a run that resumes within an epoch sees what an uninterrupted one would have seen, and
reads none of the batches before.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from modelzoo import keras_objects
from modelzoo.data.slices import Slices
from modelzoo.data.source import Dataset
from modelzoo.data.ten_crops import CROPS, ten_crops
from modelzoo.errors import InputError
from modelzoo.layers.random_patch import RandomPatch
from modelzoo.machine import usable_cores
from modelzoo.models.plan import check_features

SPLIT_SEED = 0  # the validation images are the same for every seed of a run
Patch = tuple[int, int] | None  # height and width of the ten patches of each picture
LARGE_BATCH_BYTES = 64_000_000  # of float32 input, when a batch only has to be scored
AUGMENTERS = min(8, usable_cores() // 2)  # batches made at once; half of the cores train
READ_AHEAD = 2  # batches of files: one is being read while another is waited for


class Preprocessor:
    """The layers that every picture passes before the network, and those for training pictures.

    Args:
        preprocessing: Keras layers by class name and configuration, as `data.preprocessing`.
        augmentation: the same, applied to training pictures first, on pixels of 0..255.
    """

    def __init__(self, preprocessing: Sequence[Any] = (), augmentation: Sequence[Any] = ()) -> None:
        self.layers = _make_layers(preprocessing, "data.preprocessing")
        self.augmentation = _make_layers(augmentation, "data.augmentation")

    def __call__(self, images: Any) -> Any:
        """Return float32 pictures as the network expects them, from uint8 ones."""
        images = keras.ops.cast(images, "float32")
        for index, layer in enumerate(self.layers):
            _check_size(layer, images.shape, f"data.preprocessing.{index}")
            images = layer(images)
        return images

    def to_numpy(self, images: np.ndarray) -> np.ndarray:
        """Return what a call returns, as a NumPy array in float32."""
        return np.asarray(keras.ops.convert_to_numpy(self(images)))

    def augment(self, images: Any, labels: Any, seeds: Any = None) -> tuple[Any, Any]:
        """Return a training batch, changed at random; MixUp and CutMix change the labels too.

        Args:
            images: (n, height, width, channels), 0..255.
            labels: (n,), or (n, classes) if they are one-hot.
            seeds: the row of `batch_seeds` for this batch; None draws on from where the layers are.
        """
        if not self.augmentation:
            return images, labels
        if seeds is None:
            return self._augment(images, labels)
        # No variable is written: batches may be made at the same time.
        states = [(state, seeds[index]) for index, state in enumerate(self._random_states())]
        mapping = [(state, keras.ops.cast(words, state.dtype)) for state, words in states]
        with keras.StatelessScope(state_mapping=mapping):
            return self._augment(images, labels)

    def _augment(self, images: Any, labels: Any) -> tuple[Any, Any]:
        for index, layer in enumerate(self.augmentation):
            _check_size(layer, images.shape, f"data.augmentation.{index}")
            if not isinstance(layer, RandomPatch):  # which cuts bytes as well as floats, faster
                images = keras.ops.cast(images, "float32")
            if type(layer).__name__ in ("MixUp", "CutMix"):
                mixed = layer({"images": images, "labels": labels}, training=True)
                images, labels = mixed["images"], mixed["labels"]
            else:
                images = layer(images, training=True)
        return images, labels

    def batch_seeds(self, seed: int, epoch: int, steps: int) -> np.ndarray:
        """Return the random state of each augmentation layer for each batch of an epoch.

        uint32, (steps, states, 2). No two follow from each other: PyTorch's
        generators take the sum of the two words, which neighbouring numbers would share.
        """
        states = len(self._random_states())
        # Trailing zeros would make no difference to SeedSequence, and the order has [seed, epoch].
        words = np.random.SeedSequence([seed, epoch, 1]).generate_state(steps * states * 2)
        return words.reshape(steps, states, 2)

    def _random_states(self) -> list[Any]:
        return [
            variable
            for layer in self.augmentation
            for variable in layer.variables
            if variable.name == "seed_generator_state"
        ]


class InputPipeline:
    """The batches of a data set's three splits.

    Args:
        data: the data set; its test images are never used for anything but scoring.
        num_classes: units of the network's output, for one-hot labels.
        batch_size: pictures in a training batch; the last of an epoch may be smaller.
        validation_split: share (float) or number (int) of training images kept for validation,
            the same for every seed, drawn class by class.
        training_images: how many of the others to train on, chosen in the same way; None for all.
        preprocessing, augmentation: Keras layers, see `Preprocessor`.
        label_mode: "int", or "categorical" for one-hot labels.
        seed: of the order and the augmentation.

    Raises:
        InputError: a split that leaves no training images, or an unknown layer.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        num_classes: int,
        batch_size: int,
        validation_split: float,
        training_images: int | None = None,
        preprocessing: Sequence[Any] = (),
        augmentation: Sequence[Any] = (),
        label_mode: str = "int",
        seed: int = 0,
    ) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.num_classes = num_classes if label_mode == "categorical" else None
        self.preprocessor = Preprocessor(preprocessing, augmentation)
        mixes = {type(layer).__name__ for layer in self.preprocessor.augmentation} & {
            "MixUp",
            "CutMix",
        }
        if mixes and label_mode != "categorical":
            raise InputError(f"data.label_mode: {mixes.pop()} mixes labels; set it to categorical")
        train, validation = split_validation(data.y_train, validation_split)
        if training_images is not None and training_images < len(train):
            _, chosen = split_validation(data.y_train[train], training_images)
            train = train[chosen]
        self.indices = {
            "train": train,
            "validation": validation,
            "test": np.arange(len(data.y_test)),
        }
        self._order = np.array(train)
        self._seeds = self.preprocessor.batch_seeds(seed, 0, self.steps_per_epoch)
        self._on_new_epoch: Callable[[], None] = lambda: None
        self._tensors: dict[str, Any] = {}  # of "train" and "test", where pictures are in memory
        self._unreadable: InputError | None = None

    def images_in(self, split: str) -> int:
        """Return the number of pictures in "train", "validation" or "test"."""
        return len(self.indices[split])

    def labels(self, split: str) -> np.ndarray:
        """Return the class numbers of a split, in the order in which it is scored."""
        return self._labels_of(split)[self.indices[split]]

    def images(self, split: str, positions: np.ndarray) -> np.ndarray:
        """Return the uint8 pictures at some positions of a split."""
        return self._images_of(split)[self.indices[split][positions]]

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
        slices: Slices | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> Any:
        """Return what `keras.Model.fit` takes: shuffled, augmented training batches.

        From `first_step` on, they are the same as if the batches before had been made. With a
        `slices`, on TensorFlow, these one after the other, and weights with which the mean
        over all replicas is that over the whole batch, also if slices differ in size.
        """
        if keras.backend.backend() == "tensorflow":
            batches = self._tensorflow_batches(
                "train", self.batch_size, first_step, training=True, slices=slices
            )
            if slices is None:
                return batches
            count, size = self.images_in("train"), self.batch_size
            sizes = [min(size, count - begin) for begin in range(0, count, size)]
            return slices.weigh(batches, sizes[first_step:], class_weight)
        return _Batches(self, "train", self.batch_size, first_step, training=True)

    def scoring_batches(self, split: str, patch: Patch = None, slices: Slices | None = None) -> Any:
        """Return batches of a split in a fixed order, as large as memory allows without harm.

        With a `patch`, (height, width), ten patches of each picture take its place; with a
        `slices`, on TensorFlow, there are these only.
        """
        size = int(np.prod(self.data.image_shape)) * 4
        batch_size = max(self.batch_size, min(2048, LARGE_BATCH_BYTES // size))
        if patch is not None:
            batch_size = max(1, LARGE_BATCH_BYTES // (CROPS * size))
        if slices is not None:
            batch_size = slices.scoring_size(self.images_in(split), batch_size)
        if keras.backend.backend() == "tensorflow":
            return self._tensorflow_batches(
                split, batch_size, training=False, patch=patch, slices=slices
            )
        return _Batches(self, split, batch_size, training=False, patch=patch)

    def first_images(self, count: int = 2) -> tuple[Any, Any]:
        """Return a few training pictures and labels as `fit` gets them, to try a network on."""
        chosen = np.arange(min(count, self.images_in("train")))
        labels = keras.ops.convert_to_tensor(self.labels("train")[chosen].astype("int32"))
        images = keras.ops.convert_to_tensor(self.images("train", chosen))
        return self._finish(images, labels, self._seeds[0], training=True)

    def _images_of(self, split: str) -> Any:
        return self.data.x_test if split == "test" else self.data.x_train

    def _labels_of(self, split: str) -> np.ndarray:
        return self.data.y_test if split == "test" else self.data.y_train

    def _tensorflow_batches(
        self,
        split: str,
        batch_size: int,
        first_step: int = 0,
        *,
        training: bool,
        patch: Patch = None,
        slices: Slices | None = None,
    ) -> Any:
        """Return a tf.data.Dataset that gathers each batch in the graph, no Python in between."""
        import tensorflow as tf

        source = self._images_of(split)
        labels = tf.constant(self._labels_of(split).astype("int32"))
        count = self.images_in(split)
        with tf.device("cpu:0"):
            order = tf.Variable(self.indices[split].astype("int64"), trainable=False)
            seeds = tf.Variable(self._seeds.astype("int64"), trainable=False)
        if training:

            def start_epoch() -> None:
                order.assign(self._order)
                seeds.assign(self._seeds.astype("int64"))

            self._on_new_epoch = start_epoch

        # Augmentation is drawn for a whole batch: it is cut up afterwards. Else slices are read.
        whole = training and len(self.preprocessor.augmentation) > 0
        parts = 1 if slices is None or whole else slices.count

        def gather(index: Any) -> tuple[Any, Any, Any]:
            step = index // parts
            chosen = order[step * batch_size : (step + 1) * batch_size]
            if slices is not None and not whole:
                chosen = slices.cut(chosen, index % parts)
            return read(chosen), tf.gather(labels, chosen), seeds[step] if training else ()

        if isinstance(source, np.ndarray):
            pixels = self._as_tensor("test" if split == "test" else "train")

            def read(chosen: Any) -> Any:
                return tf.gather(pixels, chosen)
        else:

            def read(chosen: Any) -> Any:
                batch = tf.numpy_function(self._read, [chosen, split], tf.uint8, stateful=False)
                batch.set_shape((None, *source.shape[1:]))
                return batch

        steps = -(-count // batch_size)
        dataset = tf.data.Dataset.range(first_step * parts, steps * parts)
        if isinstance(source, np.ndarray):
            dataset = dataset.map(gather)
        else:  # Files are read ahead; AUTOTUNE would keep as many batches as half the memory holds.
            dataset = dataset.map(gather, num_parallel_calls=READ_AHEAD, deterministic=True)
        in_memory = isinstance(source, np.ndarray)
        at_once = AUGMENTERS if in_memory else max(2, AUGMENTERS)
        parallel = {"num_parallel_calls": at_once, "deterministic": True} if at_once > 1 else {}
        dataset = dataset.map(
            lambda images, y, seeds: self._finish(images, y, seeds, training=training, patch=patch),
            **parallel,
        )
        if slices is not None and whole:
            indices = tf.data.Dataset.range(slices.count)
            dataset = dataset.flat_map(
                lambda images, y: indices.map(
                    lambda index: (slices.cut(images, index), slices.cut(y, index))
                )
            )
            cardinality = (steps - first_step) * slices.count
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
        return dataset.prefetch(tf.data.AUTOTUNE if in_memory else READ_AHEAD)

    def _as_tensor(self, part: str) -> Any:
        """Return the pictures of "train" or "test" as a tensor, which takes the array's place."""
        import tensorflow as tf

        if part not in self._tensors:
            with tf.device("cpu:0"):
                tensor = tf.constant(self._images_of(part))
            self._tensors[part] = tensor
            view: Any = {f"x_{part}": np.asarray(memoryview(tensor))}
            self.data = replace(self.data, **view)
        return self._tensors[part]

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raise the InputError of a picture that cannot be read, which TensorFlow would wrap."""
        self._unreadable = None
        try:
            yield
        except Exception:
            if self._unreadable is not None:
                raise self._unreadable from None
            raise

    def _read(self, chosen: np.ndarray, split: bytes) -> np.ndarray:
        try:
            return self._images_of(split.decode())[chosen]
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
        return self.preprocessor(images), labels


class _Batches(keras.utils.PyDataset):
    """The same batches for the JAX and PyTorch backends, gathered by NumPy."""

    def __init__(
        self,
        pipeline: InputPipeline,
        split: str,
        batch_size: int,
        first_step: int = 0,
        *,
        training: bool,
        patch: Patch = None,
    ) -> None:
        super().__init__(workers=0)
        self.pipeline, self.split, self.batch_size = pipeline, split, batch_size
        self.first_step = first_step
        self.training, self.patch = training, patch
        self.order = pipeline._order if training else pipeline.indices[split]
        self._ahead: dict[int, Future[np.ndarray]] = {}  # by step: files that are being read

    @property
    def num_batches(self) -> int:
        """Batches in a pass."""
        return -(-len(self.order) // self.batch_size) - self.first_step

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return batch number `index` from the first step on."""
        step = self.first_step + index
        labels = self.pipeline._labels_of(self.split)[self._chosen(step)]
        images = self._images(step)
        seeds = self.pipeline._seeds[step] if self.training else None
        return self.pipeline._finish(
            images, labels, seeds, training=self.training, patch=self.patch
        )

    def _chosen(self, step: int) -> np.ndarray:
        return self.order[step * self.batch_size : (step + 1) * self.batch_size]

    def _images(self, step: int) -> np.ndarray:
        """Return the pictures of a batch; files of those that follow are read in the meantime."""
        source = self.pipeline._images_of(self.split)
        if isinstance(source, np.ndarray):
            return source[self._chosen(step)]
        if step not in self._ahead or step == self.first_step:
            self._ahead.clear()  # of another epoch, in another order
        end = min(step + 1 + READ_AHEAD, self.first_step + self.num_batches)
        for each in range(step, end):
            if each not in self._ahead:
                chosen = self._chosen(each).copy()  # the next epoch shuffles in place
                self._ahead[each] = _readers().submit(source.__getitem__, chosen)
        return self._ahead.pop(step).result()


@functools.cache
def _readers() -> ThreadPoolExecutor:
    """The threads that read batches ahead for JAX and PyTorch."""
    return ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="read-batches")


def split_validation(labels: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions for training and for validation, each class in its proportion.

    Args:
        labels: class numbers, (n,).
        size: a share if a float, a number of images if an int.

    Raises:
        InputError: nothing would be left to train on.
    """
    count = round(len(labels) * size) if isinstance(size, float) else size
    if count >= len(labels):
        raise InputError(
            f"data.validation_split: {size} leaves none of the {len(labels)} training images"
        )
    shuffled = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels, minlength=1)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(labels))  # where an image stands within its class, from 0 to 1
    rank[by_class] = (np.arange(len(labels)) - first + 0.5) / np.repeat(counts, counts)
    chosen = shuffled[np.argsort(rank[shuffled], kind="stable")]
    return np.sort(chosen[count:]), np.sort(chosen[:count])


def _check_size(layer: Any, shape: Sequence[int | None], where: str) -> None:
    """Refuse a layer that would make immense pictures, before it takes memory for them.

    Raises:
        InputError: as `check_features`.
    """
    try:
        made = layer.compute_output_shape((None, *shape[1:]))
    except (NotImplementedError, AttributeError, TypeError, ValueError):
        return  # a layer that does not say, or takes no pictures: it will complain itself
    if isinstance(made, tuple) and None not in made[1:]:
        check_features(where, math.prod(made[1:-1]), 1, made[-1])


def _make_layers(specs: Sequence[Any], where: str) -> list[Any]:
    return [
        keras_objects.make("layer", spec, f"{where}.{index}") for index, spec in enumerate(specs)
    ]

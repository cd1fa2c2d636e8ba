"""The batches of a pass as a tf.data.Dataset, which makes them with no Python in between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from modelzoo.data.source import READ_AHEAD, BatchSource
from modelzoo.support.environment import usable_cores

# AutoGraph takes a second to rewrite what has no condition on a tensor to rewrite.
as_written = tf.autograph.experimental.do_not_convert
AUGMENTERS = min(8, usable_cores() // 2)  # batches made at once; half of the cores train


@dataclass(frozen=True)
class ReplicaSlices:
    """What a process takes of a batch: `count` of `replicas` slices, from number `first` on."""

    replicas: int
    first: int
    count: int

    def bounds(self, size: Any) -> list[Any]:
        """Return where these slices of a batch of `size` begin, and where the last one ends."""
        edges = range(self.first, self.first + self.count + 1)
        return [size * edge // self.replicas for edge in edges]

    def scoring_size(self, count: int, size: int) -> int:
        """Return a batch size up to `size` whose last batch has an image for every replica."""
        while 0 < count % size < self.replicas and size > self.replicas:
            size -= 1
        return size

    def cut(self, batch: Any, index: Any) -> Any:
        """Return slice number `index` of this process, in TensorFlow's graph.

        An empty one, which convolutions refuse, gets the first image, which `weigh` gives
        weight 0.
        """
        edges = tf.stack(self.bounds(tf.shape(batch, out_type=tf.int64)[0]))
        begin, end = edges[index], edges[index + 1]
        return tf.cond(begin < end, lambda: batch[begin:end], lambda: batch[:1])

    def weigh(
        self, batches: Any, sizes: Sequence[int], class_weight: Mapping[int, float] | None
    ) -> Any:
        """Return slices with a weight an example: what it counts in the mean over its batch.

        `batches` is a tf.data.Dataset of slices, which were cut from batches of these `sizes`.
        """
        edges = [np.array(self.bounds(size)) for size in sizes]
        counts = [np.diff(each) / size for each, size in zip(edges, sizes, strict=True)]
        parts = np.concatenate(counts) * self.replicas
        weights = tf.data.Dataset.from_tensor_slices(parts.astype("float32"))

        def weigh(batch: tuple[Any, Any], weight: Any) -> tuple[Any, Any, Any]:
            images, labels = batch
            examples = tf.fill(tf.shape(images)[:1], weight)
            if class_weight is not None:
                table = [class_weight[label] for label in sorted(class_weight)]
                classes = tf.argmax(labels, axis=1) if len(labels.shape) == 2 else labels
                examples *= tf.gather(tf.constant(table, "float32"), classes)
            return images, labels, examples

        return tf.data.Dataset.zip(batches, weights).map(weigh)


class TensorFlowBatches:
    """Gathers, finishes and cuts up the batches of a pass.

    `pixels` are the images as a tensor, if they are in memory; else `read` returns those at some
    positions. With `whole_first`, slices are cut from finished batches, as augmentation is drawn
    for a whole one; else they are gathered alone.
    """

    def __init__(
        self,
        batches: BatchSource,
        pixels: Any,
        read: Callable[[np.ndarray], np.ndarray],
        slices: ReplicaSlices | None,
        whole_first: bool,
    ) -> None:
        self.batches, self.pixels, self.read = batches, pixels, read
        self.cut_first = None if whole_first else slices
        self.cut_last = slices if whole_first else None
        self.labels = tf.constant(batches.labels.astype("int32"))
        with tf.device("cpu:0"):
            self.order = tf.Variable(batches.order.astype("int64"), trainable=False)
            self.seeds = tf.Variable(batches.seeds.astype("int64"), trainable=False)

    def start_epoch(self) -> None:
        """Take the order and the seeds as they are now."""
        self.order.assign(self.batches.order)
        self.seeds.assign(self.batches.seeds.astype("int64"))

    def dataset(self) -> Any:
        """Return the tf.data.Dataset."""
        batches = self.batches
        parts = self.cut_first.count if self.cut_first else 1
        dataset = tf.data.Dataset.range(batches.first_step * parts, batches.steps * parts)
        # Files are read ahead; AUTOTUNE would keep as many batches as half the memory holds.
        ahead = 1 if batches.in_memory else READ_AHEAD
        dataset = dataset.map(as_written(self._gather), **_at_once(ahead))
        at_once = AUGMENTERS if batches.in_memory else max(2, AUGMENTERS)
        dataset = dataset.map(as_written(batches.finish), **_at_once(at_once))
        if self.cut_last:
            dataset = self._cut_up(dataset, self.cut_last)
        # Rewriting the graph would copy all images into it, for a while.
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        ahead = tf.data.AUTOTUNE if batches.in_memory else READ_AHEAD
        return dataset.prefetch(ahead).with_options(options)

    def _gather(self, index: Any) -> tuple[Any, Any, Any]:
        """Return images, labels and seeds of a batch, or of one of its slices."""
        step = index // self.cut_first.count if self.cut_first else index
        chosen = self.batches.chosen(step, self.order)
        if self.cut_first:
            chosen = self.cut_first.cut(chosen, index % self.cut_first.count)
        return self._images(chosen), tf.gather(self.labels, chosen), self.seeds[step]

    def _images(self, chosen: Any) -> Any:
        if self.batches.in_memory:
            return tf.gather(self.pixels, chosen)
        images = tf.numpy_function(self.read, [chosen], tf.uint8, stateful=False)
        images.set_shape((None, *self.batches.images.shape[1:]))
        return images

    def _cut_up(self, dataset: Any, slices: ReplicaSlices) -> Any:
        indices = tf.data.Dataset.range(slices.count)
        dataset = dataset.flat_map(
            lambda images, y: indices.map(
                lambda index: (slices.cut(images, index), slices.cut(y, index))
            )
        )
        count = (self.batches.steps - self.batches.first_step) * slices.count
        return dataset.apply(tf.data.experimental.assert_cardinality(count))


def _at_once(count: int) -> dict[str, Any]:
    """Return what `map` takes, so that so many batches are made at once, in their order."""
    return {"num_parallel_calls": count, "deterministic": True} if count > 1 else {}

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


def make_dataset(
    source: BatchSource,
    pixels: Any,
    read: Callable[[np.ndarray], np.ndarray],
    slices: ReplicaSlices | None,
    whole_first: bool,
) -> tuple[tf.data.Dataset, Callable[[], None]]:
    """Return the batches of a pass, and what takes in the order and the seeds of a new epoch.

    `pixels` are the images as a tensor, if they are in memory; else `read` returns those at some
    positions. With `whole_first`, slices are cut from finished batches, as augmentation is drawn
    for a whole one; else they are gathered alone.
    """
    labels = tf.constant(source.labels.astype("int32"))
    with tf.device("cpu:0"):
        order = tf.Variable(source.order.astype("int64"), trainable=False)
        seeds = tf.Variable(source.seeds.astype("int64"), trainable=False)
    cut_first = None if whole_first else slices
    parts = cut_first.count if cut_first else 1

    def start_epoch() -> None:
        order.assign(source.order)
        seeds.assign(source.seeds.astype("int64"))

    def gather(index: Any) -> tuple[Any, Any, Any]:
        step = index // parts
        chosen = source.chosen(step, order)
        if cut_first:
            chosen = cut_first.cut(chosen, index % parts)
        if source.in_memory:
            images = tf.gather(pixels, chosen)
        else:
            images = tf.numpy_function(read, [chosen], tf.uint8, stateful=False)
            images.set_shape((None, *source.images.shape[1:]))
        return images, tf.gather(labels, chosen), seeds[step]

    dataset = tf.data.Dataset.range(source.first_step * parts, source.steps * parts)
    # Files are read ahead; AUTOTUNE would keep as many batches as half the memory holds.
    dataset = dataset.map(as_written(gather), **_at_once(1 if source.in_memory else READ_AHEAD))
    at_once = AUGMENTERS if source.in_memory else max(2, AUGMENTERS)
    dataset = dataset.map(as_written(source.finish), **_at_once(at_once))
    if slices and whole_first:
        dataset = _cut_up(dataset, slices, source.steps - source.first_step)
    options = tf.data.Options()  # rewriting the graph would copy all images into it, for a while
    options.experimental_optimization.apply_default_optimizations = False
    ahead = tf.data.AUTOTUNE if source.in_memory else READ_AHEAD
    return dataset.prefetch(ahead).with_options(options), start_epoch


def _cut_up(dataset: Any, slices: ReplicaSlices, steps: int) -> Any:
    indices = tf.data.Dataset.range(slices.count)
    dataset = dataset.flat_map(
        lambda images, y: indices.map(
            lambda index: (slices.cut(images, index), slices.cut(y, index))
        )
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(steps * slices.count))


def _at_once(count: int) -> dict[str, Any]:
    """Return what `map` takes, so that so many batches are made at once, in their order."""
    return {"num_parallel_calls": count, "deterministic": True} if count > 1 else {}

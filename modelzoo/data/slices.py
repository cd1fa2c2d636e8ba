"""What one process takes of every batch, where several replicas of a network train together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Slices:
    """`count` of the `replicas` slices of every batch, from number `first` on."""

    replicas: int
    first: int
    count: int

    def bounds(self, size: Any) -> list[Any]:
        """Return where these slices of a batch of `size` begin, and where the last one ends."""
        edges = range(self.first, self.first + self.count + 1)
        return [size * edge // self.replicas for edge in edges]

    def scoring_size(self, count: int, size: int) -> int:
        """Return a batch size up to `size` whose last batch has a picture for every replica."""
        while 0 < count % size < self.replicas and size > self.replicas:
            size -= 1
        return size

    def cut(self, batch: Any, index: Any) -> Any:
        """Return slice number `index` of this process, in TensorFlow's graph.

        An empty one, which convolutions refuse, gets the first picture, which `weigh` gives
        weight 0.
        """
        import tensorflow as tf

        edges = tf.stack(self.bounds(tf.shape(batch, out_type=tf.int64)[0]))
        begin, end = edges[index], edges[index + 1]
        return tf.cond(begin < end, lambda: batch[begin:end], lambda: batch[:1])

    def weigh(
        self, batches: Any, sizes: Sequence[int], class_weight: Mapping[int, float] | None
    ) -> Any:
        """Return slices with a weight an example: what it counts in the mean over its batch.

        Args:
            batches: a tf.data.Dataset of these slices, (images, labels) each.
            sizes: of the batches that they were cut from.
            class_weight: of each class, or None.
        """
        import tensorflow as tf

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

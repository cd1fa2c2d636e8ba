"""A random patch of each picture, as AlexNet was trained with."""

from typing import Any

import keras
from keras import ops

from modelzoo.networks.layers.paper_layer import PaperLayer


@keras.saving.register_keras_serializable(package="modelzoo")
class RandomPatch(PaperLayer):
    """Cut a patch out of each picture, at a place drawn for each; all places are equally likely.

    `keras.layers.RandomCrop` cuts all pictures of a batch at the same place. Without
    `training=True` the patch is the central one; of an odd rest, the larger half lies after it.

    Args:
        height, width: of the patch.
        seed: of the random numbers.

    Input shape: (batch, at least `height`, at least `width`, channels), float.

    Output shape: (batch, height, width, channels).

    Raises:
        ValueError: a picture is smaller than the patch.

    Example:
        >>> RandomPatch(227, 227)(keras.ops.ones((2, 256, 256, 3)), training=True).shape
        TensorShape([2, 227, 227, 3])

    Reference:
        Krizhevsky, Sutskever, Hinton (2012), section 4.1.

    Deviations: none.
    """

    def __init__(self, height: int, width: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if height < 1 or width < 1:
            raise ValueError(f"height, width: {height}, {width} should be at least 1")
        self.height, self.width, self.seed = height, width, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return a patch of each picture."""
        rows, columns = inputs.shape[1] - self.height, inputs.shape[2] - self.width
        if rows < 0 or columns < 0:
            raise ValueError(
                f"patches of {self.height}x{self.width} do not fit into pictures of "
                f"{inputs.shape[1]}x{inputs.shape[2]}"
            )
        if training:
            down, right = self._places(inputs, rows), self._places(inputs, columns)
            if keras.backend.backend() == "tensorflow":
                return self._cut(inputs, down, right)
            inputs = _moved(ops.cast(inputs, "float32"), down, right)
            rows = columns = 0  # each patch lies in the upper left corner now
        top, left = rows // 2, columns // 2
        return inputs[:, top : top + self.height, left : left + self.width]

    def _cut(self, inputs: Any, down: Any, right: Any) -> Any:
        """Copy the rows of each patch: a third of the work of a translation; bytes stay bytes.

        In TensorFlow only: JAX would compile the loop again for each batch.
        """
        size = (self.height, self.width, inputs.shape[3])

        def cut(picture: Any) -> Any:
            image, top, left = picture
            return ops.slice(image, [top, left, 0], size)

        return ops.map(cut, (inputs, down, right))

    def _places(self, inputs: Any, rest: int) -> Any:
        """Draw a whole number from 0 to `rest` for each picture."""
        shape = (ops.shape(inputs)[0],)
        return keras.random.randint(shape, 0, rest + 1, dtype="int32", seed=self.seed_generator)


def _moved(images: Any, down: Any, right: Any) -> Any:
    """Return pictures whose pixel (0, 0) is what was (down, right); exact, nothing is blended.

    A translation by whole pixels: gathering the rows and columns of each picture by index takes
    index arrays of the size of the batch.
    """
    down, right = ops.cast(down, "float32"), ops.cast(right, "float32")
    zero, one = ops.zeros_like(down), ops.ones_like(down)
    matrices = ops.stack([one, zero, right, zero, one, down, zero, zero], axis=1)
    return ops.image.affine_transform(
        images, matrices, interpolation="nearest", data_format="channels_last"
    )

"""What AlexNet has that Keras lacks: its normalisation, and two augmentations of its training."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from modelzoo.networks import kinds
from modelzoo.networks.layers.paper_layer import PaperLayer

# Of ImageNet's pixels scaled to 0..1, as published with many later networks, to four digits:
# a row for red, green and blue, a column for each eigenvector.
IMAGENET_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
IMAGENET_EIGENVALUES = (0.2175, 0.0188, 0.0045)


@keras.saving.register_keras_serializable(package="modelzoo")
class LocalResponseNormalization(PaperLayer):
    """Divide each activation by the activity of its neighbours in the channels next to it.

    b_i = a_i / (k + alpha * sum of a_j**2 for j in [i - n // 2, i + n // 2]) ** beta, where the
    sum ends at the first and the last channel.

    Args:
        k: offset; larger than 0 keeps the divisor away from 0.
        n: channels in a neighbourhood, odd.
        alpha: weight of the neighbours' activity; not divided by n.
        beta: exponent.

    Input shape: (batch, height, width, channels), float.

    Output shape: the same.

    Reference:
        Krizhevsky, Sutskever, Hinton (2012), section 3.3.

    Deviations: none.
    """

    kind = kinds.LocalResponseNormalization

    def call(self, inputs: Any) -> Any:
        radius = self.n // 2
        channels = inputs.shape[-1]
        padding = [(0, 0)] * (len(inputs.shape) - 1) + [(radius, radius)]
        squares = ops.pad(ops.square(inputs), padding)
        activity = sum(squares[..., shift : shift + channels] for shift in range(self.n))
        activity = self.k + self.alpha * activity
        # As a number, the exponent would reach PyTorch in float32, whatever the layer's own type.
        return inputs / ops.power(activity, ops.convert_to_tensor(self.beta, activity.dtype))


@keras.saving.register_keras_serializable(package="modelzoo")
class PCAColorAugmentation(keras.layers.Layer):
    """Shift the colour of each image by a random amount along the principal components of RGB.

    Every pixel of an image moves by P (a * l): P holds the eigenvectors of the covariance of RGB
    values as columns, l the eigenvalues, and the three numbers a are drawn for each image from a
    Gaussian around 0. Images are left as they are unless `training=True`.

    Args:
        standard_deviation: of a.
        eigenvalues: (3,), of pixels in 0..1.
        eigenvectors: (3, 3), a row for each channel, a column for each eigenvector.
        value_range: [lowest, highest] pixel value; shifts are as many times larger than in 0..1.
        seed: of the random numbers.

    Input shape: (batch, height, width, 3), float.

    Output shape: the same. Values may leave `value_range`: nothing is clipped.

    Reference:
        Krizhevsky, Sutskever, Hinton (2012), section 4.1.

    Deviations: the paper does not give its eigenvalues, nor the scale of its pixels. Eigenvalues
    grow with the square of that scale, and for 0..255 as they are a shift would be of 1,400 grey
    levels; those for 0..1, stretched to `value_range`, give one of some 5.
    """

    def __init__(
        self,
        standard_deviation: float = 0.1,
        eigenvalues: Sequence[float] = IMAGENET_EIGENVALUES,
        eigenvectors: Sequence[Sequence[float]] = IMAGENET_EIGENVECTORS,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.standard_deviation, self.seed = standard_deviation, seed
        self.eigenvalues = [float(value) for value in eigenvalues]
        self.eigenvectors = [[float(value) for value in row] for row in eigenvectors]
        self.value_range = list(value_range)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        shape = (ops.shape(inputs)[0], 3)
        drawn = keras.random.normal(shape, 0.0, self.standard_deviation, seed=self.seed_generator)
        scaled = drawn * ops.convert_to_tensor(self.eigenvalues, drawn.dtype)
        components = ops.convert_to_tensor(self.eigenvectors, drawn.dtype)
        lowest, highest = self.value_range
        shifts = ops.matmul(scaled, ops.transpose(components)) * (highest - lowest)
        return inputs + ops.cast(shifts, inputs.dtype)[:, None, None, :]

    def get_config(self) -> dict[str, Any]:
        own = ("standard_deviation", "eigenvalues", "eigenvectors", "value_range", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="modelzoo")
class RandomPatch(keras.layers.Layer):
    """Cut a patch out of each image, at a place drawn for each; all places are equally likely.

    `keras.layers.RandomCrop` cuts all images of a batch at the same place. Without
    `training=True` the patch is the central one; of an odd rest, the larger half lies after it.

    Args:
        height, width: of the patch.
        seed: of the random numbers.

    Input shape: (batch, at least `height`, at least `width`, channels), float.

    Output shape: (batch, height, width, channels).

    Raises:
        ValueError: an image is smaller than the patch.

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
        rows, columns = inputs.shape[1] - self.height, inputs.shape[2] - self.width
        if rows < 0 or columns < 0:
            raise ValueError(
                f"patches of {self.height}x{self.width} do not fit into images of "
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

    def get_config(self) -> dict[str, Any]:
        own = {"height": self.height, "width": self.width, "seed": self.seed}
        return {**super().get_config(), **own}

    def _cut(self, inputs: Any, down: Any, right: Any) -> Any:
        """Copy each patch, a third of a translation's work; JAX would compile it for each batch."""
        size = (self.height, self.width, inputs.shape[3])

        def cut(picture: Any) -> Any:
            image, top, left = picture
            return ops.slice(image, [top, left, 0], size)

        return ops.map(cut, (inputs, down, right))

    def _places(self, inputs: Any, rest: int) -> Any:
        """Draw a whole number from 0 to `rest` for each image."""
        shape = (ops.shape(inputs)[0],)
        return keras.random.randint(shape, 0, rest + 1, dtype="int32", seed=self.seed_generator)


def _moved(images: Any, down: Any, right: Any) -> Any:
    """Return images whose pixel (0, 0) is what was (down, right); exact, nothing is blended.

    Gathering the rows and columns of each image would take index arrays of the size of the batch.
    """
    down, right = ops.cast(down, "float32"), ops.cast(right, "float32")
    zero, one = ops.zeros_like(down), ops.ones_like(down)
    matrices = ops.stack([one, zero, right, zero, one, down, zero, zero], axis=1)
    return ops.image.affine_transform(
        images, matrices, interpolation="nearest", data_format="channels_last"
    )

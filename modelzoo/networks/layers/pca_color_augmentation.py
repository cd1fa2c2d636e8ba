"""Colour augmentation along the principal components of RGB, as AlexNet was trained with."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

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
class PCAColorAugmentation(PaperLayer):
    """Shift the colour of each picture by a random amount along the principal components of RGB.

    Every pixel of a picture moves by P (a * l): P holds the eigenvectors of the covariance of RGB
    values as columns, l the eigenvalues, and the three numbers a are drawn for each picture from a
    Gaussian around 0. Pictures are left as they are unless `training=True`.

    Args:
        standard_deviation: of a.
        eigenvalues: (3,), of pixels in 0..1.
        eigenvectors: (3, 3), a row for each channel, a column for each eigenvector.
        value_range: [lowest, highest] pixel value; shifts are as many times larger than in 0..1.
        seed: of the random numbers.

    Input shape: (batch, height, width, 3), float.

    Output shape: the same. Values may leave `value_range`: nothing is clipped.

    Example:
        >>> layer = PCAColorAugmentation()
        >>> layer(keras.ops.ones((2, 4, 4, 3)), training=True).shape
        TensorShape([2, 4, 4, 3])

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
        if standard_deviation < 0:
            raise ValueError(f"standard_deviation: {standard_deviation} should be at least 0")
        if len(eigenvalues) != 3 or [len(row) for row in eigenvectors] != [3, 3, 3]:
            raise ValueError("eigenvalues and eigenvectors: should be 3 and 3x3 numbers")
        self.standard_deviation, self.seed = standard_deviation, seed
        self.eigenvalues = [float(value) for value in eigenvalues]
        self.eigenvectors = [[float(value) for value in row] for row in eigenvectors]
        self.value_range = list(value_range)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the pictures, each shifted in colour if `training`."""
        if not training:
            return inputs
        shape = (ops.shape(inputs)[0], 3)
        drawn = keras.random.normal(shape, 0.0, self.standard_deviation, seed=self.seed_generator)
        scaled = drawn * ops.convert_to_tensor(self.eigenvalues, drawn.dtype)
        components = ops.convert_to_tensor(self.eigenvectors, drawn.dtype)
        lowest, highest = self.value_range
        shifts = ops.matmul(scaled, ops.transpose(components)) * (highest - lowest)
        return inputs + ops.cast(shifts, inputs.dtype)[:, None, None, :]

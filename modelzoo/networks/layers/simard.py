"""The augmentation of Simard, Steinkraus and Platt (2003)."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="modelzoo")
class ElasticDistortion(keras.layers.Layer):
    """Move each pixel by a random field of displacements that a Gaussian has smoothed.

    A displacement down and one across are drawn for every pixel of every image, each uniform
    between -1 and 1, smoothed, and multiplied by `alpha`. The new pixel is the bilinear mean of
    the four around the place that it comes from. Images are left as they are unless
    `training=True`. `keras.layers.RandomElasticTransform` cannot do it: it derives both
    numbers from the size of the image and one factor.

    Args:
        alpha: what the smoothed displacements are multiplied by, in pixels.
        sigma: of the Gaussian, in pixels; its weights add up to 1, beyond the image they meet 0.
        fill_value: of what lies beyond the image.
        seed: of the random numbers.

    Input shape: (batch, height, width, channels), float.

    Output shape: the same.

    Raises:
        ValueError: alpha is below 0, or sigma not above it.

    Reference:
        Simard, Steinkraus, Platt (2003), Best practices for convolutional neural networks applied
        to visual document analysis, ICDAR 2003, 958-962, section 2.

    Deviations: the smoothed field is not normalised before `alpha`. With 34 and 4, away from the
    border, displacements deviate by 1.4 pixels; a field of norm 1 on 28x28 would give 1.2.

    Examples:
        >>> from modelzoo.networks.layers import ElasticDistortion
        >>> layer = ElasticDistortion(alpha=34, sigma=4, seed=0)
        >>> tuple(layer(keras.ops.ones((1, 28, 28, 1)), training=True).shape)
        (1, 28, 28, 1)
    """

    def __init__(
        self,
        alpha: float = 34.0,
        sigma: float = 4.0,
        fill_value: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not (0 <= alpha < np.inf and 0 < sigma < np.inf):
            raise ValueError(f"alpha, sigma: {alpha}, {sigma} should be from 0, and above 0")
        self.alpha, self.sigma, self.fill_value, self.seed = alpha, sigma, fill_value, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        images, (height, width) = ops.shape(inputs)[0], inputs.shape[1:3]
        drawn = keras.random.uniform((images, 2, height, width), -1, 1, seed=self.seed_generator)
        down, across = self._smoothing(height), self._smoothing(width)
        field = self.alpha * ops.matmul(ops.matmul(down, drawn), ops.transpose(across))
        return self.moved(inputs, field)

    def moved(self, inputs: Any, field: Any) -> Any:
        """Return images whose pixels come from as far away as `field` (batch, 2, h, w) says."""
        height, width, channels = inputs.shape[1:]
        sides = [(0, 0), (1, 1), (1, 1), (0, 0)]
        padded = ops.pad(inputs, sides, constant_values=self.fill_value)
        grid = np.indices((height, width), "float32") + 1
        places = [
            ops.clip(field[:, axis] + grid[axis], 0, size + 1)
            for axis, size in enumerate((height, width))
        ]
        corners = [
            ops.minimum(ops.floor(each), size)
            for each, size in zip(places, (height, width), strict=True)
        ]
        shares = [each - corner for each, corner in zip(places, corners, strict=True)]
        top, left = (ops.cast(corner, "int32") for corner in corners)
        images = ops.arange(ops.shape(inputs)[0], dtype="int32")[:, None, None]
        first = (images * (height + 2) + top) * (width + 2) + left  # of four neighbours
        flat, outputs = ops.reshape(padded, (-1, channels)), 0.0
        for row in (0, 1):
            for column in (0, 1):
                weight = (shares[0] if row else 1 - shares[0]) * (
                    shares[1] if column else 1 - shares[1]
                )
                neighbours = ops.take(flat, first + row * (width + 2) + column, axis=0)
                outputs = outputs + weight[..., None] * neighbours
        return outputs

    def _smoothing(self, size: int) -> np.ndarray:
        """Return the matrix that smooths a line: the Gaussian around each place, in a row."""
        reach = np.arange(-size, size + 1)
        weights = np.exp(-0.5 * (reach / self.sigma) ** 2)
        places = np.arange(size)
        near = weights[places[None] - places[:, None] + size] / weights.sum()
        return near.astype("float32")

    def get_config(self) -> dict[str, Any]:
        own = ("alpha", "sigma", "fill_value", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}

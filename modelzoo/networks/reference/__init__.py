"""The layers of the classic convolutional networks in plain NumPy, forward and gradient.

The tests compare the Keras layers with these functions; a reader can check these against the
papers. Clarity comes before speed. The cells of the Neocognitron are in `neocognitron`. The source
and the deviations of a layer or loss of `modelzoo.networks.layers` are stated there.

Conventions, unless a function says otherwise:

* Images are channels-last: (images, height, width, channels). Kernels are (kernel height, kernel
  width, input channels / groups, filters), as in Keras.
* Float arrays keep their precision; integers are computed in float64.
* For every layer `f` there is `f_gradient`. It takes the input of `f`, `upstream` (the derivative
  of a scalar loss by the output of `f`, in the shape of that output) and the options of `f`, by
  place or name, and returns the derivative by each array of `f`, in their order and shapes.
* `padding` is "valid" or "same", as TensorFlow defines them, or a number of rows and columns on
  every side, as in PyTorch, or one of these or (before, after) for each axis; see
  `padding_amounts`.
* Convolution and pooling raise ValueError for a wrong shape or option; dense, the activations and
  the normalisations follow NumPy's broadcasting.

Example:
    >>> image, kernel = np.ones((1, 5, 5, 1)), np.ones((3, 3, 1, 1))
    >>> modelzoo.reference.conv2d(image, kernel, np.zeros(1))[0, :, :, 0].tolist()
    [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0], [9.0, 9.0, 9.0]]
"""

from modelzoo.networks.reference.units import *  # noqa: F403
from modelzoo.networks.reference.windows import *  # noqa: F403

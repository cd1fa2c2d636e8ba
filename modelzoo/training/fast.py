"""The same network and optimizer, computed in less time: what to train on a processor.

Every rewriting shares the variables of the network that it is given and keeps its arithmetic, up to
the order in which floating-point numbers are added. The network itself, which is saved and handed
out, stays made of Keras' layers only.
"""

import itertools
import os
from typing import Any

import keras
from keras import ops

from modelzoo.support.environment import usable_cores
from modelzoo.support.errors import InputError
from modelzoo.training.device import OPERATION_THREADS, Device

LARGE_KERNEL = 1_000_000  # weights of a Dense layer from which TensorFlow's gradient is slow
FEW = 8  # channels; fewer leave most of a vector register of the processor empty


def accelerate(
    network: keras.Model, optimizer: Any, device: Device, *, share_batches: bool = False
) -> tuple[keras.Model, Any]:
    """Return what to compile and fit in the place of a network and its optimizer.

    Where nothing faster is known (other backends, GPUs, a network with a learning rule of its own),
    they are the same two. With `share_batches`, each batch is cut into as many parts as there are
    cores, where an operation of TensorFlow takes one thread; with several, the parts would compete
    for the same cores.
    """
    for layer in network.layers if share_batches else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            raise InputError(
                f"trainer.share_batches: the layer {layer.name} normalises over the whole batch, "
                "which can't be cut; set it to false"
            )
    on_cpu = keras.backend.backend() == "tensorflow" and device.name.startswith("cpu")
    if not on_cpu or type(network).train_step is not keras.Model.train_step:
        return network, optimizer
    one_thread = os.environ.get(OPERATION_THREADS) == "1"
    shares = usable_cores() if share_batches and one_thread else 1
    return faster(network, shares), fuse(optimizer)


def faster(network: keras.Model, shares: int = 1) -> keras.Model:
    """Return a functional model that computes what `network` computes, with its variables.

    Each batch is cut into `shares`. TensorFlow computes independent parts at the same time, one on
    each core, and within a core small arrays stay in its cache: for LeNet-5 that is faster than
    many cores working on each small operation.
    """
    convolved: dict[int, tuple[Any, Any]] = {}  # a layer of few filters and its input, by output

    def call(layer: Any, inputs: Any, **arguments: Any) -> Any:
        """Call `layer`, or what takes its place."""
        if _averages_blocks(layer) and id(inputs) in convolved:
            convolution, before = convolved[id(inputs)]
            return AveragedConv2D(convolution)(before)
        if (
            type(layer) is keras.layers.Dense
            and layer.kernel.shape[0] * layer.units >= LARGE_KERNEL
        ):
            return LargeDense(layer)(inputs)
        if type(layer) is keras.layers.Conv2D and (taps := _used_taps(layer, inputs.shape)):
            return CroppedConv2D(layer, taps)(inputs)
        if _is_within(layer) and _has_few_channels(inputs.shape):
            layer = BlockGradientConv2D(layer)
        outputs = layer(inputs, **arguments)
        if _is_within(layer) and layer.filters < FEW:
            convolved[id(outputs)] = layer, inputs
        return outputs

    rewritten = keras.models.clone_model(
        network, clone_function=lambda layer: layer, call_function=call
    )
    if shares == 1:
        return rewritten
    inputs = keras.Input(network.input_shape[1:], dtype=network.inputs[0].dtype)
    return keras.Model(inputs, InShares(rewritten, shares)(inputs), name=network.name)


def _averages_blocks(layer: Any) -> bool:
    if type(layer) is not keras.layers.AveragePooling2D or layer.padding != "valid":
        return False
    return layer.pool_size == layer.strides == (2, 2) and layer.data_format == "channels_last"


def _is_within(layer: Any) -> bool:
    """Whether a layer convolves at every pixel, with a window that lies within the image."""
    return (
        type(layer) is keras.layers.Conv2D
        and (layer.padding, layer.groups, layer.data_format) == ("valid", 1, "channels_last")
        and {*layer.strides, *layer.dilation_rate} == {1}
        and all(size % 2 for size in layer.kernel_size)
    )


def _has_few_channels(shape: tuple[Any, ...]) -> bool:
    """Whether images of this shape have few channels, and can be cut into blocks of 2x2."""
    _, height, width, channels = shape
    return 1 < channels < FEW and None not in (height, width) and height % 2 == width % 2 == 0


def scores_of(outputs: Any) -> Any:
    """Return what the softmax at a network's end was computed from; without one, its outputs."""
    return getattr(outputs, "_keras_logits", outputs)


class InShares(keras.layers.Layer):
    """A network applied to equal shares of a batch, side by side."""

    def __init__(self, network: keras.Model, shares: int) -> None:
        super().__init__()
        self.network, self.shares = network, shares

    def call(self, inputs: Any, training: bool = False) -> Any:
        count, shares = ops.shape(inputs)[0], self.shares
        ends = [count * index // shares for index in range(shares + 1)]
        parts, logits = [], []
        for start, end in itertools.pairwise(ends):
            # A batch may have fewer images than there are shares, and layers refuse none at all:
            # such a share computes an image of another, and drops it.
            part = self.network(inputs[start : ops.maximum(end, start + 1)], training=training)
            parts.append(part[: end - start])
            if hasattr(part, "_keras_logits"):
                logits.append(part._keras_logits[: end - start])
        outputs = ops.concatenate(parts)
        if logits:  # Keras computes a cross-entropy from what its softmax has left there
            outputs._keras_logits = ops.concatenate(logits)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.network.compute_output_shape(input_shape)


class Rewritten(keras.layers.Layer):
    """A layer whose product of inputs and kernel is computed in another way."""

    def __init__(self, layer: Any) -> None:
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs: Any) -> Any:
        outputs = self.product(inputs)
        if self.layer.use_bias:
            outputs = outputs + self.layer.bias
        return self.layer.activation(outputs)


class LargeDense(Rewritten):
    """A Dense layer whose input's gradient is a BatchMatMul.

    It is the product with the transposed kernel, and TensorFlow's MatMul copies a transposed array
    before it multiplies: for 4096 x 4096 weights and 32 images that takes 4 times as long.
    """

    def product(self, inputs: Any) -> Any:
        import tensorflow as tf

        @tf.custom_gradient
        def product(inputs: Any, kernel: Any) -> Any:
            def gradient(upstream: Any) -> tuple[Any, Any]:
                to_inputs = tf.linalg.matmul(upstream[None], kernel[None], transpose_b=True)[0]
                to_kernel = tf.linalg.matmul(inputs[None], upstream[None], transpose_a=True)[0]
                return to_inputs, to_kernel

            return tf.linalg.matmul(inputs, kernel), gradient

        return product(inputs, tf.convert_to_tensor(self.layer.kernel))


def in_blocks(kernel: Any) -> Any:
    """Return the kernel (height + 1, width + 1, channels, 4 * filters) of blocks of 2x2 outputs.

    It has the kernel at four places; moved by two pixels, it computes four outputs at once.
    """
    places = itertools.product((0, 1), repeat=2)
    moved = [ops.pad(kernel, [(i, 1 - i), (j, 1 - j), (0, 0), (0, 0)]) for i, j in places]
    return ops.concatenate(moved, axis=-1)


class AveragedConv2D(Rewritten):
    """A convolution of few filters, and the average of its 2x2 outputs: the four are channels."""

    def call(self, inputs: Any) -> Any:
        """Return (batch, height / 2, width / 2, filters)."""
        layer, filters = self.layer, self.layer.filters
        outputs = ops.conv(inputs, in_blocks(layer.kernel), 2, "valid")
        if layer.use_bias:
            outputs = outputs + ops.tile(layer.bias, 4)
        outputs = layer.activation(outputs)
        average = ops.tile(ops.eye(filters, dtype=outputs.dtype) / 4, (4, 1))
        averages = ops.matmul(ops.reshape(outputs, (-1, 4 * filters)), average)
        return ops.reshape(averages, (-1, *outputs.shape[1:3], filters))


class BlockGradientConv2D(Rewritten):
    """A convolution of few channels whose input's gradient is computed for blocks of 2x2 pixels."""

    def product(self, inputs: Any) -> Any:
        """Return (batch, height, width, filters)."""
        import tensorflow as tf

        arguments = {"strides": [1] * 4, "padding": "VALID"}

        @tf.custom_gradient
        def product(inputs: Any, kernel: Any) -> Any:
            def gradient(upstream: Any) -> tuple[Any, Any]:
                to_kernel = tf.raw_ops.Conv2DBackpropFilter(
                    input=inputs, filter_sizes=kernel.shape, out_backprop=upstream, **arguments
                )
                # Of blocks of pixels to blocks of outputs it is a convolution, too.
                blocks = in_blocks(kernel)
                height, width, channels, filters = blocks.shape
                split = tf.reshape(blocks, (height // 2, 2, width // 2, 2, channels, filters))
                blocks = tf.reshape(
                    tf.transpose(split, (0, 2, 1, 3, 4, 5)),
                    (height // 2, width // 2, 4 * channels, filters),
                )
                size = tf.shape(inputs) // (1, 2, 2, 1) * (1, 1, 1, 4)
                to_blocks = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=size,
                    filter=blocks,
                    out_backprop=tf.nn.space_to_depth(upstream, 2),
                    **arguments,
                )
                return tf.nn.depth_to_space(to_blocks, 2), to_kernel

            return tf.nn.conv2d(inputs, kernel, 1, "VALID"), gradient

        return product(inputs, tf.convert_to_tensor(self.layer.kernel))


class CroppedConv2D(Rewritten):
    """A convolution without those taps of its kernel that only ever see padding.

    On a map of 1x1 only the middle of a kernel of 3x3 ever meets a number, on one of 2x2 only the
    inner 3x3 of 5x5.
    """

    def __init__(self, layer: Any, taps: tuple[slice, slice]) -> None:
        super().__init__(layer)
        self.taps = taps

    def product(self, inputs: Any) -> Any:
        """Return (batch, height, width, filters)."""
        import tensorflow as tf

        @tf.custom_gradient
        def cropped(kernel: Any) -> Any:
            # That of a slice would be a StridedSliceGrad, which takes one thread.
            rows, columns = self.taps
            height, width, _, _ = kernel.shape
            edges = [(rows.start, height - rows.stop), (columns.start, width - columns.stop)]
            edges += [(0, 0), (0, 0)]
            return kernel[self.taps], lambda upstream: tf.pad(upstream, edges)

        return ops.conv(inputs, cropped(tf.convert_to_tensor(self.layer.kernel)), 1, "same")


def _used_taps(layer: Any, input_shape: tuple[Any, ...]) -> tuple[slice, slice] | None:
    """Return the rows and columns of a kernel that meet numbers, where that is not all of it."""
    if layer.padding != "same" or layer.groups != 1 or layer.data_format != "channels_last":
        return None
    if {*layer.strides, *layer.dilation_rate} != {1} or None in input_shape[1:3]:
        return None
    if any(size % 2 == 0 for size in layer.kernel_size):
        return None
    rows, columns = (
        max(0, size // 2 - (side - 1))
        for size, side in zip(layer.kernel_size, input_shape[1:3], strict=True)
    )
    height, width = layer.kernel_size
    return (
        (slice(rows, height - rows), slice(columns, width - columns)) if rows or columns else None
    )


# Keras writes an update as ten or so operations, and each reads and writes arrays as large as the
# weights: for AlexNet's 90 MB that takes longer than the gradients do. TensorFlow has the same
# formulas as one kernel each. The arithmetic is that of the Keras class, up to rounding; so are the
# names and shapes of the state, which either class can resume.


class FusedAdadelta(keras.optimizers.Adadelta):
    """`keras.optimizers.Adadelta`, updated by ResourceApplyAdadelta."""

    def update_step(self, grad: Any, variable: Any, learning_rate: Any) -> None:
        import tensorflow as tf

        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable.handle,
            accum=self._accumulated_grads[index].value.handle,
            accum_update=self._accumulated_delta_vars[index].value.handle,
            lr=learning_rate,
            rho=self.rho,
            epsilon=self.epsilon,
            grad=grad,
        )


class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, updated by ResourceApplyAdam."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        import tensorflow as tf

        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class FusedAdamW(FusedAdam, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`: its weight decay is Keras' own, its update ResourceApplyAdam."""


class FusedSGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD` with momentum, updated by ResourceApplyKerasMomentum."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        import tensorflow as tf

        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].value.handle,
            lr=learning_rate,
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


FUSED: dict[type, Any] = {
    keras.optimizers.Adadelta: FusedAdadelta,
    keras.optimizers.Adam: FusedAdam,
    keras.optimizers.AdamW: FusedAdamW,
    keras.optimizers.SGD: FusedSGD,
}


def fuse(optimizer: Any) -> Any:
    """Return the fused optimizer that does what `optimizer` does, or itself: for float32."""
    fused = FUSED.get(type(optimizer))
    if fused is None or getattr(optimizer, "amsgrad", False):
        return optimizer
    if isinstance(optimizer, keras.optimizers.SGD) and not optimizer.momentum:
        return optimizer
    return fused.from_config(optimizer.get_config())

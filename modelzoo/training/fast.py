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
    rewritten = keras.models.clone_model(
        network, clone_function=lambda layer: layer, call_function=_call
    )
    if shares == 1:
        return rewritten
    inputs = keras.Input(network.input_shape[1:], dtype=network.inputs[0].dtype)
    return keras.Model(inputs, InShares(rewritten, shares)(inputs), name=network.name)


def _call(layer: Any, inputs: Any, **arguments: Any) -> Any:
    """Call `layer`, or what takes its place."""
    if type(layer) is keras.layers.Dense and layer.kernel.shape[0] * layer.units >= LARGE_KERNEL:
        return LargeDense(layer)(inputs)
    if type(layer) is keras.layers.Conv2D and (taps := _used_taps(layer, inputs.shape)):
        return CroppedConv2D(layer, taps)(inputs)
    return layer(inputs, **arguments)


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
                return to_inputs, tf.linalg.matmul(inputs, upstream, transpose_a=True)

            return tf.linalg.matmul(inputs, kernel), gradient

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
        return ops.conv(inputs, self.layer.kernel[self.taps], 1, "same")


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

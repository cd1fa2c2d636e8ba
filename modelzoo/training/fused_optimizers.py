"""Keras' optimizers with each variable's update in one TensorFlow operation.

Keras writes an update as ten or so operations, and each reads and writes arrays as large as the
weights: for AlexNet's 90 MB that takes longer than the gradients do. TensorFlow has the same
formulas as one kernel each. The arithmetic is that of the Keras class, up to rounding; so are the
names and shapes of the state, which either class can resume.
"""

from typing import Any

import keras


class FusedAdadelta(keras.optimizers.Adadelta):
    """`keras.optimizers.Adadelta`, updated by ResourceApplyAdadelta."""

    def update_step(self, grad: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable from its gradient."""
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
        """Update one variable from its gradient."""
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
        """Update one variable from its gradient."""
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
    """Return the fused optimizer that does what `optimizer` does, or itself where there is none.

    Only for TensorFlow, and for variables in float32.
    """
    fused = FUSED.get(type(optimizer))
    if fused is None or getattr(optimizer, "amsgrad", False):
        return optimizer
    if isinstance(optimizer, keras.optimizers.SGD) and not optimizer.momentum:
        return optimizer
    return fused.from_config(optimizer.get_config())

"""AdamW that updates a variable in one operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mite_tf")
class FusedAdamW(keras.optimizers.AdamW):
    """Does what `keras.optimizers.AdamW` does, several times faster on a CPU.

    Keras writes Adam as a dozen operations, each of which goes over all weights; TensorFlow has a
    kernel that goes over them once. Arguments, variables and, to rounding, results are those of
    `keras.optimizers.AdamW`, so that a training can go on with either. Where the kernel does not
    apply (`amsgrad`, variables that are not float32, sparse gradients that are not clipped),
    Keras's own operations run.

    Args:
        learning_rate: Learning rate, or a schedule of it.
        weight_decay: Decoupled weight decay; 0 makes this Adam.
        **kwargs: Other arguments of `keras.optimizers.AdamW`.

    Example:
        >>> variable = keras.Variable([1.0, -2.0])
        >>> optimizer = FusedAdamW(0.1, weight_decay=0.0)
        >>> optimizer.apply([tf.constant([3.0, -0.5])], [variable])
        >>> [round(float(each), 4) for each in variable.numpy()]
        [0.9, -1.9]
    """

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: float = 0.004, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        clipped = tf.clip_by_global_norm(grads, self.global_clipnorm)[0]
        return [tf.convert_to_tensor(each) for each in clipped]  # as in Keras, which multiplies

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        if self.weight_decay:
            super()._apply_weight_decay(variables)

    def _all_reduce_sum_gradients(self, grads_and_vars: Sequence[Any]) -> Sequence[Any]:
        # TensorFlow holds the graph around a reduction until the process ends, which
        # would be some 65 MB a training; and of one replica there is nothing to sum.
        replica = tf.distribute.get_replica_context()
        if replica and replica.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        sparse = isinstance(gradient, tf.IndexedSlices)
        if self.amsgrad or sparse or variable.dtype != tf.float32:
            super().update_step(gradient, variable, learning_rate)
            return
        step = tf.cast(self.iterations + 1, tf.float32)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )

"""Optimizers whose weight decay is apart from the gradient: AdamW and LAMB.

Decay shrinks the weights by rate · decay · w in each step. Vectors, which are
biases and the scales and shifts of norms, do not decay, as is usual.
"""

from __future__ import annotations

from tf_compat import tf


class _Decoupled(tf.train.AdamOptimizer):
  """Adam that knows the weight decay; NAME is the scope of its slots."""

  NAME: str

  def __init__(
    self,
    learning_rate: tf.Tensor | float,
    weight_decay: float,
    beta1: float,
    beta2: float,
    epsilon: float,
  ) -> None:
    super().__init__(learning_rate, beta1, beta2, epsilon, name=self.NAME)
    self._weight_decay = weight_decay


class AdamW(_Decoupled):
  """Adam with decoupled weight decay (arXiv:1711.05101).

  w ← w - rate · decay · w, then Adam's step.
  """

  NAME = 'AdamW'

  def _resource_apply_dense(
    self, grad: tf.Tensor, var: tf.Variable
  ) -> tf.Operation:
    # The gradient is of the weights before they decay.
    with tf.control_dependencies([grad]):
      decay = self._decay(var)
    with tf.control_dependencies(decay):
      return super()._resource_apply_dense(grad, var)

  def _decay(self, var: tf.Variable) -> list[tf.Operation]:
    if not (self._weight_decay and _is_decayed(var)):
      return []
    rate = tf.cast(self._lr_t, var.dtype.base_dtype)
    return [var.assign_sub(rate * self._weight_decay * var, read_value=False)]


class Lamb(_Decoupled):
  """LAMB (arXiv:1904.00962): Adam's step, scaled for each layer.

  r = m̂ / (√v̂ + ε) + decay · w; w ← w - rate · ‖w‖ / ‖r‖ · r

  Vectors are scaled, too, as in the paper and in Keras.
  """

  NAME = 'LAMB'

  def _resource_apply_dense(
    self, grad: tf.Tensor, var: tf.Variable
  ) -> tf.Operation:
    dtype = var.dtype.base_dtype
    rate, beta1, beta2, epsilon, power1, power2 = (
      tf.cast(value, dtype)
      for value in (
        self._lr_t,
        self._beta1_t,
        self._beta2_t,
        self._epsilon_t,
        *self._get_beta_accumulators(),
      )
    )
    m, v = self.get_slot(var, 'm'), self.get_slot(var, 'v')
    mean = beta1 * m + (1 - beta1) * grad
    square = beta2 * v + (1 - beta2) * tf.square(grad)
    step = mean / (1 - power1) / (tf.sqrt(square / (1 - power2)) + epsilon)
    if self._weight_decay and _is_decayed(var):
      step += self._weight_decay * var
    weight_norm, step_norm = tf.norm(var), tf.norm(step)
    is_scaled = tf.logical_and(weight_norm > 0, step_norm > 0)
    scale = tf.where(
      is_scaled, weight_norm / tf.where(is_scaled, step_norm, 1.0), 1.0
    )
    return tf.group(
      m.assign(mean, read_value=False),
      v.assign(square, read_value=False),
      var.assign_sub(rate * scale * step, read_value=False),
    )


def _is_decayed(var: tf.Variable) -> bool:
  """Whether a variable is a kernel, and neither a bias nor of a norm."""
  return len(var.shape) > 1

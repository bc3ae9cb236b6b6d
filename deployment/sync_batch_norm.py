"""Batch norm over the batch of all clones: --sync_batch_norm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from deployment import clones
from tf_compat import slim, tf

# The smallest ε that TensorFlow's fused batch norm accepts.
_MIN_EPSILON = 1.001e-5


class _SyncBatchNormalization(tf.layers.BatchNormalization):
  """The layer of slim.batch_norm with mean and variance over all clones."""

  def _fused_batch_norm(
    self,
    inputs: tf.Tensor,
    mask: tf.Tensor | None,
    training: bool | tf.Tensor,
  ) -> tf.Tensor:
    """(x - mean) / √(variance + ε) · γ + β."""
    if not training:
      return super()._fused_batch_norm(inputs, mask, training)
    mean, variance = _moments(tf.cast(inputs, tf.float32))
    self._update_statistics(inputs, mean, variance)
    return tf.nn.batch_normalization(
      inputs,
      tf.cast(mean, inputs.dtype),
      tf.cast(variance, inputs.dtype),
      self.beta,
      self.gamma,
      max(self.epsilon, _MIN_EPSILON),
    )

  def _update_statistics(
    self, inputs: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor
  ) -> None:
    """Updates the moving averages of the mean and the unbiased variance.

    The fused kernel averages the unbiased variance too.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    count = tf.cast(tf.size(inputs) / tf.size(mean) * replicas, tf.float32)
    for variable, value in (
      (self.moving_mean, mean),
      (self.moving_variance, variance * count / (count - 1)),
    ):
      self.add_update(
        lambda variable=variable, value=value: self._assign_moving_average(
          variable, value, tf.convert_to_tensor(self.momentum), None
        )
      )


def _moments(net: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the mean and variance of [N, H, W, C] over all clones.

  N must be the same in every clone.
  """
  mean, variance = tf.nn.moments(net, [0, 1, 2])
  # mean(x²) of a clone is variance + mean²; averaged, it is that of all clones.
  all_means = clones.mean(tf.stack([mean, variance, tf.square(mean)]))
  mean, within, squares = tf.unstack(all_means)
  return mean, within + tf.maximum(squares - tf.square(mean), 0)


@contextlib.contextmanager
def enabled(on: bool) -> Iterator[None]:
  """Makes slim.batch_norm synchronize in the body, if `on`.

  slim takes the class of its layer from a module, and has no argument to choose
  another one.
  """
  if not on:
    yield
    return
  module = slim.layers.normalization_layers
  original = module.BatchNormalization
  module.BatchNormalization = _SyncBatchNormalization
  try:
    yield
  finally:
    module.BatchNormalization = original

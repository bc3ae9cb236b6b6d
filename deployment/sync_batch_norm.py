"""Batch norm whose batch is that of all clones: --sync_batch_norm."""

import contextlib
from collections.abc import Iterator

from deployment import clones
from tf_compat import slim, tf

# What TensorFlow's fused batch norm takes at least.
_LEAST_EPSILON = 1.001e-5


class _SyncBatchNormalization(tf.layers.BatchNormalization):
  """slim.batch_norm's layer with mean and variance over all clones."""

  def _fused_batch_norm(self, inputs, mask, training):
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
      max(self.epsilon, _LEAST_EPSILON),
    )

  def _update_statistics(self, inputs, mean, variance):
    """Moves the averages, of the unbiased variance as the fused kernel does."""
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


def _moments(net):
  """Mean and variance of [N, H, W, C] over all clones, which have equal N."""
  mean, variance = tf.nn.moments(net, [0, 1, 2])
  # mean(x²) of each clone is variance + mean², whose mean is that of all.
  all_means = clones.mean(tf.stack([mean, variance, tf.square(mean)]))
  mean, within, squares = tf.unstack(all_means)
  return mean, within + tf.maximum(squares - tf.square(mean), 0)


@contextlib.contextmanager
def enabled(on: bool) -> Iterator[None]:
  """Lets slim.batch_norm synchronise in the body, if `on`.

  slim takes its layer from a module and no option of its own chooses another.
  """
  if not on:
    yield
    return
  module = slim.layers.normalization_layers
  plain = module.BatchNormalization
  module.BatchNormalization = _SyncBatchNormalization
  try:
    yield
  finally:
    module.BatchNormalization = plain

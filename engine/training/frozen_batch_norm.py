"""Batch norm that keeps its moving averages outside of --trainable_scopes.

Where a layer is not trained, the statistics of its inputs do not change. Batch
norm then uses the averages that it was trained with, as at evaluation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

from engine.checkpoints import matching
from engine.config.jobs import TrainJob
from engine.config.resolve import Setup
from tf_compat import slim, tf


def trained_scopes(setup: Setup[TrainJob]) -> Collection[str] | None:
  """Returns the scopes whose batch norm is trained; None for all.

  Raises:
    UserError: if --trainable_scopes names a scope that the network lacks.
  """
  job, side = setup.job, setup.image_size
  if not (job.trainable_scopes and job.freeze_batch_norm):
    return None
  # Which scopes a text names depends on the names of all variables.
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [1, side, side, setup.channels])
    setup.network_fn(is_training=True)(images)
    names = [v.op.name for v in tf.trainable_variables()]
  return matching.find_scopes(names, job.trainable_scopes, 'trainable_scopes')


@contextlib.contextmanager
def outside(scopes: Collection[str] | None) -> Iterator[None]:
  """Freezes the layers of slim.batch_norm that the body adds out of scopes.

  slim takes the class of its layer from a module, and has no argument to choose
  another one.

  Args:
    scopes: the scopes of which batch norm is trained; None for all.
  """
  if scopes is None:
    yield
    return
  module = slim.layers.normalization_layers
  original: Any = module.BatchNormalization

  class Layer(original):
    """Batch norm that is trained in some scopes alone."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
      name = self.moving_mean.op.name
      is_inside = any(matching.in_scope(name, scope) for scope in scopes or ())
      return super().call(inputs, training=training and is_inside)

  module.BatchNormalization = Layer
  try:
    yield
  finally:
    module.BatchNormalization = original

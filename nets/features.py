"""The features of a network: what its classifier takes."""

from __future__ import annotations

from tf_compat import tf

_CLASSIFIERS = 'Conv2D', 'MatMul'


def of_logits(logits: tf.Tensor) -> tf.Tensor:
  """Returns the input of the layer that computes the logits, float32 [N, D].

  Features that still have space are averaged over it.

  Args:
    logits: the logits of a network for inference, [N, num_classes].
  """
  op = logits.op
  while op.type not in _CLASSIFIERS:
    op = op.inputs[0].op
  features = op.inputs[0]
  if features.shape.rank == 4:
    features = tf.reduce_mean(features, [1, 2])
  return features

"""TensorBoard summaries of the training graph."""

from __future__ import annotations

from deployment import clones
from nets.attention import attend
from tf_compat import tf

_IMAGES = 4


def training(images: tf.Tensor, end_points: dict[str, tf.Tensor]) -> tf.Tensor:
  """Builds one merged summary of images, losses, gates and activations.

  With several clones it describes the first one. SummaryHook adds the weights.

  Args:
    images: the network's input, [N, H, W, C], augmented; the first few are shown.
    end_points: those of the network, summarized with their sparsity.
  """
  # On the CPU: histograms have no GPU kernel, and soft placement would copy
  # the tensor twice.
  with tf.device('/cpu:0'):
    tf.summary.image('input', _finite(images), max_outputs=_IMAGES)
    for loss in clones.of_first(tf.GraphKeys.LOSSES):
      tf.summary.scalar(f'losses/{loss.op.name}', loss)
    for gate in clones.of_first(attend.GATES):
      mean, variance = tf.nn.moments(gate, list(range(gate.shape.ndims)))
      # The spread of a dead gate, which has one value everywhere, is 0.
      tf.summary.scalar(f'gates/{gate.op.name}/mean', mean)
      tf.summary.scalar(f'gates/{gate.op.name}/spread', tf.sqrt(variance))
    for name, tensor in end_points.items():
      tf.summary.histogram(f'activations/{name}', _finite(tensor))
      tf.summary.scalar(f'sparsity/{name}', _zero_fraction(tensor))
  return tf.summary.merge_all()


def _finite(tensor: tf.Tensor) -> tf.Tensor:
  """Replaces values that are not finite by 0.

  TensorFlow's histogram fails on NaN, with an error that hides the loss.
  """
  return tf.where_v2(tf.is_finite(tensor), tensor, tf.zeros([], tensor.dtype))


def _zero_fraction(tensor: tf.Tensor) -> tf.Tensor:
  """Returns the fraction of zeros.

  tf.nn.zero_fraction has a branch for large tensors, which starts slowly.
  """
  return tf.reduce_mean(tf.cast(tf.equal(tensor, 0), tf.float32))

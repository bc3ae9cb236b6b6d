"""Layers of a gate, with `kernel` and `bias` as attention's checkpoints have.

slim's own layers say `weights` and `biases`. These variables are slim model
variables all the same, so that restoring, averaging, decay and summaries see
them.
"""

from collections.abc import Callable, Sequence

from tf_compat import slim, tf


def _kernel(
  shape: Sequence[int], dtype: tf.DType, regularizer: Callable | None
) -> tf.Tensor:
  """A kernel drawn with variance 2 / fan_in."""
  return slim.model_variable(
    'kernel',
    shape,
    dtype,
    initializer=slim.variance_scaling_initializer(),
    regularizer=regularizer,
  )


@slim.add_arg_scope
def dense(
  net: tf.Tensor,
  units: int,
  scope: str,
  weights_regularizer: Callable | None = None,
) -> tf.Tensor:
  """Product of net [N, 1, 1, C] and kernel [C, units], plus bias."""
  with tf.variable_scope(scope):
    kernel = _kernel([net.shape[-1], units], net.dtype, weights_regularizer)
    bias = slim.model_variable(
      'bias', [units], net.dtype, initializer=tf.zeros_initializer()
    )
    # Rank four, not two, keeps TensorFlow from fusing product, bias and relu,
    # which rounds otherwise: 3e-4 of a ResNet-50's logits.
    return tf.nn.bias_add(tf.tensordot(net, kernel, 1), bias)


@slim.add_arg_scope
def conv2d(
  net: tf.Tensor,
  depth: int,
  kernel_size: int,
  scope: str,
  weights_regularizer: Callable | None = None,
) -> tf.Tensor:
  """Convolution of net [N, H, W, C], kernel [k, k, C, depth]; no bias."""
  with tf.variable_scope(scope):
    shape = [kernel_size, kernel_size, net.shape[-1], depth]
    kernel = _kernel(shape, net.dtype, weights_regularizer)
    return tf.nn.conv2d(net, kernel, strides=1, padding='SAME')

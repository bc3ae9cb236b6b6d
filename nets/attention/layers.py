"""Layers of a gate, with variables `kernel` and `bias` as in the checkpoints.

Slim's layers call them `weights` and `biases`. These variables are slim model
variables too, so that restoring, averaging, weight decay and summaries include
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tf_compat import add_arg_scope, slim, tf


@add_arg_scope
def model_kernel(
  shape: Sequence[int],
  dtype: tf.DType,
  initializer: Callable | None = None,
  weights_regularizer: Callable | None = None,
) -> tf.Tensor:
  """Creates a kernel, by default with initial variance 2 / fan_in."""
  return slim.model_variable(
    'kernel',
    shape,
    dtype,
    initializer=initializer or slim.variance_scaling_initializer(),
    regularizer=weights_regularizer,
  )


def _biased(net: tf.Tensor) -> tf.Tensor:
  """Adds a bias [C], initially zero, to net [N, H, W, C]."""
  bias = slim.model_variable(
    'bias', [net.shape[-1]], net.dtype, initializer=tf.zeros_initializer()
  )
  return tf.nn.bias_add(net, bias)


def dense(
  net: tf.Tensor,
  units: int,
  scope: str,
  initializer: Callable | None = None,
  bias: bool = True,
) -> tf.Tensor:
  """net · W + b for net [N, H, W, C] and W [C, units]; b is optional."""
  with tf.variable_scope(scope):
    kernel = model_kernel([net.shape[-1], units], net.dtype, initializer)
    # With rank 4 instead of 2, TensorFlow does not fuse product, bias and relu,
    # which rounds differently: by 3e-4 of a ResNet-50's logits.
    net = tf.tensordot(net, kernel, 1)
    return _biased(net) if bias else net


def mlp(
  net: tf.Tensor, hidden: int, scopes: Sequence[str], bias: bool = True
) -> tf.Tensor:
  """W1 · relu(W0 · net + b0) + b1 for net [N, 1, 1, C], with C outputs."""
  first, second = scopes
  width = net.shape[-1]
  net = tf.nn.relu(dense(net, hidden, scope=first, bias=bias))
  return dense(net, width, scope=second, bias=bias)


def conv2d(
  net: tf.Tensor,
  depth: int,
  kernel_size: int,
  scope: str,
  rate: int = 1,
  bias: bool = False,
) -> tf.Tensor:
  """Adds a convolution of net [N, H, W, C] with kernel [k, k, C, depth]."""
  with tf.variable_scope(scope):
    shape = [kernel_size, kernel_size, net.shape[-1], depth]
    kernel = model_kernel(shape, net.dtype)
    # Not tf.nn.conv2d's dilations: on CPUs, their gradient exists only in some
    # precisions.
    net = tf.nn.with_space_to_batch(
      net,
      [rate, rate],
      'SAME',
      lambda net, _, padding: tf.nn.conv2d(net, kernel, 1, padding),
      [kernel_size, kernel_size],
    )
    return _biased(net) if bias else net


def channel_conv(net: tf.Tensor, kernel_size: int, scope: str) -> tf.Tensor:
  """Adds a convolution of net [N, 1, 1, C] along C with kernel [k, 1, 1]."""
  with tf.variable_scope(scope):
    kernel = model_kernel([kernel_size, 1, 1], net.dtype)
    # [N, C, 1]: C becomes the length of a line with one channel.
    line = tf.transpose(tf.squeeze(net, 1), [0, 2, 1])
    line = tf.nn.conv1d(line, kernel, 1, 'SAME')
    return tf.transpose(line, [0, 2, 1])[:, None]


def layer_norm(net: tf.Tensor, scope: str) -> tf.Tensor:
  """γ · (net - mean) / sqrt(variance + 1e-5) + β over the channels."""
  mean, variance = tf.nn.moments(net, [-1], keepdims=True)
  with tf.variable_scope(scope):
    gamma, beta = (
      slim.model_variable(
        name, [net.shape[-1]], net.dtype, initializer=initializer
      )
      for name, initializer in (
        ('gamma', tf.ones_initializer()),
        ('beta', tf.zeros_initializer()),
      )
    )
  return gamma * (net - mean) * tf.rsqrt(variance + 1e-5) + beta

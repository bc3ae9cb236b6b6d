"""Layers of a gate, with variables `kernel` and `bias` as in the checkpoints.

Slim's layers call them `weights` and `biases`. These variables are slim model
variables too, so that restoring, averaging, weight decay and summaries include
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tf_compat import add_arg_scope, slim, tf

# PyTorch's, which the authors of the modules with layer and group norms use.
NORM_EPSILON = 1e-5


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


def biased(net: tf.Tensor) -> tf.Tensor:
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
    return biased(net) if bias else net


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
    if kernel_size == depth == 1:
      # As a product of matrices: a convolution pads its output to 16 channels.
      net = tf.tensordot(net, tf.reshape(kernel, [-1, 1]), 1)
      return biased(net) if bias else net
    # Not tf.nn.conv2d's dilations: on CPUs, their gradient exists only in some
    # precisions.
    net = tf.nn.with_space_to_batch(
      net,
      [rate, rate],
      'SAME',
      lambda net, _, padding: tf.nn.conv2d(net, kernel, 1, padding),
      [kernel_size, kernel_size],
    )
    return biased(net) if bias else net


@add_arg_scope
def stage(number: int = 1) -> int:
  """Returns the number, from 1, of the stage that attend() stands in."""
  return number


def depthwise_conv2d(
  net: tf.Tensor, kernel_size: tuple[int, int], scope: str, bias: bool = False
) -> tf.Tensor:
  """Adds a convolution of each channel with its own kernel [height, width]."""
  with tf.variable_scope(scope):
    kernel = model_kernel([*kernel_size, net.shape[-1]], net.dtype)
    net = _depthwise(net, kernel)
    return biased(net) if bias else net


def _depthwise(net: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
  """Convolves each channel with its own kernel, [height, width, C]."""
  kernel = tf.reshape(kernel, [*kernel.shape, 1])
  if net.shape[-1] == 1:
    # oneDNN confuses both operations if all sides of their kernels are 1, and
    # refuses the one that it meets second.
    return tf.nn.conv2d(net, kernel, 1, 'SAME')
  return tf.nn.depthwise_conv2d(net, kernel, [1, 1, 1, 1], 'SAME')


def line_conv(
  lines: Sequence[tf.Tensor],
  kernel_size: int,
  scope: str,
  width: int = 1,
  bias: bool = False,
) -> list[tf.Tensor]:
  """Adds one convolution, for several maps [N, L, 1, C], along L.

  Args:
    lines: maps of the same depth C, but of any length L.
    kernel_size: an odd number of positions.
    scope: variable scope of the kernel [kernel_size, width, C].
    width: channels of a group, a divisor of C; a channel depends on those of
      its group only.
    bias: whether to add a bias.

  Returns:
    The convolved maps, [N, L, 1, C].
  """
  channels = lines[0].shape[-1]
  with tf.variable_scope(scope):
    kernel = model_kernel([kernel_size, width, channels], lines[0].dtype)
    convolve = _depthwise if width == 1 else _grouped_line
    sums = [convolve(line, kernel) for line in lines]
    if bias:
      # The lines share the bias, which is therefore added to their sequence.
      lengths = [side(line, 1) for line in sums]
      sums = tf.split(biased(tf.concat(sums, 1)), lengths, 1)
    return sums


def _grouped_line(line: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
  """Convolves groups of a line [N, L, 1, C] with a kernel [k, width, C]."""
  size, width, channels = kernel.shape
  groups = channels // width
  windows = _windows(line, size, groups)
  kernel = tf.reshape(kernel, [size, width, groups, width])
  # Not tf.nn.conv2d: on CPUs, its gradient with groups exists only in float32.
  line = tf.einsum('nlkgi,kigo->nlgo', windows, kernel)
  return tf.reshape(line, [-1, side(line, 1), 1, channels])


def _windows(line: tf.Tensor, size: int, groups: int) -> tf.Tensor:
  """Returns the neighbors of each position, [N, L, size, groups, C / groups]."""
  length, channels = side(line, 1), line.shape[-1]
  padded = tf.pad(line, [[0, 0], [size // 2] * 2, [0, 0], [0, 0]])
  taps = [padded[:, tap : tap + length] for tap in range(size)]
  return tf.reshape(
    tf.concat(taps, 2), [-1, length, size, groups, channels // groups]
  )


def side(net: tf.Tensor, axis: int) -> int | tf.Tensor:
  """Returns the size of an axis: static where known, to keep static shapes."""
  return net.shape[axis] or tf.shape(net)[axis]


def swap_axes(net: tf.Tensor) -> tf.Tensor:
  """[N, H, W, C] -> [N, W, H, C]."""
  return tf.transpose(net, [0, 2, 1, 3])


def channel_conv(net: tf.Tensor, kernel_size: int, scope: str) -> tf.Tensor:
  """Adds a convolution of net [N, 1, 1, C] along C with kernel [k, 1, 1]."""
  with tf.variable_scope(scope):
    kernel = model_kernel([kernel_size, 1, 1], net.dtype)
    # [N, C, 1]: C becomes the length of a line with one channel.
    line = tf.transpose(tf.squeeze(net, 1), [0, 2, 1])
    line = tf.nn.conv1d(line, kernel, 1, 'SAME')
    return tf.transpose(line, [0, 2, 1])[:, None]


def batch_norm(
  net: tf.Tensor,
  scope: str,
  epsilon: float | None = None,
  gamma: float = 1.0,
) -> tf.Tensor:
  """Adds batch norm with the network's settings, or another ε or initial γ."""
  settings = {} if epsilon is None else {'epsilon': epsilon}
  return slim.batch_norm(
    net,
    scale=True,
    param_initializers={'gamma': tf.constant_initializer(gamma)},
    scope=scope,
    **settings,
  )


def layer_norm(net: tf.Tensor, scope: str) -> tf.Tensor:
  """γ · (net - mean) / sqrt(variance + 1e-5) + β over the channels."""
  mean, variance = tf.nn.moments(net, [-1], keepdims=True)
  gamma, beta = norm_weights(net, scope)
  return gamma * (net - mean) * tf.rsqrt(variance + NORM_EPSILON) + beta


def group_norm(net: tf.Tensor, groups: int, scope: str) -> tf.Tensor:
  """γ · (net - mean) / sqrt(variance + 1e-5) + β over space and C / groups."""
  return normalize(net, groups, *norm_weights(net, scope))


def normalize(
  net: tf.Tensor, groups: int, gamma: tf.Tensor, beta: tf.Tensor
) -> tf.Tensor:
  """Returns group_norm(net) with the given γ and β, which maps may share."""
  channels = net.shape[-1]
  width = channels // groups
  mean, variance = tf.nn.moments(
    tf.reshape(net, [-1, side(net, 1) * side(net, 2), groups, width]),
    [1, 3],
    keepdims=True,
  )
  mean, variance = (
    tf.reshape(tf.repeat(moment, width, 2), [-1, 1, 1, channels])
    for moment in (mean, variance)
  )
  return gamma * (net - mean) * tf.rsqrt(variance + NORM_EPSILON) + beta


def norm_weights(net: tf.Tensor, scope: str) -> tuple[tf.Tensor, tf.Tensor]:
  """Creates γ, initially one, and β, initially zero, for the channels of net."""
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
  return gamma, beta

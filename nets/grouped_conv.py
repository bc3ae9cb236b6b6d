"""Grouped convolution, which slim's layers lack.

ImageNet classification with deep convolutional neural networks, Krizhevsky et
al., 2012, where two GPUs had a group each.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tf_compat import slim, tf


@slim.add_arg_scope
def grouped_conv2d(
  net: tf.Tensor,
  depth: int,
  kernel_size: int,
  stride: int = 1,
  padding: str = 'SAME',
  rate: int = 1,
  groups: int = 1,
  activation_fn: Callable | None = tf.nn.relu,
  normalizer_fn: Callable = slim.batch_norm,
  normalizer_params: Mapping[str, Any] | None = None,
  weights_initializer: Callable | None = None,
  weights_regularizer: Callable | None = None,
  outputs_collections: str | None = None,
  scope: str | None = None,
) -> tf.Tensor:
  """As slim.conv2d, but output channels of a group see its input channels only.

  The normaliser's shift stands for a bias. On a CPU the gradient is oneDNN's
  alone: TF_ENABLE_ONEDNN_OPTS=0 leaves none.

  Args:
    net: feature map, [N, H, W, C].
    depth: channels of the output.
    kernel_size: height and width of the kernel.
    stride: of the kernel over the map, pixels.
    padding: 'SAME' or 'VALID'.
    rate: dilation of the kernel.
    groups: a divisor of C and of depth.
    activation_fn: of what is normalised; None for linear.
    normalizer_fn: of what is convolved; there must be one.
    normalizer_params: arguments of normalizer_fn.
    weights_initializer: of the kernel.
    weights_regularizer: of the kernel.
    outputs_collections: graph collections of the output.
    scope: variable scope, which holds `weights` of shape [kernel_size,
      kernel_size, C / groups, depth] and the normaliser.

  Returns:
    [N, H / stride, W / stride, depth].
  """
  with tf.variable_scope(scope, 'GroupedConv', [net]) as inside:
    weights = slim.model_variable(
      'weights',
      [kernel_size, kernel_size, net.shape[-1] // groups, depth],
      net.dtype,
      initializer=weights_initializer,
      regularizer=weights_regularizer,
    )
    # The kernel's shape tells TensorFlow how many groups there are.
    net = tf.nn.conv2d(net, weights, stride, padding, dilations=rate)
    net = normalizer_fn(net, **(normalizer_params or {}))
    if activation_fn:
      net = activation_fn(net)
    return slim.utils.collect_named_outputs(
      outputs_collections, inside.name, net
    )

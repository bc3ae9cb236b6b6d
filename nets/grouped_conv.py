"""Grouped convolution, which TF-Slim does not have.

ImageNet classification with deep convolutional neural networks, Krizhevsky et
al., 2012, who computed two groups on two GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nets import layers
from tf_compat import add_arg_scope, slim, tf


def _relu(net: tf.Tensor) -> tf.Tensor:
  """max(net, 0)."""
  return tf.nn.relu(net)


@add_arg_scope
def grouped_conv2d(
  net: tf.Tensor,
  depth: int,
  kernel_size: int,
  stride: int = 1,
  padding: str = 'SAME',
  rate: int = 1,
  groups: int = 1,
  pads: str = 'same',
  activation_fn: Callable | None = _relu,
  normalizer_fn: Callable | None = None,
  normalizer_params: Mapping[str, Any] | None = None,
  weights_initializer: Callable | None = None,
  weights_regularizer: Callable | None = None,
  outputs_collections: str | None = None,
  scope: str | None = None,
) -> tf.Tensor:
  """Adds a grouped convolution, with the interface of slim.conv2d.

  Output channels of a group depend only on the input channels of that group.
  There is no bias, because the normalizer has one. On CPUs only oneDNN computes
  the gradient, so TF_ENABLE_ONEDNN_OPTS=0 does not work.

  Args:
    net: feature map, [N, H, W, C].
    depth: channels of the output.
    kernel_size: height and width of the kernel.
    stride: stride of the kernel, pixels of the map.
    padding: 'SAME' or 'VALID'.
    rate: dilation of the kernel.
    groups: a divisor of C and of depth.
    pads: what 'SAME' means, as in nets/layers.py.
    activation_fn: function after the normalizer; None for linear.
    normalizer_fn: function after the convolution; None for batch norm.
    normalizer_params: keyword arguments of normalizer_fn.
    weights_initializer: initializer of the kernel.
    weights_regularizer: regularizer of the kernel.
    outputs_collections: graph collections that the output is added to.
    scope: variable scope of `weights` and of the normalizer.

  Returns:
    [N, H / stride, W / stride, depth].
  """
  if pads == 'symmetric':
    net, padding = layers.pad_conv(net, kernel_size, stride, padding, rate)
  with tf.variable_scope(scope, 'GroupedConv', [net]) as inner:
    weights = slim.model_variable(
      'weights',
      [kernel_size, kernel_size, net.shape[-1] // groups, depth],
      net.dtype,
      initializer=weights_initializer,
      regularizer=weights_regularizer,
    )
    # TensorFlow infers the number of groups from the kernel's shape.
    net = tf.nn.conv2d(net, weights, stride, padding, dilations=rate)
    net = (normalizer_fn or slim.batch_norm)(net, **(normalizer_params or {}))
    net = activation_fn(net) if activation_fn else net
    return slim.utils.collect_named_outputs(
      outputs_collections, inner.name, net
    )

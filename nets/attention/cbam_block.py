"""Convolutional block attention: a gate for each channel, then each place.

CBAM: convolutional block attention module, Woo et al., 2018:
https://arxiv.org/abs/1807.06521
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nets.attention import layers
from nets.attention.options import (
  DEFAULT_RATIO,
  KernelSize,
  Ratio,
  find_ratio,
  hidden_units,
  shapes_of,
)
from tf_compat import tf


def cbam_block(
  net: tf.Tensor, *, ratio: Ratio = DEFAULT_RATIO, kernel_size: KernelSize = 7
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
  """G = net · channel(net), then G · spatial(G)."""
  channel = _channel_gate(net, ratio)
  net = net * channel
  spatial = _spatial_gate(net, kernel_size)
  return net * spatial, (channel, spatial)


def _channel_gate(net: tf.Tensor, ratio: int) -> tf.Tensor:
  """sigmoid(mlp(mean(net)) + mlp(max(net))), pooled over space."""
  channels = net.shape[-1]
  with tf.variable_scope('ch_at'):
    # Both pools go through the shared layers as one batch, [2N, 1, 1, C].
    pooled = tf.concat(
      [
        tf.reduce_mean(net, [1, 2], keepdims=True),
        tf.reduce_max(net, [1, 2], keepdims=True),
      ],
      axis=0,
    )
    hidden = tf.nn.relu(
      layers.dense(pooled, hidden_units(channels, ratio), scope='mlp_0')
    )
    from_mean, from_max = tf.split(
      layers.dense(hidden, channels, scope='mlp_1'), 2
    )
    return tf.sigmoid(from_mean + from_max, name='gate')  # [N, 1, 1, C]


def _spatial_gate(net: tf.Tensor, kernel_size: int) -> tf.Tensor:
  """sigmoid(conv([mean(net), max(net)])), pooled over channels."""
  with tf.variable_scope('sp_at'):
    pooled = tf.concat(
      [
        tf.reduce_mean(net, 3, keepdims=True),
        tf.reduce_max(net, 3, keepdims=True),
      ],
      axis=3,
    )  # [N, H, W, 2]
    scores = layers.conv2d(pooled, 1, kernel_size, scope='conv')
    return tf.sigmoid(scores, name='gate')  # [N, H, W, 1]


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """The options behind a checkpoint's variables; None if not of CBAM."""
  kernels = shapes_of(shapes, 'ch_at/mlp_0/kernel')
  convolutions = shapes_of(shapes, 'sp_at/conv/kernel')
  if not kernels or not convolutions:
    return None
  sizes = {shape[0] for shape in convolutions}
  return {
    'ratio': find_ratio(kernels),
    'kernel_size': sizes.pop() if len(sizes) == 1 else None,
  }

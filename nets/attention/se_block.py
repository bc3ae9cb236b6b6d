"""Squeeze and excitation: a gate for each channel from its mean.

Squeeze-and-excitation networks, Hu et al., 2017:
https://arxiv.org/abs/1709.01507
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nets.attention import layers
from nets.attention.options import (
  DEFAULT_RATIO,
  Ratio,
  find_ratio,
  hidden_units,
  shapes_of,
)
from tf_compat import tf


def se_block(
  net: tf.Tensor, *, ratio: Ratio = DEFAULT_RATIO
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """Scales net by sigmoid(W1 · relu(W0 · mean(net) + b0) + b1)."""
  channels = net.shape[-1]
  squeeze = tf.reduce_mean(net, [1, 2], keepdims=True)  # [N, 1, 1, C]
  hidden = tf.nn.relu(
    layers.dense(squeeze, hidden_units(channels, ratio), scope='bottleneck_fc')
  )
  scores = layers.dense(hidden, channels, scope='recover_fc')
  gate = tf.sigmoid(scores, name='gate')  # [N, 1, 1, C]
  return net * gate, (gate,)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """The options behind a checkpoint's variables; None if not of SE."""
  kernels = shapes_of(shapes, 'bottleneck_fc/kernel')
  return {'ratio': find_ratio(kernels)} if kernels else None

"""Concurrent squeeze and excitation: a channel and a spatial gate in parallel.

Concurrent spatial and channel squeeze & excitation in fully convolutional
networks, Roy et al., 2018: https://arxiv.org/abs/1803.02579
Combination by maximum: Recalibrating fully convolutional networks with spatial
and channel 'squeeze & excitation' blocks, Roy et al., 2018:
https://arxiv.org/abs/1808.08127
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, memory_ops
from nets.attention.options import (
  Ratio,
  Switch,
  find_ratio,
  hidden_units,
  shapes_of,
)
from registry import one_of
from tf_compat import tf

DEFAULT_RATIO = 2


def scse_block(
  net: tf.Tensor,
  *,
  ratio: Ratio = DEFAULT_RATIO,
  combination: Annotated[str, one_of('add', 'max')] = 'add',
  spatial_bias: Switch = False,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
  """net · sigmoid(mlp(mean(net))) + net · sigmoid(w · net), or the maximum.

  spatial_bias=True adds a bias to w · net, as in the authors' code.
  """
  net, (mean,) = memory_ops.pool(net, memory_ops.SPACE, ['avg'])
  scores = layers.mlp(
    mean, hidden_units(net.shape[-1], ratio), scopes=('cse/mlp_0', 'cse/mlp_1')
  )
  channel = tf.sigmoid(scores, name='channel_gate')  # [N, 1, 1, C]
  scores = layers.conv2d(net, 1, 1, scope='sse', bias=spatial_bias)
  spatial = tf.sigmoid(scores, name='spatial_gate')  # [N, H, W, 1]
  if combination == 'add':
    gated = net * memory_ops.shift(spatial, channel)
  else:
    gated = tf.maximum(net * channel, net * spatial)
  return gated, (channel, spatial)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not scSE's."""
  kernels = shapes_of(shapes, 'cse/mlp_0/kernel')
  if not kernels:
    return None
  return {
    'ratio': find_ratio(kernels, DEFAULT_RATIO),
    'spatial_bias': bool(shapes_of(shapes, 'sse/bias')),
  }

"""Bottleneck attention: one gate, the sum of a channel and a spatial branch.

BAM: bottleneck attention module, Park et al., 2018:
https://arxiv.org/abs/1807.06514
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nets.attention import layers, memory_ops
from nets.attention.options import (
  Dilation,
  Ratio,
  find_ratio,
  hidden_units,
  shapes_of,
)
from tf_compat import slim, tf

DEFAULT_RATIO = 16


def bam_block(
  net: tf.Tensor, *, ratio: Ratio = DEFAULT_RATIO, dilation: Dilation = 4
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """net + net · sigmoid(norm(mlp(mean(net))) + norm(convolutions(net)))."""
  hidden = hidden_units(net.shape[-1], ratio)
  with tf.variable_scope('channel'):
    net, (mean,) = memory_ops.pool(net, memory_ops.SPACE, ['avg'])
    scores = layers.mlp(mean, hidden, scopes=('mlp_0', 'mlp_1'))
    channel = slim.batch_norm(scores, scale=True, scope='norm')
  with tf.variable_scope('spatial'):
    scores = _convolutions(net, hidden, dilation)
    spatial = slim.batch_norm(scores, scale=True, scope='norm')
  gate = tf.sigmoid(channel + spatial, name='gate')  # [N, H, W, C]
  return net + net * gate, (gate,)


def _convolutions(net: tf.Tensor, hidden: int, dilation: int) -> tf.Tensor:
  """Adds 1x1 to the hidden width, two dilated 3x3, 1x1 to a score per pixel."""
  # The relu is in the authors' code, not in the paper's formula; without it,
  # the four convolutions would be equivalent to a single linear one.
  for scope, kernel_size, rate in (
    ('reduce', 1, 1),
    ('dilated_0', 3, dilation),
    ('dilated_1', 3, dilation),
  ):
    net = tf.nn.relu(
      layers.conv2d(net, hidden, kernel_size, scope, rate=rate, bias=True)
    )
  return layers.conv2d(net, 1, 1, scope='score', bias=True)  # [N, H, W, 1]


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not BAM's."""
  kernels = shapes_of(shapes, 'channel/mlp_0/kernel')
  if not kernels or not shapes_of(shapes, 'spatial/dilated_0/kernel'):
    return None
  return {'ratio': find_ratio(kernels, DEFAULT_RATIO)}

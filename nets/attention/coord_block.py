"""Coordinate attention: a gate per row and a gate per column.

Coordinate attention for efficient mobile network design, Hou et al., 2021:
https://arxiv.org/abs/2103.02907
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nets.attention import layers, memory_ops
from nets.attention.options import (
  Epsilon,
  Ratio,
  find_ratio,
  hidden_units,
  shapes_of,
)
from tf_compat import tf

# The bottleneck has max(LEAST, C / ratio) units; LEAST is in the authors' code,
# not in the paper.
DEFAULT_RATIO, LEAST = 32, 8


def coord_block(
  net: tf.Tensor,
  *,
  ratio: Ratio = DEFAULT_RATIO,
  norm_epsilon: Epsilon = None,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
  """net · sigmoid(W_h · f_h) · sigmoid(W_w · f_w), f = _features(means)."""
  channels = net.shape[-1]
  net, rows, columns = memory_ops.lines(net)
  sides = [layers.side(net, axis) for axis in (1, 2)]
  features = _features(
    tf.concat([rows, layers.swap_axes(columns)], 1),  # [N, H + W, 1, C]
    hidden_units(channels, ratio, LEAST),
    norm_epsilon,
  )
  rows, columns = tf.split(features, sides, 1)
  down = layers.dense(rows, channels, scope='height')
  down = tf.sigmoid(down, name='rows')  # [N, H, 1, C]
  across = layers.dense(layers.swap_axes(columns), channels, scope='width')
  across = tf.sigmoid(across, name='columns')  # [N, 1, W, C]
  net = memory_ops.scale(memory_ops.scale(net, down), across)
  return net, (down, across)


def _features(net: tf.Tensor, hidden: int, epsilon: float | None) -> tf.Tensor:
  """hard_swish(norm(W · net)), hard_swish(x) = x · relu6(x + 3) / 6."""
  net = layers.conv2d(net, hidden, 1, scope='axes')
  net = layers.batch_norm(net, 'norm', epsilon)
  return net * tf.nn.relu6(net + 3) / 6


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns a checkpoint's options; None if it has no coordinate attention."""
  kernels = [shape[-2:] for shape in shapes_of(shapes, 'axes/kernel')]
  if not kernels:
    return None
  return {'ratio': find_ratio(kernels, DEFAULT_RATIO, LEAST)}

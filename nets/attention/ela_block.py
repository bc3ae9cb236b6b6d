"""Efficient local attention: a gate per row and per column, from neighbors.

ELA: efficient local attention for deep convolutional neural networks, Xu and
Wan, 2024: https://arxiv.org/abs/2403.01123
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nets.attention import layers, memory_ops
from nets.attention.options import KernelSize, shapes_of
from registry import PositiveInt
from tf_compat import tf


def ela_block(
  net: tf.Tensor,
  *,
  kernel_size: KernelSize = 7,
  norm_groups: PositiveInt = 16,
  group_width: PositiveInt = 1,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
  """net · sigmoid(norm(K * rows)) · sigmoid(norm(K * columns)) of the means.

  Rows and columns share K and the group norm's weights. The paper's variants:

    ELA-T: kernel_size=5, norm_groups=32
    ELA-B: the defaults
    ELA-S: kernel_size=5, group_width=8
    ELA-L: group_width=8

  Numbers that do not divide C are replaced by the greatest common divisor.
  """
  channels = net.shape[-1]
  net, rows, columns = memory_ops.lines(net)
  rows, columns = layers.line_conv(
    [rows, layers.swap_axes(columns)],
    kernel_size,
    scope='line',
    width=math.gcd(channels, group_width),
  )
  weights = layers.norm_weights(net, scope='norm')
  groups = math.gcd(channels, norm_groups)
  down = tf.sigmoid(layers.normalize(rows, groups, *weights), name='rows')
  columns = layers.swap_axes(layers.normalize(columns, groups, *weights))
  across = tf.sigmoid(columns, name='columns')  # [N, 1, W, C]
  net = memory_ops.scale(memory_ops.scale(net, down), across)
  return net, (down, across)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not ELA's."""
  kernels = shapes_of(shapes, 'line/kernel')
  if not kernels:
    return None
  sizes = {size for size, _, _ in kernels}
  widest = max(width for _, width, _ in kernels)
  agree = all(math.gcd(count, widest) == width for _, width, count in kernels)
  return {
    'kernel_size': sizes.pop() if len(sizes) == 1 else None,
    'group_width': widest if agree else None,
  }

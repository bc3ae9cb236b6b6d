"""Triplet attention: the mean of three gates, one for each pair of axes.

Rotate to attend: convolutional triplet attention module, Misra et al., 2020:
https://arxiv.org/abs/2010.03045
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nets.attention import layers, memory_ops
from nets.attention.options import Epsilon, KernelSize, Switch, shapes_of
from tf_compat import tf

# Scope of a gate -> the axis of [N, H, W, C] that its pools reduce. The kernel
# covers the two other axes in their order. The names are the authors'.
_AXES = {'cw': 1, 'hc': 2}


def triplet_block(
  net: tf.Tensor,
  *,
  kernel_size: KernelSize = 7,
  spatial: Switch = True,
  norm_epsilon: Epsilon = None,
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """net · mean(gate(H, W), gate(C, W), gate(H, C)), each over the third axis.

  gate = sigmoid(norm(K * [max, mean])). `spatial=False` leaves out (H, W).
  """
  gates = []
  if spatial:
    net, pooled = memory_ops.pool(net, memory_ops.CHANNELS, ['max', 'avg'])
    gates.append(_gate(tf.concat(pooled, 3), kernel_size, norm_epsilon, 'hw'))
  for scope, axis in _AXES.items():
    net, pooled = memory_ops.pool(net, (axis,), ['max', 'avg'])
    pooled = tf.stack([tf.squeeze(part, axis) for part in pooled], 3)
    gate = _gate(pooled, kernel_size, norm_epsilon, scope)
    gates.append(tf.expand_dims(tf.squeeze(gate, 3), axis))
  total = gates[0] + gates[1] + (gates[2] if spatial else 0)
  gate = tf.multiply(total, 1 / len(gates), name='gate')  # [N, H, W, C]
  return net * gate, (gate,)


def _gate(
  pooled: tf.Tensor, kernel_size: int, epsilon: float | None, scope: str
) -> tf.Tensor:
  """sigmoid(norm(K * pooled)), [N, …, …, 1], for pooled [N, …, …, 2]."""
  with tf.variable_scope(scope):
    scores = layers.conv2d(pooled, 1, kernel_size, scope='conv')
    return tf.sigmoid(layers.batch_norm(scores, 'norm', epsilon))


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None for others."""
  sizes = {shape[0] for shape in shapes_of(shapes, 'cw/conv/kernel')}
  if not sizes:
    return None
  return {
    'kernel_size': sizes.pop() if len(sizes) == 1 else None,
    'spatial': bool(shapes_of(shapes, 'hw/conv/kernel')),
  }

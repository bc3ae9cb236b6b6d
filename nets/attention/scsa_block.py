"""Spatial and channel synergistic attention: gates of lines, then of channels.

SCSA: exploring the synergistic effects between spatial and channel attention,
Si et al., 2024: https://arxiv.org/abs/2407.05128
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, memory_ops
from nets.attention.options import Switch, is_kernel_size, shapes_of
from registry import PositiveInt, Rule, is_int, one_of
from tf_compat import tf

# Scopes of the convolutions of the four parts of the channels, the authors'.
_PARTS = ('local_dwc', 'global_dwc_s', 'global_dwc_m', 'global_dwc_l')

KernelSizes = Annotated[
  tuple,
  Rule(
    'four odd whole numbers from 1',
    lambda value: (
      isinstance(value, tuple | list)
      and len(value) == len(_PARTS)
      and all(map(is_kernel_size, value))
    ),
    tuple,
  ),
]
WindowSize = Annotated[
  int | str,
  Rule(
    "a whole number from 1, or 'all' for the whole map",
    lambda value: value == 'all' or (is_int(value) and value > 0),
  ),
]


def scsa_block(
  net: tf.Tensor,
  *,
  heads: PositiveInt = 1,
  window_size: WindowSize = 7,
  kernel_sizes: KernelSizes = (3, 5, 7, 9),
  pool: Annotated[str, one_of('avg', 'max')] = 'avg',
  gate: Annotated[str, one_of('sigmoid', 'softmax')] = 'sigmoid',
  qkv_bias: Switch = False,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
  """G · σ(mean(softmax(q · kᵀ / √d) · v)), G = net · σ(rows) · σ(columns).

  Rows and columns are group norms of convolutions of the means of net, with a
  kernel size for each quarter of the channels. q, k and v are a number per
  channel times norm(pool(G)), and the d channels of a head attend to one
  another. gate='softmax' replaces σ by softmax over the positions of a line
  and over the channels.
  """
  net, rows, columns = memory_ops.lines(net)
  rows, columns = _line_gates(rows, columns, kernel_sizes, gate)
  net = memory_ops.scale(memory_ops.scale(net, rows), columns)
  tokens = layers.group_norm(
    _pool(net, window_size, pool), groups=1, scope='norm'
  )
  scores = _channel_attention(tokens, heads, qkv_bias)
  activation = tf.sigmoid if gate == 'sigmoid' else tf.nn.softmax
  channel = activation(scores, name='gate')  # [N, 1, 1, C]
  return memory_ops.scale(net, channel), (rows, columns, channel)


def _line_gates(
  rows: tf.Tensor, columns: tf.Tensor, kernel_sizes: Sequence[int], gate: str
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the gates of rows [N, H, 1, C] and columns [N, 1, W, C]."""
  groups = math.gcd(rows.shape[-1], len(_PARTS))
  rows, columns = _convolve([rows, layers.swap_axes(columns)], kernel_sizes)
  rows = layers.group_norm(rows, groups, scope='norm_h')
  columns = layers.group_norm(columns, groups, scope='norm_w')
  if gate == 'softmax':
    rows, columns = (tf.nn.softmax(line, 1) for line in (rows, columns))
  else:
    rows, columns = tf.sigmoid(rows), tf.sigmoid(columns)
  return (
    tf.identity(rows, name='rows'),
    tf.identity(layers.swap_axes(columns), name='columns'),
  )


def _convolve(
  lines: Sequence[tf.Tensor], kernel_sizes: Sequence[int]
) -> list[tf.Tensor]:
  """Convolves each quarter of the channels; the first ones are the larger."""
  channels = lines[0].shape[-1]
  quarters = len(_PARTS)
  depths = [(channels + quarters - 1 - i) // quarters for i in range(quarters)]
  parts = zip(*(tf.split(line, depths, 3) for line in lines), strict=True)
  convolved = [
    layers.line_conv(part, size, scope=scope, bias=True)
    for part, size, scope, depth in zip(
      parts, kernel_sizes, _PARTS, depths, strict=True
    )
    if depth
  ]
  return [tf.concat(part, 3) for part in zip(*convolved, strict=True)]


def _pool(net: tf.Tensor, window: int | str, kind: str) -> tf.Tensor:
  """Pools windows without the rest at the end; small maps are one window."""
  reduce = tf.reduce_mean if kind == 'avg' else tf.reduce_max
  if window == 'all':
    return reduce(net, [1, 2], keepdims=True)
  for axis in (1, 2):
    size: Any = layers.side(net, axis)
    smaller = min if isinstance(size, int) else tf.minimum
    length = smaller(window, size)
    count = size // length
    net = net[:, : count * length] if axis == 1 else net[:, :, : count * length]
    before = [-1, layers.side(net, 1)][:axis]
    after = [layers.side(net, axis) for axis in range(axis + 1, 4)]
    net = reduce(tf.reshape(net, [*before, count, length, *after]), axis + 1)
  return net


def _channel_attention(tokens: tf.Tensor, heads: int, bias: bool) -> tf.Tensor:
  """mean(softmax(q · kᵀ / √d) · v) over the tokens, [N, 1, 1, C]."""
  channels = tokens.shape[-1]
  heads = math.gcd(channels, heads)
  depth = channels // heads
  query, key, value = (
    tf.reshape(_scale(tokens, scope, bias), [-1, count, heads, depth])
    for count in [layers.side(tokens, 1) * layers.side(tokens, 2)]
    for scope in ('q', 'k', 'v')
  )
  scores = tf.einsum('nthd,nthe->nhde', query, key) * depth**-0.5
  # The mean of the products is the product with the mean.
  mixed = tf.einsum(
    'nhde,nhe->nhd', tf.nn.softmax(scores), tf.reduce_mean(value, 1)
  )
  return tf.reshape(mixed, [-1, 1, 1, channels])


def _scale(net: tf.Tensor, scope: str, bias: bool) -> tf.Tensor:
  """Multiplies each channel by a number: a 1x1 depthwise convolution."""
  with tf.variable_scope(scope):
    net *= layers.model_kernel([1, net.shape[-1]], net.dtype)
    return layers.biased(net) if bias else net


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not SCSA's."""
  sizes = [
    {shape[0] for shape in shapes_of(shapes, f'{part}/kernel')}
    for part in _PARTS
  ]
  if not sizes[0]:
    return None
  agree = all(len(found) == 1 for found in sizes)
  return {
    'kernel_sizes': tuple(f.pop() for f in sizes) if agree else None,
    'qkv_bias': bool(shapes_of(shapes, 'q/bias')),
  }

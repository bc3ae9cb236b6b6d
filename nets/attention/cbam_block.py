"""Convolutional block attention: a gate per channel, then a gate per pixel.

CBAM: convolutional block attention module, Woo et al., 2018:
https://arxiv.org/abs/1807.06521
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, memory_ops
from nets.attention.options import (
  DEFAULT_RATIO,
  Epsilon,
  KernelSize,
  Ratio,
  Switch,
  find_ratio,
  hidden_units,
  is_number,
  shapes_of,
  some_of,
)
from registry import Rule, one_of
from tf_compat import tf

ORDERS = (
  'channel_spatial',
  'spatial_channel',
  'parallel',
  'channel',
  'spatial',
)

Gamma = Annotated[
  float, Rule('a number from 0', lambda v: is_number(v) and v >= 0)
]


def cbam_block(
  net: tf.Tensor,
  *,
  ratio: Ratio = DEFAULT_RATIO,
  kernel_size: KernelSize = 7,
  channel_pools: Annotated[str, some_of(*memory_ops.POOLS)] = 'avg+max',
  spatial_pools: Annotated[str, some_of('avg', 'max', 'conv')] = 'avg+max',
  order: Annotated[str, one_of(*ORDERS)] = 'channel_spatial',
  spatial_batch_norm: Switch = False,
  mlp_bias: Switch = True,
  norm_gamma: Gamma = 1.0,
  norm_epsilon: Epsilon = None,
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
  """G · spatial(G), where G = net · channel(net).

  `order` may reverse the two gates, select one of them, or compute both from
  the same input: net · channel(net) · spatial(net). norm_gamma is the initial
  factor of the spatial gate's batch norm; with 0, that gate is 1/2 at first.
  """
  channel = functools.partial(
    _channel_gate, ratio=ratio, pools=channel_pools.split('+'), bias=mlp_bias
  )
  spatial = functools.partial(
    _spatial_gate,
    kernel_size=kernel_size,
    pools=spatial_pools.split('+'),
    norm={'epsilon': norm_epsilon, 'gamma': norm_gamma}
    if spatial_batch_norm
    else None,
  )
  if order == 'parallel':
    net, channel_gate = channel(net)
    net, spatial_gate = spatial(net)
    net = memory_ops.scale(net, channel_gate) * spatial_gate
    return net, (channel_gate, spatial_gate)
  gates = []
  for part in order.split('_'):
    if part == 'channel':
      net, gate = channel(net)
      net = memory_ops.scale(net, gate)
    else:
      net, gate = spatial(net)
      net *= gate
    gates.append(gate)
  return net, tuple(gates)


def _channel_gate(
  net: tf.Tensor, ratio: int, pools: Sequence[str], bias: bool
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns net and sigmoid(Σ mlp(pool(net))), [N, 1, 1, C]."""
  with tf.variable_scope('ch_at'):
    net, pooled = memory_ops.pool(net, memory_ops.SPACE, pools)
    # The shared layers process all pools as one batch.
    scores = layers.mlp(
      tf.concat(pooled, 0),
      hidden_units(net.shape[-1], ratio),
      scopes=('mlp_0', 'mlp_1'),
      bias=bias,
    )
    scores = tf.add_n(tf.split(scores, len(pools)))
    return net, tf.sigmoid(scores, name='gate')


def _spatial_gate(
  net: tf.Tensor,
  kernel_size: int,
  pools: Sequence[str],
  norm: Mapping[str, Any] | None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns net and sigmoid(conv([pool(net), …])), [N, H, W, 1]."""
  with tf.variable_scope('sp_at'):
    kinds = [kind for kind in pools if kind != 'conv']
    net, pooled = memory_ops.pool(net, memory_ops.CHANNELS, kinds)
    if 'conv' in pools:
      squeezed = layers.conv2d(net, 1, 1, scope='squeeze')
      pooled.insert(pools.index('conv'), squeezed)
    pooled = tf.concat(pooled, 3)  # [N, H, W, pools]
    scores = layers.conv2d(pooled, 1, kernel_size, scope='conv')
    if norm is not None:
      scores = layers.batch_norm(scores, 'norm', **norm)
    return net, tf.sigmoid(scores, name='gate')


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not CBAM's.

  The variables do not depend on the order of two gates, nor on which pools are
  used if their number is the default.
  """
  kernels = shapes_of(shapes, 'ch_at/mlp_0/kernel')
  convolutions = shapes_of(shapes, 'sp_at/conv/kernel')
  options: dict[str, Any] = {}
  if kernels:
    options['ratio'] = find_ratio(kernels)
    options['mlp_bias'] = bool(shapes_of(shapes, 'ch_at/mlp_0/bias'))
  if convolutions:
    sizes = {(shape[0], shape[2]) for shape in convolutions}
    size, pools = sizes.pop() if len(sizes) == 1 else (0, 0)
    squeezed = bool(shapes_of(shapes, 'sp_at/squeeze/kernel'))
    options['kernel_size'] = size or None
    options['spatial_pools'] = {
      (2, False): 'avg+max',
      (1, True): 'conv',
      (3, True): 'avg+max+conv',
    }.get((pools, squeezed))
    options['spatial_batch_norm'] = bool(shapes_of(shapes, 'sp_at/norm/gamma'))
  if bool(kernels) != bool(convolutions):
    options['order'] = 'channel' if kernels else 'spatial'
  return options or None

"""Convolutional block attention: a gate for each channel, then each place.

CBAM: convolutional block attention module, Woo et al., 2018:
https://arxiv.org/abs/1807.06521
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, passes
from nets.attention.options import (
  DEFAULT_RATIO,
  KernelSize,
  Ratio,
  Switch,
  find_ratio,
  hidden_units,
  one_of,
  shapes_of,
  some_of,
)
from tf_compat import slim, tf

ORDERS = (
  'channel_spatial',
  'spatial_channel',
  'parallel',
  'channel',
  'spatial',
)


def cbam_block(
  net: tf.Tensor,
  *,
  ratio: Ratio = DEFAULT_RATIO,
  kernel_size: KernelSize = 7,
  channel_pools: Annotated[str, some_of(*passes.POOLS)] = 'avg+max',
  spatial_pools: Annotated[str, some_of('avg', 'max', 'conv')] = 'avg+max',
  order: Annotated[str, one_of(*ORDERS)] = 'channel_spatial',
  spatial_batch_norm: Switch = False,
  mlp_bias: Switch = True,
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
  """G = net · channel(net), then G · spatial(G).

  Or the other way round, or one of them, or net · channel(net) · spatial(net)
  in parallel.
  """
  channel = functools.partial(
    _channel_gate, ratio=ratio, pools=channel_pools.split('+'), bias=mlp_bias
  )
  spatial = functools.partial(
    _spatial_gate,
    kernel_size=kernel_size,
    pools=spatial_pools.split('+'),
    batch_norm=spatial_batch_norm,
  )
  if order == 'parallel':
    net, of_channels = channel(net)
    net, of_places = spatial(net)
    net = passes.scale_channels(net, of_channels) * of_places
    return net, (of_channels, of_places)
  gates = []
  for part in order.split('_'):
    if part == 'channel':
      net, gate = channel(net)
      net = passes.scale_channels(net, gate)
    else:
      net, gate = spatial(net)
      net *= gate
    gates.append(gate)
  return net, tuple(gates)


def _channel_gate(
  net: tf.Tensor, ratio: int, pools: Sequence[str], bias: bool
) -> tuple[tf.Tensor, tf.Tensor]:
  """Net and sigmoid(Σ mlp(pool(net))) of the pools over space, [N, 1, 1, C]."""
  with tf.variable_scope('ch_at'):
    net, pooled = passes.pool(net, passes.SPACE, pools)
    # All pools go through the shared layers as one batch.
    scores = layers.mlp(
      tf.concat(pooled, 0),
      hidden_units(net.shape[-1], ratio),
      scopes=('mlp_0', 'mlp_1'),
      bias=bias,
    )
    scores = tf.add_n(tf.split(scores, len(pools)))
    return net, tf.sigmoid(scores, name='gate')


def _spatial_gate(
  net: tf.Tensor, kernel_size: int, pools: Sequence[str], batch_norm: bool
) -> tuple[tf.Tensor, tf.Tensor]:
  """Net and sigmoid(conv(pools of net)) over channels, [N, H, W, 1]."""
  with tf.variable_scope('sp_at'):
    kinds = [kind for kind in pools if kind != 'conv']
    net, pooled = passes.pool(net, passes.CHANNELS, kinds)
    if 'conv' in pools:
      squeezed = layers.conv2d(net, 1, 1, scope='squeeze')
      pooled.insert(pools.index('conv'), squeezed)
    pooled = tf.concat(pooled, 3)  # [N, H, W, pools]
    scores = layers.conv2d(pooled, 1, kernel_size, scope='conv')
    if batch_norm:
      scores = slim.batch_norm(scores, scale=True, scope='norm')
    return net, tf.sigmoid(scores, name='gate')


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """The options behind a checkpoint's variables; None if not of CBAM.

  Which pools and which order made them leaves no trace where their number is
  that of the defaults.
  """
  kernels = shapes_of(shapes, 'ch_at/mlp_0/kernel')
  convolutions = shapes_of(shapes, 'sp_at/conv/kernel')
  options = {}
  if kernels:
    options['ratio'] = find_ratio(kernels)
    options['mlp_bias'] = bool(shapes_of(shapes, 'ch_at/mlp_0/bias'))
  if convolutions:
    sizes = {(shape[0], shape[2]) for shape in convolutions}
    size, pools = sizes.pop() if len(sizes) == 1 else (None, None)
    squeezed = bool(shapes_of(shapes, 'sp_at/squeeze/kernel'))
    options['kernel_size'] = size
    options['spatial_pools'] = {
      (2, False): 'avg+max',
      (1, True): 'conv',
      (3, True): 'avg+max+conv',
    }.get((pools, squeezed))
    options['spatial_batch_norm'] = bool(shapes_of(shapes, 'sp_at/norm/gamma'))
  if bool(kernels) != bool(convolutions):
    options['order'] = 'channel' if kernels else 'spatial'
  return options or None

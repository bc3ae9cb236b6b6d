"""Pooling and scaling of the full feature map in few passes over memory.

Attention is bound by memory: most of its time goes into reading and writing the
map. These pools and products have the values and gradients of the plain
formulas, with the operations that were measured to be fastest; see
docs/benchmarks/attention.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from tf_compat import register_gradient, tf

# The axes of [N, H, W, C] that a pool reduces.
SPACE, CHANNELS = (1, 2), (3,)

# Neighboring channels that one vector instruction processes.
LANES = 16


def pool(
  net: tf.Tensor, axes: tuple[int, ...], kinds: Sequence[str]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
  """Returns the map and its pools over SPACE or CHANNELS.

  Use the returned map instead of net afterwards: the pools' gradients are added
  to its gradient at once, without expanding a mean's to a full map. Equal
  maxima may share the maximum's gradient in any proportion.

  Args:
    net: feature map, [N, H, W, C].
    axes: SPACE or CHANNELS.
    kinds: names of POOLS.

  Returns:
    The map, [N, H, W, C], and one pool per kind, [N, 1, 1, C] over SPACE and
    [N, H, W, 1] over CHANNELS.
  """
  net = tf.identity(net)
  pools = [POOLS[kind](net, axes) for kind in kinds]
  # tf.custom_gradient would keep its arguments alive: the graph forever, and in
  # inference the map, which a product could then not overwrite. A gradient that
  # is registered by name does not.
  graph = tf.get_default_graph()
  with graph.gradient_override_map({'IdentityN': 'PooledMap'}):
    net, *pools = tf.identity_n([net, *pools])
  return net, pools


@register_gradient('PooledMap')
def _pooled_map_gradient(
  op: tf.Operation, d_net: tf.Tensor, *d_pools: tf.Tensor
) -> list[tf.Tensor | None]:
  """Returns the gradients of the map and its pools, summed in the first."""
  net, *pools = op.inputs
  for pool, d_pool in zip(pools, d_pools, strict=True):
    if pool.op.type == 'Mean':
      axes = tf.get_static_value(pool.op.inputs[1]).tolist()
      d_net += d_pool / _size(net, axes)
    else:
      d_net += tf.gradients(pool, net, d_pool)[0]
  return [d_net, *[None] * len(pools)]


def scale_channels(net: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
  """net [N, H, W, C] · gate [N, 1, 1, C]."""
  graph = tf.get_default_graph()
  with graph.gradient_override_map({'Mul': 'ScaleChannels'}):
    return net * gate


@register_gradient('ScaleChannels')
def _scale_channels_gradient(
  op: tf.Operation, d_scaled: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the gradients of a product, with _sum_over_space for the gate."""
  net, gate = op.inputs
  return d_scaled * gate, _sum_over_space(d_scaled * net)


def _size(net: tf.Tensor, axes: Sequence[int]) -> tf.Tensor | int:
  """Returns the number of values that a pool reduces to one."""
  sides = [net.shape[axis] for axis in axes]
  if None in sides:
    shape = tf.shape(net)
    sides = [shape[axis] for axis in axes]
  return tf.cast(tf.reduce_prod(sides), net.dtype)


def _sum_over_space(net: tf.Tensor) -> tf.Tensor:
  """Σ net over H and W, by average pooling if the sides are static."""
  sides = net.shape[1:3]
  if not sides.is_fully_defined():
    return tf.reduce_sum(net, SPACE, keepdims=True)
  mean = tf.nn.avg_pool2d(net, sides.as_list(), 1, 'VALID')
  return mean * _size(net, SPACE)


def _mean(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """Σ net / size."""
  # A pooling layer would take a third of the time, but it sums sequentially,
  # not pairwise, with an error of 5e-4 of a ResNet-50's logits.
  return tf.reduce_mean(net, axes, keepdims=True)


def _max(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """max(net), by max pooling if the window is static.

  The gradient of a pooling layer takes one pass; that of reduce_max compares,
  casts, counts, divides and multiplies full maps.
  """
  sides, channels = net.shape[1:3], net.shape[3]
  if axes == SPACE and sides.is_fully_defined():
    return tf.nn.max_pool2d(net, sides.as_list(), 1, 'VALID')
  if axes == CHANNELS and channels % LANES == 0:
    # Each pixel becomes a row of C / LANES pixels, pooled as one window.
    shape = tf.shape(net)
    row = channels // LANES
    rows = tf.reshape(net, [-1, shape[1] * shape[2], row, LANES])
    net = tf.nn.max_pool2d(rows, [1, row], [1, row], 'VALID')
    net = tf.reshape(net, tf.concat([shape[:3], [LANES]], 0))
  return tf.reduce_max(net, axes, keepdims=True)


def _logsumexp(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """log Σ exp(net)."""
  return tf.reduce_logsumexp(net, axes, keepdims=True)


def _norm(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """√Σ net², with gradient 0 where all values are 0."""
  total = tf.reduce_sum(tf.square(net), axes, keepdims=True)
  positive = total > 0
  return tf.where(
    positive, tf.sqrt(tf.where(positive, total, tf.ones_like(total))), total
  )


POOLS = {'avg': _mean, 'max': _max, 'lse': _logsumexp, 'lp': _norm}

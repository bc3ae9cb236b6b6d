"""What touches the whole feature map, in few passes over memory.

Attention hardly computes: its time is that of reading and writing the map.
Pools and products here have the plain formulas' numbers and gradients, by the
operations that were measured to be fastest; docs/attention.md has the account.
"""

from collections.abc import Sequence

from tf_compat import tf

# The axes of [N, H, W, C] that a pool takes together.
SPACE, CHANNELS = (1, 2), (3,)

# Neighbouring channels that a vector instruction takes at once.
LANES = 16


def pool(
  net: tf.Tensor, axes: tuple[int, ...], kinds: Sequence[str]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
  """The map, and its pools over SPACE or CHANNELS.

  Use the map that is returned in place of net from here on: the gradients of
  the pools are added to its gradient at once, a mean's without ever filling a
  map. Equal maxima may share the maximum's gradient in any proportion.

  Args:
    net: feature map, [N, H, W, C].
    axes: SPACE or CHANNELS.
    kinds: of POOLS.

  Returns:
    The map, [N, H, W, C], and a pool for each kind, [N, 1, 1, C] over SPACE
    and [N, H, W, 1] over CHANNELS.
  """
  net = tf.identity(net)
  pools = [POOLS[kind](net, axes) for kind in kinds]
  # Gradients are registered by name, because tf.custom_gradient holds on to
  # its arguments: to the graph for ever, and in inference to the map, so that a
  # product could not be written over it.
  graph = tf.get_default_graph()
  with graph.gradient_override_map({'IdentityN': 'PooledMap'}):
    net, *pools = tf.identity_n([net, *pools])
  return net, pools


@tf.RegisterGradient('PooledMap')
def _pooled_map_gradient(
  op: tf.Operation, d_net: tf.Tensor, *d_pools: tf.Tensor
) -> list[tf.Tensor | None]:
  """That of the map and of its pools, all in the first."""
  net, *pools = op.inputs
  for pool, d_pool in zip(pools, d_pools, strict=True):
    if pool.op.type == 'Mean':
      axes = tf.get_static_value(pool.op.inputs[1]).tolist()
      d_net += d_pool / _size(net, axes)
    else:
      d_net += tf.gradients(pool, net, d_pool)[0]
  return [d_net, *[None] * len(pools)]


def scale_channels(net: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
  """Net [N, H, W, C] · gate [N, 1, 1, C]."""
  graph = tf.get_default_graph()
  with graph.gradient_override_map({'Mul': 'ScaleChannels'}):
    return net * gate


@tf.RegisterGradient('ScaleChannels')
def _scale_channels_gradient(
  op: tf.Operation, d_scaled: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """That of a product, its sum over space taken by _sum_over_space."""
  net, gate = op.inputs
  return d_scaled * gate, _sum_over_space(d_scaled * net)


def _size(net: tf.Tensor, axes: Sequence[int]) -> tf.Tensor | int:
  """How many values a pool takes together."""
  sides = [net.shape[axis] for axis in axes]
  if None in sides:
    shape = tf.shape(net)
    sides = [shape[axis] for axis in axes]
  return tf.cast(tf.reduce_prod(sides), net.dtype)


def _sum_over_space(net: tf.Tensor) -> tf.Tensor:
  """Σ of net over H and W, by a pooling layer where it knows the window."""
  sides = net.shape[1:3]
  if not sides.is_fully_defined():
    return tf.reduce_sum(net, SPACE, keepdims=True)
  mean = tf.nn.avg_pool2d(net, sides.as_list(), 1, 'VALID')
  return mean * _size(net, SPACE)


def _mean(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """Σ net / size."""
  # A pooling layer would take a third of the time, but adds up in a row where
  # this adds up in a tree: 5e-4 of a ResNet-50's logits.
  return tf.reduce_mean(net, axes, keepdims=True)


def _max(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """Maximum, by pooling layers where they know the window.

  The gradient of a pooling layer is one pass; that of reduce_max compares,
  casts, counts, divides and multiplies whole maps.
  """
  sides, channels = net.shape[1:3], net.shape[3]
  if axes == SPACE and sides.is_fully_defined():
    return tf.nn.max_pool2d(net, sides.as_list(), 1, 'VALID')
  if axes == CHANNELS and channels % LANES == 0:
    # Every place becomes a row of C / LANES pixels, pooled as one window.
    shape = tf.shape(net)
    row = channels // LANES
    rows = tf.reshape(net, [-1, shape[1] * shape[2], row, LANES])
    net = tf.nn.max_pool2d(rows, [1, row], [1, row], 'VALID')
    net = tf.reshape(net, tf.concat([shape[:3], [LANES]], 0))
  return tf.reduce_max(net, axes, keepdims=True)


def _logsumexp(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """Log of Σ exp(net)."""
  return tf.reduce_logsumexp(net, axes, keepdims=True)


def _norm(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """Sqrt of Σ net², whose gradient is 0 where all net is."""
  total = tf.reduce_sum(tf.square(net), axes, keepdims=True)
  some = total > 0
  return tf.where(
    some, tf.sqrt(tf.where(some, total, tf.ones_like(total))), total
  )


POOLS = {'avg': _mean, 'max': _max, 'lse': _logsumexp, 'lp': _norm}

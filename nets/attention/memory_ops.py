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
COLUMNS, ROWS = (1,), (2,)

# Neighboring channels that one vector instruction processes.
LANES = 16


def pool(
  net: tf.Tensor, axes: tuple[int, ...], kinds: Sequence[str]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
  """Returns the map and its pools.

  Use the returned map instead of net afterwards: the pools' gradients are added
  to its gradient at once, without expanding a mean's to a full map. Equal
  maxima may share the maximum's gradient in any proportion.

  Args:
    net: feature map, [N, H, W, C].
    axes: SPACE, CHANNELS, COLUMNS or ROWS.
    kinds: names of POOLS.

  Returns:
    The map, [N, H, W, C], and one pool per kind, of length 1 in the axes.
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


def lines(net: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns the map and its means of rows, [N, H, 1, C], and columns."""
  net, (rows,) = pool(net, ROWS, ['avg'])
  net, (columns,) = pool(net, COLUMNS, ['avg'])  # [N, 1, W, C]
  return net, rows, columns


@register_gradient('PooledMap')
def _pooled_map_gradient(
  op: tf.Operation, d_net: tf.Tensor, *d_pools: tf.Tensor
) -> list[tf.Tensor | None]:
  """Returns the gradients of the map and its pools, summed in the first."""
  net, *pools = op.inputs
  for part, d_part in zip(pools, d_pools, strict=True):
    if part.op.type in _MEANS:
      d_net += d_part / _size(net, _narrow(part))
    else:
      d_net += tf.gradients(part, net, d_part)[0]
  return [d_net, *[None] * len(pools)]


def scale(net: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
  """net [N, H, W, C] · gate [N, H or 1, W or 1, C]."""
  graph = tf.get_default_graph()
  with graph.gradient_override_map({'Mul': 'Scale'}):
    return net * gate


@register_gradient('Scale')
def _scale_gradient(
  op: tf.Operation, d_scaled: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the gradients of a product, with _sum for the gate."""
  net, gate = op.inputs
  return d_scaled * gate, _sum(d_scaled * net, _narrow(gate))


def shift(net: tf.Tensor, term: tf.Tensor) -> tf.Tensor:
  """net [N, H, W, C or 1] + term [N, 1, 1, C]."""
  graph = tf.get_default_graph()
  with graph.gradient_override_map({'AddV2': 'Shift'}):
    return net + term


@register_gradient('Shift')
def _shift_gradient(
  op: tf.Operation, d_sum: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the gradients of a sum, with _sum for the term."""
  net, term = op.inputs
  d_net = d_sum if net.shape[3] == term.shape[3] else _sum(d_sum, CHANNELS)
  return d_net, _sum(d_sum, SPACE)


def unconverted(net: tf.Tensor) -> tf.Tensor:
  """Returns net for operations that grappler is not to convert to bfloat16.

  TensorFlow computes a sigmoid in bfloat16 one value at a time. Grappler leaves
  in float32 what follows an operation that it does not know; this one is free.
  """
  graph = tf.get_default_graph()
  with graph.gradient_override_map({'Bitcast': 'Unconverted'}):
    return tf.raw_ops.Bitcast(input=net, type=net.dtype)


@register_gradient('Unconverted')
def _unconverted_gradient(op: tf.Operation, d_net: tf.Tensor) -> tf.Tensor:
  """Returns the gradient as it is."""
  del op
  return d_net


def _narrow(part: tf.Tensor) -> tuple[int, ...]:
  """Returns the axes but the first in which a part of a map has length 1."""
  return tuple(axis for axis in (1, 2, 3) if part.shape[axis] == 1)


def _size(net: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
  """Returns the number of values that a pool reduces to one."""
  sides = [net.shape[axis] for axis in axes]
  if None in sides:
    shape = tf.shape(net)
    sides = [shape[axis] for axis in axes]
  return tf.cast(tf.reduce_prod(sides), net.dtype)


def _sum(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """Σ net, by average pooling if the axes are of space and static."""
  window = [net.shape[axis] if axis in axes else 1 for axis in SPACE]
  if 3 in axes or None in window:
    return tf.reduce_sum(net, axes, keepdims=True)
  return tf.nn.avg_pool2d(net, window, 1, 'VALID') * _size(net, axes)


def mean(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """Σ net / size, over rows by average pooling if their length is static.

  A pooling layer takes a third of the time, but it sums sequentially: over all
  of space at once, its error is 5e-4 of a ResNet-50's logits.
  """
  height, width = net.shape[1:3]
  if axes == (1,) and height:
    return tf.nn.avg_pool2d(net, [height, 1], 1, 'VALID')
  if axes in ((2,), SPACE) and width:
    net = tf.nn.avg_pool2d(net, [1, width], 1, 'VALID')
    if axes == (2,):
      return net
  return tf.reduce_mean(net, axes, keepdims=True)


# Operations that end a mean.
_MEANS = ('Mean', 'AvgPool')


def _max(net: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
  """max(net), by max pooling if the window is static.

  The gradient of a pooling layer takes one pass; that of reduce_max compares,
  casts, counts, divides and multiplies full maps.
  """
  sides, channels = net.shape[1:3], net.shape[3]
  if 3 not in axes and sides.is_fully_defined():
    window = [net.shape[axis] if axis in axes else 1 for axis in SPACE]
    return tf.nn.max_pool2d(net, window, 1, 'VALID')
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


POOLS = {'avg': mean, 'max': _max, 'lse': _logsumexp, 'lp': _norm}

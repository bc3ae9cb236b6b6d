"""Global context: a weighted mean of the map, added to every pixel.

GCNet: non-local networks meet squeeze-excitation networks and beyond, Cao et
al., 2019: https://arxiv.org/abs/1904.11492
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, memory_ops
from nets.attention.options import (
  Ratio,
  find_ratio,
  hidden_units,
  shapes_of,
)
from registry import one_of
from tf_compat import tf

DEFAULT_RATIO = 16


def gc_block(
  net: tf.Tensor,
  *,
  ratio: Ratio = DEFAULT_RATIO,
  pool: Annotated[str, one_of('attention', 'avg')] = 'attention',
  fusion: Annotated[str, one_of('add', 'scale')] = 'add',
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
  """net + transform(Σ softmax(key · net) · net), sums and softmax over space.

  pool='avg' replaces the weighted sum by the mean; fusion='scale' is net ·
  sigmoid(transform(…)).
  """
  if pool == 'attention':
    context, weights = _context(net)
    gates: tuple[tf.Tensor, ...] = (weights,)
  else:
    net, (context,) = memory_ops.pool(net, memory_ops.SPACE, ['avg'])
    gates = ()
  term = _transform(context, ratio, fusion)  # [N, 1, 1, C]
  if fusion == 'add':
    return memory_ops.shift(net, term), (*gates, term)
  gate = tf.sigmoid(term, name='gate')
  return memory_ops.scale(net, gate), (*gates, gate)


def _context(net: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the mean of net weighted by softmax over space, and the weights."""
  scores = layers.conv2d(net, 1, 1, scope='key')
  weights = tf.exp(
    scores - tf.reduce_logsumexp(scores, [1, 2], keepdims=True), name='places'
  )  # [N, H, W, 1], with sum 1
  # As a product of matrices: the gradient of an einsum transposes the map.
  places = layers.side(net, 1) * layers.side(net, 2)
  context = tf.matmul(
    tf.reshape(weights, [-1, 1, places]),
    tf.reshape(net, [-1, places, net.shape[-1]]),
  )
  return context[:, None], weights


def _transform(context: tf.Tensor, ratio: int, fusion: str) -> tf.Tensor:
  """W1 · relu(layer_norm(W0 · context + b0)) + b1."""
  channels = context.shape[-1]
  with tf.variable_scope('transform'):
    hidden = layers.dense(
      context, hidden_units(channels, ratio), scope='squeeze'
    )
    hidden = tf.nn.relu(layers.layer_norm(hidden, scope='norm'))
    # With zeros, the output is net at first: a restored network is unchanged.
    initializer = tf.zeros_initializer() if fusion == 'add' else None
    return layers.dense(hidden, channels, 'expand', initializer)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not GC's."""
  kernels = shapes_of(shapes, 'transform/squeeze/kernel')
  if not kernels:
    return None
  keys = shapes_of(shapes, 'key/kernel')
  return {
    'ratio': find_ratio(kernels, DEFAULT_RATIO),
    'pool': 'attention' if keys else 'avg',
  }

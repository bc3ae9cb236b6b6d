"""Global context: what the whole map says, added to every place.

GCNet: non-local networks meet squeeze-excitation networks and beyond, Cao et
al., 2019: https://arxiv.org/abs/1904.11492
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, passes
from nets.attention.options import (
  Ratio,
  find_ratio,
  hidden_units,
  one_of,
  shapes_of,
)
from tf_compat import tf

DEFAULT_RATIO = 16


def gc_block(
  net: tf.Tensor,
  *,
  ratio: Ratio = DEFAULT_RATIO,
  pool: Annotated[str, one_of('attention', 'avg')] = 'attention',
  fusion: Annotated[str, one_of('add', 'scale')] = 'add',
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
  """Net + transform(Σ softmax(key · net) · net), sums and softmax over space.

  With pool='avg' every place weighs the same; fusion='scale' is net ·
  sigmoid(transform(…)).
  """
  if pool == 'attention':
    context, places = _context(net)
    gates = (places,)
  else:
    net, (context,) = passes.pool(net, passes.SPACE, ['avg'])
    gates = ()
  term = _transform(context, ratio, fusion)  # [N, 1, 1, C]
  if fusion == 'add':
    return net + term, (*gates, term)
  gate = tf.sigmoid(term, name='gate')
  return passes.scale_channels(net, gate), (*gates, gate)


def _context(net: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """The mean of net weighted by softmax over space, and those weights."""
  scores = layers.conv2d(net, 1, 1, scope='key')
  weights = tf.exp(
    scores - tf.reduce_logsumexp(scores, [1, 2], keepdims=True), name='places'
  )  # [N, H, W, 1], of sum 1
  context = tf.einsum('nhwi,nhwc->nic', weights, net)
  return context[:, None], weights


def _transform(context: tf.Tensor, ratio: int, fusion: str) -> tf.Tensor:
  """W1 · relu(layer_norm(W0 · context + b0)) + b1."""
  channels = context.shape[-1]
  with tf.variable_scope('transform'):
    hidden = layers.dense(
      context, hidden_units(channels, ratio), scope='squeeze'
    )
    hidden = tf.nn.relu(layers.layer_norm(hidden, scope='norm'))
    # A sum that starts at net itself leaves a restored network as it was.
    start = tf.zeros_initializer() if fusion == 'add' else None
    return layers.dense(hidden, channels, 'expand', start)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """The options behind a checkpoint's variables; None if not of GC."""
  kernels = shapes_of(shapes, 'transform/squeeze/kernel')
  if not kernels:
    return None
  keys = shapes_of(shapes, 'key/kernel')
  return {
    'ratio': find_ratio(kernels, DEFAULT_RATIO),
    'pool': 'attention' if keys else 'avg',
  }

"""SE and CBAM as plain formulas, with TensorFlow's own gradients.

The modules in nets/attention/ are compared with these: their numbers in
tests/nets/attention/, their speed in benchmarks/attention.py. The variables are
the same, so that either can read the other's checkpoints.
"""

from collections.abc import Callable

from nets.attention import layers
from nets.attention.attention_factory import Gated
from nets.attention.options import DEFAULT_RATIO, hidden_units
from tf_compat import tf


def se_block(
  net: tf.Tensor, *, ratio: int = DEFAULT_RATIO
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """Scales net by sigmoid(W1 · relu(W0 · mean(net) + b0) + b1)."""
  scores = layers.mlp(
    tf.reduce_mean(net, [1, 2], keepdims=True),
    hidden_units(net.shape[-1], ratio),
    scopes=('bottleneck_fc', 'recover_fc'),
  )
  gate = tf.sigmoid(scores)
  return net * gate, (gate,)


def cbam_block(
  net: tf.Tensor, *, ratio: int = DEFAULT_RATIO, kernel_size: int = 7
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
  """G = net · channel(net), then G · spatial(G)."""
  with tf.variable_scope('ch_at'):
    pooled = [
      tf.reduce_mean(net, [1, 2], keepdims=True),
      tf.reduce_max(net, [1, 2], keepdims=True),
    ]
    scores = layers.mlp(
      tf.concat(pooled, 0),
      hidden_units(net.shape[-1], ratio),
      scopes=('mlp_0', 'mlp_1'),
    )
    channel = tf.sigmoid(tf.add_n(tf.split(scores, 2)))
  net *= channel
  with tf.variable_scope('sp_at'):
    pooled = [
      tf.reduce_mean(net, 3, keepdims=True),
      tf.reduce_max(net, 3, keepdims=True),
    ]
    scores = layers.conv2d(tf.concat(pooled, 3), 1, kernel_size, scope='conv')
    spatial = tf.sigmoid(scores)
  return net * spatial, (channel, spatial)


MODULES: dict[str, Callable[..., Gated]] = {
  'se_block': se_block,
  'cbam_block': cbam_block,
}

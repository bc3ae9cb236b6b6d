"""Simple attention: places that stand out from their channel, no parameters.

SimAM: a simple, parameter-free attention module for convolutional neural
networks, Yang et al., 2021: https://proceedings.mlr.press/v139/yang21o.html
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from registry import Rule
from tf_compat import tf

Positive = Annotated[
  float,
  Rule(
    'a number above 0',
    lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and v > 0,
  ),
]


def simam_block(
  net: tf.Tensor, *, e_lambda: Positive = 1e-4
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """Scales net by sigmoid((net - μ)² / (4 · (σ² + λ)) + 1/2) in each channel.

  σ² is divided by H · W - 1, over which a single place has none.
  """
  mean, variance = tf.nn.moments(net, [1, 2], keepdims=True)
  places = tf.cast(tf.reduce_prod(tf.shape(net)[1:3]), tf.float64)
  unbiased = variance * tf.cast(places / tf.maximum(places - 1, 1), net.dtype)
  energy = tf.square(net - mean) / (4 * (unbiased + e_lambda))
  gate = tf.sigmoid(energy + 0.5, name='gate')  # [N, H, W, C]
  return net * gate, (gate,)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """None: without variables it leaves no trace in a checkpoint."""
  del shapes
  return None

"""Simple attention: gates from the energy of each value, without parameters.

SimAM: a simple, parameter-free attention module for convolutional neural
networks, Yang et al., 2021: https://proceedings.mlr.press/v139/yang21o.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, memory_ops
from nets.attention.options import is_number
from registry import Rule
from tf_compat import register_gradient, tf

Positive = Annotated[
  float,
  Rule(
    'a number above 0',
    lambda v: is_number(v) and v > 0,
  ),
]


def simam_block(
  net: tf.Tensor, *, e_lambda: Positive = 1e-4
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """net · sigmoid((net - μ)² / (4 · (σ² + λ)) + 1/2), μ and σ² per channel.

  σ² has the divisor H · W - 1, or 1 for a single pixel.
  """
  mean = memory_ops.mean(net, memory_ops.SPACE)
  net, mean = map(memory_ops.unconverted, (net, mean))
  squares = tf.math.squared_difference(net, mean)
  variance = memory_ops.mean(squares, memory_ops.SPACE) * _correction(net)
  factor = 1 / (4 * (variance + e_lambda))
  gate = tf.sigmoid(squares * factor + 0.5, name='gate')  # [N, H, W, C]
  graph = tf.get_default_graph()
  with graph.gradient_override_map({'IdentityN': 'SimAM'}):
    gated, *_ = tf.identity_n([net * gate, net, mean, factor, gate])
  return gated, (gate,)


def _correction(net: tf.Tensor) -> tf.Tensor:
  """H · W / (H · W - 1), or 1 for a single pixel."""
  pixels = tf.cast(layers.side(net, 1) * layers.side(net, 2), tf.float64)
  return tf.cast(pixels / tf.maximum(pixels - 1, 1), net.dtype)


@register_gradient('SimAM')
def _gradient(
  op: tf.Operation, d_gated: tf.Tensor, *unused: tf.Tensor | None
) -> list[tf.Tensor | None]:
  """Returns the whole gradient of the map as that of net.

  The other inputs depend on net alone, so they get none. With e = net - μ,
  f = 1 / (4 · (σ² + λ)) and p = e · d(e² · f):

    d net = gate · d + 2f · (p - mean p) - 8f² · e · Σ(p · e) / (H · W - 1)

  TensorFlow's own gradient would be twice as many passes over the map.
  """
  del unused
  _, net, mean, factor, gate = op.inputs
  d_gated = memory_ops.unconverted(d_gated)
  centered = net - mean
  product = tf.raw_ops.SigmoidGrad(y=gate, dy=d_gated) * net * centered
  mean, through_variance = (
    memory_ops.mean(term, memory_ops.SPACE)
    for term in (product, product * centered)
  )
  through_variance *= -8 * tf.square(factor) * _correction(net)
  d_net = gate * d_gated + product * (2 * factor) + centered * through_variance
  return [None, d_net - 2 * factor * mean, None, None, None]


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns None: SimAM has no variables that a checkpoint could contain."""
  del shapes
  return None

"""Simple attention: gates from the energy of each value, without parameters.

SimAM: a simple, parameter-free attention module for convolutional neural
networks, Yang et al., 2021: https://proceedings.mlr.press/v139/yang21o.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention.options import is_number
from registry import Rule
from tf_compat import tf

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
  mean, variance = tf.nn.moments(net, [1, 2], keepdims=True)
  pixels = tf.cast(tf.reduce_prod(tf.shape(net)[1:3]), tf.float64)
  unbiased = variance * tf.cast(pixels / tf.maximum(pixels - 1, 1), net.dtype)
  energy = tf.square(net - mean) / (4 * (unbiased + e_lambda))
  gate = tf.sigmoid(energy + 0.5, name='gate')  # [N, H, W, C]
  return net * gate, (gate,)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns None: SimAM has no variables that a checkpoint could contain."""
  del shapes
  return None

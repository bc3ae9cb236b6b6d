"""Squeeze and excitation: a gate per channel, from the channels' means.

Squeeze-and-excitation networks, Hu et al., 2017:
https://arxiv.org/abs/1709.01507
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, memory_ops
from nets.attention.options import (
  DEFAULT_RATIO,
  Ratio,
  find_ratio,
  hidden_units,
  shapes_of,
)
from registry import one_of
from tf_compat import tf


def _hard_sigmoid(scores: tf.Tensor, name: str) -> tf.Tensor:
  """relu6(scores + 3) / 6."""
  return tf.multiply(tf.nn.relu6(scores + 3), 1 / 6, name=name)


def _sigmoid(scores: tf.Tensor, name: str) -> tf.Tensor:
  """1 / (1 + exp(-scores))."""
  return tf.sigmoid(scores, name=name)


def _tanh(scores: tf.Tensor, name: str) -> tf.Tensor:
  """tanh(scores)."""
  return tf.tanh(scores, name=name)


EXCITATIONS = {
  'sigmoid': _sigmoid,
  'hard_sigmoid': _hard_sigmoid,
  'tanh': _tanh,
}


def se_block(
  net: tf.Tensor,
  *,
  ratio: Ratio = DEFAULT_RATIO,
  squeeze: Annotated[str, one_of('avg', 'max')] = 'avg',
  excitation: Annotated[str, one_of(*EXCITATIONS)] = 'sigmoid',
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """net · excitation(W1 · relu(W0 · squeeze(net) + b0) + b1)."""
  net, (squeezed,) = memory_ops.pool(net, memory_ops.SPACE, (squeeze,))
  scores = layers.mlp(
    squeezed,
    hidden_units(net.shape[-1], ratio),
    scopes=('bottleneck_fc', 'recover_fc'),
  )
  gate = EXCITATIONS[excitation](scores, name='gate')  # [N, 1, 1, C]
  return memory_ops.scale(net, gate), (gate,)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not SE's."""
  kernels = shapes_of(shapes, 'bottleneck_fc/kernel')
  return {'ratio': find_ratio(kernels)} if kernels else None

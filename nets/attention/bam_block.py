"""Bottleneck attention: one gate, the sum of a channel and a spatial branch.

BAM: bottleneck attention module, Park et al., 2018:
https://arxiv.org/abs/1807.06514
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, memory_ops
from nets.attention.options import (
  Dilation,
  Epsilon,
  Ratio,
  find_ratio,
  hidden_units,
  shapes_of,
)
from registry import one_of
from tf_compat import tf

DEFAULT_RATIO = 16


def bam_block(
  net: tf.Tensor,
  *,
  ratio: Ratio = DEFAULT_RATIO,
  dilation: Dilation = 4,
  combination: Annotated[str, one_of('add', 'multiply')] = 'add',
  norm: Annotated[str, one_of('last', 'inside')] = 'last',
  norm_epsilon: Epsilon = None,
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """net + net · sigmoid(norm(mlp(mean(net))) + norm(convolutions(net))).

  combination='multiply' takes the product of both branches. norm='inside'
  normalizes all hidden layers instead of the results. Both are the form of the
  authors' code.
  """
  hidden = hidden_units(net.shape[-1], ratio)
  inside, last = (
    functools.partial(layers.batch_norm, epsilon=norm_epsilon)
    if norm == place
    else _unchanged
    for place in ('inside', 'last')
  )
  with tf.variable_scope('channel'):
    net, (mean,) = memory_ops.pool(net, memory_ops.SPACE, ['avg'])
    scores = inside(layers.dense(mean, hidden, 'mlp_0'), scope='norm_0')
    scores = layers.dense(tf.nn.relu(scores), net.shape[-1], 'mlp_1')
    channel = last(scores, scope='norm')
  with tf.variable_scope('spatial'):
    scores = _convolutions(net, hidden, dilation, inside)
    spatial = last(scores, scope='norm')
  both = channel + spatial if combination == 'add' else channel * spatial
  gate = tf.sigmoid(both, name='gate')  # [N, H, W, C]
  return net + net * gate, (gate,)


def _unchanged(net: tf.Tensor, scope: str) -> tf.Tensor:
  """Stands where there is no norm."""
  del scope
  return net


def _convolutions(
  net: tf.Tensor,
  hidden: int,
  dilation: int,
  norm: Callable[..., tf.Tensor],
) -> tf.Tensor:
  """Adds 1x1 to the hidden width, two dilated 3x3, 1x1 to a score per pixel."""
  # The relu is in the authors' code, not in the paper's formula; without it,
  # the four convolutions would be equivalent to a single linear one.
  for scope, kernel_size, rate in (
    ('reduce', 1, 1),
    ('dilated_0', 3, dilation),
    ('dilated_1', 3, dilation),
  ):
    net = layers.conv2d(net, hidden, kernel_size, scope, rate=rate, bias=True)
    net = tf.nn.relu(norm(net, scope=f'{scope}_norm'))
  return layers.conv2d(net, 1, 1, scope='score', bias=True)  # [N, H, W, 1]


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not BAM's."""
  kernels = shapes_of(shapes, 'channel/mlp_0/kernel')
  if not kernels or not shapes_of(shapes, 'spatial/dilated_0/kernel'):
    return None
  return {
    'ratio': find_ratio(kernels, DEFAULT_RATIO),
    'norm': 'inside' if shapes_of(shapes, 'channel/norm_0/gamma') else 'last',
  }

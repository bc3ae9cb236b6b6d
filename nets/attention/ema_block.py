"""Efficient multi-scale attention: gates of the positions of channel groups.

Not a moving average of weights, which is --moving_average_decay: the paper
abbreviates its module EMA.

Efficient multi-scale attention module with cross-spatial learning, Ouyang et
al., 2023: https://arxiv.org/abs/2305.13563
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nets.attention import layers
from nets.attention.options import shapes_of
from registry import PositiveInt
from tf_compat import tf


def ema_block(
  net: tf.Tensor, *, factor: PositiveInt = 32
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """x · sigmoid(softmax(mean A) · B + softmax(mean B) · A) for each group x.

  A = norm(x · sigmoid(rows) · sigmoid(columns)), where rows and columns are a
  1x1 convolution of the means of x; B is a 3x3 convolution of x. Softmax and
  products are over the channels of the group, of which there are `factor`, or
  the greatest common divisor with C. All groups share their weights.
  """
  channels = net.shape[-1]
  groups = math.gcd(channels, factor)
  depth = channels // groups
  height, width = layers.side(net, 1), layers.side(net, 2)
  parts = tf.reshape(net, [-1, height, width, groups, depth])
  group = tf.reshape(
    tf.transpose(parts, [0, 3, 1, 2, 4]), [-1, height, width, depth]
  )  # [N · groups, H, W, C / groups]
  gamma, beta = layers.norm_weights(group, scope='gn')
  near = layers.normalize(_scaled(group), depth, gamma, beta)
  wide = layers.conv2d(group, depth, 3, scope='conv3x3', bias=True)
  # The mean over space of what is normalized over space is β.
  scores = tf.einsum('c,nhwc->nhw', tf.nn.softmax(beta), wide)
  mean = tf.reduce_mean(wide, [1, 2])
  scores += tf.einsum('nc,nhwc->nhw', tf.nn.softmax(mean), near)
  scores = tf.reshape(scores, [-1, groups, height, width])
  gate = tf.sigmoid(tf.transpose(scores, [0, 2, 3, 1]), name='gate')
  gated = parts * gate[..., None]
  return tf.reshape(gated, [-1, height, width, channels]), (gate,)


def _scaled(net: tf.Tensor) -> tf.Tensor:
  """net · sigmoid(W · rows' means + b) · sigmoid(W · columns' means + b)."""
  rows = tf.reduce_mean(net, 2, keepdims=True)  # [N, H, 1, C]
  columns = layers.swap_axes(tf.reduce_mean(net, 1, keepdims=True))
  both = layers.conv2d(
    tf.concat([rows, columns], 1), net.shape[-1], 1, scope='conv1x1', bias=True
  )
  sides = [layers.side(net, axis) for axis in (1, 2)]
  rows, columns = tf.split(tf.sigmoid(both), sides, 1)
  return net * rows * layers.swap_axes(columns)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns no options for EMA's variables, and None for others.

  The shapes are those of a group, so they do not reveal the number of groups.
  """
  return {} if shapes_of(shapes, 'conv3x3/kernel') else None

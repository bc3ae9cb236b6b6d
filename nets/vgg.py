"""VGG: groups of 3x3 convolutions and pooling, three fully connected layers.

Very deep convolutional networks for large-scale image recognition, Simonyan
and Zisserman, 2014: https://arxiv.org/abs/1409.1556
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from nets import heads, layers
from nets.attention.attend import BLOCK, STAGE, attend
from nets.spec import EndPoints, NetworkSpec
from tf_compat import slim, tf

CHANNELS = (64, 128, 256, 512, 512)
# Convolutions in each group, and labels_offset of the published checkpoints.
VARIANTS = {
  'vgg_a': ((1, 1, 2, 2, 2), None),
  'vgg_16': ((2, 2, 3, 3, 3), 1),
  'vgg_19': ((2, 2, 4, 4, 4), 1),
}


def group(
  net: tf.Tensor, number: int, count: int, depth: int, end_points: EndPoints
) -> tf.Tensor:
  """Adds `count` 3x3 convolutions, 2x2 pooling and attention."""
  for index in range(1, count + 1):
    name = f'conv{number}/conv{number}_{index}'
    net = end_points[name] = layers.conv2d(net, depth, 3, scope=name)
  net = layers.max_pool2d(net, 2, scope=f'pool{number}')
  points = (BLOCK, STAGE) if number < len(CHANNELS) else BLOCK
  net = attend(net, scope=f'pool{number}_{{tag}}', at=points)
  end_points[f'pool{number}'] = net
  return net


def vgg(
  net: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  groups: Sequence[int],
  scope: str,
  dropout_keep_prob: float = 0.5,
  spatial_squeeze: bool = True,
  global_pool: bool | None = None,
  fc_conv_padding: str = 'VALID',
  reuse: bool | None = None,
) -> tuple[tf.Tensor, EndPoints]:
  """Builds five groups of convolutions and fc6 to fc8.

  Args:
    net: images, [N, H, W, 3].
    num_classes: width of the logits; 0 or None returns the features of fc7.
    is_training: whether dropout is active.
    groups: number of convolutions in each group.
    scope: variable scope.
    dropout_keep_prob: probability that dropout keeps a feature of fc6 or fc7.
    spatial_squeeze: whether to return logits [N, num_classes]; False returns a
      map of logits for dense prediction.
    global_pool: whether to average fc7 over space; None does so only if the
      logits could not be squeezed otherwise.
    fc_conv_padding: padding of fc6; 'SAME' makes the map of logits H/32 x W/32.
    reuse: whether to reuse the variables created earlier under `scope`.

  Returns:
    Logits (or features) and the end points by name.
  """
  with tf.variable_scope(scope, reuse=reuse) as outer:
    end_points: EndPoints = {}
    sizes = zip(groups, CHANNELS, strict=True)
    for number, (count, depth) in enumerate(sizes, start=1):
      net = group(net, number, count, depth, end_points)
    # [N, H/32, W/32, 512]
    net, last = heads.fc_conv_head(
      net,
      num_classes,
      is_training,
      dropout_keep_prob,
      global_pool,
      spatial_squeeze,
      side=7,
      padding=fc_conv_padding,
    )
    return net, heads.with_prefix(outer.name, {**end_points, **last})


def vgg_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: L2 on every layer, no batch norm."""
  with slim.arg_scope(
    [layers.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)
  ) as scope:
    return scope


def _network(
  name: str, groups: Sequence[int], labels_offset: int | None
) -> NetworkSpec:
  """Returns the spec of a VGG."""
  return NetworkSpec(
    name=name,
    build=functools.partial(vgg, groups=groups, scope=name),
    arg_scope=vgg_arg_scope,
    image_size=224,
    min_image_size=224,
    preprocessing='vgg',
    attention_points=len(CHANNELS),
    stage_points=len(CHANNELS) - 1,
    labels_offset=labels_offset,
  )


NETWORKS = tuple(_network(name, *variant) for name, variant in VARIANTS.items())

"""Inception v1 (GoogLeNet), with batch norm and without auxiliary logits.

Going deeper with convolutions, Szegedy et al., 2014:
https://arxiv.org/abs/1409.4842
"""

from __future__ import annotations

import functools

from nets import heads, layers
from nets.inception import (
  Layer,
  cell,
  chain,
  conv,
  inception,
  inception_arg_scope,
  max_pool,
  stage_end,
)
from nets.spec import EndPoints, NetworkSpec
from tf_compat import slim, tf


def mixed(
  scope: str,
  single: int,
  double: tuple[int, int],
  triple: tuple[int, int],
  pooled: int,
  triple_scope: str = 'Conv2d_0b_3x3',
) -> Layer:
  """[1x1, 3x3(1x1), 3x3(1x1) (5x5 in the paper), 1x1(max pool)] of net."""
  return cell(
    scope,
    [conv('Conv2d_0a_1x1', single)],
    [conv('Conv2d_0a_1x1', double[0]), conv('Conv2d_0b_3x3', double[1])],
    [conv('Conv2d_0a_1x1', triple[0]), conv(triple_scope, triple[1])],
    [max_pool('MaxPool_0a_3x3'), conv('Conv2d_0b_1x1', pooled)],
  )


LAYERS = (
  conv('Conv2d_1a_7x7', 64, stride=2),  # [N, 112, 112, 64] for 224 x 224
  max_pool('MaxPool_2a_3x3', stride=2),
  conv('Conv2d_2b_1x1', 64),
  conv('Conv2d_2c_3x3', 192),
  max_pool('MaxPool_3a_3x3', stride=2),  # [N, 28, 28, 192]
  mixed('Mixed_3b', 64, (96, 128), (16, 32), 32),
  mixed('Mixed_3c', 128, (128, 192), (32, 96), 64),
  stage_end('Mixed_3c'),
  max_pool('MaxPool_4a_3x3', stride=2),  # [N, 14, 14, 480]
  mixed('Mixed_4b', 192, (96, 208), (16, 48), 64),
  mixed('Mixed_4c', 160, (112, 224), (24, 64), 64),
  mixed('Mixed_4d', 128, (128, 256), (24, 64), 64),
  mixed('Mixed_4e', 112, (144, 288), (32, 64), 64),
  mixed('Mixed_4f', 256, (160, 320), (32, 128), 128),
  stage_end('Mixed_4f'),
  max_pool('MaxPool_5a_2x2', stride=2),  # [N, 7, 7, 832]
  # Conv2d_0a_3x3 instead of 0b is a mistake that the checkpoints contain.
  mixed('Mixed_5b', 256, (160, 320), (32, 128), 128, 'Conv2d_0a_3x3'),
  mixed('Mixed_5c', 384, (192, 384), (48, 128), 128),  # [N, 7, 7, 1024]
)


def body(net: tf.Tensor, end_points: EndPoints) -> tf.Tensor:
  """Adds the table's layers; initial weights have standard deviation 0.01."""
  with slim.arg_scope(
    [layers.conv2d],
    weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
  ):
    return chain(net, LAYERS, end_points)


inception_v1 = functools.partial(
  inception,
  body=body,
  head=functools.partial(
    heads.window_pool_head,
    scopes=('AvgPool_0a_7x7', 'Dropout_0b', 'Conv2d_0c_1x1'),
    stride=1,
  ),
  scope='InceptionV1',
)


NETWORKS = (
  NetworkSpec(
    name='inception_v1',
    build=inception_v1,
    arg_scope=inception_arg_scope,
    image_size=224,
    min_image_size=1,
    preprocessing='inception',
    attention_points=9,
    stage_points=2,
    labels_offset=0,
  ),
)

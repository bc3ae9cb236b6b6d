"""Inception v2: two 3x3 convolutions instead of each 5x5, batch norm.

Batch normalization: accelerating deep network training by reducing internal
covariate shift, Ioffe and Szegedy, 2015: https://arxiv.org/abs/1502.03167
"""

from __future__ import annotations

import functools

from nets import heads, layers
from nets.inception import (
  Layer,
  avg_pool,
  branches,
  cell,
  chain,
  conv,
  inception,
  inception_arg_scope,
  max_pool,
  stage_end,
)
from nets.spec import NetworkSpec
from tf_compat import tf


def reduce(depth: int) -> Layer:
  """Returns the 1x1 convolution before a larger one."""
  return conv('Conv2d_0a_1x1', depth, stddev=0.09)


MEAN = avg_pool('AvgPool_0a_3x3')


def mixed(
  scope: str,
  single: int,
  double: tuple[int, int],
  triple: tuple[int, int],
  pooled: int,
  pool: Layer = MEAN,
) -> Layer:
  """[1x1, 3x3(1x1), 3x3(3x3(1x1)), 1x1(pool)] of net."""
  return cell(
    scope,
    [conv('Conv2d_0a_1x1', single)],
    [reduce(double[0]), conv('Conv2d_0b_3x3', double[1])],
    [
      reduce(triple[0]),
      conv('Conv2d_0b_3x3', triple[1]),
      conv('Conv2d_0c_3x3', triple[1]),
    ],
    [pool, conv('Conv2d_0b_1x1', pooled, stddev=0.1)],
  )


def reduction(
  scope: str, double: tuple[int, int], triple: tuple[int, int]
) -> Layer:
  """[3x3(1x1), 3x3(3x3(1x1)), max pool] of net, each at stride 2."""
  return branches(
    scope,
    [reduce(double[0]), conv('Conv2d_1a_3x3', double[1], stride=2)],
    [
      reduce(triple[0]),
      conv('Conv2d_0b_3x3', triple[1]),
      conv('Conv2d_1a_3x3', triple[1], stride=2),
    ],
    [max_pool('MaxPool_1a_3x3', stride=2)],
  )


def _stem(net: tf.Tensor, scope: str) -> tf.Tensor:
  """Adds a separable 7x7 convolution without batch norm between its parts."""
  return layers.separable_conv2d(
    net,
    num_outputs=64,
    kernel_size=7,
    depth_multiplier=8,
    stride=2,
    weights_initializer=tf.truncated_normal_initializer(stddev=1.0),
    scope=scope,
  )


LAYERS = (
  # Eight filters for each of three colors, then 1x1 to 64 channels.
  # [N, 112, 112, 64] for 224 x 224
  functools.partial(_stem, scope='Conv2d_1a_7x7'),
  max_pool('MaxPool_2a_3x3', stride=2),
  conv('Conv2d_2b_1x1', 64, stddev=0.1),
  conv('Conv2d_2c_3x3', 192),
  max_pool('MaxPool_3a_3x3', stride=2),  # [N, 28, 28, 192]
  mixed('Mixed_3b', 64, (64, 64), (64, 96), 32),
  mixed('Mixed_3c', 64, (64, 96), (64, 96), 64),
  stage_end('Mixed_3c'),
  reduction('Mixed_4a', (128, 160), (64, 96)),  # [N, 14, 14, 576]
  mixed('Mixed_4b', 224, (64, 96), (96, 128), 128),
  mixed('Mixed_4c', 192, (96, 128), (96, 128), 128),
  mixed('Mixed_4d', 160, (128, 160), (128, 160), 96),
  mixed('Mixed_4e', 96, (128, 192), (160, 192), 96),
  stage_end('Mixed_4e'),
  reduction('Mixed_5a', (128, 192), (192, 256)),  # [N, 7, 7, 1024]
  mixed('Mixed_5b', 352, (192, 320), (160, 224), 128),
  mixed(
    'Mixed_5c', 352, (192, 320), (192, 224), 128, max_pool('MaxPool_0a_3x3')
  ),
)


inception_v2 = functools.partial(
  inception,
  body=functools.partial(chain, layers=LAYERS),
  head=functools.partial(
    heads.window_pool_head,
    scopes=('AvgPool_1a', 'Dropout_1b', 'Conv2d_1c_1x1'),
  ),
  scope='InceptionV2',
)


NETWORKS = (
  NetworkSpec(
    name='inception_v2',
    build=inception_v2,
    arg_scope=inception_arg_scope,
    image_size=224,
    min_image_size=1,
    preprocessing='inception',
    attention_points=8,
    stage_points=2,
    labels_offset=0,
  ),
)

"""Inception v3: factorized convolutions, auxiliary logits.

Rethinking the Inception architecture for computer vision, Szegedy et al.,
2015: https://arxiv.org/abs/1512.00567
"""

from __future__ import annotations

import functools
from typing import Any

from nets import heads, layers
from nets.inception import (
  Layer,
  auxiliary_pool,
  avg_pool,
  branches,
  cell,
  chain,
  conv,
  fork,
  inception,
  inception_arg_scope,
  max_pool,
  spatial_mean,
  stage_end,
)
from nets.spec import EndPoints, NetworkSpec
from tf_compat import tf

MEAN = avg_pool('AvgPool_0a_3x3')


def inception_a(
  scope: str,
  pooled: int,
  scopes: tuple[str, str] = ('Conv2d_0a_1x1', 'Conv2d_0b_5x5'),
) -> Layer:
  """[1x1, 5x5(1x1), 3x3(3x3(1x1)), 1x1(pool)] of net."""
  return cell(
    scope,
    [conv('Conv2d_0a_1x1', 64)],
    [conv(scopes[0], 48), conv(scopes[1], 64)],
    [
      conv('Conv2d_0a_1x1', 64),
      conv('Conv2d_0b_3x3', 96),
      conv('Conv2d_0c_3x3', 96),
    ],
    [MEAN, conv('Conv2d_0b_1x1', pooled)],
  )


def reduction_a(scope: str) -> Layer:
  """[3x3, 3x3(3x3(1x1)), max pool] of net, each at stride 2."""
  half: dict[str, Any] = {'kernel': 3, 'stride': 2, 'padding': 'VALID'}
  # The checkpoints name these 3x3 convolutions 1x1.
  return branches(
    scope,
    [conv('Conv2d_1a_1x1', 384, **half)],
    [
      conv('Conv2d_0a_1x1', 64),
      conv('Conv2d_0b_3x3', 96),
      conv('Conv2d_1a_1x1', 96, **half),
    ],
    [max_pool('MaxPool_1a_3x3', stride=2, padding='VALID')],
  )


def inception_b(scope: str, width: int) -> Layer:
  """[1x1, 7x7(1x1), 7x7(7x7(1x1)), 1x1(pool)] of net; 7x7 is 1x7 and 7x1."""
  return cell(
    scope,
    [conv('Conv2d_0a_1x1', 192)],
    [
      conv('Conv2d_0a_1x1', width),
      conv('Conv2d_0b_1x7', width),
      conv('Conv2d_0c_7x1', 192),
    ],
    [
      conv('Conv2d_0a_1x1', width),
      conv('Conv2d_0b_7x1', width),
      conv('Conv2d_0c_1x7', width),
      conv('Conv2d_0d_7x1', width),
      conv('Conv2d_0e_1x7', 192),
    ],
    [MEAN, conv('Conv2d_0b_1x1', 192)],
  )


def reduction_b(scope: str) -> Layer:
  """[3x3(1x1), 3x3(7x7(1x1)), max pool] of net, each at stride 2."""
  half: dict[str, Any] = {'stride': 2, 'padding': 'VALID'}
  return branches(
    scope,
    [conv('Conv2d_0a_1x1', 192), conv('Conv2d_1a_3x3', 320, **half)],
    [
      conv('Conv2d_0a_1x1', 192),
      conv('Conv2d_0b_1x7', 192),
      conv('Conv2d_0c_7x1', 192),
      conv('Conv2d_1a_3x3', 192, **half),
    ],
    [max_pool('MaxPool_1a_3x3', **half)],
  )


def inception_c(scope: str, tall: str = 'Conv2d_0c_3x1') -> Layer:
  """[1x1, f(1x1), f(3x3(1x1)), 1x1(pool)] of net, f(x) = [1x3(x), 3x1(x)]."""
  return cell(
    scope,
    [conv('Conv2d_0a_1x1', 320)],
    [
      conv('Conv2d_0a_1x1', 384),
      fork(conv('Conv2d_0b_1x3', 384), conv(tall, 384)),
    ],
    [
      conv('Conv2d_0a_1x1', 448),
      conv('Conv2d_0b_3x3', 384),
      fork(conv('Conv2d_0c_1x3', 384), conv('Conv2d_0d_3x1', 384)),
    ],
    [MEAN, conv('Conv2d_0b_1x1', 192)],
  )


LAYERS = (
  conv('Conv2d_1a_3x3', 32, stride=2, padding='VALID'),
  # [N, 149, 149, 32] for 299 x 299
  conv('Conv2d_2a_3x3', 32, padding='VALID'),
  conv('Conv2d_2b_3x3', 64),
  max_pool('MaxPool_3a_3x3', stride=2, padding='VALID'),  # [N, 73, 73, 64]
  conv('Conv2d_3b_1x1', 80),
  conv('Conv2d_4a_3x3', 192, padding='VALID'),
  max_pool('MaxPool_5a_3x3', stride=2, padding='VALID'),  # [N, 35, 35, 192]
  inception_a('Mixed_5b', 32),
  # Two scopes differ by a mistake that the checkpoints contain, as does one in
  # Mixed_7b.
  inception_a('Mixed_5c', 64, ('Conv2d_0b_1x1', 'Conv_1_0c_5x5')),
  inception_a('Mixed_5d', 64),
  stage_end('Mixed_5d'),
  reduction_a('Mixed_6a'),  # [N, 17, 17, 768]
  inception_b('Mixed_6b', 128),
  inception_b('Mixed_6c', 160),
  inception_b('Mixed_6d', 160),
  inception_b('Mixed_6e', 192),
  stage_end('Mixed_6e'),
  reduction_b('Mixed_7a'),  # [N, 8, 8, 1280]
  inception_c('Mixed_7b', tall='Conv2d_0b_3x1'),
  inception_c('Mixed_7c'),  # [N, 8, 8, 2048]
)


def auxiliary_logits(
  end_points: EndPoints, num_classes: int, spatial_squeeze: bool
) -> tf.Tensor:
  """Adds an auxiliary head: pooling, 1x1, 5x5 and 1x1 convolutions."""
  with tf.variable_scope('AuxLogits'):
    net = auxiliary_pool(end_points['Mixed_6e'], 'AvgPool_1a_5x5')
    net = layers.conv2d(net, 128, 1, scope='Conv2d_1b_1x1')
    sides = heads.fit_window(net, 5)
    net = layers.conv2d(
      net,
      768,
      sides,
      weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
      padding='VALID',
      scope='Conv2d_2a_{}x{}'.format(*sides),
    )
    if spatial_squeeze:
      net = spatial_mean(net)
    net = layers.conv2d(
      net,
      num_classes,
      1,
      activation_fn=None,
      normalizer_fn=None,
      weights_initializer=tf.truncated_normal_initializer(stddev=0.001),
      scope='Conv2d_2b_1x1',
    )
    if spatial_squeeze:
      net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')
    return net  # [N, num_classes]


def inception_v3(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  spatial_squeeze: bool = True,
  create_aux_logits: bool = True,
  scope: str = 'InceptionV3',
  **options,
) -> tuple[tf.Tensor, EndPoints]:
  """Builds the layers of the table, auxiliary logits and the classifier.

  Args and results are those of inception.inception; create_aux_logits=False
  omits the end point AuxLogits.
  """
  auxiliary = functools.partial(
    auxiliary_logits, spatial_squeeze=spatial_squeeze
  )
  return inception(
    images,
    num_classes,
    is_training,
    body=functools.partial(chain, layers=LAYERS),
    head=functools.partial(
      heads.window_pool_head,
      scopes=('AvgPool_1a', 'Dropout_1b', 'Conv2d_1c_1x1'),
      side=8,
      keep_prelogits=True,
    ),
    scope=scope,
    auxiliary=auxiliary if create_aux_logits else None,
    spatial_squeeze=spatial_squeeze,
    **options,
  )


NETWORKS = (
  NetworkSpec(
    name='inception_v3',
    build=inception_v3,
    arg_scope=inception_arg_scope,
    image_size=299,
    min_image_size=75,
    preprocessing='inception',
    attention_points=9,
    stage_points=2,
    aux_logits=True,
    labels_offset=0,
  ),
)

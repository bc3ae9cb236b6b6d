"""Inception v4: more cells than v3, and more uniform ones.

Inception-v4, Inception-ResNet and the impact of residual connections on
learning, Szegedy et al., 2016: https://arxiv.org/abs/1602.07261
"""

from __future__ import annotations

import functools
from typing import Any

from nets import heads
from nets.inception import (
  Layer,
  auxiliary_logits,
  avg_pool,
  branches,
  cell,
  chain,
  conv,
  fork,
  inception,
  inception_arg_scope,
  max_pool,
  stage_end,
)
from nets.spec import EndPoints, NetworkSpec
from tf_compat import tf

MEAN = avg_pool('AvgPool_0a_3x3')
HALF: dict[str, Any] = {'stride': 2, 'padding': 'VALID'}


def inception_a(scope: str) -> Layer:
  """[1x1, 3x3(1x1), 3x3(3x3(1x1)), 1x1(pool)] of net."""
  return cell(
    scope,
    [conv('Conv2d_0a_1x1', 96)],
    [conv('Conv2d_0a_1x1', 64), conv('Conv2d_0b_3x3', 96)],
    [
      conv('Conv2d_0a_1x1', 64),
      conv('Conv2d_0b_3x3', 96),
      conv('Conv2d_0c_3x3', 96),
    ],
    [MEAN, conv('Conv2d_0b_1x1', 96)],
  )


def inception_b(scope: str) -> Layer:
  """[1x1, 7x7(1x1), 7x7(7x7(1x1)), 1x1(pool)] of net; 7x7 is 1x7 and 7x1."""
  return cell(
    scope,
    [conv('Conv2d_0a_1x1', 384)],
    [
      conv('Conv2d_0a_1x1', 192),
      conv('Conv2d_0b_1x7', 224),
      conv('Conv2d_0c_7x1', 256),
    ],
    [
      conv('Conv2d_0a_1x1', 192),
      conv('Conv2d_0b_7x1', 192),
      conv('Conv2d_0c_1x7', 224),
      conv('Conv2d_0d_7x1', 224),
      conv('Conv2d_0e_1x7', 256),
    ],
    [MEAN, conv('Conv2d_0b_1x1', 128)],
  )


def inception_c(scope: str) -> Layer:
  """[1x1, f(1x1), f(1x3(3x1(1x1))), 1x1(pool)], f(x) = [1x3(x), 3x1(x)]."""
  return cell(
    scope,
    [conv('Conv2d_0a_1x1', 256)],
    [
      conv('Conv2d_0a_1x1', 384),
      fork(conv('Conv2d_0b_1x3', 256), conv('Conv2d_0c_3x1', 256)),
    ],
    [
      conv('Conv2d_0a_1x1', 384),
      conv('Conv2d_0b_3x1', 448),
      conv('Conv2d_0c_1x3', 512),
      fork(conv('Conv2d_0d_1x3', 256), conv('Conv2d_0e_3x1', 256)),
    ],
    [MEAN, conv('Conv2d_0b_1x1', 256)],
  )


LAYERS = (
  conv('Conv2d_1a_3x3', 32, **HALF),  # [N, 149, 149, 32] for 299 x 299
  conv('Conv2d_2a_3x3', 32, padding='VALID'),
  conv('Conv2d_2b_3x3', 64),
  branches(
    'Mixed_3a',
    [max_pool('MaxPool_0a_3x3', **HALF)],
    [conv('Conv2d_0a_3x3', 96, **HALF)],
  ),  # [N, 73, 73, 160]
  branches(
    'Mixed_4a',
    [conv('Conv2d_0a_1x1', 64), conv('Conv2d_1a_3x3', 96, padding='VALID')],
    [
      conv('Conv2d_0a_1x1', 64),
      conv('Conv2d_0b_1x7', 64),
      conv('Conv2d_0c_7x1', 64),
      conv('Conv2d_1a_3x3', 96, padding='VALID'),
    ],
  ),  # [N, 71, 71, 192]
  branches(
    'Mixed_5a',
    [conv('Conv2d_1a_3x3', 192, **HALF)],
    [max_pool('MaxPool_1a_3x3', **HALF)],
  ),  # [N, 35, 35, 384]
  *[inception_a(f'Mixed_5{letter}') for letter in 'bcde'],
  stage_end('Mixed_5e'),
  branches(
    'Mixed_6a',
    [conv('Conv2d_1a_3x3', 384, **HALF)],
    [
      conv('Conv2d_0a_1x1', 192),
      conv('Conv2d_0b_3x3', 224),
      conv('Conv2d_1a_3x3', 256, **HALF),
    ],
    [max_pool('MaxPool_1a_3x3', **HALF)],
  ),  # [N, 17, 17, 1024]
  *[inception_b(f'Mixed_6{letter}') for letter in 'bcdefgh'],
  stage_end('Mixed_6h'),
  branches(
    'Mixed_7a',
    [conv('Conv2d_0a_1x1', 192), conv('Conv2d_1a_3x3', 192, **HALF)],
    [
      conv('Conv2d_0a_1x1', 256),
      conv('Conv2d_0b_1x7', 256),
      conv('Conv2d_0c_7x1', 320),
      conv('Conv2d_1a_3x3', 320, **HALF),
    ],
    [max_pool('MaxPool_1a_3x3', **HALF)],
  ),  # [N, 8, 8, 1536]
  *[inception_c(f'Mixed_7{letter}') for letter in 'bcd'],
)


AUXILIARY = functools.partial(
  auxiliary_logits,
  source='Mixed_6h',
  scopes=('AvgPool_1a_5x5', 'Conv2d_1b_1x1', 'Conv2d_2a', 'Aux_logits'),
)


def inception_v4(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  create_aux_logits: bool = True,
  scope: str = 'InceptionV4',
  **options,
) -> tuple[tf.Tensor, EndPoints]:
  """Builds the layers of the table, auxiliary logits and the classifier.

  Args and results are those of inception.inception; create_aux_logits=False
  omits the end point AuxLogits.
  """
  return inception(
    images,
    num_classes,
    is_training,
    body=functools.partial(chain, layers=LAYERS),
    head=heads.global_pool_head,
    scope=scope,
    auxiliary=AUXILIARY if create_aux_logits else None,
    **options,
  )


NETWORKS = (
  NetworkSpec(
    name='inception_v4',
    build=inception_v4,
    arg_scope=inception_arg_scope,
    image_size=299,
    min_image_size=75,
    preprocessing='inception',
    attention_points=14,
    stage_points=2,
    aux_logits=True,
    labels_offset=0,
  ),
)

"""Inception-ResNet v2: Inception cells as residuals.

Inception-v4, Inception-ResNet and the impact of residual connections on
learning, Szegedy et al., 2016: https://arxiv.org/abs/1602.07261
"""

from __future__ import annotations

import functools
from typing import Any

from nets import heads, layers
from nets.attention.attend import STAGE, attend
from nets.inception import (
  Branches,
  auxiliary_logits,
  avg_pool,
  branches,
  chain,
  concatenate,
  conv,
  inception,
  inception_arg_scope,
  max_pool,
)
from nets.spec import EndPoints, NetworkSpec
from nets.stochastic import drop_path
from tf_compat import slim, tf

HALF: dict[str, Any] = {'stride': 2, 'padding': 'VALID'}

BLOCK35 = (
  [conv('Conv2d_1x1', 32)],
  [conv('Conv2d_0a_1x1', 32), conv('Conv2d_0b_3x3', 32)],
  [
    conv('Conv2d_0a_1x1', 32),
    conv('Conv2d_0b_3x3', 48),
    conv('Conv2d_0c_3x3', 64),
  ],
)
BLOCK17 = (
  [conv('Conv2d_1x1', 192)],
  [
    conv('Conv2d_0a_1x1', 128),
    conv('Conv2d_0b_1x7', 160),
    conv('Conv2d_0c_7x1', 192),
  ],
)
BLOCK8 = (
  [conv('Conv2d_1x1', 192)],
  [
    conv('Conv2d_0a_1x1', 192),
    conv('Conv2d_0b_1x3', 224),
    conv('Conv2d_0c_3x1', 256),
  ],
)


def block(
  net: tf.Tensor,
  scope: str,
  chains: Branches,
  scale: float,
  attention: str | None = None,
) -> tf.Tensor:
  """net + attend(scale · 1x1(branches(net)))."""
  with tf.variable_scope(scope):
    residual = layers.conv2d(
      concatenate(net, chains),
      net.shape[-1],
      1,
      activation_fn=None,
      normalizer_fn=None,
      scope='Conv2d_1x1',
    )
    return net + drop_path(attend(scale * residual, scope=attention))


def repeat(
  net: tf.Tensor,
  scope: str,
  name: str,
  count: int,
  chains: Branches,
  scale: float,
) -> tf.Tensor:
  """Adds `count` blocks of the same kind, each followed by relu."""
  with tf.variable_scope(scope):
    for number in range(1, count + 1):
      unit = f'{name}_{number}'
      net = tf.nn.relu(block(net, unit, chains, scale, f'{unit}_{{tag}}'))
  return net


STEM = (
  conv('Conv2d_1a_3x3', 32, **HALF),  # [N, 149, 149, 32] for 299 x 299
  conv('Conv2d_2a_3x3', 32, padding='VALID'),
  conv('Conv2d_2b_3x3', 64),
  max_pool('MaxPool_3a_3x3', **HALF),  # [N, 73, 73, 64]
  conv('Conv2d_3b_1x1', 80),
  conv('Conv2d_4a_3x3', 192, padding='VALID'),
  max_pool('MaxPool_5a_3x3', **HALF),  # [N, 35, 35, 192]
  branches(
    'Mixed_5b',
    [conv('Conv2d_1x1', 96)],
    [conv('Conv2d_0a_1x1', 48), conv('Conv2d_0b_5x5', 64)],
    [
      conv('Conv2d_0a_1x1', 64),
      conv('Conv2d_0b_3x3', 96),
      conv('Conv2d_0c_3x3', 96),
    ],
    [avg_pool('AvgPool_0a_3x3'), conv('Conv2d_0b_1x1', 64)],
  ),  # [N, 35, 35, 320]
)
REDUCTION_A = branches(
  'Mixed_6a',
  [conv('Conv2d_1a_3x3', 384, **HALF)],
  [
    conv('Conv2d_0a_1x1', 256),
    conv('Conv2d_0b_3x3', 256),
    conv('Conv2d_1a_3x3', 384, **HALF),
  ],
  [max_pool('MaxPool_1a_3x3', **HALF)],
)
REDUCTION_B = branches(
  'Mixed_7a',
  [conv('Conv2d_0a_1x1', 256), conv('Conv2d_1a_3x3', 384, **HALF)],
  [conv('Conv2d_0a_1x1', 256), conv('Conv2d_1a_3x3', 288, **HALF)],
  [
    conv('Conv2d_0a_1x1', 256),
    conv('Conv2d_0b_3x3', 288),
    conv('Conv2d_1a_3x3', 320, **HALF),
  ],
  [max_pool('MaxPool_1a_3x3', **HALF)],
)


def base(net: tf.Tensor, end_points: EndPoints) -> tf.Tensor:
  """Adds the stem, 40 residual blocks of three kinds and a 1x1 convolution."""
  net = chain(net, STEM, end_points)
  net = repeat(net, 'Repeat', 'block35', 10, BLOCK35, 0.17)
  net = attend(net, scope='Repeat_{tag}', at=STAGE)
  net = chain(net, [REDUCTION_A], end_points)  # [N, 17, 17, 1088]
  net = repeat(net, 'Repeat_1', 'block17', 20, BLOCK17, 0.1)
  net = attend(net, scope='Repeat_1_{tag}', at=STAGE)
  end_points['PreAuxLogits'] = net
  net = chain(net, [REDUCTION_B], end_points)  # [N, 8, 8, 2080]
  net = repeat(net, 'Repeat_2', 'block8', 9, BLOCK8, 0.2)
  net = block(net, 'Block8', BLOCK8, 1.0)
  return chain(net, [conv('Conv2d_7b_1x1', 1536)], end_points)


AUXILIARY = functools.partial(
  auxiliary_logits,
  source='PreAuxLogits',
  scopes=('Conv2d_1a_3x3', 'Conv2d_1b_1x1', 'Conv2d_2a_5x5', 'Logits'),
)


def inception_resnet_v2(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  create_aux_logits: bool = True,
  scope: str = 'InceptionResnetV2',
  **options,
) -> tuple[tf.Tensor, EndPoints]:
  """Builds the base, auxiliary logits and the classifier.

  Args and results are those of inception.inception; create_aux_logits=False
  omits the end point AuxLogits.
  """
  return inception(
    images,
    num_classes,
    is_training,
    body=base,
    head=heads.global_pool_head,
    scope=scope,
    auxiliary=AUXILIARY if create_aux_logits else None,
    **options,
  )


def inception_resnet_v2_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns Inception's arg scope with L2 on biases, Glorot's initializer."""
  with (
    slim.arg_scope(inception_arg_scope(weight_decay)),
    slim.arg_scope(
      [layers.conv2d], weights_initializer=slim.xavier_initializer()
    ),
    slim.arg_scope(
      [layers.conv2d, slim.fully_connected],
      biases_regularizer=slim.l2_regularizer(weight_decay),
    ) as scope,
  ):
    return scope


NETWORKS = (
  NetworkSpec(
    name='inception_resnet_v2',
    build=inception_resnet_v2,
    arg_scope=inception_resnet_v2_arg_scope,
    image_size=299,
    min_image_size=75,
    preprocessing='inception',
    attention_points=40,
    stage_points=2,
    aux_logits=True,
    labels_offset=0,
    # Some SE checkpoints name the scope se_block in every block, not only in
    # the last one.
    aliases=((r'/(block\d+_\d+)/se_block/', r'/\1/\1_SE/'),),
  ),
)

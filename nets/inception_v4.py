"""Inception v4: more and more uniform cells than v3.

Inception-v4, Inception-ResNet and the impact of residual connections on
learning, Szegedy et al., 2016: https://arxiv.org/abs/1602.07261
"""

from nets import classifier
from nets.inception import (
  Layer,
  auxiliary_logits,
  avg_pool,
  branches,
  cell,
  cell_scope,
  chain,
  conv,
  fork,
  inception_arg_scope,
  max_pool,
  stage_end,
)
from nets.network import EndPoints, Network
from tf_compat import slim, tf

MEAN = avg_pool('AvgPool_0a_3x3')
HALF = {'stride': 2, 'padding': 'VALID'}


def inception_a(scope: str) -> Layer:
  """1x1; 3x3; 3x3 twice; pooled 1x1."""
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
  """1x1; 7x7 as 1x7 and 7x1; that twice; pooled 1x1."""
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
  """1x1; 1x3 beside 3x1; 3x1, 1x3, 1x3 beside 3x1; pooled 1x1."""
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
  conv('Conv2d_1a_3x3', 32, **HALF),  # [N, 149, 149, 32] of 299 x 299
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


def inception_v4(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  dropout_keep_prob: float = 0.8,
  create_aux_logits: bool = True,
  reuse: bool | None = None,
  scope: str = 'InceptionV4',
) -> tuple[tf.Tensor, EndPoints]:
  """The layers of the table, auxiliary logits, classifier.

  Args:
    images: [N, H, W, C].
    num_classes: 0 or None returns the pooled features, [N, 1, 1, 1536].
    is_training: whether dropout and the batch's statistics are used.
    dropout_keep_prob: share of the features kept in training.
    create_aux_logits: whether there is an end point AuxLogits.
    reuse: whether to share the variables made under `scope` before.
    scope: variable scope.

  Returns:
    Logits [N, num_classes] (or features) and the end points by name.
  """
  ends = {}
  with (
    tf.variable_scope(scope, reuse=reuse),
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    with cell_scope():
      net = chain(images, LAYERS, ends)
    if create_aux_logits and num_classes:
      ends['AuxLogits'] = auxiliary_logits(
        ends['Mixed_6h'],
        num_classes,
        scopes=('AvgPool_1a_5x5', 'Conv2d_1b_1x1', 'Conv2d_2a', 'Aux_logits'),
      )
    net, last = classifier.globally_pooled(net, num_classes, dropout_keep_prob)
  return net, {**ends, **last}


NETWORKS = (
  Network(
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

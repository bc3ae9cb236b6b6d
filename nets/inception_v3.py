"""Inception v3: factorised convolutions, auxiliary logits.

Rethinking the Inception architecture for computer vision, Szegedy et al.,
2015: https://arxiv.org/abs/1512.00567
"""

from nets import classifier
from nets.inception import (
  Layer,
  auxiliary_pooled,
  avg_pool,
  branches,
  cell,
  cell_scope,
  chain,
  conv,
  fork,
  inception_arg_scope,
  max_pool,
  single_place,
  stage_end,
)
from nets.network import EndPoints, Network
from tf_compat import slim, tf

MEAN = avg_pool('AvgPool_0a_3x3')


def inception_a(
  scope: str,
  pooled: int,
  scopes: tuple[str, str] = ('Conv2d_0a_1x1', 'Conv2d_0b_5x5'),
) -> Layer:
  """1x1; 5x5; 3x3 twice; pooled 1x1."""
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
  """3x3; 3x3 twice; pooled; each at stride 2."""
  half = {'kernel': 3, 'stride': 2, 'padding': 'VALID'}
  # Scopes that say 1x1 of a 3x3 kernel are the checkpoints'.
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
  """1x1; 7x7 as 1x7 and 7x1; that twice; pooled 1x1."""
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
  """3x3; 7x7 then 3x3; pooled; each at stride 2."""
  half = {'stride': 2, 'padding': 'VALID'}
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
  """1x1; 1x3 beside 3x1; 3x3, then 1x3 beside 3x1; pooled 1x1."""
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
  # [N, 149, 149, 32] of 299 x 299
  conv('Conv2d_2a_3x3', 32, padding='VALID'),
  conv('Conv2d_2b_3x3', 64),
  max_pool('MaxPool_3a_3x3', stride=2, padding='VALID'),  # [N, 73, 73, 64]
  conv('Conv2d_3b_1x1', 80),
  conv('Conv2d_4a_3x3', 192, padding='VALID'),
  max_pool('MaxPool_5a_3x3', stride=2, padding='VALID'),  # [N, 35, 35, 192]
  inception_a('Mixed_5b', 32),
  # Two scopes that differ by an oversight which the checkpoints carry, as
  # does one in Mixed_7b.
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
  net: tf.Tensor, num_classes: int, spatial_squeeze: bool
) -> tf.Tensor:
  """Pooled, 1x1, 5x5 and 1x1 convolutions: logits from halfway."""
  with tf.variable_scope('AuxLogits'):
    net = auxiliary_pooled(net, 'AvgPool_1a_5x5')
    net = slim.conv2d(net, 128, 1, scope='Conv2d_1b_1x1')
    sides = classifier.fit_window(net, 5)
    net = slim.conv2d(
      net,
      768,
      sides,
      weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
      padding='VALID',
      scope='Conv2d_2a_{}x{}'.format(*sides),
    )
    if spatial_squeeze:
      net = single_place(net)
    net = slim.conv2d(
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
  dropout_keep_prob: float = 0.8,
  spatial_squeeze: bool = True,
  global_pool: bool | None = None,
  create_aux_logits: bool = True,
  reuse: bool | None = None,
  scope: str = 'InceptionV3',
) -> tuple[tf.Tensor, EndPoints]:
  """The layers of the table, auxiliary logits, classifier.

  Args:
    images: [N, H, W, 3].
    num_classes: 0 or None returns the pooled features.
    is_training: whether dropout and the batch's statistics are used.
    dropout_keep_prob: share of the features kept in training.
    spatial_squeeze: whether logits are [N, num_classes], not [N, 1, 1, …].
    global_pool: pool the whole map, not an 8x8 window; None: only where the
      logits could not be squeezed otherwise.
    create_aux_logits: whether there is an end point AuxLogits.
    reuse: whether to share the variables made under `scope` before.
    scope: variable scope.

  Returns:
    Logits (or features) and the end points by name.
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
        ends['Mixed_6e'], num_classes, spatial_squeeze
      )
    net, last = classifier.window_pooled(
      net,
      num_classes,
      dropout_keep_prob,
      global_pool,
      spatial_squeeze,
      scopes=('AvgPool_1a', 'Dropout_1b', 'Conv2d_1c_1x1'),
      side=8,
      keep_prelogits=True,
    )
  return net, {**ends, **last}


NETWORKS = (
  Network(
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

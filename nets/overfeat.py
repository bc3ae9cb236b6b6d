"""OverFeat, the fast model: five convolutions, three fully connected layers.

OverFeat: integrated recognition, localization and detection using
convolutional networks, Sermanet et al., 2013: https://arxiv.org/abs/1312.6229
"""

from __future__ import annotations

from typing import Any

from nets import heads, layers
from nets.attention.attend import BLOCK, STAGE, attend
from nets.spec import EndPoints, NetworkSpec
from tf_compat import slim, tf


def overfeat(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  dropout_keep_prob: float = 0.5,
  spatial_squeeze: bool = True,
  global_pool: bool | None = None,
  reuse: bool | None = None,
  scope: str = 'overfeat',
) -> tuple[tf.Tensor, EndPoints]:
  """Builds three groups of convolutions with pooling and attention, fc6 to fc8.

  Args and results are those of alexnet.alexnet_v2.
  """
  with tf.variable_scope(scope, reuse=reuse) as outer:
    end_points = {}
    net = end_points['conv1'] = layers.conv2d(
      images, 64, 11, 4, padding='VALID', scope='conv1'
    )  # [N, 56, 56, 64] for 231 x 231
    net = layers.max_pool2d(net, 2, scope='pool1')  # [N, 28, 28, 64]
    net = attend(net, scope='pool1_{tag}', at=(BLOCK, STAGE))
    end_points['pool1'] = net
    net = end_points['conv2'] = layers.conv2d(
      net, 256, 5, padding='VALID', scope='conv2'
    )  # [N, 24, 24, 256]
    net = layers.max_pool2d(net, 2, scope='pool2')  # [N, 12, 12, 256]
    net = attend(net, scope='pool2_{tag}', at=(BLOCK, STAGE))
    end_points['pool2'] = net
    net = end_points['conv3'] = layers.conv2d(net, 512, 3, scope='conv3')
    net = end_points['conv4'] = layers.conv2d(net, 1024, 3, scope='conv4')
    net = end_points['conv5'] = layers.conv2d(net, 1024, 3, scope='conv5')
    net = layers.max_pool2d(net, 2, scope='pool5')  # [N, 6, 6, 1024]
    net = end_points['pool5'] = attend(net, scope='pool5_{tag}')
    with slim.arg_scope(
      [layers.conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.005),
      biases_initializer=tf.constant_initializer(0.1),
    ):
      net, last = heads.fc_conv_head(
        net,
        num_classes,
        is_training,
        dropout_keep_prob,
        global_pool,
        spatial_squeeze,
        side=6,
        width=3072,
      )
    return net, heads.with_prefix(outer.name, {**end_points, **last})


def overfeat_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: L2 on every layer, no batch norm."""
  with (
    slim.arg_scope(
      [layers.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)
    ),
    slim.arg_scope([layers.max_pool2d], padding='VALID') as scope,
  ):
    return scope


NETWORKS = (
  NetworkSpec(
    name='overfeat',
    build=overfeat,
    arg_scope=overfeat_arg_scope,
    image_size=231,
    min_image_size=231,
    preprocessing='vgg',
    attention_points=3,
    stage_points=2,
  ),
)

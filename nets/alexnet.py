"""AlexNet v2: five convolutions, three fully connected layers, no batch norm.

One weird trick for parallelizing convolutional neural networks, Krizhevsky,
2014: https://arxiv.org/abs/1404.5997
"""

from __future__ import annotations

from typing import Any

from nets import heads, layers
from nets.attention.attend import BLOCK, STAGE, attend
from nets.spec import EndPoints, NetworkSpec
from tf_compat import slim, tf


def alexnet_v2(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  dropout_keep_prob: float = 0.5,
  spatial_squeeze: bool = True,
  global_pool: bool | None = None,
  reuse: bool | None = None,
  scope: str = 'alexnet_v2',
) -> tuple[tf.Tensor, EndPoints]:
  """Builds three groups of convolutions with pooling and attention, fc6 to fc8.

  Args:
    images: [N, H, W, 3].
    num_classes: width of the logits; 0 or None returns the features of fc7.
    is_training: whether dropout is active.
    dropout_keep_prob: probability that dropout keeps a feature of fc6 or fc7.
    spatial_squeeze: whether to return logits [N, num_classes] instead of
      [N, H, W, num_classes].
    global_pool: whether to average fc7 over space; None does so only if the
      logits could not be squeezed otherwise.
    reuse: whether to reuse the variables created earlier under `scope`.
    scope: variable scope.

  Returns:
    Logits (or features) and the end points by name.
  """
  with tf.variable_scope(scope, reuse=reuse) as outer:
    end_points = {}
    net = end_points['conv1'] = layers.conv2d(
      images, 64, 11, 4, padding='VALID', scope='conv1'
    )  # [N, 54, 54, 64] for 224 x 224
    net = layers.max_pool2d(net, 3, 2, scope='pool1')  # [N, 26, 26, 64]
    net = attend(net, scope='pool1_{tag}', at=(BLOCK, STAGE))
    end_points['pool1'] = net
    net = end_points['conv2'] = layers.conv2d(net, 192, 5, scope='conv2')
    net = layers.max_pool2d(net, 3, 2, scope='pool2')  # [N, 12, 12, 192]
    net = attend(net, scope='pool2_{tag}', at=(BLOCK, STAGE))
    end_points['pool2'] = net
    net = end_points['conv3'] = layers.conv2d(net, 384, 3, scope='conv3')
    net = end_points['conv4'] = layers.conv2d(net, 384, 3, scope='conv4')
    net = end_points['conv5'] = layers.conv2d(net, 256, 3, scope='conv5')
    net = layers.max_pool2d(net, 3, 2, scope='pool5')  # [N, 5, 5, 256]
    net = end_points['pool5'] = attend(net, scope='pool5_{tag}')
    with slim.arg_scope(
      [layers.conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.005),
    ):
      net, last = heads.fc_conv_head(
        net,
        num_classes,
        is_training,
        dropout_keep_prob,
        global_pool,
        spatial_squeeze,
        side=5,
      )
    return net, heads.with_prefix(outer.name, {**end_points, **last})


def alexnet_v2_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: L2 on every layer, biases that start at 0.1."""
  with (
    slim.arg_scope(
      [layers.conv2d],
      biases_initializer=tf.constant_initializer(0.1),
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope([layers.max_pool2d], padding='VALID') as scope,
  ):
    return scope


NETWORKS = (
  NetworkSpec(
    name='alexnet_v2',
    build=alexnet_v2,
    arg_scope=alexnet_v2_arg_scope,
    image_size=224,
    min_image_size=195,
    preprocessing='vgg',
    attention_points=3,
    stage_points=2,
  ),
)

"""AlexNet v2: five convolutions, three fully connected layers, no norm.

One weird trick for parallelizing convolutional neural networks, Krizhevsky,
2014: https://arxiv.org/abs/1404.5997
"""

from typing import Any

from nets import classifier
from nets.attention.attend import BLOCK, STAGE, attend
from nets.network import EndPoints, Network
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
  """Three groups of convolutions, each pooled and attended; fc6 to fc8.

  Args, results: see nets/classifier.py's convolved.
  """
  with tf.variable_scope(scope, reuse=reuse) as outer:
    ends = {}
    net = ends['conv1'] = slim.conv2d(
      images, 64, 11, 4, padding='VALID', scope='conv1'
    )  # [N, 54, 54, 64] of 224 x 224
    net = slim.max_pool2d(net, 3, 2, scope='pool1')  # [N, 26, 26, 64]
    net = attend(net, scope='pool1_{tag}', at=(BLOCK, STAGE))
    ends['pool1'] = net
    net = ends['conv2'] = slim.conv2d(net, 192, 5, scope='conv2')
    net = slim.max_pool2d(net, 3, 2, scope='pool2')  # [N, 12, 12, 192]
    net = attend(net, scope='pool2_{tag}', at=(BLOCK, STAGE))
    ends['pool2'] = net
    net = ends['conv3'] = slim.conv2d(net, 384, 3, scope='conv3')
    net = ends['conv4'] = slim.conv2d(net, 384, 3, scope='conv4')
    net = ends['conv5'] = slim.conv2d(net, 256, 3, scope='conv5')
    net = slim.max_pool2d(net, 3, 2, scope='pool5')  # [N, 5, 5, 256]
    net = ends['pool5'] = attend(net, scope='pool5_{tag}')
    with slim.arg_scope(
      [slim.conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.005),
    ):
      net, last = classifier.convolved(
        net,
        num_classes,
        is_training,
        dropout_keep_prob,
        global_pool,
        spatial_squeeze,
        side=5,
      )
    return net, classifier.scoped(outer.name, {**ends, **last})


def alexnet_v2_arg_scope(weight_decay: float) -> dict[str, Any]:
  """L2 on every layer, biases from 0.1; there is no batch norm."""
  with (
    slim.arg_scope(
      [slim.conv2d],
      biases_initializer=tf.constant_initializer(0.1),
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope([slim.max_pool2d], padding='VALID') as scope,
  ):
    return scope


NETWORKS = (
  Network(
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

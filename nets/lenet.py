"""LeNet for digits: two convolutions, two fully connected layers.

Gradient-based learning applied to document recognition, LeCun et al., 1998:
http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf
"""

from __future__ import annotations

from typing import Any

from nets import layers
from nets.attention.attend import BLOCK, CLASS, STAGE, attend
from nets.spec import EndPoints, NetworkSpec
from nets.stochastic import dropout
from tf_compat import slim, tf


def lenet(
  images: tf.Tensor,
  num_classes: int,
  is_training: bool,
  dropout_keep_prob: float = 0.5,
  reuse: bool | None = None,
  scope: str = 'LeNet',
) -> tuple[tf.Tensor, EndPoints]:
  """Builds (conv, pool, attention) twice, fc3, dropout and fc4, the logits.

  Args:
    images: [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the features of fc3.
    is_training: whether dropout is active.
    dropout_keep_prob: probability that dropout keeps a feature of fc3.
    reuse: whether to reuse the variables created earlier under `scope`.
    scope: variable scope.

  Returns:
    Logits [N, num_classes] (or features [N, 1024]) and the end points by name.
  """
  end_points = {}
  with tf.variable_scope(scope, reuse=reuse):
    net = end_points['conv1'] = layers.conv2d(images, 32, 5, scope='conv1')
    net = layers.max_pool2d(net, 2, scope='pool1')  # [N, H/2, W/2, 32]
    net = attend(net, scope='pool1_{tag}', at=(BLOCK, STAGE))
    end_points['pool1'] = net
    net = end_points['conv2'] = layers.conv2d(net, 64, 5, scope='conv2')
    net = layers.max_pool2d(net, 2, scope='pool2')  # [N, H/4, W/4, 64]
    net = end_points['pool2'] = attend(net, scope='pool2_{tag}')
    net = slim.flatten(attend(net, at=CLASS), scope='Flatten')
    end_points['Flatten'] = net
    net = end_points['fc3'] = slim.fully_connected(net, 1024, scope='fc3')
    if not num_classes:
      return net, end_points
    net = end_points['dropout3'] = dropout(
      net, dropout_keep_prob, is_training=is_training, scope='dropout3'
    )
    net = end_points['Logits'] = slim.fully_connected(
      net, num_classes, activation_fn=None, scope='fc4'
    )
    end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def lenet_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: L2 on every layer."""
  with slim.arg_scope(
    [layers.conv2d, slim.fully_connected],
    weights_initializer=tf.truncated_normal_initializer(stddev=0.1),
    weights_regularizer=slim.l2_regularizer(weight_decay),
  ) as scope:
    return scope


NETWORKS = (
  NetworkSpec(
    name='lenet',
    build=lenet,
    arg_scope=lenet_arg_scope,
    image_size=28,
    min_image_size=4,
    preprocessing='lenet',
    attention_points=2,
    stage_points=1,
    channels=None,
  ),
)

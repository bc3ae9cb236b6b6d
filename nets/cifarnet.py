"""CifarNet: two convolutions with local response norm, three dense layers.

The network of TensorFlow's CIFAR-10 tutorial, after cuda-convnet's layers:
Learning multiple layers of features from tiny images, Krizhevsky, 2009,
https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf
"""

from __future__ import annotations

from typing import Any

from nets import layers
from nets.attention.attend import BLOCK, CLASS, STAGE, attend
from nets.spec import EndPoints, NetworkSpec
from nets.stochastic import dropout
from tf_compat import slim, tf


def _local_response_norm(net: tf.Tensor, name: str) -> tf.Tensor:
  """net / (1 + 0.001 / 9 · sum of squares of 9 neighboring channels)^0.75."""
  return tf.nn.local_response_normalization(
    net, depth_radius=4, bias=1.0, alpha=0.001 / 9.0, beta=0.75, name=name
  )


def cifarnet(
  images: tf.Tensor,
  num_classes: int,
  is_training: bool,
  dropout_keep_prob: float = 0.5,
  reuse: bool | None = None,
  scope: str = 'CifarNet',
) -> tuple[tf.Tensor, EndPoints]:
  """Builds (conv, pool, attention) twice, fc3, dropout, fc4 and the logits.

  Args:
    images: [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the features of fc4.
    is_training: whether dropout is active.
    dropout_keep_prob: probability that dropout keeps a feature of fc3.
    reuse: whether to reuse the variables created earlier under `scope`.
    scope: variable scope.

  Returns:
    Logits [N, num_classes] (or features [N, 192]) and the end points by name.
  """
  end_points = {}
  with tf.variable_scope(scope, reuse=reuse):
    net = end_points['conv1'] = layers.conv2d(images, 64, 5, scope='conv1')
    net = layers.max_pool2d(net, 2, scope='pool1')  # [N, H/2, W/2, 64]
    net = attend(net, scope='pool1_{tag}', at=(BLOCK, STAGE))
    end_points['pool1'] = net
    net = _local_response_norm(net, name='norm1')
    net = end_points['conv2'] = layers.conv2d(net, 64, 5, scope='conv2')
    net = _local_response_norm(net, name='norm2')
    net = layers.max_pool2d(net, 2, scope='pool2')  # [N, H/4, W/4, 64]
    net = end_points['pool2'] = attend(net, scope='pool2_{tag}')
    net = slim.flatten(attend(net, at=CLASS), scope='Flatten')
    end_points['Flatten'] = net
    net = end_points['fc3'] = slim.fully_connected(net, 384, scope='fc3')
    net = dropout(
      net, dropout_keep_prob, is_training=is_training, scope='dropout3'
    )
    net = end_points['fc4'] = slim.fully_connected(net, 192, scope='fc4')
    if not num_classes:
      return net, end_points
    net = end_points['Logits'] = slim.fully_connected(
      net,
      num_classes,
      activation_fn=None,
      weights_initializer=tf.truncated_normal_initializer(stddev=1 / 192),
      weights_regularizer=None,
      biases_initializer=tf.zeros_initializer(),
      scope='logits',
    )
    end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def cifarnet_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: L2 on the fully connected layers only."""
  with (
    slim.arg_scope(
      [layers.conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.05),
    ),
    slim.arg_scope(
      [slim.fully_connected],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.04),
      weights_regularizer=slim.l2_regularizer(weight_decay),
      biases_initializer=tf.constant_initializer(0.1),
    ) as scope,
  ):
    return scope


NETWORKS = (
  NetworkSpec(
    name='cifarnet',
    build=cifarnet,
    arg_scope=cifarnet_arg_scope,
    image_size=32,
    min_image_size=4,
    preprocessing='cifarnet',
    attention_points=2,
    stage_points=1,
    channels=None,
  ),
)

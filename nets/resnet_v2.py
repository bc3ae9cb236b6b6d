"""ResNet v2: batch norm and relu before each convolution, none after the sum.

Identity mappings in deep residual networks, He et al., 2016:
https://arxiv.org/abs/1603.05027
"""

from __future__ import annotations

from nets import layers, resnet
from nets.attention.attend import BLOCK, CONV, INNER, attend, batch_norm
from nets.stochastic import drop_path
from tf_compat import slim, tf

LINEAR = {'normalizer_fn': None, 'activation_fn': None}


def _activate(
  net: tf.Tensor, depth: int, stride: int
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns relu(norm(net)) and the shortcut: net, if its depth is the same."""
  preact = slim.batch_norm(net, activation_fn=tf.nn.relu, scope='preact')
  if net.shape[-1] == depth:
    return preact, resnet.subsample(net, stride)
  return preact, layers.conv2d(
    preact, depth, 1, stride, scope='shortcut', **LINEAR
  )


def basic(
  net: tf.Tensor, depth: int, step: resnet.Step, end_points: str
) -> tf.Tensor:
  """shortcut + attend(3x3(3x3(relu(norm(net)))))."""
  with tf.variable_scope('basic_v2') as scope:
    preact, shortcut = _activate(net, depth, step.stride)
    residual = resnet.conv2d_same(
      preact, depth, 3, step.stride, step.rate, scope='conv1'
    )
    residual = attend(residual, at=INNER)
    residual = layers.conv2d(
      residual, depth, 3, rate=step.rate_after, scope='conv2', **LINEAR
    )
    net = shortcut + drop_path(attend(residual, at=(BLOCK, CONV)))
    return slim.utils.collect_named_outputs(end_points, scope.name, net)


def bottleneck(
  net: tf.Tensor, depth: int, step: resnet.Step, end_points: str
) -> tf.Tensor:
  """shortcut + attend(1x1(3x3(1x1(relu(norm(net))))))."""
  with tf.variable_scope('bottleneck_v2') as scope:
    preact, shortcut = _activate(net, depth, step.stride)
    residual = layers.conv2d(preact, depth // 4, 1, scope='conv1')
    residual = resnet.conv2d_same(
      residual,
      depth // 4,
      3,
      step.stride,
      step.rate,
      normalizer_fn=batch_norm,
      scope='conv2',
    )
    residual = attend(residual, at=INNER)
    residual = layers.conv2d(residual, depth, 1, scope='conv3', **LINEAR)
    net = shortcut + drop_path(attend(residual))
    return slim.utils.collect_named_outputs(end_points, scope.name, net)


NETWORKS = tuple(
  resnet.network(
    f'resnet_v2_{layers}',
    resnet.Plan(bottleneck, resnet.UNITS[layers], 256, preactivated=True),
    labels_offset=0,
  )
  for layers in (50, 101, 152, 200)
)

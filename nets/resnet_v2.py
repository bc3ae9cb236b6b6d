"""ResNet v2: batch norm and relu before each convolution, none after the sum.

Identity mappings in deep residual networks, He et al., 2016:
https://arxiv.org/abs/1603.05027
"""

import functools
from collections.abc import Sequence

from nets import resnet
from nets.attention.attend import attend
from nets.network import EndPoints, Network
from tf_compat import slim, tf


def bottleneck(
  net: tf.Tensor, depth: int, stride: int, rate: int, end_points: str
) -> tf.Tensor:
  """Shortcut + attend(1x1(3x3(1x1(relu(norm(net))))))."""
  linear = {'normalizer_fn': None, 'activation_fn': None}
  with tf.variable_scope('bottleneck_v2') as scope:
    preact = slim.batch_norm(net, activation_fn=tf.nn.relu, scope='preact')
    if net.shape[-1] == depth:
      shortcut = resnet.subsample(net, stride)
    else:
      shortcut = slim.conv2d(
        preact, depth, 1, stride, scope='shortcut', **linear
      )
    residual = slim.conv2d(preact, depth // 4, 1, scope='conv1')
    residual = resnet.conv2d_same(
      residual, depth // 4, 3, stride, rate, scope='conv2'
    )
    residual = slim.conv2d(residual, depth, 1, scope='conv3', **linear)
    net = shortcut + attend(residual)
    return slim.utils.collect_named_outputs(end_points, scope.name, net)


def resnet_v2(
  net: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  units: Sequence[int],
  scope: str,
  global_pool: bool = True,
  output_stride: int | None = None,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
) -> tuple[tf.Tensor, EndPoints]:
  """Root, blocks of bottlenecks, last norm and relu, classifier.

  Arguments, results and errors are those of resnet_v1.resnet_v1.
  """
  with tf.variable_scope(scope, reuse=reuse) as outer:
    end_points = outer.original_name_scope + '_end_points'
    with (
      slim.arg_scope([slim.conv2d], outputs_collections=end_points),
      slim.arg_scope([slim.batch_norm], is_training=is_training),
    ):
      # The first unit normalises what the root gives.
      net = resnet.root(net, normalizer_fn=None, activation_fn=None)
      # [N, H/4, W/4, 64]
      net = resnet.blocks(net, bottleneck, units, output_stride, end_points)
      # [N, H/output_stride, W/output_stride, 2048]
      net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
      return resnet.classify(
        net, num_classes, global_pool, spatial_squeeze, end_points, outer.name
      )


def _network(layers: int, units: Sequence[int]) -> Network:
  """The record of ResNet v2 with so many layers."""
  name = f'resnet_v2_{layers}'
  return Network(
    name=name,
    build=functools.partial(resnet_v2, units=units, scope=name),
    arg_scope=resnet.resnet_arg_scope,
    image_size=224,
    min_image_size=1,
    preprocessing='vgg',
    attention_points=sum(units),
    stage_points=len(units) - 1,
    labels_offset=0,
  )


NETWORKS = tuple(_network(*variant) for variant in resnet.UNITS.items())

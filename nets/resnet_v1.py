"""ResNet v1: batch norm and relu after each convolution, relu after the sum.

Deep residual learning for image recognition, He et al., 2015:
https://arxiv.org/abs/1512.03385
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
  """Relu(shortcut + attend(1x1(3x3(1x1(net)))))."""
  with tf.variable_scope('bottleneck_v1') as scope:
    if net.shape[-1] == depth:
      shortcut = resnet.subsample(net, stride)
    else:
      shortcut = slim.conv2d(
        net, depth, 1, stride, activation_fn=None, scope='shortcut'
      )
    residual = slim.conv2d(net, depth // 4, 1, scope='conv1')
    residual = resnet.conv2d_same(
      residual, depth // 4, 3, stride, rate, scope='conv2'
    )
    residual = slim.conv2d(
      residual, depth, 1, activation_fn=None, scope='conv3'
    )
    net = tf.nn.relu(shortcut + attend(residual))
    return slim.utils.collect_named_outputs(end_points, scope.name, net)


def resnet_v1(
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
  """Root, blocks of bottlenecks, classifier.

  Args:
    net: images, [N, H, W, C].
    num_classes: 0 or None returns the features before the classifier.
    is_training: whether batch norm uses the batch's statistics.
    units: bottlenecks in each block.
    scope: variable scope.
    global_pool: average over space before the classifier; False leaves a map
      of logits for dense prediction.
    output_stride: pixels of input per pixel of the last map; None is 32. Less
      gives a larger map by dilating the convolutions.
    spatial_squeeze: whether logits are [N, num_classes], not [N, 1, 1, …].
    reuse: whether to share the variables made under `scope` before.

  Returns:
    Logits (or features) and the end points by name.

  Raises:
    UserError: if output_stride is not one of 4, 8, 16, 32.
  """
  with tf.variable_scope(scope, reuse=reuse) as outer:
    end_points = outer.original_name_scope + '_end_points'
    with (
      slim.arg_scope([slim.conv2d], outputs_collections=end_points),
      slim.arg_scope([slim.batch_norm], is_training=is_training),
    ):
      net = resnet.root(net)  # [N, H/4, W/4, 64]
      net = resnet.blocks(net, bottleneck, units, output_stride, end_points)
      # [N, H/output_stride, W/output_stride, 2048]
      return resnet.classify(
        net, num_classes, global_pool, spatial_squeeze, end_points, outer.name
      )


def _network(layers: int, units: Sequence[int]) -> Network:
  """The record of ResNet v1 with so many layers."""
  name = f'resnet_v1_{layers}'
  return Network(
    name=name,
    build=functools.partial(resnet_v1, units=units, scope=name),
    arg_scope=resnet.resnet_arg_scope,
    image_size=224,
    min_image_size=1,
    preprocessing='vgg',
    attention_points=sum(units),
    stage_points=len(units) - 1,
    labels_offset=1,
  )


NETWORKS = tuple(_network(*variant) for variant in resnet.UNITS.items())

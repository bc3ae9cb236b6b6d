"""DenseNet-BC: each layer reads the outputs of all earlier ones of its block.

Densely connected convolutional networks, Huang et al., 2016:
https://arxiv.org/abs/1608.06993. Before each 3x3 convolution, a bottleneck (B)
outputs four times the growth rate; transitions (C) halve the channels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nets import heads, layers, resnet
from nets.attention.attend import BLOCK, STAGE, attend
from nets.spec import EndPoints, NetworkSpec
from tf_compat import slim, tf

BOTTLENECK = 4
COMPRESSION = 0.5
# Norms and activations come before convolutions here.
LINEAR = {
  'activation_fn': None,
  'normalizer_fn': None,
  'biases_initializer': None,
}


def norm_relu_conv(
  net: tf.Tensor, depth: int, side: int, number: int
) -> tf.Tensor:
  """conv(relu(norm(net)))."""
  net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope=f'norm{number}')
  return layers.conv2d(net, depth, side, scope=f'conv{number}', **LINEAR)


def dense_layer(net: tf.Tensor, growth: int) -> tf.Tensor:
  """[net, conv3x3(conv1x1(net))], which has `growth` more channels."""
  new = norm_relu_conv(net, BOTTLENECK * growth, 1, 1)
  new = norm_relu_conv(new, growth, 3, 2)
  return tf.concat([net, new], 3)


def transition(net: tf.Tensor) -> tf.Tensor:
  """pool2x2(attend(conv1x1(net))), with half the channels, height and width."""
  net = norm_relu_conv(net, int(COMPRESSION * net.shape[-1]), 1, 1)
  net = attend(net, at=(BLOCK, STAGE))
  return layers.avg_pool2d(net, 2, 2, scope='pool')


def imagenet_root(net: tf.Tensor, growth: int) -> tf.Tensor:
  """Adds a 7x7 convolution and 3x3 pooling, each at stride 2."""
  net = resnet.conv2d_same(net, 2 * growth, 7, 2, 1, scope='conv1')
  return layers.max_pool2d(net, 3, 2, scope='pool1')


def cifar_root(net: tf.Tensor, growth: int) -> tf.Tensor:
  """Adds a 3x3 convolution; the first layer normalizes its output."""
  return layers.conv2d(net, 2 * growth, 3, scope='conv1', **LINEAR)


def densenet(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  root: Callable[[tf.Tensor, int], tf.Tensor],
  blocks: Sequence[int],
  growth: int,
  scope: str,
  global_pool: bool = True,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
) -> tuple[tf.Tensor, EndPoints]:
  """Builds the root, dense blocks with transitions, and the classifier.

  Args:
    images: [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the features before the
      classifier.
    is_training: whether batch norm uses the batch's statistics.
    root: root(images, growth) -> net of 2 · growth channels.
    blocks: number of dense layers in each block.
    growth: growth rate, the channels that a dense layer adds.
    scope: variable scope.
    global_pool: whether to average over space before the classifier; False,
      with spatial_squeeze=False, returns a map of logits for dense prediction.
    spatial_squeeze: whether to return logits [N, num_classes] instead of
      [N, 1, 1, num_classes].
    reuse: whether to reuse the variables created earlier under `scope`.

  Returns:
    Logits (or features) and the end points by name.
  """
  with tf.variable_scope(scope, reuse=reuse) as outer:
    end_points = outer.original_name_scope + '_end_points'
    with slim.arg_scope([slim.batch_norm], is_training=is_training):
      net = root(images, growth)
      for number, count in enumerate(blocks, start=1):
        with tf.variable_scope(f'block{number}') as block:
          for index in range(1, count + 1):
            with tf.variable_scope(f'layer_{index}'):
              net = dense_layer(net, growth)
          slim.utils.collect_named_outputs(end_points, block.name, net)
        if number < len(blocks):
          with tf.variable_scope(f'transition{number}') as transition_scope:
            net = transition(net)  # [N, H/2, W/2, C/2]
            slim.utils.collect_named_outputs(
              end_points, transition_scope.name, net
            )
      net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
      return heads.pool_conv_head(
        net, num_classes, global_pool, spatial_squeeze, end_points, outer.name
      )


def densenet_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns the ResNet arg scope with batch norm decay 0.9 and SAME pooling."""
  with (
    slim.arg_scope(resnet.resnet_arg_scope(weight_decay)),
    slim.arg_scope([slim.batch_norm], decay=0.9),
    slim.arg_scope([layers.avg_pool2d], padding='SAME') as scope,
  ):
    return scope


def _network(
  name: str,
  root: Callable[[tf.Tensor, int], tf.Tensor],
  blocks: Sequence[int],
  growth: int,
  image_size: int,
  preprocessing: str,
) -> NetworkSpec:
  """Returns the spec of a DenseNet, with attention at each transition."""
  return NetworkSpec(
    name=name,
    build=functools.partial(
      densenet, root=root, blocks=blocks, growth=growth, scope=name
    ),
    arg_scope=densenet_arg_scope,
    image_size=image_size,
    min_image_size=1,
    preprocessing=preprocessing,
    attention_points=len(blocks) - 1,
    stage_points=len(blocks) - 1,
  )


NETWORKS = (
  _network('densenet_121', imagenet_root, (6, 12, 24, 16), 32, 224, 'vgg'),
  # 100 layers: 3 blocks of 16 dense layers with two convolutions each, two
  # transitions, the root and the logits.
  _network(
    'densenet_cifar_100_12', cifar_root, (16, 16, 16), 12, 32, 'cifarnet'
  ),
)

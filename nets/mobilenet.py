"""What MobileNet v2, v3 and EdgeTPU share: inverted residuals, body, classifier.

A network is a stem, a table of blocks and one or two last convolutions. Every
depth is scaled by the depth multiplier and rounded to a multiple of eight.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nets.attention.attend import CLASS, STAGE, attend
from nets.network import EndPoints
from tf_compat import slim, tf

Activation = Callable[[tf.Tensor], tf.Tensor]


class Block(NamedTuple):
  """One inverted residual.

  Attributes:
    expansion: depth inside the block over the depth of its input.
    depth: of its output, at depth multiplier 1.
    stride: of the spatial convolution.
    kernel: height and width of the spatial convolution.
    activation: inside the block; None for the network's.
    squeeze: whether the expanded map is gated by squeeze and excitation.
    residual: whether the input is added where the shapes allow it.
    fused: whether one full convolution expands, without a depthwise one.
  """

  expansion: float
  depth: int
  stride: int = 1
  kernel: int = 3
  activation: Activation | None = None
  squeeze: bool = False
  residual: bool = True
  fused: bool = False


def round_depth(depth: float) -> int:
  """The multiple of 8 nearest to depth, but not below 0.9 · depth."""
  rounded = max(8, int(depth + 4) // 8 * 8)
  return rounded if rounded >= 0.9 * depth else rounded + 8


def squeeze_excite(net: tf.Tensor) -> tf.Tensor:
  """Net · hard_sigmoid(conv(relu(conv(mean over space of net))))."""
  depth = net.shape[-1]
  conv = functools.partial(slim.conv2d, kernel_size=1, normalizer_fn=None)
  with tf.variable_scope('squeeze_excite'):
    gate = tf.reduce_mean(net, [1, 2], keepdims=True)  # [N, 1, 1, C]
    gate = conv(
      gate, round_depth(depth / 4), activation_fn=tf.nn.relu, scope='Conv'
    )
    gate = conv(gate, depth, activation_fn=_hard_sigmoid, scope='Conv_1')
    return net * gate


def _hard_sigmoid(net: tf.Tensor) -> tf.Tensor:
  """Relu6(net + 3) / 6, with the sixth that the checkpoints learnt with."""
  return tf.nn.relu6(net + 3.0) * 0.16667


def inverted_residual(
  net: tf.Tensor, block: Block, depth: int, scope: str
) -> tuple[tf.Tensor, EndPoints]:
  """Net + attend(project(squeeze_excite(depthwise(expand(net)))))."""
  inputs, end_points = net, {}
  expanded = round_depth(net.shape[-1] * block.expansion)
  with tf.variable_scope(scope):
    if expanded > net.shape[-1]:
      kernel, stride = (block.kernel, block.stride) if block.fused else (1, 1)
      net = slim.conv2d(net, expanded, kernel, stride, scope='expand')
      end_points['expansion_output'] = net
    if not block.fused:
      net = slim.separable_conv2d(
        net, None, block.kernel, stride=block.stride, scope='depthwise'
      )
      end_points['depthwise_output'] = net
    if block.squeeze:
      net = squeeze_excite(net)
    net = slim.conv2d(net, depth, 1, activation_fn=None, scope='project')
    net = attend(net)
    if block.residual and block.stride == 1 and inputs.shape[-1] == depth:
      net = inputs + net
    end_points['output'] = net
  return net, end_points


def ends_stage(blocks: Sequence[Block], index: int) -> bool:
  """Whether the block after this one strides."""
  return index + 1 < len(blocks) and blocks[index + 1].stride > 1


def _residuals(
  net: tf.Tensor, blocks: Sequence[Block], multiplier: float
) -> tuple[tf.Tensor, EndPoints]:
  """The blocks in turn, their layers counted from 2."""
  end_points = {}
  for index, block in enumerate(blocks):
    layer = f'layer_{index + 2}'
    scope = f'expanded_conv_{index}' if index else 'expanded_conv'
    inside = {'activation_fn': block.activation} if block.activation else {}
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], **inside):
      net, outputs = inverted_residual(
        net, block, round_depth(block.depth * multiplier), scope
      )
    if ends_stage(blocks, index):
      net = attend(net, scope=f'{scope}/{{name}}', at=STAGE)
    end_points[layer] = net
    end_points |= {f'{layer}/{name}': value for name, value in outputs.items()}
  return net, end_points


def mobilenet(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  stem: int,
  blocks: Sequence[Block],
  top: int,
  activation: Activation,
  scope: str,
  pooled: int | None = None,
  depth_multiplier: float = 1.0,
  dropout_keep_prob: float = 0.8,
  reuse: bool | None = None,
) -> tuple[tf.Tensor, EndPoints]:
  """Stem, blocks, last convolution, mean over space, dropout, classifier.

  Args:
    images: [N, H, W, C].
    num_classes: 0 or None returns the features before the dropout.
    is_training: whether dropout and the batch's statistics are on.
    stem: depth of the first convolution, which strides.
    blocks: the inverted residuals.
    top: depth of the convolution after them.
    activation: of whatever does not say its own.
    scope: variable scope.
    pooled: depth of a convolution after the mean; None for none.
    depth_multiplier: of all depths; the last convolution's only grows.
    dropout_keep_prob: of the features.
    reuse: whether to share the variables made under `scope` before.

  Returns:
    Logits [N, num_classes], or features [N, 1, 1, C], and the end points.
  """
  widen = max(1.0, depth_multiplier)
  layers = [slim.conv2d, slim.separable_conv2d]
  with (
    tf.variable_scope(scope, reuse=reuse),
    slim.arg_scope(layers, activation_fn=activation),
    slim.arg_scope([slim.batch_norm], is_training=is_training),
  ):
    stem = round_depth(stem * depth_multiplier)
    net = slim.conv2d(images, stem, 3, stride=2, scope='Conv')
    end_points = {'layer_1': net}  # [N, H/2, W/2, stem]
    net, inside = _residuals(net, blocks, depth_multiplier)
    end_points |= inside
    layer = len(blocks) + 2
    top *= depth_multiplier if pooled else widen
    net = slim.conv2d(net, round_depth(top), 1, scope='Conv_1')
    end_points[f'layer_{layer}'] = net  # [N, H/32, W/32, top]
    net = attend(net, at=CLASS)
    net = tf.reduce_mean(net, [1, 2], keepdims=True)  # [N, 1, 1, top]
    if pooled:
      end_points[f'layer_{layer + 1}'] = net
      net = slim.conv2d(
        net, round_depth(pooled * widen), 1, normalizer_fn=None, scope='Conv_2'
      )
      end_points[f'layer_{layer + 2}'] = net
    end_points['global_pool'] = net
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, dropout_keep_prob, is_training=is_training)
    net = _logits(net, num_classes)
  end_points['Logits'] = net
  end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def _logits(net: tf.Tensor, num_classes: int) -> tf.Tensor:
  """A linear 1x1 convolution of [N, 1, 1, C] to [N, num_classes]."""
  linear = {'normalizer_fn': None, 'activation_fn': None}
  with tf.variable_scope('Logits'):
    net = slim.conv2d(net, num_classes, 1, scope='Conv2d_1c_1x1', **linear)
    return tf.squeeze(net, [1, 2])


def attention_points(blocks: Sequence[Block]) -> dict[str, int]:
  """How many points a network of these blocks has, as its record says."""
  return {
    'attention_points': len(blocks),
    'stage_points': sum(ends_stage(blocks, i) for i in range(len(blocks))),
  }


def mobilenet_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Fused batch norm (decay 0.997); L2 on all but depthwise kernels."""
  with (
    slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.09),
      normalizer_fn=slim.batch_norm,
    ),
    slim.arg_scope(
      [slim.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)
    ),
    slim.arg_scope(
      [slim.batch_norm], decay=0.997, scale=True, fused=True
    ) as scope,
  ):
    return scope

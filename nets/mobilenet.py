"""The common part of MobileNet v2, v3 and EdgeTPU: inverted residuals.

A network consists of a stem, a table of blocks and one or two last
convolutions. Every depth is multiplied by the depth multiplier and rounded to a
multiple of eight.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from nets import layers
from nets.attention.attend import CLASS, INNER, STAGE, attend, batch_norm
from nets.spec import EndPoints
from nets.stochastic import drop_path, dropout
from tf_compat import slim, tf

Activation: TypeAlias = 'Callable[[tf.Tensor], tf.Tensor]'


class Block(NamedTuple):
  """An inverted residual.

  Attributes:
    expansion: ratio of the depth inside the block to that of its input.
    depth: output channels at depth multiplier 1.
    stride: stride of the spatial convolution.
    kernel: height and width of the spatial convolution.
    activation: activation inside the block; None for the network's.
    squeeze: whether squeeze and excitation gates the expanded map.
    residual: whether the input is added to the output if the shapes agree.
    fused: whether a full convolution replaces the expansion and the depthwise
      convolution.
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
  """Returns the multiple of 8 nearest to depth, but at least 0.9 · depth."""
  rounded = max(8, int(depth + 4) // 8 * 8)
  return rounded if rounded >= 0.9 * depth else rounded + 8


def squeeze_excite(net: tf.Tensor) -> tf.Tensor:
  """net · hard_sigmoid(conv(relu(conv(mean over space of net))))."""
  depth = net.shape[-1]
  conv = functools.partial(layers.conv2d, kernel_size=1, normalizer_fn=None)
  with tf.variable_scope('squeeze_excite'):
    gate = tf.reduce_mean(net, [1, 2], keepdims=True)  # [N, 1, 1, C]
    gate = conv(
      gate, round_depth(depth / 4), activation_fn=tf.nn.relu, scope='Conv'
    )
    gate = conv(gate, depth, activation_fn=_hard_sigmoid, scope='Conv_1')
    return net * gate


def _hard_sigmoid(net: tf.Tensor) -> tf.Tensor:
  """relu6(net + 3) · 0.16667, rounded as in the published checkpoints."""
  return tf.nn.relu6(net + 3.0) * 0.16667


def inverted_residual(
  net: tf.Tensor, block: Block, depth: int, scope: str
) -> tuple[tf.Tensor, EndPoints]:
  """net + attend(project(squeeze_excite(depthwise(expand(net)))))."""
  inputs, end_points = net, {}
  expanded = round_depth(net.shape[-1] * block.expansion)
  with tf.variable_scope(scope):
    if expanded > net.shape[-1]:
      kernel, stride = (block.kernel, block.stride) if block.fused else (1, 1)
      norm = {'normalizer_fn': batch_norm} if block.fused else {}
      net = layers.conv2d(net, expanded, kernel, stride, scope='expand', **norm)
      end_points['expansion_output'] = net
    if not block.fused:
      net = layers.separable_conv2d(
        net,
        None,
        block.kernel,
        stride=block.stride,
        normalizer_fn=batch_norm,
        scope='depthwise',
      )
      end_points['depthwise_output'] = net
    if block.squeeze:
      net = squeeze_excite(net)
    if block.expansion > 1:
      net = attend(net, at=INNER)
    net = layers.conv2d(net, depth, 1, activation_fn=None, scope='project')
    net = attend(net)
    if block.residual and block.stride == 1 and inputs.shape[-1] == depth:
      net = inputs + drop_path(net)
    end_points['output'] = net
  return net, end_points


def ends_stage(blocks: Sequence[Block], index: int) -> bool:
  """Returns whether the block after this one strides."""
  return index + 1 < len(blocks) and blocks[index + 1].stride > 1


def _residuals(
  net: tf.Tensor, blocks: Sequence[Block], multiplier: float
) -> tuple[tf.Tensor, EndPoints]:
  """Adds the blocks; their end points are layer_2, layer_3, …."""
  end_points = {}
  for index, block in enumerate(blocks):
    layer = f'layer_{index + 2}'
    scope = f'expanded_conv_{index}' if index else 'expanded_conv'
    activation = {'activation_fn': block.activation} if block.activation else {}
    with slim.arg_scope([layers.conv2d, layers.separable_conv2d], **activation):
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
  """Builds the stem, blocks, last convolution, pooling, dropout and classifier.

  Args:
    images: [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the features before the
      dropout.
    is_training: whether dropout is active and batch norm uses the batch's
      statistics.
    stem: output channels of the first convolution, which has stride 2.
    blocks: inverted residuals.
    top: output channels of the convolution after the blocks.
    activation: default activation.
    scope: variable scope.
    pooled: output channels of a convolution after global pooling; None adds no
      such convolution.
    depth_multiplier: factor of all depths; a factor below 1 does not apply to
      the last convolution.
    dropout_keep_prob: probability that dropout keeps a feature in training.
    reuse: whether to reuse the variables created earlier under `scope`.

  Returns:
    Logits [N, num_classes] (or features [N, 1, 1, C]) and the end points by
    name.
  """
  widen = max(1.0, depth_multiplier)
  with (
    tf.variable_scope(scope, reuse=reuse),
    slim.arg_scope(
      [layers.conv2d, layers.separable_conv2d], activation_fn=activation
    ),
    slim.arg_scope([slim.batch_norm], is_training=is_training),
  ):
    stem = round_depth(stem * depth_multiplier)
    net = layers.conv2d(images, stem, 3, stride=2, scope='Conv')
    end_points = {'layer_1': net}  # [N, H/2, W/2, stem]
    net, block_end_points = _residuals(net, blocks, depth_multiplier)
    end_points |= block_end_points
    layer = len(blocks) + 2
    widen_top = depth_multiplier if pooled else widen
    net = layers.conv2d(net, round_depth(top * widen_top), 1, scope='Conv_1')
    end_points[f'layer_{layer}'] = net  # [N, H/32, W/32, top]
    net = attend(net, at=CLASS)
    net = tf.reduce_mean(net, [1, 2], keepdims=True)  # [N, 1, 1, top]
    if pooled:
      end_points[f'layer_{layer + 1}'] = net
      net = layers.conv2d(
        net, round_depth(pooled * widen), 1, normalizer_fn=None, scope='Conv_2'
      )
      end_points[f'layer_{layer + 2}'] = net
    end_points['global_pool'] = net
    if not num_classes:
      return net, end_points
    net = dropout(net, dropout_keep_prob, is_training=is_training)
    net = _logits(net, num_classes)
  end_points['Logits'] = net
  end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def _logits(net: tf.Tensor, num_classes: int) -> tf.Tensor:
  """Adds a linear 1x1 convolution from [N, 1, 1, C] to [N, num_classes]."""
  linear = {'normalizer_fn': None, 'activation_fn': None}
  with tf.variable_scope('Logits'):
    net = layers.conv2d(net, num_classes, 1, scope='Conv2d_1c_1x1', **linear)
    return tf.squeeze(net, [1, 2])


def attention_points(blocks: Sequence[Block]) -> dict[str, Any]:
  """Returns the numbers of attention points, as fields of the spec."""
  return {
    'attention_points': len(blocks),
    'stage_points': sum(ends_stage(blocks, i) for i in range(len(blocks))),
    'inner_points': sum(block.expansion > 1 for block in blocks),
    'conv_points': sum(b.expansion > 1 or not b.fused for b in blocks),
  }


def mobilenet_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: batch norm (decay 0.997), L2 except depthwise."""
  with (
    slim.arg_scope(
      [layers.conv2d, layers.separable_conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.09),
      normalizer_fn=slim.batch_norm,
    ),
    slim.arg_scope(
      [layers.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)
    ),
    slim.arg_scope(
      [slim.batch_norm], decay=0.997, scale=True, fused=True
    ) as scope,
  ):
    return scope

"""The common part of all ResNets: root, blocks of units and classifier.

A plan describes one ResNet: its unit, the number of units in each block and the
width. A unit is unit(net, depth, step, end_points) -> net of `depth` channels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from errors import UserError
from nets import heads, layers
from nets.attention.attend import STAGE, attend
from nets.grouped_conv import grouped_conv2d
from nets.spec import EndPoints, NetworkSpec
from tf_compat import slim, tf

# Number of layers -> units in each of the four blocks.
UNITS = {
  18: (2, 2, 2, 2),
  34: (3, 4, 6, 3),
  50: (3, 4, 6, 3),
  101: (3, 4, 23, 3),
  152: (3, 8, 36, 3),
  200: (3, 24, 36, 3),
}


class Step(NamedTuple):
  """Stride and dilation of a unit.

  Attributes:
    stride: stride of the convolution that may stride.
    rate: dilation of that convolution.
    rate_after: dilation of the convolutions after it.
  """

  stride: int
  rate: int
  rate_after: int


class Plan(NamedTuple):
  """The architecture of a ResNet.

  Attributes:
    unit: unit(net, depth, step, end_points) -> net of `depth` channels.
    units: number of units in each block.
    depth: output channels of the first block; each later block doubles them.
    root_depth: output channels of the root.
    root_stride: 4 for a 7x7 convolution and max pooling; 1 for a 3x3
      convolution without stride, for small images.
    stride_first: whether the first unit of a block strides, as in the papers.
      In TF-Slim's ResNets and their checkpoints, the last unit of the previous
      block strides.
    preactivated: whether units apply batch norm and relu to their input (v2)
      instead of to the output of each convolution (v1).
  """

  unit: Callable[..., tf.Tensor]
  units: Sequence[int]
  depth: int
  root_depth: int = 64
  root_stride: int = 4
  stride_first: bool = False
  preactivated: bool = False


def conv2d_same(
  net: tf.Tensor,
  depth: int,
  kernel_size: int,
  stride: int,
  rate: int,
  conv: Callable[..., tf.Tensor] | None = None,
  **kwargs,
) -> tf.Tensor:
  """Adds a convolution with the same padding on both sides for every stride.

  TensorFlow's SAME padding of a strided convolution is asymmetric for even
  sides: features would be shifted against those of a smaller output_stride.
  """
  conv = conv or layers.conv2d
  return conv(
    net, depth, kernel_size, stride, rate=rate, pads='symmetric', **kwargs
  )


def subsample(net: tf.Tensor, stride: int) -> tf.Tensor:
  """Returns every stride-th pixel of every stride-th row."""
  if stride == 1:
    return net
  return layers.max_pool2d(net, 1, stride, scope='shortcut')


def _root(net: tf.Tensor, plan: Plan, **kwargs) -> tf.Tensor:
  """Adds a 7x7 convolution and 3x3 pooling, or just a 3x3 convolution."""
  kwargs |= {'rate': 1, 'scope': 'conv1'}
  if plan.root_stride == 1:
    return conv2d_same(net, plan.root_depth, 3, 1, **kwargs)
  net = conv2d_same(net, plan.root_depth, 7, 2, **kwargs)
  return layers.max_pool2d(net, 3, 2, scope='pool1')


def _blocks(
  net: tf.Tensor, plan: Plan, output_stride: int | None, end_points: str
) -> tf.Tensor:
  """Adds the blocks of units, each twice as deep as the previous one."""
  steps = _steps(plan, output_stride)
  for number, count in enumerate(plan.units, start=1):
    depth = plan.depth * 2 ** (number - 1)
    with tf.variable_scope(f'block{number}') as block:
      for index in range(1, count + 1):
        with tf.variable_scope(f'unit_{index}'):
          net = plan.unit(net, depth, next(steps), end_points)
      if number < len(plan.units):
        net = attend(net, at=STAGE)
      slim.utils.collect_named_outputs(end_points, block.name, net)
  return net


def _strides(plan: Plan) -> Iterator[int]:
  """Yields each unit's stride, which is 2 once between two blocks."""
  last = len(plan.units) - 1
  for number, count in enumerate(plan.units):
    others = [1] * (count - 1)
    if plan.stride_first:
      yield from [2 if number > 0 else 1, *others]
    else:
      yield from [*others, 2 if number < last else 1]


def _steps(plan: Plan, output_stride: int | None) -> Iterator[Step]:
  """Yields each unit's step; dilation replaces strides at output_stride."""
  reachable = [plan.root_stride * 2**n for n in range(len(plan.units))]
  if output_stride not in (None, *reachable):
    raise UserError(
      f'output_stride {output_stride} cannot be reached: take one of '
      f'{", ".join(map(str, reachable))}, or None for {reachable[-1]}.'
    )
  current, rate = plan.root_stride, 1
  for stride in _strides(plan):
    if current == output_stride:
      yield Step(1, rate, rate * stride)
      rate *= stride
    else:
      yield Step(stride, rate, rate)
      current *= stride


def resnet(
  net: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  plan: Plan,
  scope: str,
  global_pool: bool = True,
  output_stride: int | None = None,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
) -> tuple[tf.Tensor, EndPoints]:
  """Builds the root, the blocks of units and the classifier.

  Args:
    net: images, [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the features before the
      classifier.
    is_training: whether batch norm uses the batch's statistics.
    plan: architecture.
    scope: variable scope.
    global_pool: whether to average over space before the classifier; False,
      with spatial_squeeze=False, returns a map of logits for dense prediction.
    output_stride: ratio of image size to size of the last map; None uses the
      plan's, which is 32 for large images. A smaller one replaces strides by
      dilation.
    spatial_squeeze: whether to return logits [N, num_classes] instead of
      [N, 1, 1, num_classes].
    reuse: whether to reuse the variables created earlier under `scope`.

  Returns:
    Logits (or features) and the end points by name.

  Raises:
    UserError: if output_stride is not one of the plan's.
  """
  linear = {'normalizer_fn': None, 'activation_fn': None}
  with tf.variable_scope(scope, reuse=reuse) as outer:
    end_points = outer.original_name_scope + '_end_points'
    with (
      slim.arg_scope(
        [layers.conv2d, grouped_conv2d], outputs_collections=end_points
      ),
      slim.arg_scope([slim.batch_norm], is_training=is_training),
    ):
      net = _root(net, plan, **linear if plan.preactivated else {})
      # [N, H/root_stride, W/root_stride, root_depth]
      net = _blocks(net, plan, output_stride, end_points)
      # [N, H/output_stride, W/output_stride, C]
      if plan.preactivated:
        net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
      return heads.pool_conv_head(
        net, num_classes, global_pool, spatial_squeeze, end_points, outer.name
      )


def resnet_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: fused batch norm (decay 0.997, ε 1e-5), relu, L2."""
  with (
    slim.arg_scope(
      [layers.conv2d, grouped_conv2d],
      weights_initializer=slim.variance_scaling_initializer(),
      weights_regularizer=slim.l2_regularizer(weight_decay),
      activation_fn=tf.nn.relu,
      normalizer_fn=slim.batch_norm,
    ),
    slim.arg_scope(
      [slim.batch_norm], decay=0.997, epsilon=1e-5, scale=True, fused=True
    ),
    slim.arg_scope([layers.max_pool2d], padding='SAME') as scope,
  ):
    return scope


def network(
  name: str,
  plan: Plan,
  arg_scope: Callable[[float], dict[str, Any]] = resnet_arg_scope,
  image_size: int = 224,
  preprocessing: str = 'vgg',
  labels_offset: int | None = None,
  strides: str | None = None,
) -> NetworkSpec:
  """Returns the spec of a ResNet; None for the strides of a plan's 3x3."""
  if strides is None:
    strides = 'first unit, 3x3' if plan.stride_first else 'last unit, 3x3'
  return NetworkSpec(
    name=name,
    build=functools.partial(resnet, plan=plan, scope=name),
    arg_scope=arg_scope,
    image_size=image_size,
    min_image_size=1,
    preprocessing=preprocessing,
    attention_points=sum(plan.units),
    stage_points=len(plan.units) - 1,
    inner_points=sum(plan.units),
    conv_points=sum(plan.units),
    strides=strides,
    labels_offset=labels_offset,
  )

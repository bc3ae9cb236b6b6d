"""MobileNet v1: alternating depthwise 3x3 and pointwise 1x1 convolutions.

MobileNets: efficient convolutional neural networks for mobile vision
applications, Howard et al., 2017: https://arxiv.org/abs/1704.04861
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from errors import UserError
from nets import heads, layers
from nets.attention.attend import BLOCK, STAGE, attend
from nets.spec import EndPoints, NetworkSpec
from nets.stochastic import dropout
from tf_compat import slim, tf

# (stride, channels) of each block, after a convolution of stride 2, depth 32.
BLOCKS = (
  (1, 64),
  (2, 128),
  (1, 128),
  (2, 256),
  (1, 256),
  (2, 512),
  *[(1, 512)] * 5,
  (2, 1024),
  (1, 1024),
)
STAGE_ENDS = [number for number, (stride, _) in enumerate(BLOCKS) if stride > 1]
LEAST_DEPTH = 8
# Name -> depth multiplier.
VARIANTS = {
  'mobilenet_v1': 1.0,
  'mobilenet_v1_075': 0.75,
  'mobilenet_v1_050': 0.5,
  'mobilenet_v1_025': 0.25,
}
OUTPUT_STRIDES = (8, 16, 32)


def block(
  net: tf.Tensor,
  number: int,
  depth: int,
  stride: int,
  rate: int,
  end_points: EndPoints,
) -> tf.Tensor:
  """attend(1x1(attend(depthwise 3x3(net))))."""
  name = f'Conv2d_{number}_depthwise'
  # With None for the number of outputs, slim omits the pointwise convolution,
  # which is a separate layer here, with its own norm and activation.
  net = layers.separable_conv2d(
    net, None, 3, depth_multiplier=1, stride=stride, rate=rate, scope=name
  )
  net = end_points[name] = attend(net, scope=f'{name}_{{tag}}')
  name = f'Conv2d_{number}_pointwise'
  net = layers.conv2d(net, depth, 1, scope=name)
  # A stage ends where the next block strides.
  points = (BLOCK, STAGE) if number in STAGE_ENDS else BLOCK
  net = attend(net, scope=f'{name}_{{tag}}', at=points)
  end_points[name] = net
  return net


def mobilenet_v1(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  depth_multiplier: float = 1.0,
  dropout_keep_prob: float = 0.999,
  output_stride: int | None = None,
  spatial_squeeze: bool = True,
  global_pool: bool | None = None,
  reuse: bool | None = None,
  scope: str = 'MobilenetV1',
) -> tuple[tf.Tensor, EndPoints]:
  """Builds a 3x3 convolution, separable blocks and the classifier.

  Args:
    images: [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the pooled features.
    is_training: whether dropout is active and batch norm uses the batch's
      statistics.
    depth_multiplier: factor of each layer's channels.
    dropout_keep_prob: probability that dropout keeps a feature in training.
    output_stride: ratio of image size to size of the last map, 8, 16 or 32;
      None is 32. A smaller one replaces strides by dilation.
    spatial_squeeze: whether to return logits [N, num_classes] instead of
      [N, 1, 1, num_classes].
    global_pool: whether to average over the full map instead of a 7x7 window;
      None does so only if the logits could not be squeezed otherwise.
    reuse: whether to reuse the variables created earlier under `scope`.
    scope: variable scope.

  Returns:
    Logits (or features) and the end points by name.

  Raises:
    UserError: if output_stride is not supported.
  """
  end_points = {}
  with (
    tf.variable_scope(scope, reuse=reuse),
    slim.arg_scope([slim.batch_norm, dropout], is_training=is_training),
  ):
    first = _depth(32, depth_multiplier)
    net = layers.conv2d(images, first, 3, 2, scope='Conv2d_0')
    end_points['Conv2d_0'] = net  # [N, H/2, W/2, 32]
    steps = _strides_and_rates(output_stride)
    for number, (_, depth) in enumerate(BLOCKS, start=1):
      depth = _depth(depth, depth_multiplier)
      net = block(net, number, depth, *next(steps), end_points)
    # [N, H/output_stride, W/output_stride, 1024]
    net, last = heads.window_pool_head(
      net,
      num_classes,
      dropout_keep_prob,
      global_pool=global_pool,
      spatial_squeeze=spatial_squeeze,
      scopes=('AvgPool_1a', 'Dropout_1b', 'Conv2d_1c_1x1'),
    )
  return net, {**end_points, **last}


def _depth(channels: int, multiplier: float) -> int:
  """Returns channels · multiplier, but at least LEAST_DEPTH."""
  return max(int(channels * multiplier), LEAST_DEPTH)


def _strides_and_rates(output_stride: int | None) -> Iterator[tuple[int, int]]:
  """Yields each block's (stride, dilation): dilates from output_stride on."""
  if output_stride not in (None, *OUTPUT_STRIDES):
    raise UserError(
      f'output_stride {output_stride} cannot be reached: take one of '
      f'{", ".join(map(str, OUTPUT_STRIDES))}, or None for 32.'
    )
  current, rate = 2, 1
  for stride, _ in BLOCKS:
    if current == output_stride:
      yield 1, rate
      rate *= stride
    else:
      yield stride, 1
      current *= stride


def mobilenet_v1_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: batch norm, relu6, L2 except on depthwise kernels."""
  with (
    slim.arg_scope(
      [layers.conv2d, layers.separable_conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.09),
      activation_fn=tf.nn.relu6,
      normalizer_fn=slim.batch_norm,
    ),
    slim.arg_scope(
      [slim.batch_norm], decay=0.9997, epsilon=0.001, scale=True, fused=True
    ),
    slim.arg_scope(
      [layers.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)
    ) as scope,
  ):
    return scope


def _network(name: str, depth_multiplier: float) -> NetworkSpec:
  """Returns the spec of a MobileNet v1."""
  return NetworkSpec(
    name=name,
    build=functools.partial(mobilenet_v1, depth_multiplier=depth_multiplier),
    arg_scope=mobilenet_v1_arg_scope,
    image_size=224,
    min_image_size=1,
    preprocessing='inception',
    attention_points=2 * len(BLOCKS),
    stage_points=len(STAGE_ENDS),
    labels_offset=0,
  )


NETWORKS = tuple(_network(*variant) for variant in VARIANTS.items())

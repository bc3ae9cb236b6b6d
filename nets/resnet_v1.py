"""ResNet v1: batch norm and relu after each convolution, relu after the sum.

Deep residual learning for image recognition, He et al., 2015:
https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from nets import layers, resnet
from nets.attention.attend import INNER, attend, batch_norm
from nets.stochastic import drop_path
from tf_compat import slim, tf


def project(net: tf.Tensor, depth: int, stride: int) -> tf.Tensor:
  """Returns the shortcut: net, with a 1x1 convolution if its depth differs."""
  if net.shape[-1] == depth:
    return resnet.subsample(net, stride)
  return layers.conv2d(
    net, depth, 1, stride, activation_fn=None, scope='shortcut'
  )


def basic(
  net: tf.Tensor,
  depth: int,
  step: resnet.Step,
  end_points: str,
  shortcut: Callable[..., tf.Tensor] = project,
) -> tf.Tensor:
  """relu(shortcut + attend(3x3(3x3(net))))."""
  with tf.variable_scope('basic_v1') as scope:
    residual = resnet.conv2d_same(
      net, depth, 3, step.stride, step.rate, scope='conv1'
    )
    residual = attend(residual, at=INNER)
    residual = layers.conv2d(
      residual,
      depth,
      3,
      rate=step.rate_after,
      activation_fn=None,
      normalizer_fn=batch_norm,
      scope='conv2',
    )
    net = shortcut(net, depth, step.stride) + drop_path(attend(residual))
    net = tf.nn.relu(net)
    return slim.utils.collect_named_outputs(end_points, scope.name, net)


def bottleneck(
  net: tf.Tensor,
  depth: int,
  step: resnet.Step,
  end_points: str,
  narrowing: int = 4,
  conv: Callable[..., tf.Tensor] | None = None,
  stride_1x1: bool = False,
) -> tf.Tensor:
  """relu(shortcut + attend(1x1(3x3(1x1(net))))); `conv` computes the 3x3.

  The 3x3 convolution strides, or with `stride_1x1` the one before it.
  """
  width = depth // narrowing
  strides, rate = (1, step.stride), step.rate
  if stride_1x1:
    strides, rate = (step.stride, 1), step.rate_after
  with tf.variable_scope('bottleneck_v1') as scope:
    shortcut = project(net, depth, step.stride)
    residual = layers.conv2d(net, width, 1, strides[0], scope='conv1')
    residual = resnet.conv2d_same(
      residual,
      width,
      3,
      strides[1],
      rate,
      conv,
      normalizer_fn=batch_norm,
      scope='conv2',
    )
    residual = attend(residual, at=INNER)
    residual = layers.conv2d(
      residual, depth, 1, activation_fn=None, scope='conv3'
    )
    net = tf.nn.relu(shortcut + drop_path(attend(residual)))
    return slim.utils.collect_named_outputs(end_points, scope.name, net)


def plan(layers: int, **options) -> resnet.Plan:
  """Returns a plan of basic units, or of bottlenecks from 50 layers on."""
  unit, depth = (basic, 64) if layers < 50 else (bottleneck, 256)
  return resnet.Plan(unit, resnet.UNITS[layers], depth, **options)


def plan_a(layers: int) -> resnet.Plan:
  """Returns the plan of the paper and of Keras."""
  unit = functools.partial(bottleneck, stride_1x1=True)
  return plan(layers, stride_first=True)._replace(unit=unit)


NETWORKS = (
  # TF-Slim published no checkpoints of these, so they stride in the first unit
  # as in the paper, with its 1.81 and 3.66 billion multiply-adds.
  *(
    resnet.network(f'resnet_v1_{layers}', plan(layers, stride_first=True))
    for layers in (18, 34)
  ),
  *(
    resnet.network(f'resnet_v1_{layers}', plan(layers), labels_offset=1)
    for layers in (50, 101, 152, 200)
  ),
  *(
    resnet.network(
      f'resnet_v1a_{layers}',
      plan_a(layers),
      labels_offset=1,
      strides='first unit, 1x1',
    )
    for layers in (50, 101, 152)
  ),
  # As in PyTorch's torchvision and timm, and in the code of the CBAM paper.
  *(
    resnet.network(
      f'resnet_v1b_{layers}',
      plan(layers, stride_first=True),
      preprocessing='imagenet',
      labels_offset=1,
    )
    for layers in (18, 34, 50, 101, 152)
  ),
)

"""ResNets for small images: a 3x3 root that does not stride.

The networks of 18, 34, 50, 101 and 152 layers have the blocks of the ImageNet
ResNets. The thin ones have 16, 32 and 64 channels and shortcuts without
parameters: section 4.2 of Deep residual learning for image recognition, He et
al., 2015: https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

import functools

from nets import resnet, resnet_v1
from nets.spec import NetworkSpec
from tf_compat import tf


def pad_depth(net: tf.Tensor, depth: int, stride: int) -> tf.Tensor:
  """Returns the paper's shortcut A: subsampled, padded with zero channels."""
  net = resnet.subsample(net, stride)
  if net.shape[-1] == depth:
    return net
  return tf.pad(net, [[0, 0], [0, 0], [0, 0], [0, depth - net.shape[-1]]])


def thin(layers: int) -> resnet.Plan:
  """Returns a plan of 6n + 2 layers: three blocks of n units of two layers."""
  return resnet.Plan(
    unit=functools.partial(resnet_v1.basic, shortcut=pad_depth),
    units=[(layers - 2) // 6] * 3,
    depth=16,
    root_depth=16,
    root_stride=1,
    stride_first=True,
  )


def _network(layers: int, plan: resnet.Plan) -> NetworkSpec:
  """Returns the spec of a ResNet for CIFAR."""
  return resnet.network(
    f'resnet_cifar_{layers}', plan, image_size=32, preprocessing='cifarnet'
  )


NETWORKS = (
  *(
    _network(layers, resnet_v1.plan(layers, root_stride=1, stride_first=True))
    for layers in (18, 34, 50, 101, 152)
  ),
  *(_network(layers, thin(layers)) for layers in (20, 32, 44, 56, 110)),
)

"""ResNets for small images: a 3x3 root that does not stride.

The deep ones have the blocks of ImageNet's. The thin ones, of 16, 32 and 64
channels and shortcuts without parameters, are those of section 4.2 of Deep
residual learning for image recognition, He et al., 2015:
https://arxiv.org/abs/1512.03385
"""

import functools

from nets import resnet, resnet_v1
from nets.network import Network
from tf_compat import tf


def pad_depth(net: tf.Tensor, depth: int, stride: int) -> tf.Tensor:
  """The paper's shortcut A: subsampled, then channels of zeros up to depth."""
  net = resnet.subsample(net, stride)
  if net.shape[-1] == depth:
    return net
  return tf.pad(net, [[0, 0], [0, 0], [0, 0], [0, depth - net.shape[-1]]])


def thin(layers: int) -> resnet.Plan:
  """6n + 2 layers: root, three blocks of n basic units, classifier."""
  return resnet.Plan(
    unit=functools.partial(resnet_v1.basic, shortcut=pad_depth),
    units=[(layers - 2) // 6] * 3,
    depth=16,
    root_depth=16,
    root_stride=1,
    stride_first=True,
  )


def _network(layers: int, plan: resnet.Plan) -> Network:
  """The record of the ResNet with so many layers, for CIFAR."""
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

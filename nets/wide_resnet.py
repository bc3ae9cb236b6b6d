"""Wide ResNets: fewer layers with more channels.

Wide residual networks, Zagoruyko and Komodakis, 2016:
https://arxiv.org/abs/1605.07146. ImageNet's 18 layers are those of the CBAM
paper, https://arxiv.org/abs/1807.06521, whose root keeps its 64 channels.
"""

from typing import Any

from nets import resnet, resnet_v1, resnet_v2
from tf_compat import slim


def wide_resnet_arg_scope(weight_decay: float) -> dict[str, Any]:
  """The ResNets' own; no convolution but the classifier has biases."""
  with (
    slim.arg_scope(resnet.resnet_arg_scope(weight_decay)),
    slim.arg_scope([slim.conv2d], biases_initializer=None) as scope,
  ):
    return scope


def _wide_18(depth: int) -> resnet.Plan:
  """ResNet v1 of 18 layers, with so many channels in its first block."""
  return resnet.Plan(
    resnet_v1.basic, resnet.UNITS[18], depth, stride_first=True
  )


WIDE_28_10 = resnet.Plan(
  unit=resnet_v2.basic,
  units=(4, 4, 4),
  depth=10 * 16,
  root_depth=16,
  root_stride=1,
  stride_first=True,
  preactivated=True,
)
NETWORKS = (
  resnet.network('wide_resnet_18_x1_5', _wide_18(96)),
  resnet.network('wide_resnet_18_x2', _wide_18(128)),
  resnet.network(
    'wide_resnet_28_10',
    WIDE_28_10,
    arg_scope=wide_resnet_arg_scope,
    image_size=32,
    preprocessing='cifarnet',
  ),
)

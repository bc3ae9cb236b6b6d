"""Wide ResNets: fewer layers with more channels.

Wide residual networks, Zagoruyko and Komodakis, 2016:
https://arxiv.org/abs/1605.07146. The 18-layer networks for ImageNet follow the
CBAM paper, https://arxiv.org/abs/1807.06521: their root is not widened.
"""

from __future__ import annotations

from typing import Any

from nets import layers, resnet, resnet_v1, resnet_v2
from tf_compat import slim


def wide_resnet_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns the ResNet arg scope without biases, except in the classifier."""
  with (
    slim.arg_scope(resnet.resnet_arg_scope(weight_decay)),
    slim.arg_scope([layers.conv2d], biases_initializer=None) as scope,
  ):
    return scope


def _wide_18(depth: int) -> resnet.Plan:
  """Returns the plan of an 18-layer ResNet v1 with a first block of `depth`."""
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

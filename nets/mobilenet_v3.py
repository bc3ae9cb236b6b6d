"""MobileNet v3, its minimalistic variants, and MobileNet EdgeTPU.

Searching for MobileNetV3, Howard et al., 2019:
https://arxiv.org/abs/1905.02244
"""

from __future__ import annotations

import functools
from typing import Any

from nets.mobilenet import (
  Block,
  attention_points,
  mobilenet,
  mobilenet_arg_scope,
)
from nets.spec import NetworkSpec
from tf_compat import tf


def hard_swish(net: tf.Tensor) -> tf.Tensor:
  """net · relu6(net + 3) / 6."""
  return net * tf.nn.relu6(net + 3.0) * (1 / 6)


def relu(net: tf.Tensor) -> tf.Tensor:
  """max(net, 0)."""
  return tf.nn.relu(net)


RE, HS = relu, hard_swish

# Tables 1 and 2 of the paper: expansion, depth, stride, kernel, activation,
# squeeze and excitation.
LARGE = (
  Block(1, 16, 1, 3, RE),
  Block(4, 24, 2, 3, RE),
  Block(3, 24, 1, 3, RE),
  Block(3, 40, 2, 5, RE, True),
  Block(3, 40, 1, 5, RE, True),
  Block(3, 40, 1, 5, RE, True),
  Block(6, 80, 2, 3, HS),
  Block(2.5, 80, 1, 3, HS),
  Block(2.3, 80, 1, 3, HS),
  Block(2.3, 80, 1, 3, HS),
  Block(6, 112, 1, 3, HS, True),
  Block(6, 112, 1, 3, HS, True),
  Block(6, 160, 2, 5, HS, True),
  Block(6, 160, 1, 5, HS, True),
  Block(6, 160, 1, 5, HS, True),
)
SMALL = (
  Block(1, 16, 2, 3, RE, True),
  Block(72 / 16, 24, 2, 3, RE),
  Block(88 / 24, 24, 1, 3, RE),
  Block(4, 40, 2, 5, HS, True),
  Block(6, 40, 1, 5, HS, True),
  Block(6, 40, 1, 5, HS, True),
  Block(3, 48, 1, 5, HS, True),
  Block(3, 48, 1, 5, HS, True),
  Block(6, 96, 2, 5, HS, True),
  Block(6, 96, 1, 5, HS, True),
  Block(6, 96, 1, 5, HS, True),
)

# On large maps, accelerators compute a full convolution faster than a depthwise
# one: https://ai.googleblog.com/2019/11/introducing-next-generation-on-device.html
_fused = functools.partial(Block, fused=True)
EDGETPU = (
  _fused(1, 16),
  _fused(8, 32, 2),
  *[_fused(4, 32)] * 3,
  _fused(8, 48, 2),
  *[_fused(4, 48)] * 3,
  Block(8, 96, 2),
  *[Block(4, 96)] * 3,
  Block(8, 96, residual=False),
  *[Block(4, 96)] * 3,
  Block(8, 160, 2, 5),
  *[Block(4, 160, 1, 5)] * 3,
  Block(8, 192),
)


def _minimalistic(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
  """Returns the blocks with relu, 3x3 kernels and no squeeze and excitation."""
  return tuple(
    block._replace(kernel=3, activation=RE, squeeze=False) for block in blocks
  )


_LARGE = {'stem': 16, 'top': 960, 'pooled': 1280, 'scope': 'MobilenetV3'}
_SMALL = {'stem': 16, 'top': 576, 'pooled': 1024, 'scope': 'MobilenetV3'}
_EDGETPU = {'stem': 32, 'top': 1280, 'scope': 'MobilenetEdgeTPU'}

VARIANTS: dict[str, dict[str, Any]] = {
  'mobilenet_v3_large': {'blocks': LARGE, 'activation': HS, **_LARGE},
  'mobilenet_v3_small': {'blocks': SMALL, 'activation': HS, **_SMALL},
  'mobilenet_v3_large_minimalistic': {
    'blocks': _minimalistic(LARGE),
    'activation': RE,
    **_LARGE,
  },
  'mobilenet_v3_small_minimalistic': {
    'blocks': _minimalistic(SMALL),
    'activation': RE,
    **_SMALL,
  },
  'mobilenet_edgetpu': {'blocks': EDGETPU, 'activation': RE, **_EDGETPU},
  'mobilenet_edgetpu_075': {
    'blocks': EDGETPU,
    'activation': RE,
    'depth_multiplier': 0.75,
    **_EDGETPU,
  },
}

NETWORKS = tuple(
  NetworkSpec(
    name=name,
    build=functools.partial(mobilenet, **variant),
    arg_scope=mobilenet_arg_scope,
    image_size=224,
    min_image_size=1,
    preprocessing='inception',
    **attention_points(variant['blocks']),
    labels_offset=0,
  )
  for name, variant in VARIANTS.items()
)

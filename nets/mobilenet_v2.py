"""MobileNet v2: inverted residuals with linear bottlenecks, relu6 inside.

MobileNetV2: inverted residuals and linear bottlenecks, Sandler et al., 2018:
https://arxiv.org/abs/1801.04381
"""

from __future__ import annotations

import functools

from nets.mobilenet import (
  Block,
  attention_points,
  mobilenet,
  mobilenet_arg_scope,
)
from nets.spec import NetworkSpec
from tf_compat import tf

# Table 2 of the paper: expansion, depth, repetitions, stride of the first one.
STAGES = (
  (1, 16, 1, 1),
  (6, 24, 2, 2),
  (6, 32, 3, 2),
  (6, 64, 4, 2),
  (6, 96, 3, 1),
  (6, 160, 3, 2),
  (6, 320, 1, 1),
)
BLOCKS = tuple(
  Block(expansion, depth, 1 if repetition else stride)
  for expansion, depth, repetitions, stride in STAGES
  for repetition in range(repetitions)
)


def relu6(net: tf.Tensor) -> tf.Tensor:
  """min(max(net, 0), 6)."""
  return tf.nn.relu6(net)


mobilenet_v2 = functools.partial(
  mobilenet,
  stem=32,
  blocks=BLOCKS,
  top=1280,
  activation=relu6,
  scope='MobilenetV2',
)


def _network(name: str, depth_multiplier: float) -> NetworkSpec:
  """Returns the spec of a MobileNet v2."""
  return NetworkSpec(
    name=name,
    build=functools.partial(mobilenet_v2, depth_multiplier=depth_multiplier),
    arg_scope=mobilenet_arg_scope,
    image_size=224,
    min_image_size=1,
    preprocessing='inception',
    **attention_points(BLOCKS),
    labels_offset=0,
  )


NETWORKS = (
  _network('mobilenet_v2', 1.0),
  _network('mobilenet_v2_140', 1.4),
  _network('mobilenet_v2_035', 0.35),
)

"""Efficient channel attention: each channel's gate from its neighbours' means.

ECA-Net: efficient channel attention for deep convolutional neural networks,
Wang et al., 2019: https://arxiv.org/abs/1910.03151
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, passes
from nets.attention.options import is_kernel_size, shapes_of
from registry import Rule
from tf_compat import tf

# The paper's mapping of channels to kernel size.
GAMMA, B = 2, 1

AdaptiveSize = Annotated[
  int | str,
  Rule(
    "an odd whole number from 1, or 'adaptive' to follow the channels",
    lambda v: v == 'adaptive' or is_kernel_size(v),
  ),
]


def eca_block(
  net: tf.Tensor, *, kernel_size: AdaptiveSize = 'adaptive'
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """Scales net by sigmoid(convolution of mean(net) along the channels)."""
  net, (mean,) = passes.pool(net, passes.SPACE, ['avg'])
  if kernel_size == 'adaptive':
    kernel_size = adaptive_size(net.shape[-1])
  scores = layers.channel_conv(mean, kernel_size, scope='neighbours')
  gate = tf.sigmoid(scores, name='gate')  # [N, 1, 1, C]
  return passes.scale_channels(net, gate), (gate,)


def adaptive_size(channels: int) -> int:
  """(log2(C) + b) / γ, cut to a whole number, and one more if that is even."""
  size = int((math.log2(channels) + B) / GAMMA)
  return size + 1 - size % 2


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """The options behind a checkpoint's variables; None if not of ECA.

  Kernels of one size fit that size; those of several followed the channels.
  """
  kernels = shapes_of(shapes, 'neighbours/kernel')
  if not kernels:
    return None
  sizes = {shape[0] for shape in kernels}
  return {'kernel_size': sizes.pop()} if len(sizes) == 1 else {}

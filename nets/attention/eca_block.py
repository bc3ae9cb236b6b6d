"""Efficient channel attention: gates from the means of neighboring channels.

ECA-Net: efficient channel attention for deep convolutional neural networks,
Wang et al., 2019: https://arxiv.org/abs/1910.03151
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers, memory_ops
from nets.attention.options import is_kernel_size, shapes_of
from registry import Rule
from tf_compat import tf

# Constants of the paper's mapping from channels to kernel size.
GAMMA, B = 2, 1

AdaptiveSize = Annotated[
  int | str,
  Rule(
    "an odd whole number from 1, or 'adaptive' to derive it from the channels",
    lambda v: v == 'adaptive' or is_kernel_size(v),
  ),
]
StageSizes = Annotated[
  int | str | tuple,
  Rule(
    "an odd whole number from 1, a tuple of them for the network's stages, or "
    "'adaptive' to derive it from the channels",
    lambda v: (
      all(map(is_kernel_size, v)) and bool(v)
      if isinstance(v, tuple | list)
      else v == 'adaptive' or is_kernel_size(v)
    ),
    lambda v: tuple(v) if isinstance(v, list) else v,
  ),
]


def eca_block(
  net: tf.Tensor, *, kernel_size: StageSizes = 'adaptive'
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """net · sigmoid(convolution of mean(net) along the channels).

  A tuple of kernel sizes has one for each stage of the network; its last one is
  that of all further stages.
  """
  net, (mean,) = memory_ops.pool(net, memory_ops.SPACE, ['avg'])
  if isinstance(kernel_size, tuple):
    kernel_size = kernel_size[min(layers.stage(), len(kernel_size)) - 1]
  size = (
    kernel_size
    if isinstance(kernel_size, int)
    else adaptive_size(net.shape[-1])
  )
  scores = layers.channel_conv(mean, size, scope='neighbours')
  gate = tf.sigmoid(scores, name='gate')  # [N, 1, 1, C]
  return memory_ops.scale(net, gate), (gate,)


def adaptive_size(channels: int) -> int:
  """⌊(log2(C) + b) / γ⌋, plus one if that is even."""
  size = int((math.log2(channels) + B) / GAMMA)
  return size + 1 - size % 2


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not ECA's.

  Kernels of different sizes mean an adaptive size. They may also be those of
  stages, but the variables do not tell where a stage ends.
  """
  kernels = shapes_of(shapes, 'neighbours/kernel')
  if not kernels:
    return None
  sizes = {shape[0] for shape in kernels}
  return {'kernel_size': sizes.pop()} if len(sizes) == 1 else {}

"""Mixed local channel attention: gates from the means of a few map sections.

Mixed local channel attention for object detection, Wan et al., 2023:
https://doi.org/10.1016/j.engappai.2023.106442
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from nets.attention import layers
from nets.attention.eca_block import AdaptiveSize, adaptive_size
from nets.attention.options import is_number, shapes_of
from registry import PositiveInt, Rule
from tf_compat import tf

Share = Annotated[
  float,
  Rule(
    'a number from 0 to 1',
    lambda v: is_number(v) and 0 <= v <= 1,
  ),
]


def mlca_block(
  net: tf.Tensor,
  *,
  local_size: PositiveInt = 5,
  kernel_size: AdaptiveSize = 'adaptive',
  local_weight: Share = 0.5,
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """net · unpool(w · σ(K_l * sections) + (1 - w) · σ(K_g * mean(sections))).

  Sections are the means of local_size x local_size parts of net. K_g covers
  neighboring channels; K_l covers the sections' values in one line, all
  channels of a section before those of the next, as in the authors' code.
  """
  channels = net.shape[-1]
  size = (
    kernel_size if isinstance(kernel_size, int) else adaptive_size(channels)
  )
  height, width = layers.side(net, 1), layers.side(net, 2)
  sections = _resize(net, local_size, local_size)
  line = tf.reshape(sections, [-1, 1, 1, local_size**2 * channels])
  scores = layers.channel_conv(line, size, scope='conv_local')
  local = tf.reshape(tf.sigmoid(scores), [-1, local_size, local_size, channels])
  mean = tf.reduce_mean(sections, [1, 2], keepdims=True)
  whole = tf.sigmoid(layers.channel_conv(mean, size, scope='conv'))
  mixed = local_weight * local + (1 - local_weight) * whole
  gate = tf.identity(_resize(mixed, height, width), name='gate')
  return net * gate, (gate,)


def _resize(
  net: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor
) -> tf.Tensor:
  """Returns the means of height x width sections, which may overlap.

  Section i of n covers the positions from ⌊i · L / n⌋ to ⌈(i + 1) · L / n⌉, as
  in PyTorch's adaptive pooling; with more sections than positions, it enlarges.
  """
  rows = _shares(layers.side(net, 1), height, net.dtype)
  columns = _shares(layers.side(net, 2), width, net.dtype)
  net = tf.einsum('ih,nhwc->niwc', rows, net)
  return tf.einsum('jw,niwc->nijc', columns, net)


def _shares(
  inputs: int | tf.Tensor, outputs: int | tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
  """Returns the share of each position in each section, [outputs, inputs]."""
  static = isinstance(inputs, int) and isinstance(outputs, int)
  arange: Any = np.arange if static else tf.range
  section = arange(outputs)[:, None]
  begin = section * inputs // outputs
  end = -(-(section + 1) * inputs // outputs)
  position = arange(inputs)[None]
  inside = (position >= begin) & (position < end)
  if static:
    return tf.constant(inside / (end - begin), dtype)
  return tf.cast(inside, dtype) / tf.cast(end - begin, dtype)


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None if not MLCA's.

  Kernels of different sizes mean an adaptive size.
  """
  sizes = {shape[0] for shape in shapes_of(shapes, 'conv_local/kernel')}
  if not sizes:
    return None
  return {'kernel_size': sizes.pop()} if len(sizes) == 1 else {}

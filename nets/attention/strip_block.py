"""Strip attention: a factor per value from a long row, then a long column.

Strip R-CNN: large strip convolution for remote sensing object detection, Yuan
et al., 2025: https://arxiv.org/abs/2501.03775
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nets.attention import layers
from nets.attention.options import KernelSize, Switch, shapes_of
from registry import one_of
from tf_compat import tf


def strip_block(
  net: tf.Tensor,
  *,
  kernel_size: KernelSize = 19,
  thickness: KernelSize = 1,
  gate: Annotated[str, one_of('linear', 'sigmoid')] = 'linear',
  projections: Switch = False,
) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
  """net · (W · (column * (row * (5x5 * net))) + b), convolving each channel.

  The factor is not bounded, unless gate='sigmoid'. With projections=True it is
  the whole unit of the paper: net + W2 · strip(gelu(W1 · net + b1)) + b2.
  """
  if not projections:
    factor = _factor(net, kernel_size, thickness, gate)
    return net * factor, (factor,)
  channels = net.shape[-1]
  inner = layers.conv2d(net, channels, 1, scope='proj_1', bias=True)
  inner *= (1 + tf.math.erf(inner / 2**0.5)) / 2  # gelu
  factor = _factor(inner, kernel_size, thickness, gate)
  inner = layers.conv2d(inner * factor, channels, 1, scope='proj_2', bias=True)
  return net + inner, (factor,)


def _factor(
  net: tf.Tensor, length: int, thickness: int, gate: str
) -> tf.Tensor:
  """Adds depthwise 5x5, thickness x length and its transpose, then 1x1."""
  for scope, size in (
    ('conv0', (5, 5)),
    ('conv_spatial1', (thickness, length)),
    ('conv_spatial2', (length, thickness)),
  ):
    net = layers.depthwise_conv2d(net, size, scope=scope, bias=True)
  scores = layers.conv2d(net, net.shape[-1], 1, scope='conv1', bias=True)
  activation = tf.sigmoid if gate == 'sigmoid' else tf.identity
  return activation(scores, name='gate')  # [N, H, W, C]


def options_of(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
  """Returns the options for a checkpoint's variables; None for others."""
  sizes = {tuple(s[:2]) for s in shapes_of(shapes, 'conv_spatial1/kernel')}
  if not sizes:
    return None
  thickness, length = sizes.pop() if len(sizes) == 1 else (None, None)
  return {
    'kernel_size': length,
    'thickness': thickness,
    'projections': bool(shapes_of(shapes, 'proj_1/kernel')),
  }

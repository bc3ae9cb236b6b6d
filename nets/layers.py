"""Slim's convolutions and poolings, with a choice of what SAME padding means.

TensorFlow's SAME pads strided layers as little as possible, and an odd number
of pixels unequally: one more at the bottom and right. PyTorch, and Keras in its
ResNets, pad a kernel of k pixels by (k - 1) / 2 on every side. Their weights
would compute something else with TensorFlow's padding.

The argument `pads` says what SAME means:
  same: TensorFlow's padding. Poolings ignore it.
  symmetric: zeros on every side of a strided layer. Average pooling counts them,
    and after a relu max pooling ignores them.
  zero_pool: TensorFlow's, but poolings with a stride take its pixels as zeros, as
    in Keras' NASNets.
  zero_avg_pool: the same for average pooling alone, as in timm's NASNet.

get_network_fn sets `pads` for all layers of a network.
"""

from __future__ import annotations

from collections.abc import Sequence

from errors import UserError
from tf_compat import add_arg_scope, slim, tf

# Values of get_network_fn's argument `padding` and of --padding.
PADDINGS = ('same', 'symmetric', 'zero_pool', 'zero_avg_pool')


@add_arg_scope
def conv2d(
  net: tf.Tensor,
  num_outputs: int,
  kernel_size: int | Sequence[int],
  stride: int = 1,
  padding: str = 'SAME',
  rate: int = 1,
  pads: str = 'same',
  **kwargs,
) -> tf.Tensor:
  """Adds slim.conv2d, which takes the other arguments."""
  if pads == 'symmetric':
    net, padding = pad_conv(net, kernel_size, stride, padding, rate)
  return slim.conv2d(
    net, num_outputs, kernel_size, stride, padding, rate=rate, **kwargs
  )


@add_arg_scope
def separable_conv2d(
  net: tf.Tensor,
  num_outputs: int | None,
  kernel_size: int | Sequence[int],
  depth_multiplier: int = 1,
  stride: int = 1,
  padding: str = 'SAME',
  rate: int = 1,
  pads: str = 'same',
  **kwargs,
) -> tf.Tensor:
  """Adds slim.separable_conv2d, which takes the other arguments."""
  if pads == 'symmetric':
    net, padding = pad_conv(net, kernel_size, stride, padding, rate)
  return slim.separable_conv2d(
    net,
    num_outputs,
    kernel_size,
    depth_multiplier,
    stride,
    padding,
    rate=rate,
    **kwargs,
  )


@add_arg_scope
def max_pool2d(
  net: tf.Tensor,
  kernel_size: int | Sequence[int],
  stride: int = 2,
  padding: str = 'VALID',
  pads: str = 'same',
  **kwargs,
) -> tf.Tensor:
  """Adds slim.max_pool2d, which takes the other arguments."""
  if pads != 'zero_avg_pool':
    net, padding = _pad_pool(net, kernel_size, stride, padding, pads)
  return slim.max_pool2d(net, kernel_size, stride, padding, **kwargs)


@add_arg_scope
def avg_pool2d(
  net: tf.Tensor,
  kernel_size: int | Sequence[int],
  stride: int = 2,
  padding: str = 'VALID',
  pads: str = 'same',
  **kwargs,
) -> tf.Tensor:
  """Adds slim.avg_pool2d, which takes the other arguments."""
  net, padding = _pad_pool(net, kernel_size, stride, padding, pads)
  return slim.avg_pool2d(net, kernel_size, stride, padding, **kwargs)


LAYERS = (conv2d, separable_conv2d, max_pool2d, avg_pool2d)


def pad_conv(
  net: tf.Tensor,
  kernel_size: int | Sequence[int],
  stride: int,
  padding: str,
  rate: int,
) -> tuple[tf.Tensor, str]:
  """Pads for a convolution, unless its SAME padding is symmetric anyway.

  Args:
    net: feature map, [N, H, W, C].
    kernel_size: height and width of the kernel.
    stride: stride of the kernel.
    padding: 'SAME' or 'VALID'.
    rate: dilation of the kernel.

  Returns:
    The map, and the padding to convolve it with.
  """
  sides = slim.utils.two_element_tuple(kernel_size)
  if stride == 1 and all(side % 2 for side in sides):
    return net, padding
  return _pad(net, kernel_size, padding, rate)


def _pad_pool(
  net: tf.Tensor,
  kernel_size: int | Sequence[int],
  stride: int,
  padding: str,
  pads: str,
) -> tuple[tf.Tensor, str]:
  """Replaces SAME padding by zeros that count, as `pads` says."""
  if pads == 'symmetric':
    return _pad(net, kernel_size, padding)
  if pads == 'same' or padding != 'SAME' or stride == 1:
    return net, padding
  margins = []
  sides = slim.utils.two_element_tuple(kernel_size)
  for side, size in zip(sides, net.shape[1:3], strict=True):
    both = max((-(-size // stride) - 1) * stride + side - size, 0)
    margins.append([both // 2, both - both // 2])
  return tf.pad(net, [[0, 0], *margins, [0, 0]]), 'VALID'


def _pad(
  net: tf.Tensor,
  kernel_size: int | Sequence[int],
  padding: str,
  rate: int = 1,
) -> tuple[tf.Tensor, str]:
  """Replaces SAME padding by rate · ((k - 1) // 2) zeros on every side."""
  if padding != 'SAME':
    return net, padding
  sides = slim.utils.two_element_tuple(kernel_size)
  margins = [rate * ((side - 1) // 2) for side in sides]
  for side, margin, size in zip(sides, margins, net.shape[1:3], strict=True):
    if size is not None and size + 2 * margin <= rate * (side - 1):
      raise UserError(
        f'Images are too small for symmetric padding: a map of {size} pixels '
        f"meets a window of {side}. Take larger images, or padding 'same'."
      )
  if any(margins):
    net = tf.pad(net, [[0, 0], *([margin] * 2 for margin in margins), [0, 0]])
  return net, 'VALID'

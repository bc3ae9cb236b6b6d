"""Pixel operations of RandAugment and AutoAugment (auto_augment.py).

https://arxiv.org/abs/1805.09501, table 6, with the arithmetic of Pillow. All
images are uint8 [H, W, C], C 1 or 3.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from tf_compat import tf

FILL = 128.0  # color outside the image
LUMA = 19595, 38470, 7471  # Pillow's weights of R, G and B, times 65536


def identity(image: tf.Tensor) -> tf.Tensor:
  """Returns the image."""
  return image


def invert(image: tf.Tensor) -> tf.Tensor:
  """255 - image."""
  return 255 - image


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
  """255 - image where image >= threshold."""
  below = tf.cast(image, tf.float32) < threshold
  return tf.where(below, image, invert(image))


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
  """Keeps the highest `bits`, an int32 scalar, of each value."""
  step = tf.bitwise.left_shift(1, 8 - bits)
  values = tf.cast(image, tf.int32)
  return tf.cast(values // step * step, tf.uint8)


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """clip(factor * image)."""
  return _blend(tf.zeros_like(image), image, factor)


def color(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """luma + factor * (image - luma)."""
  return _blend(_luma(image), image, factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """mean + factor * (image - mean), with the mean of the luma."""
  mean = tf.reduce_mean(tf.cast(_luma(image), tf.float32))
  return _blend(tf.floor(mean + 0.5), image, factor)


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """smooth + factor * (image - smooth); at the edges, smooth = image."""
  kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
  kernel = tf.tile(
    kernel[:, :, tf.newaxis, tf.newaxis], [1, 1, image.shape[2], 1]
  )
  values = tf.cast(image, tf.float32)
  # Padded, since an image may be one pixel high.
  smooth = tf.nn.depthwise_conv2d(
    values[tf.newaxis], kernel, [1, 1, 1, 1], 'SAME'
  )[0]
  smooth = tf.where_v2(_is_inner(values), tf.floor(smooth + 0.5), values)
  return _blend(smooth, image, factor)


def _is_inner(image: tf.Tensor) -> tf.Tensor:
  """Whether each pixel has neighbors on all sides, [H, W, 1]."""
  height, width = tf.unstack(tf.shape(image)[:2])
  rows, columns = tf.range(height), tf.range(width)
  return tf.logical_and(
    ((rows > 0) & (rows < height - 1))[:, tf.newaxis, tf.newaxis],
    ((columns > 0) & (columns < width - 1))[:, tf.newaxis],
  )


def autocontrast(image: tf.Tensor) -> tf.Tensor:
  """(image - min) * 255 / (max - min), for each channel."""
  values = tf.cast(image, tf.float32)
  low, high = tf.reduce_min(values, [0, 1]), tf.reduce_max(values, [0, 1])
  scale = 255 / tf.maximum(high - low, 1)
  # Pillow rounds down; 1e-4 keeps rounding errors from losing a level.
  stretched = tf.floor((values - low) * scale + 1e-4)
  flat = tf.broadcast_to(high <= low, tf.shape(image))
  return tf.where(flat, image, tf.cast(stretched, tf.uint8))


def equalize(image: tf.Tensor) -> tf.Tensor:
  """Equalizes the histogram of each channel."""
  channels = tf.unstack(tf.cast(image, tf.int32), axis=2)
  return tf.stack([_equalize(channel) for channel in channels], 2)


def rotate(image: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
  """Rotates the image counterclockwise around its center."""
  height, width = _size(image)
  angle = degrees * (math.pi / 180)
  cos, sin = tf.cos(angle), tf.sin(angle)
  x, y = width / 2, height / 2
  return _transform(
    image, [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y]
  )


def shear_x(image: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
  """image[y, x + slope * y]."""
  return _transform(image, [1.0, slope, 0.0, 0.0, 1.0, 0.0])


def shear_y(image: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
  """image[y + slope * x, x]."""
  return _transform(image, [1.0, 0.0, 0.0, slope, 1.0, 0.0])


def translate_x(image: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
  """image[y, x + part * width]."""
  return _transform(image, [1.0, 0.0, part * _size(image)[1], 0.0, 1.0, 0.0])


def translate_y(image: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
  """image[y + part * height, x]."""
  return _transform(image, [1.0, 0.0, 0.0, 0.0, 1.0, part * _size(image)[0]])


@dataclasses.dataclass(frozen=True)
class PixelOp:
  """A pixel operation as a function of its strength.

  Attributes:
    name: the operation's name in SUB_POLICIES.
    apply: function(image, level in [0, 1], sign -1 or 1) -> image.
  """

  name: str
  apply: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def _plain(function: Callable) -> PixelOp:
  """Returns an operation without strength."""
  return PixelOp(function.__name__, lambda image, level, sign: function(image))


def _signed(function: Callable, most: float, neutral: float = 0.0) -> PixelOp:
  """Returns function(image, neutral ± level * most)."""
  return PixelOp(
    function.__name__,
    lambda image, level, sign: function(image, neutral + sign * level * most),
  )


# RandAugment draws from all but the last.
PIXEL_OPS = (
  _plain(identity),
  _plain(autocontrast),
  _plain(equalize),
  _signed(rotate, 30.0),
  PixelOp(
    'solarize', lambda image, level, _: solarize(image, 256 - level * 256)
  ),
  PixelOp(
    'posterize',
    lambda image, level, _: posterize(
      image, 8 - tf.cast(tf.round(level * 4), tf.int32)
    ),
  ),
  _signed(color, 0.9, neutral=1.0),
  _signed(contrast, 0.9, neutral=1.0),
  _signed(brightness, 0.9, neutral=1.0),
  _signed(sharpness, 0.9, neutral=1.0),
  _signed(shear_x, 0.3),
  _signed(shear_y, 0.3),
  _signed(translate_x, 0.45),
  _signed(translate_y, 0.45),
  _plain(invert),
)


def _blend(start: tf.Tensor, image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """start + factor * (image - start), clipped and truncated to uint8."""
  start, end = tf.cast(start, tf.float32), tf.cast(image, tf.float32)
  return tf.cast(
    tf.clip_by_value(start + factor * (end - start), 0.0, 255.0), tf.uint8
  )


def _luma(image: tf.Tensor) -> tf.Tensor:
  """Returns the luma [H, W, 1], rounded as Pillow does."""
  if image.shape[2] == 1:
    return image
  luma = tf.reduce_sum(tf.cast(image, tf.int32) * LUMA, 2, keepdims=True)
  return tf.cast(tf.bitwise.right_shift(luma + 32768, 16), tf.uint8)


def _equalize(channel: tf.Tensor) -> tf.Tensor:
  """Maps a channel, int32 [H, W], through its cumulative histogram."""
  counts = tf.math.bincount(tf.reshape(channel, [-1]), minlength=256)
  last = counts[tf.reduce_max(channel)]
  step = (tf.reduce_sum(counts) - last) // 255
  before = tf.cumsum(counts, exclusive=True)
  table = tf.minimum((before + step // 2) // tf.maximum(step, 1), 255)
  table = tf.where(tf.fill([256], step > 0), table, tf.range(256))
  return tf.cast(tf.gather(table, channel), tf.uint8)


def _size(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns height and width as float32."""
  size = tf.cast(tf.shape(image), tf.float32)
  return size[0], size[1]


def _transform(image: tf.Tensor, affine: list) -> tf.Tensor:
  """image[d x + e y + f, a x + b y + c] at each pixel's center (x, y)."""
  a, b, c, d, e, f = affine
  # TensorFlow's origin is the center of the first pixel, Pillow's its corner.
  c, f = c + (a + b - 1) / 2, f + (d + e - 1) / 2
  transform = tf.stack([a, b, c, d, e, f, 0.0, 0.0])
  transformed = tf.raw_ops.ImageProjectiveTransformV3(
    images=image[tf.newaxis],
    transforms=transform[tf.newaxis],
    output_shape=tf.shape(image)[:2],
    fill_value=FILL,
    interpolation='NEAREST',
  )[0]
  transformed.set_shape(image.shape)
  return transformed

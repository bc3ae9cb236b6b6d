"""Decoding of JPEG, PNG, GIF and BMP images, or of only a crop of a JPEG.

The bytes decide the format: the format that a record names is often wrong for
photos from the web.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

from tf_compat import tf

Change: TypeAlias = 'Callable[[tf.Tensor], tf.Tensor]'

# A JPEG stores color at half the resolution, and decoding interpolates it
# between neighbors. Without neighbors, the pixels at a window's edges would
# differ from those of the full image. A neighbor is two pixels wide.
MARGIN = 2


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
  """Decodes an image, or the first frame of an animation.

  Args:
    encoded: the image's bytes, a scalar.
    channels: 1 for luma, 3 for color.

  Returns:
    uint8 [H, W, channels].

  Raises:
    InvalidArgumentError: in the session, if the bytes are not a complete image.
  """
  return tf.cond(
    _is_gif_or_bmp(encoded),
    lambda: _decode_gif_or_bmp(encoded, channels),
    lambda: _decode(encoded, channels),
  )


def _unchanged(pixels: tf.Tensor) -> tf.Tensor:
  """Returns the pixels."""
  return pixels


class Image:
  """An image from which a preprocessing reads all pixels or a crop.

  Args:
    pixels: uint8 [H, W, C], C known.
    change: function applied to the pixels that are read.
  """

  def __init__(self, pixels: tf.Tensor | None, change: Change = _unchanged):
    self._pixels = pixels
    self._change = change

  @property
  def size(self) -> tf.Tensor:
    """Height and width, int32 [2]."""
    return tf.shape(self._pixels)[:2]

  def pixels(self) -> tf.Tensor:
    """Returns all pixels [H, W, C]."""
    return self._change(self._pixels)

  def crop(self, window: tf.Tensor, smooth: bool = True) -> tf.Tensor:
    """Returns the pixels inside a window, [height, width, C].

    Args:
      window: top, left, height and width, int32 [4].
      smooth: whether to interpolate the color of a JPEG, which is stored at
        half the resolution; False saves a tenth of the time.
    """
    del smooth
    return self._change(crop(self._pixels, window))


class EncodedImage(Image):
  """An encoded image; of a JPEG, only the crop that is read is decoded.

  Args:
    encoded: the image's bytes, a scalar. The session raises
      InvalidArgumentError if they are not a complete image.
    channels: channels to decode to: 1 for luma, 3 for color.
    change: function applied to the pixels that are read.
  """

  def __init__(
    self, encoded: tf.Tensor, channels: int, change: Change = _unchanged
  ):
    super().__init__(None, change)
    self._encoded = encoded
    self._channels = channels

  @property
  def size(self) -> tf.Tensor:
    return self._size_and_pixels[0]

  def pixels(self) -> tf.Tensor:
    return self._change(decode(self._encoded, self._channels))

  def crop(self, window: tf.Tensor, smooth: bool = True) -> tf.Tensor:
    _, decoded = self._size_and_pixels
    pixels = tf.cond(
      tf.image.is_jpeg(self._encoded),
      lambda: self._crop_while_decoding(window, smooth),
      lambda: crop(decoded, window),
    )
    pixels.set_shape([None, None, self._channels])
    return self._change(pixels)

  @functools.cached_property
  def _size_and_pixels(self) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width, and all pixels, which are left empty for a JPEG."""

    def read_jpeg():
      size = tf.image.extract_jpeg_shape(self._encoded)[:2]
      return size, tf.zeros([0, 0, self._channels], tf.uint8)

    def read_other():
      pixels = decode(self._encoded, self._channels)
      return tf.shape(pixels)[:2], pixels

    return tf.cond(tf.image.is_jpeg(self._encoded), read_jpeg, read_other)

  def _crop_while_decoding(self, window: tf.Tensor, smooth: bool) -> tf.Tensor:
    """Decodes only the part of a JPEG inside a window [4]."""
    if not smooth:
      return tf.image.decode_and_crop_jpeg(
        self._encoded, window, channels=self._channels, fancy_upscaling=False
      )
    outer, inner = _with_margin(window, self.size)
    pixels = tf.image.decode_and_crop_jpeg(
      self._encoded, outer, channels=self._channels
    )
    return crop(pixels, inner)


def crop(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  """Crops an image [H, W, C] to a window [4]: top, left, height and width."""
  top, left, height, width = tf.unstack(window)
  return tf.slice(image, [top, left, 0], [height, width, image.shape[2]])


def crop_or_pad(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """tf.image.resize_with_crop_or_pad of an image [H, W, C], in fewer ops."""
  size, target = tf.shape(image)[:2], tf.constant([height, width])
  cropped = tf.minimum(size, target)
  top, left = tf.unstack(tf.maximum((size - target) // 2, 0))
  image = crop(image, tf.stack([top, left, cropped[0], cropped[1]]))
  before = tf.maximum((target - size) // 2, 0)
  margins = tf.stack([before, target - cropped - before], 1)
  padded = tf.pad(image, tf.concat([margins, [[0, 0]]], 0))
  return tf.ensure_shape(padded, [height, width, image.shape[2]])


def _with_margin(
  window: tf.Tensor, size: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the window extended by MARGIN, and the window relative to that."""
  begin = tf.maximum(window[:2] - MARGIN, 0)
  end = tf.minimum(window[:2] + window[2:] + MARGIN, size)
  outer = tf.concat([begin, end - begin], 0)
  return outer, tf.concat([window[:2] - begin, window[2:]], 0)


def _is_gif_or_bmp(encoded: tf.Tensor) -> tf.Tensor:
  """Whether the bytes start like a GIF or a BMP."""
  start = tf.strings.substr(encoded, 0, 2)
  return tf.logical_or(tf.equal(start, b'GI'), tf.equal(start, b'BM'))


def _decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
  """Decodes an image whose decoder converts to any number of channels."""
  return tf.image.decode_image(encoded, channels, expand_animations=False)


def _decode_gif_or_bmp(encoded: tf.Tensor, channels: int) -> tf.Tensor:
  """Decodes an image whose decoder returns only the file's own channels."""
  image = _decode(encoded, 0)[:, :, :3]
  color = tf.cond(
    tf.equal(tf.shape(image)[2], 1),
    lambda: tf.tile(image, [1, 1, 3]),
    lambda: image,
  )
  color.set_shape([None, None, 3])
  return color if channels == 3 else tf.image.rgb_to_grayscale(color)

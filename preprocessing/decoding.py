"""Encoded bytes to pixels: JPEG, PNG, GIF or BMP, as the bytes themselves say.

Records name a format too, but photos on the web lie about theirs.
"""

from collections.abc import Callable

from tf_compat import tf

# Color is stored at half the resolution, and smoothed between neighbors when
# it is enlarged: without neighbors, the pixels at a window's edges would differ
# from those of the whole image. A neighbor is two pixels wide.
MARGIN = 2


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
  """Pixels uint8 [H, W, channels]; the first frame of an animation.

  Args:
    encoded: a scalar of bytes.
    channels: 1 for luma, 3 for color.

  Raises:
    InvalidArgumentError: in the session, if the bytes are no whole image.
  """
  return tf.cond(
    _is_gif_or_bmp(encoded),
    lambda: _decode_gif_or_bmp(encoded, channels),
    lambda: _decode(encoded, channels),
  )


def decode_window(
  encoded: tf.Tensor,
  channels: int,
  window: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
  """crop(decode(encoded), window(size)); a JPEG's other blocks are not decoded.

  Args:
    encoded: a scalar of bytes.
    channels: 1 for luma, 3 for color.
    window: gives top, left, height and width [4] of size [2].

  Raises:
    InvalidArgumentError: in the session, if the bytes are no whole image.
  """

  def while_decoding():
    size = tf.image.extract_jpeg_shape(encoded)[:2]
    outer, inner = _with_margin(window(size), size)
    image = tf.image.decode_and_crop_jpeg(encoded, outer, channels=channels)
    return crop(image, inner)

  def after_decoding():
    image = decode(encoded, channels)
    return crop(image, window(tf.shape(image)[:2]))

  is_jpeg = tf.image.is_jpeg(encoded)
  image = tf.cond(is_jpeg, while_decoding, after_decoding)
  image.set_shape([None, None, channels])
  return image


def crop(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  """The part of an image [H, W, C] that starts and extends as window [4]."""
  top, left, height, width = tf.unstack(window)
  return tf.slice(image, [top, left, 0], [height, width, image.shape[2]])


def crop_or_pad(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """tf.image.resize_with_crop_or_pad of an image [H, W, C], in fewer steps."""
  size, target = tf.shape(image)[:2], tf.constant([height, width])
  kept = tf.minimum(size, target)
  top, left = tf.unstack(tf.maximum((size - target) // 2, 0))
  image = crop(image, tf.stack([top, left, kept[0], kept[1]]))
  before = tf.maximum((target - size) // 2, 0)
  margins = tf.stack([before, target - kept - before], 1)
  return tf.pad(image, tf.concat([margins, [[0, 0]]], 0))


def _with_margin(
  window: tf.Tensor, size: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """(The window grown by MARGIN where the image allows, the window in it)."""
  begin = tf.maximum(window[:2] - MARGIN, 0)
  end = tf.minimum(window[:2] + window[2:] + MARGIN, size)
  outer = tf.concat([begin, end - begin], 0)
  return outer, tf.concat([window[:2] - begin, window[2:]], 0)


def _is_gif_or_bmp(encoded: tf.Tensor) -> tf.Tensor:
  """Whether the bytes start as those of a GIF or a BMP."""
  start = tf.strings.substr(encoded, 0, 2)
  return tf.logical_or(tf.equal(start, b'GI'), tf.equal(start, b'BM'))


def _decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
  return tf.image.decode_image(encoded, channels, expand_animations=False)


def _decode_gif_or_bmp(encoded: tf.Tensor, channels: int) -> tf.Tensor:
  """As `decode`: these decoders give only the channels that the file has."""
  image = _decode(encoded, 0)[:, :, :3]
  color = tf.cond(
    tf.equal(tf.shape(image)[2], 1),
    lambda: tf.tile(image, [1, 1, 3]),
    lambda: image,
  )
  color.set_shape([None, None, 3])
  return color if channels == 3 else tf.image.rgb_to_grayscale(color)

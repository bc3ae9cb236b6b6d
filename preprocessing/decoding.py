"""Encoded bytes to pixels: JPEG, PNG, GIF or BMP, as the bytes themselves say.

Records name a format too, but photos on the web lie about theirs.
"""

import functools
from collections.abc import Callable

from tf_compat import tf

Change = Callable[[tf.Tensor], tf.Tensor]

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


class Image:
  """Pixels [H, W, C], of which a recipe takes what it needs.

  Args:
    pixels: uint8 [H, W, C], C known.
    change: what happens to the part that is taken.
  """

  def __init__(self, pixels: tf.Tensor | None, change: Change = tf.identity):
    self._pixels = pixels
    self._change = change

  @property
  def size(self) -> tf.Tensor:
    """Height and width, int32 [2]."""
    return tf.shape(self._pixels)[:2]

  def whole(self) -> tf.Tensor:
    """All pixels."""
    return self._change(self._pixels)

  def crop(self, window: tf.Tensor, smooth: bool = True) -> tf.Tensor:
    """Those that start and extend as window [4].

    Args:
      window: top, left, height and width.
      smooth: False spares the smoothing of a JPEG's color, which is stored at
        half the resolution, and so a tenth of the time.
    """
    del smooth
    return self._change(crop(self._pixels, window))


class EncodedImage(Image):
  """The same of bytes: the parts of a JPEG that are not taken stay encoded.

  Args:
    encoded: a scalar of bytes. A session that runs what comes of them raises
      InvalidArgumentError if they are no whole image.
    channels: to decode to: 1 for luma, 3 for color.
    change: what happens to the part that is taken.
  """

  def __init__(
    self, encoded: tf.Tensor, channels: int, change: Change = tf.identity
  ):
    super().__init__(None, change)
    self._encoded = encoded
    self._channels = channels

  @property
  def size(self) -> tf.Tensor:
    return self._beginning[0]

  def whole(self) -> tf.Tensor:
    return self._change(decode(self._encoded, self._channels))

  def crop(self, window: tf.Tensor, smooth: bool = True) -> tf.Tensor:
    _, decoded = self._beginning
    pixels = tf.cond(
      tf.image.is_jpeg(self._encoded),
      lambda: self._crop_while_decoding(window, smooth),
      lambda: crop(decoded, window),
    )
    pixels.set_shape([None, None, self._channels])
    return self._change(pixels)

  @functools.cached_property
  def _beginning(self) -> tuple[tf.Tensor, tf.Tensor]:
    """(Height and width, all pixels), but of a JPEG no pixels yet."""

    def of_jpeg():
      size = tf.image.extract_jpeg_shape(self._encoded)[:2]
      return size, tf.zeros([0, 0, self._channels], tf.uint8)

    def of_others():
      pixels = decode(self._encoded, self._channels)
      return tf.shape(pixels)[:2], pixels

    return tf.cond(tf.image.is_jpeg(self._encoded), of_jpeg, of_others)

  def _crop_while_decoding(self, window: tf.Tensor, smooth: bool) -> tf.Tensor:
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
  padded = tf.pad(image, tf.concat([margins, [[0, 0]]], 0))
  return tf.ensure_shape(padded, [height, width, image.shape[2]])


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

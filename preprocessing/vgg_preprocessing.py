"""VGG's preprocessing: shorter side to 256 (training: 256 to 512), crop, minus mean.

https://arxiv.org/abs/1409.1556, section 3.1.

Training decodes and resizes only the part of the photo that the crop of the
resized photo shows. Evaluation crops little off and resizes the full photo,
which is faster, unless the photo is a strip. The fast form crops the photo before it resizes it, at integer pixels, so it differs
by less than a pixel; it does not smooth a JPEG's color.
"""

from __future__ import annotations

import numpy as np

from preprocessing import random_ops
from preprocessing.decoding import Image
from preprocessing.decoding import crop as crop_pixels
from preprocessing.spec import PreprocessingSpec, Steps, compiled, mirror
from tf_compat import tf

MEANS = 123.68, 116.78, 103.94  # red, green and blue over ImageNet
LUMA = 0.2989, 0.587, 0.114  # the weights of tf.image.rgb_to_grayscale
GRAY_MEAN = sum(m * w for m, w in zip(MEANS, LUMA, strict=True))
SIDES = 256, 512  # range of the shorter side
CROP = 224  # the crop that SIDES were chosen for
# Resizing all of a longer strip would take much memory.
MAX_ASPECT = 16


def crop(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """random_crop(resize(image)), the shorter side drawn from `sides`."""
  del bbox
  size = _resized(image.size, _draw_side(height, width, seed))
  room = size - [height, width] + 1
  top = random_ops.uniform(seed, 'crop_y', 0, room[0], tf.int32)
  left = random_ops.uniform(seed, 'crop_x', 0, room[1], tf.int32)
  return _crop_of_resized(image, size, tf.stack([top, left]), (height, width))


def center(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """central_crop(resize(image)), the shorter side the smaller of `sides`."""
  del seed, bbox
  pixels = image.pixels()
  size = _resized(tf.shape(pixels)[:2], sides(height, width)[0])
  begin = (size - [height, width]) // 2
  return tf.cond(
    tf.reduce_max(size) // tf.reduce_min(size) < MAX_ASPECT,
    lambda: crop_pixels(
      _resize(pixels, size), tf.concat([begin, [height, width]], 0)
    ),
    lambda: _crop_of_resized(Image(pixels), size, begin, (height, width)),
  )


def crop_first(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """resize(random_crop(image)), the crop of `crop` at integer pixels."""
  del bbox
  window = random_window(image.size, seed, (height, width))
  return _resize(image.crop(window, smooth=False), [height, width])


def center_first(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """resize(central_crop(image)), the crop of `center` at integer pixels."""
  del seed, bbox
  window = central_window(image.size, (height, width))
  return _resize(image.crop(window, smooth=False), [height, width])


def distort(images: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
  """flip(images) - mean."""
  return subtract_mean(mirror(images, flip))


def random_window(
  size: tf.Tensor, seed: tf.Tensor, crop: tuple[int, int]
) -> tf.Tensor:
  """Draws the window [4] that crop() shows, in pixels of the original."""
  extent = _extent(size, _draw_side(*crop, seed), crop)
  top = random_ops.uniform(seed, 'crop_y', 0, (size - extent + 1)[0], tf.int32)
  left = random_ops.uniform(seed, 'crop_x', 0, (size - extent + 1)[1], tf.int32)
  return tf.concat([[top, left], extent], 0)


def central_window(size: tf.Tensor, crop: tuple[int, int]) -> tf.Tensor:
  """Returns the window [4] that center() shows, in pixels of the original."""
  extent = _extent(size, sides(*crop)[0], crop)
  return tf.concat([(size - extent) // 2, extent], 0)


def sides(height: int, width: int) -> tuple[int, int]:
  """Returns the range of the shorter side of the resized image, in pixels.

  It is 256 to 512 for crops of up to 256 pixels, which fit. For a larger crop
  it is scaled by crop / 224, to the proportions that a crop of 224 has.
  """
  crop = max(height, width)
  if crop <= SIDES[0]:
    return SIDES
  return round(crop * SIDES[0] / CROP), round(crop * SIDES[1] / CROP)


def subtract_mean(images: tf.Tensor) -> tf.Tensor:
  """images - mean of each channel; for one channel, the mean luma."""
  return images - (MEANS if images.shape[3] == 3 else GRAY_MEAN)


def _draw_side(height: int, width: int, seed: tf.Tensor) -> tf.Tensor:
  """Draws a shorter side from `sides`, both ends included."""
  low, high = sides(height, width)
  return random_ops.uniform(seed, 'side', low, high + 1, tf.int32)


def _extent(
  size: tf.Tensor, side: int | tf.Tensor, crop: tuple[int, int]
) -> tf.Tensor:
  """round(crop * shorter side / side), the crop's size before resizing."""
  shorter = tf.cast(tf.reduce_min(size), tf.float32)
  scale = shorter / tf.cast(side, tf.float32)
  extent = tf.cast(tf.rint(tf.cast(crop, tf.float32) * scale), tf.int32)
  return tf.clip_by_value(extent, 1, size)


def _resized(size: tf.Tensor, side: int | tf.Tensor) -> tf.Tensor:
  """Returns the size whose shorter side is `side`, in the same proportion."""
  size = tf.cast(size, tf.float32)
  scale = tf.cast(side, tf.float32) / tf.reduce_min(size)
  # A line of many millions of pixels would exceed int32.
  return tf.cast(tf.minimum(tf.rint(size * scale), 2.0**30), tf.int32)


def _crop_of_resized(
  image: Image, size: tf.Tensor, begin: tf.Tensor, crop: tuple[int, int]
) -> tf.Tensor:
  """resize(image, size)[begin:begin + crop], computed from the crop alone.

  Pixel i of the resized image is interpolated at i * scale in the image.
  """
  extent = tf.cast(image.size, tf.float32)
  scale = extent / tf.cast(size, tf.float32)
  first = tf.cast(begin, tf.float32) * scale
  last = first + [(side - 1) * scale[axis] for axis, side in enumerate(crop)]
  start = tf.cast(first, tf.int32)
  end = tf.minimum(tf.cast(last, tf.int32) + 2, image.size)
  source = image.crop(tf.concat([start, end - start], 0))
  pixels = tf.cond(
    # Enlarging reads beyond the last pixel, which must be repeated there.
    tf.reduce_any(last > extent - 1.01),
    lambda: tf.pad(source, [[0, 1], [0, 1], [0, 0]], 'SYMMETRIC'),
    lambda: source,
  )
  bounds = tf.stack([first, last]) - tf.cast(start, tf.float32)
  bounds /= tf.cast(tf.shape(pixels)[:2] - 1, tf.float32)
  return tf.image.crop_and_resize(
    pixels[tf.newaxis], tf.reshape(bounds, [1, 4]), [0], crop
  )[0]


def _resize(image: tf.Tensor, size: tf.Tensor | list[int]) -> tf.Tensor:
  """Resizes an image linearly to [height, width], in float32."""
  return tf.image.resize_bilinear(image[tf.newaxis], size)[0]


def _add_mean(image: np.ndarray) -> np.ndarray:
  """(image + mean) / 255, the inverse of subtract_mean in [0, 1]."""
  return (image + (MEANS if image.shape[2] == 3 else GRAY_MEAN)) / 255


FLIP = {'flip': (0, 1)}
VGG = PreprocessingSpec(
  name='vgg',
  training=Steps(crop, distort, FLIP),
  # Uncompiled, subtracting by channel takes half as long as resizing.
  evaluation=Steps(center, compiled(subtract_mean)),
  fast_training=Steps(crop_first, distort, FLIP),
  fast_evaluation=Steps(center_first, compiled(subtract_mean)),
  visible=_add_mean,
)

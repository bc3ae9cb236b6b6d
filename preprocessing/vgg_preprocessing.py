"""VGG's recipe: shorter side to 256 (training: 256 to 512), crop, minus mean.

https://arxiv.org/abs/1409.1556, section 3.1.

The fast form crops first, by whole pixels of the photo, and resizes what it
crops: nothing else is decoded or resized. Its crop lies within a pixel of the
other's.
"""

import numpy as np

from preprocessing import random_ops
from preprocessing.recipe import Recipe, Steps
from tf_compat import tf

MEANS = 123.68, 116.78, 103.94  # red, green and blue over ImageNet
LUMA = 0.2989, 0.587, 0.114  # what tf.image.rgb_to_grayscale weighs them by
GRAY_MEAN = sum(m * w for m, w in zip(MEANS, LUMA, strict=True))
SIDES = 256, 512
CROP = 224  # the crop that these sides were chosen for


def distort(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """flip(crop(resize(image, shorter side drawn from `sides`))) - mean."""
  side = random_ops.uniform(seed, 'side', *_range(height, width), tf.int32)
  image = _resize_shorter_side(image, side)
  image = random_ops.crop(image, height, width, seed)
  return _subtract_mean(random_ops.flip(image, seed))


def center(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """central_crop(resize(image, shorter side the lesser of `sides`)) - mean."""
  del seed
  image = _resize_shorter_side(image, sides(height, width)[0])
  top, left = tf.unstack((tf.shape(image)[:2] - [height, width]) // 2)
  image = tf.slice(image, [top, left, 0], [height, width, image.shape[2]])
  return _subtract_mean(image)


def random_window(
  size: tf.Tensor,
  seed: tf.Tensor,
  bbox: tf.Tensor | None,
  crop: tuple[int, int],
) -> tf.Tensor:
  """What `distort` crops of the resized image, in pixels of the image."""
  del bbox
  side = random_ops.uniform(seed, 'side', *_range(*crop), tf.int32)
  extent = _extent(size, side, crop)
  top = random_ops.uniform(seed, 'crop_y', 0, (size - extent + 1)[0], tf.int32)
  left = random_ops.uniform(seed, 'crop_x', 0, (size - extent + 1)[1], tf.int32)
  return tf.concat([[top, left], extent], 0)


def central_window(
  size: tf.Tensor,
  seed: tf.Tensor,
  bbox: tf.Tensor | None,
  crop: tuple[int, int],
) -> tf.Tensor:
  """What `center` crops of the resized image, in pixels of the image."""
  del seed, bbox
  extent = _extent(size, sides(*crop)[0], crop)
  return tf.concat([(size - extent) // 2, extent], 0)


def distort_window(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """flip(resize(image)) - mean."""
  image = tf.image.resize_bilinear(image[tf.newaxis], [height, width])[0]
  return _subtract_mean(random_ops.flip(image, seed))


def center_window(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """resize(image) - mean."""
  del seed
  image = tf.image.resize_bilinear(image[tf.newaxis], [height, width])[0]
  return _subtract_mean(image)


def sides(height: int, width: int) -> tuple[int, int]:
  """The shorter side's range: 256 to 512, in proportion for crops above 256.

  A crop of up to 256 fits the original sides, and gets them as ever; a larger
  one gets them times crop / 224, as a crop of 224 has them.
  """
  crop = max(height, width)
  if crop <= SIDES[0]:
    return SIDES
  return round(crop * SIDES[0] / CROP), round(crop * SIDES[1] / CROP)


def _range(height: int, width: int) -> tuple[int, int]:
  """Bounds to draw a side from, the upper one excluded."""
  low, high = sides(height, width)
  return low, high + 1


def _extent(
  size: tf.Tensor, side: int | tf.Tensor, crop: tuple[int, int]
) -> tf.Tensor:
  """round(crop * shorter side / side): what resizing makes a crop of."""
  shorter = tf.cast(tf.reduce_min(size), tf.float32)
  scale = shorter / tf.cast(side, tf.float32)
  extent = tf.cast(tf.rint(tf.cast(crop, tf.float32) * scale), tf.int32)
  return tf.clip_by_value(extent, 1, size)


def _resize_shorter_side(image: tf.Tensor, side: int | tf.Tensor) -> tf.Tensor:
  """The image as float32, in its proportions, its shorter side as given."""
  size = tf.cast(tf.shape(image)[:2], tf.float32)
  scale = tf.cast(side, tf.float32) / tf.reduce_min(size)
  size = tf.cast(tf.rint(size * scale), tf.int32)
  return tf.image.resize_bilinear(image[tf.newaxis], size)[0]


def _subtract_mean(image: tf.Tensor) -> tf.Tensor:
  """Minus the channels' means; a single channel's is the luma of the three."""
  if image.shape[2] == 1:
    return image - GRAY_MEAN
  # By rows, for it takes long to spread three numbers over an inner dimension.
  height, width = image.shape[:2]
  rows = tf.reshape(image, [height, width * 3]) - tf.tile([*MEANS], [width])
  return tf.reshape(rows, [height, width, 3])


def _add_mean(image: np.ndarray) -> np.ndarray:
  """The pixels in [0, 1] that _subtract_mean was given."""
  return (image + (MEANS if image.shape[2] == 3 else GRAY_MEAN)) / 255


VGG = Recipe(
  name='vgg',
  training=Steps(distort),
  evaluation=Steps(center),
  fast_training=Steps(distort_window, random_window),
  fast_evaluation=Steps(center_window, central_window),
  visible=_add_mean,
)

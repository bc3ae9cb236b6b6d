"""The preprocessing of torchvision and timm: a crop, resized, minus mean, by deviation.

Evaluation resizes the shorter side to size / crop_fraction, and crops the
center. Training resizes a random crop: section 6 of
https://arxiv.org/abs/1409.4842.

Images are resized as by Pillow: a kernel is as wide as a pixel of the smaller
image, so that shrinking smooths. Pillow also rounds, to whole numbers. Only the
part of an image that the crop shows is decoded and resized.
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np

from preprocessing import random_ops
from preprocessing.decoding import Image
from preprocessing.spec import PreprocessingSpec, Steps, compiled, mirror
from preprocessing.vgg_preprocessing import FLIP, LUMA
from registry import Rule, one_of
from tf_compat import tf

AREA_RANGE = 0.08, 1.0
ASPECT_RATIO_RANGE = 3 / 4, 4 / 3
ATTEMPTS = 10

RGB: TypeAlias = tuple[float, float, float]


class Kernel(NamedTuple):
  """A kernel for resizing.

  Attributes:
    name: its name in tf.raw_ops.ScaleAndTranslate.
    radius: its reach, in pixels of the smaller image.
  """

  name: str
  radius: int


KERNELS = {'bilinear': Kernel('triangle', 1), 'bicubic': Kernel('keyscubic', 2)}


class Normalization(NamedTuple):
  """Mean and standard deviation of red, green and blue, of colors in [0, 1].

  Images of one channel have those of the luma.
  """

  mean: RGB
  std: RGB

  def normalize(self, images: tf.Tensor) -> tf.Tensor:
    """(images / 255 - mean) / std."""
    mean, std = self._of_channels(images.shape[3])
    return (images / 255 - mean) / std

  def distort(self, images: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    """normalize(flip(images))."""
    return self.normalize(mirror(images, flip))

  def restore(self, image: np.ndarray) -> np.ndarray:
    """Returns the colors in [0, 1] of a normalized image."""
    mean, std = self._of_channels(image.shape[2])
    return image * std + mean

  def _of_channels(self, channels: int) -> np.ndarray:
    """Returns mean and standard deviation, [2, channels]."""
    rgb = np.array(self, np.float32)
    return rgb if channels == 3 else rgb @ np.array(LUMA, np.float32)[:, None]


def _is_number(value: Any, low: float, high: float) -> bool:
  """Whether a value is a number from low to high."""
  is_real = isinstance(value, int | float) and not isinstance(value, bool)
  return is_real and low <= value <= high


def _three(low: float, high: float) -> Rule:
  """Returns the rule for numbers of red, green and blue."""
  return Rule(
    f'three numbers from {low:g} to {high:g}',
    lambda value: (
      isinstance(value, tuple | list)
      and len(value) == 3
      and all(_is_number(part, low, high) for part in value)
    ),
    lambda value: tuple(map(float, value)),
  )


def sample(
  image: Image,
  height: int,
  width: int,
  seed: tf.Tensor,
  bbox: tf.Tensor | None,
  kernel: Kernel,
) -> tf.Tensor:
  """resize(random_crop(image)), in [0, 255]."""
  del bbox
  window = sample_window(image.size, seed)
  scale = [height, width] / window[2:]
  begin = tf.zeros([2])
  return _resize(image.crop(window), (height, width), scale, begin, kernel)


def center(
  image: Image,
  height: int,
  width: int,
  seed: tf.Tensor,
  bbox: tf.Tensor | None,
  crop_fraction: float,
  kernel: Kernel,
) -> tf.Tensor:
  """central_crop(resize(image)), in [0, 255]."""
  del seed, bbox
  crop = height, width
  # The sides of strips need 64 bits.
  size = tf.cast(image.size, tf.float64)
  side = math.floor(max(crop) / crop_fraction)
  resized = tf.floor(size * side / tf.reduce_min(size))
  scale = resized / size
  begin = tf.rint((resized - crop) / 2)
  # One pixel more than the kernel reaches.
  margin = kernel.radius * tf.maximum(1 / scale, 1) + 1
  start = tf.maximum(tf.floor(begin / scale - margin), 0)
  end = tf.minimum(tf.ceil((begin + crop) / scale + margin), size)
  window = tf.cast(tf.concat([start, end - start], 0), tf.int32)
  return _resize(image.crop(window), crop, scale, begin - start * scale, kernel)


def sample_window(size: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Draws a window [4] of 8% to 100% of the area, its sides 3:4 to 4:3.

  Like torchvision's RandomResizedCrop, area and logarithm of the ratio are
  uniform. Of ten attempts, the first that fits into the image counts; if none
  does, the largest central window whose sides are 3:4 to 4:3.
  """
  sides = tf.cast(size, tf.float64)
  units = random_ops.units(seed, 'window', tf.constant(1), 4 * ATTEMPTS)
  units = tf.cast(tf.reshape(units, [4, ATTEMPTS]), tf.float64)
  area, shape, top, left = tf.unstack(units)
  low, high = AREA_RANGE
  area = (low + area * (high - low)) * tf.reduce_prod(sides)
  low, high = map(math.log, ASPECT_RATIO_RANGE)
  ratio = tf.exp(low + shape * (high - low))
  extents = tf.rint(tf.sqrt([area / ratio, area * ratio]))  # [2, ATTEMPTS]
  fits = tf.reduce_all((extents >= 1) & (extents <= sides[:, tf.newaxis]), 0)
  first = tf.argmax(tf.cast(fits, tf.int32))
  room = sides - extents[:, first]
  begin = tf.minimum(tf.floor([top[first], left[first]] * (room + 1)), room)
  widest = tf.minimum(sides, tf.rint(sides[::-1] * ASPECT_RATIO_RANGE[1]))
  window = tf.where(
    fits[first],
    tf.concat([begin, extents[:, first]], 0),
    tf.concat([(sides - widest) // 2, widest], 0),
  )
  return tf.cast(window, tf.int32)


def _resize(
  pixels: tf.Tensor,
  size: tuple[int, int],
  scale: tf.Tensor,
  begin: tf.Tensor,
  kernel: Kernel,
) -> tf.Tensor:
  """Resizes pixels by `scale`; returns those from `begin` on, [*size, C]."""
  resized = tf.raw_ops.ScaleAndTranslate(
    images=pixels[tf.newaxis],
    size=size,
    scale=tf.cast(scale, tf.float32),
    translation=tf.cast(-begin, tf.float32),
    kernel_type=kernel.name,
    antialias=True,
  )[0]
  # Bicubic kernels have negative weights.
  return tf.clip_by_value(resized, 0.0, 255.0)


def imagenet(
  *,
  crop_fraction: Annotated[
    float, Rule('a number from 0.01 to 1', lambda v: _is_number(v, 0.01, 1))
  ] = 0.875,
  mean: Annotated[RGB, _three(0, 1)] = (0.485, 0.456, 0.406),
  std: Annotated[RGB, _three(0.001, 1)] = (0.229, 0.224, 0.225),
  interpolation: Annotated[str, one_of(*KERNELS)] = 'bilinear',
) -> PreprocessingSpec:
  """Returns the preprocessing.

  Args:
    crop_fraction: ratio of the crop's side to the resized image's shorter side,
      in evaluation.
    mean: mean of red, green and blue in [0, 1], which is subtracted.
    std: standard deviation of red, green and blue, which divides.
    interpolation: how images are resized.
  """
  kernel = KERNELS[interpolation]
  colors = Normalization(mean, std)
  return PreprocessingSpec(
    name='imagenet',
    training=Steps(
      functools.partial(sample, kernel=kernel), colors.distort, FLIP
    ),
    evaluation=Steps(
      functools.partial(center, crop_fraction=crop_fraction, kernel=kernel),
      compiled(colors.normalize),
    ),
    visible=colors.restore,
    function=imagenet,
  )


IMAGENET = imagenet()

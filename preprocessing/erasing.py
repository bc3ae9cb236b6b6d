"""Cutout and random erasing: set a box of a network's input to 0.

In the output of every preprocessing, 0 is the mean color or middle gray.
"""

from __future__ import annotations

import math
from typing import Annotated

from preprocessing import random_ops
from registry import PositiveInt, Rule
from tf_compat import tf

Fraction = Annotated[
  float,
  Rule(
    'a number above 0 and up to 1',
    lambda v: isinstance(v, int | float) and 0 < v <= 1,
  ),
]
# Range of the logarithm of height / width.
LOG_ASPECT = math.log(0.3), math.log(1 / 0.3)


def cutout(
  image: tf.Tensor, seed: tf.Tensor, *, size: PositiveInt = 16
) -> tf.Tensor:
  """Sets a square around a random pixel to 0, clipped at the borders.

  https://arxiv.org/abs/1708.04552

  Args:
    image: float32 [H, W, C].
    seed: int64 [2], the record's.
    size: the square's side, in pixels.

  Returns:
    float32 [H, W, C].
  """
  height, width, _ = image.shape
  y = random_ops.uniform(seed, 'cutout_y', 0, height, tf.int32)
  x = random_ops.uniform(seed, 'cutout_x', 0, width, tf.int32)
  return _erase(image, y - size // 2, x - size // 2, size, size)


def random_erasing(
  image: tf.Tensor,
  seed: tf.Tensor,
  *,
  probability: Fraction = 0.5,
  least_area: Fraction = 0.02,
  most_area: Fraction = 0.33,
) -> tf.Tensor:
  """Sets a random rectangle, its sides in a ratio of 3:10 to 10:3, to 0.

  https://arxiv.org/abs/1708.04896

  Args:
    image: float32 [H, W, C].
    seed: int64 [2], the record's.
    probability: probability that anything is erased.
    least_area: the smallest rectangle, as a fraction of the image's area.
    most_area: the largest one.

  Returns:
    float32 [H, W, C].
  """

  def draw(name, *bounds):
    return random_ops.uniform(seed, f'erasing_{name}', *bounds)

  height, width, _ = image.shape
  low, high = min(least_area, most_area), max(least_area, most_area)
  area = draw('area', low, high) * height * width
  aspect = tf.exp(draw('aspect', *LOG_ASPECT))
  rows = tf.minimum(tf.cast(tf.sqrt(area * aspect), tf.int32), height)
  columns = tf.minimum(tf.cast(tf.sqrt(area / aspect), tf.int32), width)
  top = random_ops.uniform(seed, 'erasing_y', 0, height - rows + 1, tf.int32)
  left = random_ops.uniform(seed, 'erasing_x', 0, width - columns + 1, tf.int32)
  return tf.cond(
    draw('chance', 0.0, 1.0) < probability,
    lambda: _erase(image, top, left, rows, columns),
    lambda: image,
  )


def _erase(
  image: tf.Tensor,
  top: tf.Tensor,
  left: tf.Tensor,
  rows: tf.Tensor | int,
  columns: tf.Tensor | int,
) -> tf.Tensor:
  """Sets image[top:top + rows, left:left + columns] to 0."""
  inside = inside_box(image.shape[0], image.shape[1], top, left, rows, columns)
  return image * (1.0 - tf.cast(inside, image.dtype))


def inside_box(
  height: int,
  width: int,
  top: tf.Tensor,
  left: tf.Tensor,
  rows: tf.Tensor | int,
  columns: tf.Tensor | int,
) -> tf.Tensor:
  """Returns a mask of the pixels in a box, bool [height, width, 1]."""
  y, x = tf.range(height)[:, tf.newaxis], tf.range(width)[tf.newaxis]
  in_columns = tf.logical_and(x >= left, x < left + columns)
  in_rows = tf.logical_and(y >= top, y < top + rows)
  return tf.logical_and(in_columns, in_rows)[..., tf.newaxis]

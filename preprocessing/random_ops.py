"""Random image operations whose numbers depend on the record's seed alone.

A random number is hash(seed, purpose). It does not depend on threads, on the
order of operations or on numbers drawn before. So a seeded pipeline produces
the same images with any number of threads, and a new distortion does not change
the random numbers of the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from tf_compat import tf

_OUTPUTS = 4  # numbers that Philox generates for one value of its counter


def uniform(
  seed: tf.Tensor,
  purpose: str,
  low: float | tf.Tensor,
  high: float | tf.Tensor,
  dtype: tf.DType | None = None,
) -> tf.Tensor:
  """Draws a scalar from the uniform distribution over [low, high).

  Args:
    seed: int64 [2], the record's.
    purpose: name of the number; two numbers of the same purpose are equal.
    low: the lower bound, included.
    high: the upper bound, excluded.
    dtype: tf.int32, or None for tf.float32.

  Returns:
    A scalar of dtype.
  """
  return tf.random.stateless_uniform(
    [], _key(seed, purpose), low, high, dtype or tf.float32
  )


def units(
  seed: tf.Tensor, purpose: str, records: tf.Tensor, numbers: int
) -> tf.Tensor:
  """Draws numbers from [0, 1) for consecutive records.

  The numbers of a record do not depend on the other records of the call.

  Args:
    seed: int64 [2], the first record's; seed[1] grows by one for each record.
    purpose: name of the numbers.
    records: the number of records, an int32 scalar.
    numbers: the count of numbers for each record.

  Returns:
    float32 [records, numbers].
  """
  # Philox hashes (counter, key) to four numbers, for consecutive counters.
  counts = -(-numbers // _OUTPUTS)
  begin = tf.cast(seed[1] * counts, tf.uint64)
  units = tf.raw_ops.StatelessRandomUniformV2(
    shape=[records, _OUTPUTS * counts],
    key=tf.cast(_key(seed, purpose)[:1], tf.uint64),
    counter=tf.stack([begin, tf.zeros_like(begin)]),
    alg=tf.random.Algorithm.PHILOX.value,
  )
  return units[:, :numbers]


def beta(seed: tf.Tensor, purpose: str, alpha: float) -> tf.Tensor:
  """g / (g + h), both from Gamma(alpha): a scalar from Beta(alpha, alpha)."""
  g, h = tf.unstack(
    tf.random.stateless_gamma([2], _key(seed, purpose), float(alpha))
  )
  return tf.math.divide_no_nan(g, g + h)


def sample_window(
  size: tf.Tensor,
  seed: tf.Tensor,
  bbox: tf.Tensor,
  min_object_covered: float,
  aspect_ratio_range: tuple[float, float],
  area_range: tuple[float, float],
) -> tf.Tensor:
  """Draws a window that covers part of a bounding box.

  Args:
    size: height and width of the image, int32 [2].
    seed: int64 [2], the record's.
    bbox: float32 [1, N, 4] of ymin, xmin, ymax, xmax in [0, 1].
    min_object_covered: the fraction of a box that must be inside the window.
    aspect_ratio_range: range of the window's width / height.
    area_range: range of the window's area, as a fraction of the image's.

  Returns:
    Top, left, height and width, int32 [4]; the full image if 100 attempts fail.
  """
  begin, extent, _ = tf.raw_ops.StatelessSampleDistortedBoundingBox(
    image_size=tf.concat([size, [3]], 0),
    bounding_boxes=bbox,
    min_object_covered=min_object_covered,
    seed=_key(seed, 'window'),
    aspect_ratio_range=aspect_ratio_range,
    area_range=area_range,
    max_attempts=100,
    use_image_if_no_bounding_boxes=True,
  )
  return tf.concat([begin[:2], extent[:2]], 0)


def crop(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """image[y:y + height, x:x + width], y and x uniform over all that fit."""
  room = tf.shape(image)[:2] - [height, width] + 1
  y = uniform(seed, 'crop_y', 0, room[0], tf.int32)
  x = uniform(seed, 'crop_x', 0, room[1], tf.int32)
  return tf.slice(image, [y, x, 0], [height, width, image.shape[2]])


def each(
  function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
  images: tf.Tensor,
  seed: tf.Tensor,
) -> tf.Tensor:
  """function(image, its seed) of each of images [N, H, W, C], stacked."""
  if images.shape[0] == 1:
    return function(images[0], seed)[tf.newaxis]
  return tf.map_fn(
    lambda pair: function(*pair),
    (images, seeds(seed, tf.shape(images)[0])),
    images.dtype,
    parallel_iterations=1,
  )


def seeds(seed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
  """Returns the seeds of consecutive records, [count, 2], from `seed` on."""
  numbers = seed[1] + tf.range(tf.cast(count, tf.int64))
  return tf.stack([tf.fill(tf.shape(numbers), seed[0]), numbers], 1)


def choose(seed: tf.Tensor, purpose: str, branches: list) -> tf.Tensor:
  """branches[i](), i uniform."""
  index = uniform(seed, purpose, 0, len(branches), tf.int32)
  return tf.switch_case(index, branches)


def _key(seed: tf.Tensor, purpose: str) -> tf.Tensor:
  """Returns the record's seed plus a hash of the purpose."""
  return seed + tf.constant([zlib.crc32(purpose.encode()), 0], tf.int64)

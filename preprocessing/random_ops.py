"""Random image operations, every draw a function of one record's seed.

A draw is hash(seed, what it is for): it depends neither on threads, nor on the
order of operations, nor on the draws before it. So a seeded pipeline gives the
same images with any number of threads, and a new distortion leaves the numbers
of the others alone.
"""

import zlib
from collections.abc import Callable

from tf_compat import tf

_AT_ONCE = 4  # numbers of a count of Philox


def uniform(
  seed: tf.Tensor,
  what: str,
  low: float | tf.Tensor,
  high: float | tf.Tensor,
  dtype: tf.DType = tf.float32,
) -> tf.Tensor:
  """A scalar from [low, high), drawn for `what`.

  Args:
    seed: int64 [2], the record's.
    what: the purpose; two draws for one purpose are the same number.
    low: the least value.
    high: the value just above the greatest.
    dtype: tf.float32 or tf.int32.
  """
  return tf.random.stateless_uniform([], _key(seed, what), low, high, dtype)


def units(
  seed: tf.Tensor, what: str, records: tf.Tensor, numbers: int
) -> tf.Tensor:
  """Numbers from [0, 1), so many for each of some records: [records, numbers].

  Args:
    seed: int64 [2], the first record's; each of the others has one more in its
      second place. What a record gets does not depend on those beside it.
    what: the purpose.
    records: how many there are.
    numbers: how many each of them gets.
  """
  # The generator hashes (count, key) to four numbers, count after count.
  counts = -(-numbers // _AT_ONCE)
  begin = tf.cast(seed[1] * counts, tf.uint64)
  drawn = tf.raw_ops.StatelessRandomUniformV2(
    shape=[records, _AT_ONCE * counts],
    key=tf.cast(_key(seed, what)[:1], tf.uint64),
    counter=tf.stack([begin, tf.zeros_like(begin)]),
    alg=tf.random.Algorithm.PHILOX.value,
  )
  return drawn[:, :numbers]


def beta(seed: tf.Tensor, what: str, alpha: float) -> tf.Tensor:
  """A scalar from Beta(alpha, alpha): g / (g + h) of two from Gamma(alpha)."""
  g, h = tf.unstack(
    tf.random.stateless_gamma([2], _key(seed, what), float(alpha))
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
  """A random window [4] over some of a box; the whole image if none is found.

  Args:
    size: int32 [2], height and width of the image.
    seed: int64 [2], the record's.
    bbox: float32 [1, N, 4] of ymin, xmin, ymax, xmax in [0, 1].
    min_object_covered: the part of a box that must be inside.
    aspect_ratio_range: of width over height.
    area_range: as parts of the image's area.
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
  """image[y:y + height, x:x + width], y and x uniform over what fits."""
  room = tf.shape(image)[:2] - [height, width] + 1
  y = uniform(seed, 'crop_y', 0, room[0], tf.int32)
  x = uniform(seed, 'crop_x', 0, room[1], tf.int32)
  return tf.slice(image, [y, x, 0], [height, width, image.shape[2]])


def each(
  function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
  images: tf.Tensor,
  seed: tf.Tensor,
) -> tf.Tensor:
  """function(image, its record's seed) of images [N, H, W, C], of that shape."""
  if images.shape[0] == 1:
    return function(images[0], seed)[tf.newaxis]
  return tf.map_fn(
    lambda one: function(one[0], one[1]),
    (images, seeds(seed, tf.shape(images)[0])),
    images.dtype,
    parallel_iterations=1,
  )


def seeds(seed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
  """[count, 2]: the seeds of a record and of those behind it."""
  turns = seed[1] + tf.range(tf.cast(count, tf.int64))
  return tf.stack([tf.fill(tf.shape(turns), seed[0]), turns], 1)


def choose(seed: tf.Tensor, what: str, branches: list) -> tf.Tensor:
  """branches[i](), i uniform."""
  index = uniform(seed, what, 0, len(branches), tf.int32)
  return tf.switch_case(index, branches)


def _key(seed: tf.Tensor, what: str) -> tf.Tensor:
  """The record's seed moved by a hash of what is drawn."""
  return seed + tf.constant([zlib.crc32(what.encode()), 0], tf.int64)

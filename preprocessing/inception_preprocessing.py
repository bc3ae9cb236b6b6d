"""Inception's recipe: a random part, resized, flipped, recolored; in [-1, 1].

https://arxiv.org/abs/1409.4842, section 6. An image of one channel gets
brightness and contrast only: it has neither saturation nor hue.
"""

from preprocessing import random_ops
from preprocessing.recipe import Recipe, Steps
from tf_compat import tf

CENTRAL_FRACTION = 0.875
MIN_OBJECT_COVERED = 0.1
ASPECT_RATIO_RANGE = 0.75, 1.33
AREA_RANGE = 0.05, 1.0
RESIZE_METHODS = (
  tf.image.ResizeMethod.BILINEAR,
  tf.image.ResizeMethod.NEAREST_NEIGHBOR,
  tf.image.ResizeMethod.BICUBIC,
  tf.image.ResizeMethod.AREA,
)
# Color distortions do not commute, so one of four orders is drawn.
ORDERS = (
  ('brightness', 'saturation', 'hue', 'contrast'),
  ('saturation', 'brightness', 'contrast', 'hue'),
  ('contrast', 'hue', 'brightness', 'saturation'),
  ('hue', 'saturation', 'contrast', 'brightness'),
)
FAST_ORDER = ('brightness', 'saturation')
# Name: the operation and the range of its random argument.
COLOR_OPS = {
  'brightness': (tf.image.adjust_brightness, -32 / 255, 32 / 255),
  'saturation': (tf.image.adjust_saturation, 0.5, 1.5),
  'hue': (tf.image.adjust_hue, -0.2, 0.2),
  'contrast': (tf.image.adjust_contrast, 0.5, 1.5),
}
NEEDS_COLOR = ('saturation', 'hue')


def sample_window(
  size: tf.Tensor, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """A random part: 5% to 100% of the area, sides 3:4 to 4:3."""
  if bbox is None:
    bbox = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
  return random_ops.sample_window(
    size, seed, bbox, MIN_OBJECT_COVERED, ASPECT_RATIO_RANGE, AREA_RANGE
  )


def central_window(
  size: tf.Tensor, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """The middle 87.5% of either side, as tf.image.central_crop rounds it."""
  del seed, bbox
  sides = tf.cast(size, tf.float64)
  begin = tf.cast((sides - sides * CENTRAL_FRACTION) / 2, tf.int32)
  return tf.concat([begin, size - 2 * begin], 0)


def distort(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """scale(recolor(flip(resize(image, by one of four methods))))."""
  image = tf.image.convert_image_dtype(image, tf.float32)
  image = random_ops.choose(
    seed,
    'resize',
    [
      lambda method=method: tf.image.resize_images(
        image, [height, width], method
      )
      for method in RESIZE_METHODS
    ],
  )
  image = random_ops.flip(image, seed)
  image = random_ops.choose(
    seed,
    'order',
    [lambda order=order: _recolor(image, order, seed) for order in ORDERS],
  )
  return _scale(image)


def distort_fast(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """As `distort`, with bilinear resizing, brightness and saturation only."""
  image = tf.image.convert_image_dtype(image, tf.float32)
  image = tf.image.resize_images(image, [height, width])
  image = random_ops.flip(image, seed)
  return _scale(_recolor(image, FAST_ORDER, seed))


def resize(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """scale(resize_bilinear(image))."""
  del seed
  image = tf.image.convert_image_dtype(image, tf.float32)
  return _scale(tf.image.resize_bilinear(image[tf.newaxis], [height, width])[0])


def _recolor(
  image: tf.Tensor, order: tuple[str, ...], seed: tf.Tensor
) -> tf.Tensor:
  """clip(op_n(... op_1(image))) to [0, 1], each op by a random argument."""
  for name in order:
    if image.shape[2] == 3 or name not in NEEDS_COLOR:
      adjust, low, high = COLOR_OPS[name]
      image = adjust(image, random_ops.uniform(seed, name, low, high))
  return tf.clip_by_value(image, 0.0, 1.0)


def _scale(image: tf.Tensor) -> tf.Tensor:
  """[0, 1] to [-1, 1]: (image - 0.5) * 2."""
  return (image - 0.5) * 2.0


INCEPTION = Recipe(
  name='inception',
  training=Steps(distort, sample_window),
  evaluation=Steps(resize, central_window),
  fast_training=Steps(distort_fast, sample_window),
)

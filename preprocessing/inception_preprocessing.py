"""Inception's recipe: a random part, resized, flipped, recolored; in [-1, 1].

https://arxiv.org/abs/1409.4842, section 6. TF-Slim's programs resize linearly
and change brightness and saturation; its full form draws one of four ways to
resize, and of four orders of brightness, saturation, hue and contrast. An image
of one channel gets brightness and contrast only.

The fast form makes all four changes by one affine map of a pixel's (R, G, B) x,
with the ranges of the full form:

  x' = M x + (1 - contrast) M' mean(x) + brightness, M = contrast M',
  M' = hue saturation, where
  saturation = s I + (1 - s) 1 luma^T: away from the pixel's luma, or towards;
  hue = cos(a) I + (1 - cos(a)) / 3 J + sin(a) K: a turn by a around the grays,
  with J all ones and K the cross product with (1, 1, 1) / sqrt(3).
"""

import math

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
# Name: the operation and the range of its random argument.
COLOR_OPS = {
  'brightness': (tf.image.adjust_brightness, -32 / 255, 32 / 255),
  'saturation': (tf.image.adjust_saturation, 0.5, 1.5),
  'hue': (tf.image.adjust_hue, -0.2, 0.2),
  'contrast': (tf.image.adjust_contrast, 0.5, 1.5),
}
NEEDS_COLOR = ('saturation', 'hue')
LUMA = 0.299, 0.587, 0.114
BLOCK = 8


def sample_window(
  size: tf.Tensor,
  seed: tf.Tensor,
  bbox: tf.Tensor | None,
  crop: tuple[int, int],
) -> tf.Tensor:
  """A random part: 5% to 100% of the area, sides 3:4 to 4:3."""
  del crop
  if bbox is None:
    bbox = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
  return random_ops.sample_window(
    size, seed, bbox, MIN_OBJECT_COVERED, ASPECT_RATIO_RANGE, AREA_RANGE
  )


def central_window(
  size: tf.Tensor,
  seed: tf.Tensor,
  bbox: tf.Tensor | None,
  crop: tuple[int, int],
) -> tf.Tensor:
  """The middle 87.5% of either side, as tf.image.central_crop rounds it."""
  del seed, bbox, crop
  sides = tf.cast(size, tf.float64)
  begin = tf.cast((sides - sides * CENTRAL_FRACTION) / 2, tf.int32)
  return tf.concat([begin, size - 2 * begin], 0)


def distort_fully(
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


def distort(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """scale(saturate(brighten(flip(resize(image))))); one channel: no saturate."""
  image = _resize(image, height, width)
  image = random_ops.flip(image, seed)
  brightness = _draw(seed, 'brightness')
  if image.shape[2] == 1:
    return _clip(image * (2 / 255) + (2 * brightness - 1))
  return _saturate(image, brightness * 255, _draw(seed, 'saturation'))


def distort_affinely(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """scale(the affine map of flip(resize(image)))."""
  image = _resize(image, height, width)
  image = random_ops.flip(image, seed)
  contrast, brightness = _draw(seed, 'contrast'), _draw(seed, 'brightness')
  mean = tf.reduce_mean(tf.reduce_mean(image, 0), 0, keepdims=True)
  matrix = tf.eye(image.shape[2])
  if image.shape[2] == 3:
    matrix = _color_matrix(_draw(seed, 'saturation'), _draw(seed, 'hue'))
  rest = (1 - contrast) * (2 / 255) * tf.matmul(mean, matrix, transpose_b=True)
  image = _map_color(image, contrast * (2 / 255) * matrix)
  # By rows: spreading so few numbers over an inner dimension takes long.
  rows = tf.reshape(image, [height, width * image.shape[2]])
  rows += tf.tile(rest[0] + (2 * brightness - 1), [width])
  return _clip(tf.reshape(rows, [height, width, image.shape[2]]))


def resize(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """scale(resize_bilinear(image))."""
  del seed
  return _resize(image, height, width) * (2 / 255) - 1.0


def _resize(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """The image as float32 in [0, 255]; colors go to [-1, 1] in a later step."""
  return tf.image.resize_bilinear(image[tf.newaxis], [height, width])[0]


def _draw(seed: tf.Tensor, name: str) -> tf.Tensor:
  """The random argument of one of COLOR_OPS."""
  _, low, high = COLOR_OPS[name]
  return random_ops.uniform(seed, name, low, high)


def _clip(image: tf.Tensor) -> tf.Tensor:
  return tf.clip_by_value(image, -1.0, 1.0)


def _saturate(
  image: tf.Tensor, brightness: tf.Tensor, factor: tf.Tensor
) -> tf.Tensor:
  """scale(adjust_saturation(image + brightness, factor)), without HSV.

  With v the largest and m the least of a pixel's three colors x, its saturation
  in HSV is s = (v - m) / v. To hold hue and v while s becomes min(1, factor s)
  is to make v - x greater by min(factor, 1 / s).
  """
  planes = tf.unstack(tf.reshape(image, [-1, 3]), axis=1)
  highest = tf.maximum(tf.maximum(planes[0], planes[1]), planes[2])
  lowest = tf.minimum(tf.minimum(planes[0], planes[1]), planes[2])
  spread = tf.maximum(highest - lowest, 1e-6)  # Grays have no saturation.
  value = highest + brightness
  slope = tf.minimum(factor, value / spread)
  start = (value - slope * highest) * (2 / 255) - 1.0
  slope *= 2 / 255
  planes = tf.stack([start + slope * plane for plane in planes])
  return _clip(tf.reshape(tf.transpose(planes), tf.shape(image)))


def _color_matrix(saturation: tf.Tensor, hue: tf.Tensor) -> tf.Tensor:
  """M' [3, 3] of the fast form; `hue` in whole turns."""
  luma = tf.constant([LUMA] * 3)
  saturate = saturation * tf.eye(3) + (1 - saturation) * luma
  cos, sin = tf.cos(2 * math.pi * hue), tf.sin(2 * math.pi * hue)
  cross = tf.constant([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
  turn = cos * tf.eye(3) + (1 - cos) / 3 + sin / math.sqrt(3) * cross
  return tf.matmul(turn, saturate)


def _map_color(image: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
  """matrix x for each pixel x.

  A product with so small a matrix is slow: BLOCK pixels are taken as one row,
  where their number allows, and multiplied by the matrix repeated as blocks.
  """
  height, width, channels = image.shape
  block = BLOCK if height * width % BLOCK == 0 else 1
  blocks = tf.einsum('ab,cd->acbd', tf.eye(block), tf.transpose(matrix))
  blocks = tf.reshape(blocks, [block * channels, block * channels])
  rows = tf.matmul(tf.reshape(image, [-1, block * channels]), blocks)
  return tf.reshape(rows, [height, width, channels])


def _recolor(
  image: tf.Tensor, order: tuple[str, ...], seed: tf.Tensor
) -> tf.Tensor:
  """clip(op_n(... op_1(image))) to [0, 1], each op by a random argument."""
  for name in order:
    if image.shape[2] == 3 or name not in NEEDS_COLOR:
      image = COLOR_OPS[name][0](image, _draw(seed, name))
  return tf.clip_by_value(image, 0.0, 1.0)


def _scale(image: tf.Tensor) -> tf.Tensor:
  """[0, 1] to [-1, 1]: (image - 0.5) * 2."""
  return (image - 0.5) * 2.0


INCEPTION = Recipe(
  name='inception',
  training=Steps(distort, sample_window),
  evaluation=Steps(resize, central_window),
  full_training=Steps(distort_fully, sample_window),
  fast_training=Steps(distort_affinely, sample_window),
  visible=lambda image: image / 2 + 0.5,
)

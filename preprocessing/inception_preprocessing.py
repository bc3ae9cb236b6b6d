"""Inception's preprocessing: a random crop, resized, flipped, recolored; in [-1, 1].

https://arxiv.org/abs/1409.4842, section 6. TF-Slim's programs resize linearly
and change brightness and saturation. Its full form draws one of four resize
methods and one of four orders of brightness, saturation, hue and contrast. For
one channel, only brightness and contrast change. This includes photos that
--use_grayscale converts to gray, which TF-Slim recolors first.

The fast form combines all four changes into one affine map of a pixel's
(R, G, B) x, with the ranges of the full form. It takes the mean over each
STRIDE-th row and column, and does not smooth the color of a JPEG:

  x' = hue saturation (contrast (x - mean) + mean) + brightness, where
  saturation = s I + (1 - s) 1 luma^T scales the distance to the pixel's luma;
  hue = cos(a) I + (1 - cos(a)) / 3 J + sin(a) K rotates by a around the gray
  axis, with J all ones and K the cross product with (1, 1, 1) / sqrt(3).
"""

from __future__ import annotations

import math

from preprocessing import random_ops
from preprocessing.decoding import Image
from preprocessing.spec import PreprocessingSpec, Steps, mirror
from tf_compat import tf

CENTRAL_FRACTION = 0.875
MIN_OBJECT_COVERED = 0.1
ASPECT_RATIO_RANGE = 0.75, 1.33
AREA_RANGE = 0.05, 1.0
# Names of tf.image.ResizeMethod.
RESIZE_METHODS = ('BILINEAR', 'NEAREST_NEIGHBOR', 'BICUBIC', 'AREA')
# Color distortions do not commute, so their order is random.
ORDERS = (
  ('brightness', 'saturation', 'hue', 'contrast'),
  ('saturation', 'brightness', 'contrast', 'hue'),
  ('contrast', 'hue', 'brightness', 'saturation'),
  ('hue', 'saturation', 'contrast', 'brightness'),
)
# Suffix of tf.image.adjust_* -> range of its random argument.
COLOR_RANGES = {
  'brightness': (-32 / 255, 32 / 255),
  'saturation': (0.5, 1.5),
  'hue': (-0.2, 0.2),
  'contrast': (0.5, 1.5),
}
NEEDS_COLOR = ('saturation', 'hue')
LUMA = 0.299, 0.587, 0.114
STRIDE = 8
FLIP = {'flip': (0, 1)}


def sample(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """resize(random_crop(image)), in [0, 255]."""
  window = sample_window(image.size, seed, bbox)
  return resize(image.crop(window), height, width)


def sample_roughly(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """resize(random_crop(image)), without smoothing the color of a JPEG."""
  window = sample_window(image.size, seed, bbox)
  return resize(image.crop(window, smooth=False), height, width)


def sample_fully(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """recolor(resize(random_crop(image))), a random method and order."""
  image = image.crop(sample_window(image.size, seed, bbox))
  image = tf.image.convert_image_dtype(image, tf.float32)
  image = random_ops.choose(
    seed,
    'resize',
    [
      lambda method=method: tf.image.resize_images(
        image, [height, width], getattr(tf.image.ResizeMethod, method)
      )
      for method in RESIZE_METHODS
    ],
  )
  return 255 * random_ops.choose(
    seed,
    'order',
    [lambda order=order: _recolor(image, order, seed) for order in ORDERS],
  )


def center(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """resize(central_crop(image)), 87.5% of each side, in [0, 255]."""
  del seed, bbox
  return resize(image.crop(central_window(image.size)), height, width)


def sample_window(
  size: tf.Tensor, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """Draws a window [4] of 5% to 100% of the area, its sides 3:4 to 4:3."""
  if bbox is None:
    bbox = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
  return random_ops.sample_window(
    size, seed, bbox, MIN_OBJECT_COVERED, ASPECT_RATIO_RANGE, AREA_RANGE
  )


def central_window(size: tf.Tensor) -> tf.Tensor:
  """Returns the central window [4], rounded as tf.image.central_crop does."""
  sides = tf.cast(size, tf.float64)
  begin = tf.cast((sides - sides * CENTRAL_FRACTION) / 2, tf.int32)
  return tf.concat([begin, size - 2 * begin], 0)


def distort(
  images: tf.Tensor,
  flip: tf.Tensor,
  brightness: tf.Tensor,
  saturation: tf.Tensor,
) -> tf.Tensor:
  """scale(saturate(brighten(flip(images)))); no saturate for one channel."""
  images = mirror(images, flip)
  if images.shape[3] == 3:
    return _saturate(images, brightness * 255, saturation)
  return _clip(scale(images + brightness * 255))


def distort_affinely(
  images: tf.Tensor,
  flip: tf.Tensor,
  brightness: tf.Tensor,
  saturation: tf.Tensor,
  hue: tf.Tensor,
  contrast: tf.Tensor,
) -> tf.Tensor:
  """scale(affine_map(flip(images)))."""
  mean = tf.reduce_mean(images[:, ::STRIDE, ::STRIDE], [1, 2], keepdims=True)
  rest = tf.unstack((1 - contrast) * mean, axis=3)  # [N, 1, 1]
  planes = tf.unstack(mirror(images, flip), axis=3)  # [N, H, W]
  contrast, brightness = contrast[..., 0], 255 * brightness[..., 0]

  def mix(weights):
    start = brightness + _dot(weights, rest)
    return start + _dot([contrast * weight for weight in weights], planes)

  matrix = [[1.0]]
  if len(planes) == 3:
    matrix = _color_matrix(saturation[..., 0], hue[..., 0])
  return _clip(scale(tf.stack([mix(weights) for weights in matrix], 3)))


def flip_and_scale(images: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
  """scale(flip(images))."""
  return _clip(scale(mirror(images, flip)))


def scale(images: tf.Tensor) -> tf.Tensor:
  """images * 2 / 255 - 1, from [0, 255] to [-1, 1]."""
  return images * (2 / 255) - 1.0


def resize(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """Resizes an image linearly, to float32 in [0, 255]."""
  return tf.image.resize_bilinear(image[tf.newaxis], [height, width])[0]


def _clip(image: tf.Tensor) -> tf.Tensor:
  """min(max(image, -1), 1)."""
  return tf.clip_by_value(image, -1.0, 1.0)


def _saturate(
  images: tf.Tensor, brightness: tf.Tensor, factor: tf.Tensor
) -> tf.Tensor:
  """scale(adjust_saturation(images + brightness, factor)), without HSV.

  With v the largest and m the smallest of a pixel's three colors x, its
  saturation in HSV is s = (v - m) / v. Scaling v - x by min(factor, 1 / s)
  changes s to min(1, factor s) and keeps hue and v.
  """
  planes = tf.unstack(images, axis=3)  # [N, H, W]
  brightness, factor = brightness[..., 0], factor[..., 0]
  highest = tf.maximum(tf.maximum(planes[0], planes[1]), planes[2])
  lowest = tf.minimum(tf.minimum(planes[0], planes[1]), planes[2])
  spread = tf.maximum(highest - lowest, 1e-6)  # Grays have no saturation.
  value = highest + brightness
  slope = tf.minimum(factor, value / spread)
  planes = [value - slope * (highest - plane) for plane in planes]
  return _clip(scale(tf.stack(planes, 3)))


def _color_matrix(
  saturation: tf.Tensor, hue: tf.Tensor
) -> list[list[tf.Tensor]]:
  """The matrix hue saturation of the fast form, 3 x 3; `hue` in full turns."""
  cos, sin = tf.cos(2 * math.pi * hue), tf.sin(2 * math.pi * hue)
  gray, cross = (1 - cos) / 3, sin / math.sqrt(3)
  turn = [
    [cos + gray, gray - cross, gray + cross],
    [gray + cross, cos + gray, gray - cross],
    [gray - cross, gray + cross, cos + gray],
  ]
  # Rotation does not change a gray.
  return [
    [
      saturation * part + (1 - saturation) * share
      for part, share in zip(row, LUMA, strict=True)
    ]
    for row in turn
  ]


def _dot(weights: list, planes: list) -> tf.Tensor:
  """sum(weight * plane); a matrix product is slow for three planes."""
  return sum(w * plane for w, plane in zip(weights, planes, strict=True))


def _recolor(
  image: tf.Tensor, order: tuple[str, ...], seed: tf.Tensor
) -> tf.Tensor:
  """clip(op_n(... op_1(image))) to [0, 1], random arguments for each op."""
  for name in order:
    if image.shape[2] == 3 or name not in NEEDS_COLOR:
      number = random_ops.uniform(seed, name, *COLOR_RANGES[name])
      image = getattr(tf.image, f'adjust_{name}')(image, number)
  return tf.clip_by_value(image, 0.0, 1.0)


INCEPTION = PreprocessingSpec(
  name='inception',
  training=Steps(
    sample,
    distort,
    FLIP | {name: COLOR_RANGES[name] for name in ('brightness', 'saturation')},
  ),
  evaluation=Steps(center, scale),
  full_training=Steps(sample_fully, flip_and_scale, FLIP),
  fast_training=Steps(sample_roughly, distort_affinely, FLIP | COLOR_RANGES),
  visible=lambda image: image / 2 + 0.5,
)

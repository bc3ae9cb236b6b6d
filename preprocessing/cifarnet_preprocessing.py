"""CIFAR's preprocessing: pad, crop, flip, brightness, contrast; then standardize."""

from __future__ import annotations

from preprocessing import decoding, random_ops
from preprocessing.decoding import Image
from preprocessing.spec import PreprocessingSpec, Steps, mirror
from tf_compat import tf

PADDING = 4
DRAWS = {'flip': (0, 1), 'brightness': (-63, 63), 'contrast': (0.2, 1.8)}


def crop(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """random_crop(pad(image))."""
  del bbox
  image = _pad(image.pixels(), height, width)
  return random_ops.crop(image, height, width, seed)


def distort(
  images: tf.Tensor, flip: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor
) -> tf.Tensor:
  """standardize(adjust_contrast(flip(images) + brightness))."""
  images = mirror(images, flip) + brightness
  mean = tf.reduce_mean(images, [1, 2], keepdims=True)
  return standardize((images - mean) * contrast + mean)


def center(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """crop_or_pad(image)."""
  del seed, bbox
  return decoding.crop_or_pad(image.pixels(), height, width)


def standardize(images: tf.Tensor) -> tf.Tensor:
  """(image - mean) / standard deviation, for each image."""
  return tf.image.per_image_standardization(images)


def _pad(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """Pads with black: 4 pixels on each side, or more if the crop is larger."""
  missing = ([height, width] - tf.shape(image)[:2] + 1) // 2
  margin = tf.maximum(missing, PADDING)
  return tf.pad(image, [[margin[0], margin[0]], [margin[1], margin[1]], [0, 0]])


CIFARNET = PreprocessingSpec(
  name='cifarnet',
  training=Steps(crop, distort, DRAWS),
  evaluation=Steps(center, standardize),
)

"""CIFAR's recipe: pad, crop, flip, brightness, contrast; then standardise."""

from preprocessing import decoding, random_ops
from preprocessing.decoding import Image
from preprocessing.recipe import Recipe, Steps, mirror
from tf_compat import tf

PADDING = 4
DRAWS = {'flip': (0, 1), 'brightness': (-63, 63), 'contrast': (0.2, 1.8)}


def crop(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """A random crop of the padded image."""
  del bbox
  image = _pad(image.whole(), height, width)
  return random_ops.crop(image, height, width, seed)


def distort(
  images: tf.Tensor, flip: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor
) -> tf.Tensor:
  """standardise(adjust_contrast(flip(images) + brightness))."""
  images = mirror(images, flip) + brightness
  mean = tf.reduce_mean(images, [1, 2], keepdims=True)
  return standardise((images - mean) * contrast + mean)


def center(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """crop_or_pad(image)."""
  del seed, bbox
  return decoding.crop_or_pad(image.whole(), height, width)


def standardise(images: tf.Tensor) -> tf.Tensor:
  """(images - mean) / deviation, of each."""
  return tf.image.per_image_standardization(images)


def _pad(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """Black around the image: 4 pixels, or what a larger crop needs."""
  lacking = ([height, width] - tf.shape(image)[:2] + 1) // 2
  margin = tf.maximum(lacking, PADDING)
  return tf.pad(image, [[margin[0], margin[0]], [margin[1], margin[1]], [0, 0]])


CIFARNET = Recipe(
  name='cifarnet',
  training=Steps(crop, distort, DRAWS),
  evaluation=Steps(center, standardise),
)

"""CIFAR's recipe: pad, crop, flip, brightness, contrast; then standardise."""

from preprocessing import decoding, random_ops
from preprocessing.recipe import Recipe, Steps
from tf_compat import tf

PADDING = 4
MAX_BRIGHTNESS = 63.0
CONTRAST = 0.2, 1.8


def distort(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """A random crop of the padded image, flipped, relit and standardised."""
  image = _pad(tf.cast(image, tf.float32), height, width)
  image = random_ops.crop(image, height, width, seed)
  image = random_ops.flip(image, seed)
  image += random_ops.uniform(
    seed, 'brightness', -MAX_BRIGHTNESS, MAX_BRIGHTNESS
  )
  contrast = random_ops.uniform(seed, 'contrast', *CONTRAST)
  image = tf.image.adjust_contrast(image, contrast)
  return tf.image.per_image_standardization(image)


def center(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """standardise(crop_or_pad(image))."""
  del seed
  image = tf.cast(image, tf.float32)
  image = decoding.crop_or_pad(image, height, width)
  return tf.image.per_image_standardization(image)


def _pad(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """Black around the image: 4 pixels, or what a larger crop needs."""
  lacking = ([height, width] - tf.shape(image)[:2] + 1) // 2
  margin = tf.maximum(lacking, PADDING)
  return tf.pad(image, [[margin[0], margin[0]], [margin[1], margin[1]], [0, 0]])


CIFARNET = Recipe(
  name='cifarnet', training=Steps(distort), evaluation=Steps(center)
)

"""LeNet's recipe: cut or pad to size, then (image - 128) / 128."""

from preprocessing import decoding
from preprocessing.recipe import Recipe, Steps
from tf_compat import tf


def center_and_scale(
  image: tf.Tensor, height: int, width: int, seed: tf.Tensor
) -> tf.Tensor:
  """(crop_or_pad(image) - 128) / 128; nothing here is random."""
  del seed
  image = tf.cast(image, tf.float32)
  image = decoding.crop_or_pad(image, height, width)
  return (image - 128.0) / 128.0


LENET = Recipe(
  name='lenet',
  training=Steps(center_and_scale),
  evaluation=Steps(center_and_scale),
  visible=lambda image: (image * 128 + 128) / 255,
)

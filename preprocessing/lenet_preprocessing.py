"""LeNet's recipe: cut or pad to size, then (image - 128) / 128."""

from preprocessing import decoding
from preprocessing.decoding import Image
from preprocessing.recipe import Recipe, Steps
from tf_compat import tf


def center(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """crop_or_pad(image)."""
  del seed, bbox
  return decoding.crop_or_pad(image.whole(), height, width)


def scale(images: tf.Tensor) -> tf.Tensor:
  """(images - 128) / 128; nothing here is random."""
  return (images - 128.0) / 128.0


STEPS = Steps(center, scale)
LENET = Recipe(
  name='lenet',
  training=STEPS,
  evaluation=STEPS,
  visible=lambda image: (image * 128 + 128) / 255,
)

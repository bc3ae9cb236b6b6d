"""LeNet's preprocessing: crop or pad to size, then (image - 128) / 128."""

from __future__ import annotations

from preprocessing import decoding
from preprocessing.decoding import Image
from preprocessing.spec import PreprocessingSpec, Steps
from tf_compat import tf


def center(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """crop_or_pad(image)."""
  del seed, bbox
  return decoding.crop_or_pad(image.pixels(), height, width)


def scale(images: tf.Tensor) -> tf.Tensor:
  """(images - 128) / 128."""
  return (images - 128.0) / 128.0


# TF-Slim's preprocessing has no random distortions.
STEPS = Steps(center, scale)
LENET = PreprocessingSpec(
  name='lenet',
  training=STEPS,
  evaluation=STEPS,
  visible=lambda image: (image * 128 + 128) / 255,
)

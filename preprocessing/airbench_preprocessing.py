"""airbench_cifar's preprocessing: move by up to 2 pixels, flip, normalize.

Section 3.1 of https://arxiv.org/abs/2404.00498, with flips at random.
"""

from __future__ import annotations

from preprocessing import random_ops
from preprocessing.cifarnet_preprocessing import center
from preprocessing.decoding import Image
from preprocessing.imagenet_preprocessing import Normalization
from preprocessing.spec import PreprocessingSpec, Steps, compiled
from preprocessing.vgg_preprocessing import FLIP
from tf_compat import tf

PADDING = 2
# Over CIFAR-10's training images.
COLORS = Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def crop(
  image: Image, height: int, width: int, seed: tf.Tensor, bbox: tf.Tensor | None
) -> tf.Tensor:
  """random_crop(pad(crop_or_pad(image))); the padding reflects the image."""
  image = center(image, height, width, seed, bbox)
  margin = [PADDING, PADDING]
  image = tf.pad(image, [margin, margin, [0, 0]], 'REFLECT')
  return random_ops.crop(image, height, width, seed)


AIRBENCH = PreprocessingSpec(
  name='airbench',
  training=Steps(crop, COLORS.distort, FLIP),
  evaluation=Steps(center, compiled(COLORS.normalize)),
  visible=COLORS.restore,
)

"""Mixup and CutMix: a batch mixed with itself in reverse, labels likewise.

Each takes images [N, H, W, C], labels as shares of the classes [N, K] and the
batch's seed, and gives both mixed by one drawn share.
"""

from typing import Annotated

from preprocessing import random_ops
from preprocessing.erasing import inside_box
from registry import Rule
from tf_compat import tf

Alpha = Annotated[
  float,
  Rule('a number above 0', lambda v: isinstance(v, int | float) and v > 0),
]
Mixed = tuple[tf.Tensor, tf.Tensor]


def mixup(
  images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, alpha: Alpha = 0.2
) -> Mixed:
  """share * x + (1 - share) * reversed x; share from Beta(alpha, alpha).

  https://arxiv.org/abs/1710.09412.
  """
  share = random_ops.beta(seed, 'mixup', alpha)
  return _mix(images, share), _mix(labels, share)


def cutmix(
  images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, alpha: Alpha = 1.0
) -> Mixed:
  """A box of 1 - share of the area comes from the reversed batch.

  https://arxiv.org/abs/1905.04899. Labels go by what is inside the image.
  """
  height, width = images.shape[1:3]
  side = tf.sqrt(1.0 - random_ops.beta(seed, 'cutmix', alpha))
  rows, columns = (tf.cast(side * s, tf.int32) for s in (height, width))
  y = random_ops.uniform(seed, 'cutmix_y', 0, height, tf.int32)
  x = random_ops.uniform(seed, 'cutmix_x', 0, width, tf.int32)
  inside = inside_box(
    height, width, y - rows // 2, x - columns // 2, rows, columns
  )
  inside = tf.cast(inside, tf.float32)
  return (
    images + (tf.reverse(images, [0]) - images) * inside,
    _mix(labels, 1.0 - tf.reduce_mean(inside)),
  )


def _mix(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
  return share * values + (1.0 - share) * tf.reverse(values, [0])

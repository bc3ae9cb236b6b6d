"""Mixup and CutMix: mix a batch and its labels with the reversed batch.

Each function takes images [N, H, W, C], labels as shares of the classes [N, K]
and the batch's seed. It returns both, mixed in one random ratio.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from preprocessing import random_ops
from preprocessing.erasing import inside_box
from registry import Rule
from tf_compat import tf

Alpha = Annotated[
  float,
  Rule('a number above 0', lambda v: isinstance(v, int | float) and v > 0),
]
MixedBatch: TypeAlias = 'tuple[tf.Tensor, tf.Tensor]'


def mixup(
  images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, alpha: Alpha = 0.2
) -> MixedBatch:
  """share * x + (1 - share) * reversed(x), share from Beta(alpha, alpha).

  https://arxiv.org/abs/1710.09412

  Args:
    images: float32 [N, H, W, C].
    labels: shares of the classes, float32 [N, K].
    seed: int64 [2], the batch's.
    alpha: the parameter of the Beta distribution; a larger one mixes more.

  Returns:
    The mixed images and labels, of the same shapes.
  """
  share = random_ops.beta(seed, 'mixup', alpha)
  return _mix(images, share), _mix(labels, share)


def cutmix(
  images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, alpha: Alpha = 1.0
) -> MixedBatch:
  """Replaces a box of each image by that of the reversed batch.

  https://arxiv.org/abs/1905.04899

  The box covers 1 - share of the area, share from Beta(alpha, alpha), before it
  is clipped at the borders; labels are mixed by its area after clipping.

  Args:
    images: float32 [N, H, W, C].
    labels: shares of the classes, float32 [N, K].
    seed: int64 [2], the batch's.
    alpha: the parameter of the Beta distribution.

  Returns:
    The mixed images and labels, of the same shapes.
  """
  height, width = images.shape[1:3]
  side = tf.sqrt(1.0 - random_ops.beta(seed, 'cutmix', alpha))
  rows, columns = (
    tf.cast(side * length, tf.int32) for length in (height, width)
  )
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
  """share * values + (1 - share) * reversed(values)."""
  return share * values + (1.0 - share) * tf.reverse(values, [0])

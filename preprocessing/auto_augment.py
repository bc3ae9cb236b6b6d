"""RandAugment and AutoAugment: random pixel operations before the preprocessing."""

from __future__ import annotations

from typing import Annotated

from preprocessing import random_ops
from preprocessing.pixel_ops import PIXEL_OPS
from registry import PositiveInt, Rule
from tf_compat import tf

Magnitude = Annotated[
  float,
  Rule(
    'a number from 0 to 10',
    lambda v: isinstance(v, int | float) and 0 <= v <= 10,
  ),
]

# The policy for ImageNet, table 9 of the paper: sub-policies of two operations,
# each (name, probability, magnitude from 0 to 9).
SUB_POLICIES = (
  (('posterize', 0.4, 8), ('rotate', 0.6, 9)),
  (('solarize', 0.6, 5), ('autocontrast', 0.6, 5)),
  (('equalize', 0.8, 8), ('equalize', 0.6, 3)),
  (('posterize', 0.6, 7), ('posterize', 0.6, 6)),
  (('equalize', 0.4, 7), ('solarize', 0.2, 4)),
  (('equalize', 0.4, 4), ('rotate', 0.8, 8)),
  (('solarize', 0.6, 3), ('equalize', 0.6, 7)),
  (('posterize', 0.8, 5), ('equalize', 1.0, 2)),
  (('rotate', 0.2, 3), ('solarize', 0.6, 8)),
  (('equalize', 0.6, 8), ('posterize', 0.4, 6)),
  (('rotate', 0.8, 8), ('color', 0.4, 0)),
  (('rotate', 0.4, 9), ('equalize', 0.6, 2)),
  (('equalize', 0.0, 7), ('equalize', 0.8, 8)),
  (('invert', 0.6, 4), ('equalize', 1.0, 8)),
  (('color', 0.6, 4), ('contrast', 1.0, 8)),
  (('rotate', 0.8, 8), ('color', 1.0, 2)),
  (('color', 0.8, 8), ('solarize', 0.8, 7)),
  (('sharpness', 0.4, 7), ('invert', 0.6, 8)),
  (('shear_x', 0.6, 5), ('equalize', 1.0, 9)),
  (('color', 0.4, 0), ('equalize', 0.6, 3)),
  (('equalize', 0.4, 7), ('solarize', 0.2, 4)),
  (('solarize', 0.6, 5), ('autocontrast', 0.6, 5)),
  (('invert', 0.6, 4), ('equalize', 1.0, 8)),
  (('color', 0.6, 4), ('contrast', 1.0, 8)),
  (('equalize', 0.8, 8), ('equalize', 0.6, 3)),
)


def randaugment(
  image: tf.Tensor,
  seed: tf.Tensor,
  *,
  layers: PositiveInt = 2,
  magnitude: Magnitude = 9,
) -> tf.Tensor:
  """op_layers(... op_1(image)), drawn uniformly from PIXEL_OPS except invert.

  https://arxiv.org/abs/1909.13719

  Args:
    image: uint8 [H, W, C], C 1 or 3.
    seed: int64 [2], the record's.
    layers: the number of operations.
    magnitude: the strength of all operations; 10 is the strongest.

  Returns:
    uint8 [H, W, C].
  """
  for layer in range(layers):
    purpose = f'randaugment_{layer}'
    index = random_ops.uniform(seed, purpose, 0, len(PIXEL_OPS) - 1, tf.int32)
    image = _apply(image, index, magnitude / 10, seed, purpose)
  return image


def autoaugment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Applies the two operations of a random sub-policy, each by its probability.

  https://arxiv.org/abs/1805.09501, the policy for ImageNet. Where a strength
  has two directions, such as a rotation, the direction is random.

  Args:
    image: uint8 [H, W, C], C 1 or 3.
    seed: int64 [2], the record's.

  Returns:
    uint8 [H, W, C].
  """
  row = random_ops.uniform(seed, 'autoaugment', 0, len(SUB_POLICIES), tf.int32)
  numbers = {op.name: number for number, op in enumerate(PIXEL_OPS)}
  for position in range(2):
    names, probabilities, magnitudes = zip(
      *(sub_policy[position] for sub_policy in SUB_POLICIES), strict=True
    )
    purpose = f'autoaugment_{position}'
    chance = random_ops.uniform(seed, f'{purpose}_chance', 0.0, 1.0)
    index = tf.where(
      chance < tf.gather([*probabilities], row),
      tf.gather([numbers[name] for name in names], row),
      numbers['identity'],
    )
    level = tf.gather([magnitude / 9 for magnitude in magnitudes], row)
    image = _apply(image, index, level, seed, purpose)
  return image


def _apply(
  image: tf.Tensor,
  index: tf.Tensor,
  level: tf.Tensor | float,
  seed: tf.Tensor,
  purpose: str,
) -> tf.Tensor:
  """PIXEL_OPS[index](image, level, random sign)."""
  is_positive = random_ops.uniform(seed, f'{purpose}_sign', 0.0, 1.0) < 0.5
  sign = tf.where(is_positive, 1.0, -1.0)
  level = tf.convert_to_tensor(level, tf.float32)
  changed = tf.switch_case(
    index,
    [lambda op=op: op.apply(image, level, sign) for op in PIXEL_OPS],
  )
  changed.set_shape(image.shape)
  return changed

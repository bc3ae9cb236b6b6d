"""RandAugment and AutoAugment: random changes of pixels, before the recipe."""

from typing import Annotated

from preprocessing import random_ops
from preprocessing.pixel_ops import PIXEL_OPS
from registry import Rule, Whole
from tf_compat import tf

Magnitude = Annotated[
  float,
  Rule(
    'a number from 0 to 10',
    lambda v: isinstance(v, int | float) and 0 <= v <= 10,
  ),
]

# (operation, its probability, its magnitude of 0 to 9), two in a row: table 9
# of the paper, ImageNet's.
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
  layers: Whole = 2,
  magnitude: Magnitude = 9,
) -> tf.Tensor:
  """Op_layers(... op_1(image)) of drawn operations, all of one magnitude.

  https://arxiv.org/abs/1909.13719; magnitude 10 is the strongest.
  """
  for layer in range(layers):
    what = f'randaugment_{layer}'
    index = random_ops.uniform(seed, what, 0, len(PIXEL_OPS) - 1, tf.int32)
    image = _apply(image, index, magnitude / 10, seed, what)
  return image


def autoaugment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """The two operations of a drawn sub-policy, each with its probability.

  https://arxiv.org/abs/1805.09501, the policy found on ImageNet. A strength
  that has two directions goes either way.
  """
  row = random_ops.uniform(seed, 'autoaugment', 0, len(SUB_POLICIES), tf.int32)
  numbers = {op.name: number for number, op in enumerate(PIXEL_OPS)}
  for place in range(2):
    names, probabilities, magnitudes = zip(
      *(pair[place] for pair in SUB_POLICIES), strict=True
    )
    what = f'autoaugment_{place}'
    chance = random_ops.uniform(seed, f'{what}_chance', 0.0, 1.0)
    index = tf.where(
      chance < tf.gather([*probabilities], row),
      tf.gather([numbers[name] for name in names], row),
      numbers['identity'],
    )
    level = tf.gather([magnitude / 9 for magnitude in magnitudes], row)
    image = _apply(image, index, level, seed, what)
  return image


def _apply(
  image: tf.Tensor,
  index: tf.Tensor,
  level: tf.Tensor | float,
  seed: tf.Tensor,
  what: str,
) -> tf.Tensor:
  """PIXEL_OPS[index](image, level), in either direction."""
  even = random_ops.uniform(seed, f'{what}_sign', 0.0, 1.0) < 0.5
  sign = tf.where(even, 1.0, -1.0)
  level = tf.convert_to_tensor(level, tf.float32)
  changed = tf.switch_case(
    index,
    [lambda op=op: op.apply(image, level, sign) for op in PIXEL_OPS],
  )
  changed.set_shape(image.shape)
  return changed

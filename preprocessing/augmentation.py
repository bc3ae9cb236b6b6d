"""The table of augmentations: --augment='randaugment(magnitude=7)+mixup'.

Augmentations are added to any preprocessing, in training only. Some change the pixels
that the preprocessing crops, before it resizes them; some change the network's input;
some mix the images of a batch.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

from errors import UserError
from preprocessing import auto_augment, erasing, mixup, random_ops
from registry import Adjustable, Table, parse_name
from tf_compat import tf

# Kinds of data that an augmentation may change, in order of application.
PIXELS, INPUT, BATCH = 'pixels', 'input', 'batch'


@dataclasses.dataclass(frozen=True)
class Augmentation(Adjustable):
  """One kind of augmentation.

  Attributes:
    name: its name in --augment.
    place: the data that it changes. PIXELS: function(image uint8 [H, W, C],
      seed, *, options); INPUT: the same on float32; BATCH: function(images,
      labels, seed, *, options).
    function: applies the augmentation; its keyword-only arguments are the
      options, and their annotations define the accepted values.
  """

  name: str
  place: str
  function: Callable[..., Any]


AUGMENTATIONS = Table(
  'augmentation',
  (
    Augmentation('randaugment', PIXELS, auto_augment.randaugment),
    Augmentation('autoaugment', PIXELS, auto_augment.autoaugment),
    Augmentation('cutout', INPUT, erasing.cutout),
    Augmentation('random_erasing', INPUT, erasing.random_erasing),
    Augmentation('mixup', BATCH, mixup.mixup),
    Augmentation('cutmix', BATCH, mixup.cutmix),
  ),
)

# + and commas separate names, except inside the parentheses of options.
_SEPARATOR = re.compile(r'[+,](?![^(]*\))')


@dataclasses.dataclass(frozen=True)
class Augmentations:
  """The selected augmentations with their options bound.

  Every random number follows from `seed`, int64 [2], of a record or a batch.

  Attributes:
    chosen: pairs (place, function of the data and the seed).
  """

  chosen: tuple[tuple[str, Callable[..., Any]], ...] = ()

  def at(self, place: str) -> list[Callable[..., Any]]:
    """Returns the augmentations of a kind of data, in the order of the flag."""
    return [function for other, function in self.chosen if other == place]

  def __call__(
    self, place: str, image: tf.Tensor, seed: tf.Tensor
  ) -> tf.Tensor:
    """Applies the augmentations of PIXELS or INPUT to an image [H, W, C]."""
    for function in self.at(place):
      image = function(image, seed)
    return image

  def mix(
    self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies one BATCH augmentation, drawn at random.

    Args:
      images: float32 [N, H, W, C].
      labels: shares of the classes, float32 [N, K].
      seed: int64 [2], the batch's.

    Returns:
      The mixed images and labels, of the same shapes.
    """
    mixes = [
      functools.partial(function, images, labels, seed)
      for function in self.at(BATCH)
    ]
    return random_ops.choose(seed, 'mix', mixes)


def get_augmentations(text: str | None) -> Augmentations:
  """Returns the augmentations that a value of --augment names.

  Args:
    text: names, alone or with options, separated by + or commas; None and ''
      select no augmentation.

  Raises:
    UserError: for an unknown name, option or value, or a repeated name.
  """
  chosen, names = [], []
  for part in _SEPARATOR.split(text) if text else ():
    name, options = parse_name(part)
    kind = AUGMENTATIONS[name]
    options = kind.check(options)
    if name in names:
      raise UserError(f'--augment names {name} twice: remove one of them.')
    names.append(name)
    chosen.append((kind.place, functools.partial(kind.function, **options)))
  return Augmentations(tuple(chosen))

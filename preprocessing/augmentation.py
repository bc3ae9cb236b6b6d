"""The table of augmentations: --augment='randaugment(magnitude=7)+mixup'.

They go on top of any recipe, in training only: some change the pixels that the
recipe takes of an image, before it resizes them; some the network's input; some
mix a batch.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

from errors import UserError
from preprocessing import erasing, mixing, policies, random_ops
from registry import Adjustable, Table, parse_name
from tf_compat import tf

# What an augmentation changes, in the order in which they take place.
PIXELS, INPUT, BATCH = 'pixels', 'input', 'batch'


@dataclasses.dataclass(frozen=True)
class Augmentation(Adjustable):
  """One kind of augmentation.

  Attributes:
    name: what --augment calls it.
    place: PIXELS, function(image uint8 [H, W, C], seed, *, options); INPUT,
      likewise on float32; or BATCH, function(images, labels, seed, *, options).
    function: whose options' annotations say what values they take.
  """

  name: str
  place: str
  function: Callable[..., Any]


AUGMENTATIONS = Table(
  'augmentation',
  (
    Augmentation('randaugment', PIXELS, policies.randaugment),
    Augmentation('autoaugment', PIXELS, policies.autoaugment),
    Augmentation('cutout', INPUT, erasing.cutout),
    Augmentation('random_erasing', INPUT, erasing.random_erasing),
    Augmentation('mixup', BATCH, mixing.mixup),
    Augmentation('cutmix', BATCH, mixing.cutmix),
  ),
)

# Separators of names, but not of options.
_SEPARATOR = re.compile(r'[+,](?![^(]*\))')


@dataclasses.dataclass(frozen=True)
class Augmentations:
  """Those that were asked for, each with its options, by place.

  `seed` is int64 [2], of a record or of a batch; it settles every draw.
  """

  chosen: tuple[tuple[str, Callable[..., Any]], ...] = ()

  def at(self, place: str) -> list[Callable[..., Any]]:
    """Those of a place, in the order in which they were named."""
    return [function for where, function in self.chosen if where == place]

  def __call__(
    self, place: str, image: tf.Tensor, seed: tf.Tensor
  ) -> tf.Tensor:
    """The image [H, W, C] after those of PIXELS or of INPUT."""
    for change in self.at(place):
      image = change(image, seed)
    return image

  def mix(
    self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Images [N, H, W, C] and labels [N, K] mixed by one of BATCH, drawn."""
    mixes = [
      functools.partial(function, images, labels, seed)
      for function in self.at(BATCH)
    ]
    return random_ops.choose(seed, 'mix', mixes)


def get_augmentations(text: str | None) -> Augmentations:
  """Those that a flag value names.

  Args:
    text: names, alone or with options, joined by + or commas; None and '' are
      none.

  Raises:
    UserError: for an unknown name, option or value, or a name given twice.
  """
  chosen, names = [], []
  for part in _SEPARATOR.split(text) if text else ():
    name, options = parse_name(part)
    kind = AUGMENTATIONS[name]
    kind.check(options)
    if name in names:
      raise UserError(f'--augment names {name} twice: leave one out.')
    names.append(name)
    chosen.append((kind.place, functools.partial(kind.function, **options)))
  return Augmentations(tuple(chosen))

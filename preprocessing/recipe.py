"""One preprocessing recipe: what happens to an image before a network."""

import dataclasses
from collections.abc import Callable

from tf_compat import tf

# finish(image [h, w, C] uint8, height, width, seed [2]) -> [height, width, C]
# float32, where the image is the part that `window` kept.
Finish = Callable[[tf.Tensor, int, int, tf.Tensor], tf.Tensor]
# window(size [2], seed [2], bbox [1, N, 4] or None) -> [4]: the top, left,
# height and width of the part of an image that is used at all.
Window = Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Steps:
  """finish(window(image)).

  The window stands apart so that a JPEG can be cropped while it is decoded.
  A step draws random numbers from the record's seed alone (`random_ops`).
  """

  finish: Finish
  window: Window | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
  """A recipe, as --preprocessing_name knows it.

  Attributes:
    name: what --preprocessing_name calls it.
    training: steps that distort at random.
    evaluation: steps without chance.
    fast_training: cheaper distortions, where the recipe has them.
  """

  name: str
  training: Steps
  evaluation: Steps
  fast_training: Steps | None = None

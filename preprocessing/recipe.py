"""One preprocessing recipe: what happens to an image before a network."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tf_compat import tf

# finish(image [h, w, C] uint8, height, width, seed [2]) -> [height, width, C]
# float32, where the image is the part that `window` kept.
Finish = Callable[[tf.Tensor, int, int, tf.Tensor], tf.Tensor]
# window(size [2], seed [2], bbox [1, N, 4] or None, (height, width)) -> [4]: the
# top, left, height and width of the part of an image that is used at all, when
# the output has that height and width.
Window = Callable[
  [tf.Tensor, tf.Tensor, tf.Tensor | None, tuple[int, int]], tf.Tensor
]


def stretch(image: np.ndarray) -> np.ndarray:
  """(image - min) / (max - min): as much as can be seen of any scale."""
  low, high = image.min(), image.max()
  return (image - low) / max(high - low, 1e-6)


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
    training: steps that distort at random, as TF-Slim's programs take them.
    evaluation: steps without chance.
    full_training: TF-Slim's costlier distortions, where the recipe has them.
    fast_training: cheaper formulas of the same strength, likewise.
    fast_evaluation: cheaper formulas of nearly the same result, likewise.
    visible: a network's input [H, W, C] back to pixels in [0, 1], for
      pictures.
  """

  name: str
  training: Steps
  evaluation: Steps
  full_training: Steps | None = None
  fast_training: Steps | None = None
  fast_evaluation: Steps | None = None
  visible: Callable[[np.ndarray], np.ndarray] = stretch

  def steps(self, is_training: bool, fast: bool, fast_mode: bool) -> Steps:
    """The steps for a purpose; what the recipe lacks is done the plain way."""
    if not is_training:
      return (fast and self.fast_evaluation) or self.evaluation
    full = None if fast_mode else self.full_training
    return (fast and self.fast_training) or full or self.training

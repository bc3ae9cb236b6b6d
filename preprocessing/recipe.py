"""One preprocessing recipe: what happens to an image before a network."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np

from preprocessing import random_ops
from preprocessing.decoding import Image
from tf_compat import tf

# fit(image, height, width, seed [2], bbox [1, N, 4] or None) -> uint8 or float32
# [height, width, C] in [0, 255]: what is used of an image, in the output's size.
Fit = Callable[[Image, int, int, tf.Tensor, tf.Tensor | None], tf.Tensor]
# finish(images float32 [N, height, width, C], **numbers) -> likewise; numbers are
# [N, 1, 1, 1], one for each image.
Finish = Callable[..., tf.Tensor]


def stretch(image: np.ndarray) -> np.ndarray:
  """(image - min) / (max - min): as much as can be seen of any scale."""
  low, high = image.min(), image.max()
  return (image - low) / max(high - low, 1e-6)


@dataclasses.dataclass(frozen=True)
class Steps:
  """finish(fit(image) of each, numbers drawn for each).

  To fit is each image's own business, for they differ in size, and a JPEG is
  cropped while it is decoded. To finish is that of all at once, and compiled
  where it draws: what would be a pass over the pixels for each operation
  becomes one for all. Without chance it is a pass or two as it is, and
  `compiled` where these are slow.

  Attributes:
    fit: what happens to an image up to its final size.
    finish: what happens to colors, and to left and right.
    draws: the random numbers of `finish`: name -> (least, most).
  """

  fit: Fit
  finish: Finish
  draws: Mapping[str, tuple[float, float]] = dataclasses.field(
    default_factory=dict
  )

  def finish_all(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """finish(images) with numbers drawn for each; `seed` is the first one's."""
    if not self.draws:
      return self.finish(images)
    count = tf.shape(images)[0]
    units = random_ops.units(seed, 'finish', count, len(self.draws))

    def finish(images, units):
      units = tf.unstack(
        units[:, tf.newaxis, tf.newaxis, :, tf.newaxis], axis=3
      )
      numbers = {
        name: least + unit * (most - least)
        for unit, (name, (least, most)) in zip(
          units, self.draws.items(), strict=True
        )
      }
      return self.finish(images, **numbers)

    return compiled(finish)(images, units)


def compiled(finish: Finish) -> Finish:
  """The same function, compiled by XLA in whichever graph calls it."""

  @functools.wraps(finish)
  def run(*images: tf.Tensor) -> tf.Tensor:
    return tf.function(finish, jit_compile=True, autograph=False)(*images)

  return run


def mirror(images: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
  """Those of images [N, H, W, C] from right to left where flip < 0.5."""
  return tf.where_v2(flip < 0.5, images[:, :, ::-1], images)


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

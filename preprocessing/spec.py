"""The type of preprocessings: from an image to a network's input."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from preprocessing import random_ops
from preprocessing.decoding import Image
from registry import Adjustable
from tf_compat import tf

# fit(image, height, width, seed [2], bbox [1, N, 4] or None) -> image, cropped
# and resized: uint8 or float32 [height, width, C] in [0, 255].
Fit: TypeAlias = (
  'Callable[[Image, int, int, tf.Tensor, tf.Tensor | None], tf.Tensor]'
)
# finish(images float32 [N, height, width, C], **numbers) -> the same shape and
# type; numbers are [N, 1, 1, 1], one for each image.
Finish: TypeAlias = 'Callable[..., tf.Tensor]'


def stretch(image: np.ndarray) -> np.ndarray:
  """(image - min) / (max - min)."""
  low, high = image.min(), image.max()
  return (image - low) / max(high - low, 1e-6)


@dataclasses.dataclass(frozen=True)
class Steps:
  """finish(fit(image) of each image, random numbers of each image).

  `fit` handles one image at a time, since images differ in size and a JPEG is
  cropped while it is decoded. `finish` handles all images at once. XLA compiles
  it if it takes random numbers: one pass over the pixels then replaces a pass
  for each operation. Without random numbers it is one or two passes anyway; a
  preprocessing wraps it in `compiled` where these are slow.

  Attributes:
    fit: crops and resizes an image.
    finish: changes colors, and mirrors the image.
    draws: range of each random number of `finish`: name -> (low, high).
  """

  fit: Fit
  finish: Finish
  draws: Mapping[str, tuple[float, float]] = dataclasses.field(
    default_factory=dict
  )

  def finish_all(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """finish(images, numbers of each image); `seed` is the first image's."""
    if not self.draws:
      return self.finish(images)
    count = tf.shape(images)[0]
    units = random_ops.units(seed, 'finish', count, len(self.draws))

    def finish(images, units):
      units = tf.unstack(
        units[:, tf.newaxis, tf.newaxis, :, tf.newaxis], axis=3
      )
      numbers = {
        name: low + unit * (high - low)
        for unit, (name, (low, high)) in zip(
          units, self.draws.items(), strict=True
        )
      }
      return self.finish(images, **numbers)

    return compiled(finish)(images, units)


def compiled(finish: Finish) -> Finish:
  """Wraps a function so that XLA compiles it in the graph that calls it."""

  @functools.wraps(finish)
  def run(*images: tf.Tensor) -> tf.Tensor:
    return tf.function(finish, jit_compile=True, autograph=False)(*images)

  return run


def mirror(images: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
  """Flips images [N, H, W, C] from left to right where flip < 0.5."""
  return tf.where_v2(flip < 0.5, images[:, :, ::-1], images)


def _fixed() -> None:
  """The function of a preprocessing without options."""


@dataclasses.dataclass(frozen=True)
class PreprocessingSpec(Adjustable):
  """A preprocessing for training and evaluation, in all its forms.

  str() is its spelling in --preprocessing_name.

  Attributes:
    name: its name in --preprocessing_name.
    training: random distortions, those of TF-Slim's programs.
    evaluation: steps without random numbers.
    full_training: TF-Slim's costlier distortions, or None.
    fast_training: cheaper formulas of the same strength, or None.
    fast_evaluation: cheaper formulas with nearly the same result, or None.
    visible: converts a network's input [H, W, C] back to pixels in [0, 1], to
      be shown.
    function: function(*, option=default) -> the preprocessing with other options.
    options: the options that are not at their default.
  """

  name: str
  training: Steps
  evaluation: Steps
  full_training: Steps | None = None
  fast_training: Steps | None = None
  fast_evaluation: Steps | None = None
  visible: Callable[[np.ndarray], np.ndarray] = stretch
  function: Callable[..., Any] = _fixed
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def with_options(self, options: Mapping[str, Any]) -> PreprocessingSpec:
    """Returns the preprocessing with these options.

    Raises:
      UserError: for an unknown option or value.
    """
    options = self.check(options)
    if not options:
      return self
    return dataclasses.replace(self.function(**options), options=options)

  def __str__(self) -> str:
    return self.spell(self.options)

  def steps(self, is_training: bool, fast: bool, fast_mode: bool) -> Steps:
    """Returns a form's steps; `training` or `evaluation` if it is missing.

    Args:
      is_training: whether to distort at random.
      fast: prefer the cheaper formulas.
      fast_mode: False prefers `full_training`.
    """
    if not is_training:
      return (fast and self.fast_evaluation) or self.evaluation
    full = None if fast_mode else self.full_training
    return (fast and self.fast_training) or full or self.training

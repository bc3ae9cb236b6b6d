"""The table of preprocessings, and preprocessings as functions of images."""

from __future__ import annotations

import dataclasses
import functools

from preprocessing import augmentation, decoding, random_ops
from preprocessing.airbench_preprocessing import AIRBENCH
from preprocessing.augmentation import Augmentations
from preprocessing.cifarnet_preprocessing import CIFARNET
from preprocessing.imagenet_preprocessing import IMAGENET
from preprocessing.inception_preprocessing import INCEPTION
from preprocessing.lenet_preprocessing import LENET
from preprocessing.spec import PreprocessingSpec, Steps
from preprocessing.vgg_preprocessing import VGG
from registry import Table, parse_name
from tf_compat import tf

PREPROCESSINGS: Table[PreprocessingSpec] = Table(
  'preprocessing', [AIRBENCH, CIFARNET, IMAGENET, INCEPTION, LENET, VGG]
)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """A preprocessing for training or evaluation, called with pixels or encoded images.

  All random numbers of a call follow from `seed`, int64 [2]; without one, each
  run draws a new seed from the graph's. `bbox`, float32 [1, N, 4] of ymin,
  xmin, ymax, xmax in [0, 1], holds the bounding boxes of objects: a random crop
  covers part of one. The default is the full image.

  Attributes:
    steps: the preprocessing's steps for this purpose.
    use_grayscale: whether color images become one channel first.
    augmentations: random changes beyond the preprocessing.
  """

  steps: Steps
  use_grayscale: bool
  augmentations: Augmentations

  def __call__(
    self,
    image: tf.Tensor,
    height: int,
    width: int,
    *,
    bbox: tf.Tensor | None = None,
    seed: tf.Tensor | None = None,
  ) -> tf.Tensor:
    """Converts pixels to a network's input.

    Args:
      image: uint8 [H, W, C], C known and 1 or 3.
      height: height of the output, in pixels.
      width: width of the output, in pixels.
      bbox: see the class.
      seed: see the class.

    Returns:
      float32 [height, width, C]; with use_grayscale, C is 1.
    """
    seed = _random_seed() if seed is None else seed
    image = decoding.Image(image, self._change(seed))
    image = self._fit(image, height, width, seed, bbox)
    return self._finish(image[tf.newaxis], seed)[0]

  def from_encoded(
    self,
    encoded: tf.Tensor,
    height: int,
    width: int,
    channels: int,
    *,
    bbox: tf.Tensor | None = None,
    seed: tf.Tensor | None = None,
  ) -> tf.Tensor:
    """Converts one or several JPEGs, PNGs, GIFs or BMPs to a network's input.

    The result is that of __call__ after decoding. If the preprocessing starts with a
    crop, only that part of a JPEG is decoded.

    Args:
      encoded: bytes, a scalar or [N].
      height: height of the output, in pixels.
      width: width of the output, in pixels.
      channels: channels to decode to, 1 or 3.
      bbox: see the class.
      seed: see the class; with N images, that of the first: seed[1] grows by
        one for each image.

    Returns:
      float32 [height, width, channels], or [N, height, width, channels]; with
      use_grayscale, one channel.
    """
    seed = _random_seed() if seed is None else seed

    def fit(encoded, seed):
      image = decoding.EncodedImage(encoded, channels, self._change(seed))
      return self._fit(image, height, width, seed, bbox)

    if encoded.shape.rank == 0:
      return self._finish(fit(encoded, seed)[tf.newaxis], seed)[0]
    images = tf.map_fn(
      lambda pair: fit(*pair),
      (encoded, random_ops.seeds(seed, tf.size(encoded))),
      tf.float32,
      parallel_iterations=1,
    )
    return self._finish(images, seed)

  def _change(self, seed: tf.Tensor) -> decoding.Change:
    """Returns a function of the pixels: augments, then converts to gray."""

    def change(pixels):
      pixels = self.augmentations(augmentation.PIXELS, pixels, seed)
      if self.use_grayscale and pixels.shape[2] == 3:
        pixels = tf.image.rgb_to_grayscale(pixels)
      return pixels

    return change

  def _fit(
    self,
    image: decoding.Image,
    height: int,
    width: int,
    seed: tf.Tensor,
    bbox: tf.Tensor | None,
  ) -> tf.Tensor:
    """Applies the preprocessing's first part to one image."""
    pixels = tf.cast(
      self.steps.fit(image, height, width, seed, bbox), tf.float32
    )
    pixels.set_shape([height, width, pixels.shape[2]])
    return pixels

  def _finish(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Applies the preprocessing's second part, then augments the network's input."""
    images = self.steps.finish_all(images, seed)
    if not self.augmentations.at(augmentation.INPUT):
      return images
    augment = functools.partial(self.augmentations, augmentation.INPUT)
    return random_ops.each(augment, images, seed)


def get_spec(text: str) -> PreprocessingSpec:
  """Returns the preprocessing of a name, alone or with options.

  Args:
    text: such as 'vgg' or 'imagenet(crop_fraction=0.95)'.

  Raises:
    UserError: if the name, an option or a value is unknown.
  """
  name, options = parse_name(text)
  return PREPROCESSINGS[name].with_options(options)


def get_preprocessing(
  name: str,
  is_training: bool = False,
  use_grayscale: bool = False,
  fast: bool = False,
  fast_mode: bool = True,
  augment: str | None = None,
) -> Preprocessing:
  """Returns the preprocessing called `name` as fn(image, height, width) -> float32.

  Args:
    name: one of PREPROCESSINGS, alone or with options.
    is_training: whether to distort at random.
    use_grayscale: convert color images to one channel first.
    fast: use the preprocessing's cheaper formulas if it has them.
    fast_mode: False trains with the costlier distortions that TF-Slim's
      programs leave out.
    augment: augmentations for training, a value of --augment; the caller
      applies those that mix batches.

  Raises:
    UserError: if there is no such preprocessing, option or augmentation.
  """
  steps = get_spec(name).steps(is_training, fast, fast_mode)
  augmentations = augmentation.get_augmentations(augment if is_training else '')
  return Preprocessing(steps, use_grayscale, augmentations)


def _random_seed() -> tf.Tensor:
  """Draws int64 [2], new at each run; follows from the graph's seed if set."""
  return tf.random.uniform([2], maxval=tf.int64.max, dtype=tf.int64)

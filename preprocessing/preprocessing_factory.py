"""The table of recipes, and one of them as a function of images."""

import dataclasses
import functools

from preprocessing import augmentation, decoding, random_ops
from preprocessing.augmentation import Augmentations
from preprocessing.cifarnet_preprocessing import CIFARNET
from preprocessing.inception_preprocessing import INCEPTION
from preprocessing.lenet_preprocessing import LENET
from preprocessing.recipe import Recipe, Steps
from preprocessing.vgg_preprocessing import VGG
from registry import Table
from tf_compat import tf

PREPROCESSINGS: Table[Recipe] = Table(
  'preprocessing', [CIFARNET, INCEPTION, LENET, VGG]
)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """A recipe for training or for evaluation, called with images or bytes.

  In both calls `seed`, int64 [2], settles every random draw; without one it is
  drawn from the graph's seed at each run. `bbox`, float32 [1, N, 4] of ymin,
  xmin, ymax, xmax in [0, 1], holds the objects that a random part of the image
  must show some of: the whole image if not given.
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
    """Makes a network's input of pixels.

    Args:
      image: uint8 [H, W, C], C known and 1 or 3.
      height: of the output, in pixels.
      width: of the output, in pixels.
      bbox: see the class.
      seed: see the class.

    Returns:
      float32 [height, width, C], or one channel with use_grayscale.
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
    """Makes a network's input of a JPEG, PNG, GIF or BMP, or of several.

    The same as decoding and calling, but a recipe that starts with a crop has
    only that part of a JPEG decoded.

    Args:
      encoded: bytes, a scalar or [N].
      height: of the output, in pixels.
      width: of the output, in pixels.
      channels: to decode to, 1 or 3.
      bbox: see the class.
      seed: see the class; of N images the first one's, and each of the others
        has one more in its second place.

    Returns:
      float32 [height, width, channels], or one channel with use_grayscale; with
      N of them [N, ...].
    """
    seed = _random_seed() if seed is None else seed

    def fit(encoded, seed):
      image = decoding.EncodedImage(encoded, channels, self._change(seed))
      return self._fit(image, height, width, seed, bbox)

    if encoded.shape.rank == 0:
      return self._finish(fit(encoded, seed)[tf.newaxis], seed)[0]
    images = tf.map_fn(
      lambda one: fit(*one),
      (encoded, random_ops.seeds(seed, tf.size(encoded))),
      tf.float32,
      parallel_iterations=1,
    )
    return self._finish(images, seed)

  def _change(self, seed: tf.Tensor) -> decoding.Change:
    """What happens to pixels before all else: augmented, made gray."""

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
    """The recipe's first half, of one image."""
    image = self.steps.fit(image, height, width, seed, bbox)
    image = tf.cast(image, tf.float32)
    image.set_shape([height, width, image.shape[2]])
    return image

  def _finish(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Its second half, of all; then what augments a network's input."""
    images = self.steps.finish_all(images, seed)
    if not self.augmentations.at(augmentation.INPUT):
      return images
    augment = functools.partial(self.augmentations, augmentation.INPUT)
    return random_ops.each(augment, images, seed)


def get_preprocessing(
  name: str,
  is_training: bool = False,
  use_grayscale: bool = False,
  fast: bool = False,
  fast_mode: bool = True,
  augment: str | None = None,
) -> Preprocessing:
  """The recipe called `name` as fn(image, height, width) -> float32.

  Args:
    name: one of PREPROCESSINGS.
    is_training: whether to distort at random.
    use_grayscale: turn color images to one channel first.
    fast: take the recipe's cheaper formulas if it has them.
    fast_mode: False trains with the costlier distortions that TF-Slim's
      programs left out.
    augment: what to do besides in training, as get_augmentations reads it; what
      mixes batches is left to the caller.

  Raises:
    UserError: if there is no such recipe or augmentation.
  """
  steps = PREPROCESSINGS[name].steps(is_training, fast, fast_mode)
  augmentations = augmentation.get_augmentations(augment if is_training else '')
  return Preprocessing(steps, use_grayscale, augmentations)


def _random_seed() -> tf.Tensor:
  """Another int64 [2] at each run, settled by the graph's seed if it has one."""
  return tf.random.uniform([2], maxval=tf.int64.max, dtype=tf.int64)

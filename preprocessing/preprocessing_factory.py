"""The table of recipes, and one of them as a function of images."""

import dataclasses

from preprocessing import augmentation, decoding
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
    if self.steps.window is not None:
      size = tf.shape(image)[:2]
      window = self.steps.window(size, seed, bbox, (height, width))
      image = decoding.crop(image, window)
    return self._finish(image, height, width, seed)

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
    """Makes a network's input of a JPEG, PNG, GIF or BMP.

    The same as decoding and calling, but a recipe that starts with a crop has
    only that part of a JPEG decoded.

    Args:
      encoded: a scalar of bytes.
      height: of the output, in pixels.
      width: of the output, in pixels.
      channels: to decode to, 1 or 3.
      bbox: see the class.
      seed: see the class.

    Returns:
      float32 [height, width, channels], or one channel with use_grayscale.
    """
    seed = _random_seed() if seed is None else seed
    window = self.steps.window
    if window is None:
      image = decoding.decode(encoded, channels)
    else:
      image = decoding.decode_window(
        encoded,
        channels,
        lambda size: window(size, seed, bbox, (height, width)),
      )
    return self._finish(image, height, width, seed)

  def _finish(
    self, image: tf.Tensor, height: int, width: int, seed: tf.Tensor
  ) -> tf.Tensor:
    """The recipe after its window, augmented, on one channel if asked for."""
    image = self.augmentations(augmentation.PIXELS, image, seed)
    if self.use_grayscale and image.shape[2] == 3:
      image = tf.image.rgb_to_grayscale(image)
    channels = image.shape[2]
    image = self.steps.finish(image, height, width, seed)
    image.set_shape([height, width, channels])
    return self.augmentations(augmentation.INPUT, image, seed)


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

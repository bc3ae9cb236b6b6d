"""UCI handwritten digits, bundled with scikit-learn: 1,797 images of 8 x 8.

https://archive.ics.uci.edu/dataset/80
"""

import pathlib

import numpy as np
from PIL import Image

from datasets.example_features import encode_pixels
from datasets.mnist import NUMERALS
from datasets.spec import DatasetSpec

TEST_RECORDS = 360
SIZE = 32  # height and width of the records' images, in pixels
_LEVELS = 16  # the brightest value of the originals


def enlarge(digit: np.ndarray) -> np.ndarray:
  """[8, 8] of 0..16 -> [32, 32] of 0..255, bicubic."""
  pixels = np.rint(digit * (255 / _LEVELS)).astype(np.uint8)
  image = Image.fromarray(pixels)
  return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def read(_: pathlib.Path | None) -> dict[str, list[tuple[np.ndarray, int]]]:
  """Returns the splits; a fixed seed draws a fifth of each class for 'test'."""
  # Importing it takes a second, and only conversion needs it.
  from sklearn.datasets import load_digits
  from sklearn.model_selection import train_test_split

  images, labels = load_digits().images, load_digits().target
  train, test = train_test_split(
    np.arange(len(labels)),
    test_size=TEST_RECORDS,
    stratify=labels,
    random_state=0,
  )
  return {
    split: [(enlarge(images[index]), int(labels[index])) for index in indices]
    for split, indices in (('train', train), ('test', test))
  }


DIGITS = DatasetSpec(
  name='digits',
  num_classes=10,
  channels=1,
  class_names=NUMERALS,
  splits=('train', 'test'),
  evaluation_split='test',
  file_pattern='digits_{split}.tfrecord',
  homepage='https://archive.ics.uci.edu/dataset/80',
  read=read,
  encode=encode_pixels,
  embedded=True,
)

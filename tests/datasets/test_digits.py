import numpy as np
import pytest
from sklearn.datasets import load_digits

from datasets.digits import enlarge, read


@pytest.fixture(scope='module')
def splits():
  return read(None)


def test_every_digit_is_in_one_split(splits):
  images, labels = load_digits(return_X_y=True)
  ours = [
    (label, pixels.tobytes())
    for split in splits.values()
    for pixels, label in split
  ]
  theirs = [
    (label, enlarge(image.reshape(8, 8)).tobytes())
    for label, image in zip(labels, images, strict=True)
  ]
  assert sorted(ours) == sorted(theirs)


def test_the_split_never_changes(splits):
  again = read(None)
  for split, items in splits.items():
    labels = [label for _, label in items]
    assert labels == [label for _, label in again[split]]


def test_enlarged_pixels_keep_their_place_and_range(splits):
  digit = load_digits().images[0]
  pixels = enlarge(digit)
  assert (pixels.shape, pixels.dtype) == ((32, 32), np.uint8)
  # The mean over each original pixel's 4 x 4 block is near its own value.
  blocks = pixels.reshape(8, 4, 8, 4).mean((1, 3)) / 255 * 16
  assert np.corrcoef(blocks.ravel(), digit.ravel())[0, 1] > 0.98
  assert enlarge(np.full((8, 8), 16)).min() == 255
  assert enlarge(np.zeros((8, 8))).max() == 0

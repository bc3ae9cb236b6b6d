"""Tiny record files that a network can learn."""

import pathlib

import numpy as np


def striped_images(count: int, seed: int):
  """Noise of 32 x 32 with a bright row that tells the label of ten."""
  rng = np.random.default_rng(seed)
  labels = np.arange(count) % 10
  images = rng.integers(0, 60, (count, 32, 32)).astype(np.uint8)
  for image, label in zip(images, labels, strict=True):
    image[2 + 3 * label : 4 + 3 * label] = 250
  return images, labels


def encode_example(*args, **more) -> bytes:
  """The record of an encoded image; see example_features.image_features."""
  from datasets import example_features, records

  return records.serialize(example_features.image_features(*args, **more))


def encode_pixels(item) -> bytes:
  """The record of (pixels, label): pixels [H, W] or [H, W, 3], as a PNG."""
  from datasets import example_features, records

  return records.serialize(example_features.pixel_features(*item))


def write_digits(folder: pathlib.Path, train: int, test: int) -> pathlib.Path:
  """Writes both splits of a set that goes by the name of digits."""
  from datasets import records

  folder.mkdir(parents=True, exist_ok=True)
  for seed, (split, count) in enumerate({'train': train, 'test': test}.items()):
    images, labels = striped_images(count, seed)
    records.write_shard(
      folder / f'digits_{split}.tfrecord',
      zip(images, labels, strict=True),
      encode_pixels,
    )
  return folder

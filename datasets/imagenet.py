"""ImageNet (ILSVRC 2012) from folders: train/<synset>/*.JPEG, validation/ too.

https://image-net.org/challenges/LSVRC/2012/
"""

import dataclasses
import functools
import io
import pathlib
import random

from absl import logging
from PIL import Image

from datasets.records import encode_example
from datasets.spec import DatasetSpec
from errors import UserError

SPLITS = ('train', 'validation')
# As TF-Slim has them; label 0 is the background, which no photo shows.
SHARDS = {'train': 1024, 'validation': 128}
_SYNSETS_FILE = pathlib.Path(__file__).with_name('imagenet_synsets.txt')
_SUFFIXES = {'.jpeg', '.jpg', '.png'}
_SEED = 12345
# As TF-Slim, which re-encodes at the best quality.
_QUALITY = 100


@dataclasses.dataclass(frozen=True)
class Photo:
  """One original: its file, and its class as WordNet names it."""

  path: pathlib.Path
  synset: str


@functools.cache
def synsets() -> dict[str, str]:
  """The 1000 synsets in sorted order, each with a name: n01440764, 'tench'."""
  lines = _SYNSETS_FILE.read_text().splitlines()
  pairs = [line.split(maxsplit=1) for line in lines]
  return {synset: name.replace('_', ' ') for synset, name in pairs}


@functools.cache
def labels() -> dict[str, int]:
  """Synset -> 1 + its place among all 1000, also when only some are there."""
  return {synset: place for place, synset in enumerate(synsets(), start=1)}


def read(source: pathlib.Path) -> dict[str, list[Photo]]:
  """The photos of the splits that are there, mixed by a fixed seed."""
  folders = {split: source / split for split in SPLITS}
  splits = {
    split: _photos(folder)
    for split, folder in folders.items()
    if folder.is_dir()
  }
  if not any(splits.values()):
    raise UserError(
      f'No photos in {source}: expected train/<synset>/*.JPEG or '
      'validation/<synset>/*.JPEG, such as train/n01440764/n01440764_18.JPEG.'
    )
  for photos in splits.values():
    # Neither a shard nor the first batches may hold one class only.
    random.Random(_SEED).shuffle(photos)
  return {split: photos for split, photos in splits.items() if photos}


def _photos(folder: pathlib.Path) -> list[Photo]:
  """The photos below a split's folder, sorted by synset and file name."""
  photos = []
  ignored = 0
  for place in sorted(path for path in folder.iterdir() if path.is_dir()):
    if place.name not in synsets():
      raise UserError(
        f"{place} is not named after one of ImageNet's 1000 synsets, such as "
        'n01440764. Rename it or move it away.'
      )
    for path in sorted(place.iterdir()):
      if path.suffix.lower() in _SUFFIXES and not path.name.startswith('.'):
        photos.append(Photo(path, place.name))
      else:
        ignored += 1
  if ignored:
    logging.warning('%s: %d files that are no photos ignored', folder, ignored)
  return photos


def encode(photo: Photo) -> bytes:
  """The record of a photo, its bytes untouched if they are a usual JPEG.

  Raises:
    UserError: if the photo does not decode.
  """
  data = photo.path.read_bytes()
  try:
    with Image.open(io.BytesIO(data)) as image:
      image.load()
      width, height = image.size
      # TensorFlow decodes gray JPEGs to three channels, but no CMYK; and the
      # set has a PNG that is called JPEG.
      if image.format != 'JPEG' or image.mode not in ('RGB', 'L'):
        data = _to_jpeg(image)
  # Pillow raises SyntaxError and struct.error too on what is damaged.
  except Exception as error:
    raise UserError(
      f'{photo.path} does not decode: {error}. Fetch it again or move it away.'
    ) from error
  return encode_example(
    data,
    'JPEG',
    labels()[photo.synset],
    height,
    width,
    colorspace='RGB',
    channels=3,
    filename=photo.path.name,
    class__synset=photo.synset,
    class__text=synsets()[photo.synset],
  )


def _to_jpeg(image: Image.Image) -> bytes:
  """Any picture as an RGB JPEG."""
  jpeg = io.BytesIO()
  image.convert('RGB').save(jpeg, 'JPEG', quality=_QUALITY)
  return jpeg.getvalue()


IMAGENET = DatasetSpec(
  name='imagenet',
  num_classes=1001,
  channels=3,
  class_names=('background', *synsets().values()),
  splits=SPLITS,
  evaluation_split='validation',
  file_pattern='{split}-{shard}',
  homepage='https://image-net.org/challenges/LSVRC/2012/',
  read=read,
  encode=encode,
  max_shards=SHARDS,
)

"""TF-Slim's flowers: 3,670 photos of five classes, in a folder or tarball.

https://www.tensorflow.org/datasets/catalog/tf_flowers
"""

import pathlib
import random

from datasets import photo
from datasets.download import Download
from datasets.example_features import ExampleFeatures
from datasets.photo_folder import check_folders, photos_in, warn_of_strays
from datasets.spec import DatasetSpec
from errors import UserError

CLASSES = ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
VALIDATION_RECORDS = 350
_SHARDS = 5
_SEED = 0
_FOLDER, _TARBALL = 'flower_photos', 'flower_photos.tgz'
_HOST = 'https://storage.googleapis.com/download.tensorflow.org/example_images/'


def read(source: pathlib.Path) -> dict[str, list[photo.Photo]]:
  """Returns the splits; draws 350 validation photos exactly as TF-Slim does."""
  for name in (_FOLDER, _TARBALL):
    if (source / name).exists():
      source = source / name
      break
  paths = photos_in(source).files
  tops = {path.partition('/')[0] for path in paths if '/' in path}
  check_folders('flowers', source, tops, CLASSES, may_lack=True)
  warn_of_strays(source, paths)
  photos = [
    photo.Photo(path, blob, CLASSES.index(path.split('/')[0]))
    for path, blob in paths.items()
    if '/' in path
  ]
  if len(photos) <= VALIDATION_RECORDS:
    raise UserError(
      f'Only {len(photos)} photos of flowers in {source}, but validation takes '
      f'{VALIDATION_RECORDS}: expected {_TARBALL}, or its folder {_FOLDER} with '
      f'{", ".join(CLASSES)} in it. For photos of your own, choose another '
      '--dataset_name.'
    )
  random.Random(_SEED).shuffle(photos)
  return {
    'train': photos[VALIDATION_RECORDS:],
    'validation': photos[:VALIDATION_RECORDS],
  }


def encode(item: photo.Photo) -> ExampleFeatures:
  """Returns the features of a photo under TF-Slim's keys, always a JPEG."""
  return photo.features(photo.check(item, jpeg_only=True), item.label)


FLOWERS = DatasetSpec(
  name='flowers',
  num_classes=len(CLASSES),
  channels=3,
  class_names=CLASSES,
  splits=('train', 'validation'),
  evaluation_split='validation',
  file_pattern='flowers_{split}_{shard}.tfrecord',
  homepage='https://www.tensorflow.org/datasets/catalog/tf_flowers',
  read=read,
  encode=encode,
  max_shards={'train': _SHARDS, 'validation': _SHARDS},
  records_per_shard=1,
  folders={name: label for label, name in enumerate(CLASSES)},
  downloads=(
    Download(f'{_HOST}{_TARBALL}', '6f87fb78e9cc9ab41eff2015b380011d'),
  ),
)

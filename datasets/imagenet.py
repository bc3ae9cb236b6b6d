"""ImageNet (ILSVRC 2012), in folders or in the official archives.

https://image-net.org/challenges/LSVRC/2012/

Files that are read from --source_dir:
- train/<synset>/*.JPEG, train/<synset>.tar, or ILSVRC2012_img_train.tar
- validation/<synset>/*.JPEG; or validation/*.JPEG or ILSVRC2012_img_val.tar,
  with TF-Slim's imagenet_2012_validation_synset_labels.txt; val/ is the same
- annotations/…/*.xml or TF-Slim's imagenet_2012_bounding_boxes.csv: the boxes
"""

import dataclasses
import functools
import pathlib
import random
import re
from collections.abc import Collection, Iterator, Mapping

from datasets import bounding_boxes, photo, shards, text_files
from datasets.archive import Blob, list_files, members, members_of_member
from datasets.example_features import ExampleFeatures, Value, image_features
from datasets.photo_folder import check_folders
from datasets.source_files import OWN_NAME
from datasets.spec import DatasetSpec
from errors import UserError

SPLITS = ('train', 'validation')
# Shards as in TF-Slim.
SHARDS = {'train': 1024, 'validation': 128}
ARCHIVES = {
  'train': 'ILSVRC2012_img_train.tar',
  'validation': 'ILSVRC2012_img_val.tar',
}
# One synset per line, in the order of the validation photos' numbers.
VALIDATION_LABELS = 'imagenet_2012_validation_synset_labels.txt'
_SYNSETS_FILE = pathlib.Path(__file__).with_name('imagenet_synsets.txt')
_SEED = 12345


@dataclasses.dataclass(frozen=True)
class ImageNetPhoto(photo.Photo):
  """A photo with its WordNet synset, and its boxes if known."""

  synset: str
  boxes: bounding_boxes.Source | None = None


@functools.cache
def synsets() -> dict[str, str]:
  """Returns synset -> name of all 1000 synsets, sorted: n01440764, 'tench'."""
  lines = _SYNSETS_FILE.read_text().splitlines()
  pairs = [line.split(maxsplit=1) for line in lines]
  return {synset: name.replace('_', ' ') for synset, name in pairs}


@functools.cache
def labels() -> dict[str, int]:
  """Returns synset -> label, from 1; label 0 is the background."""
  return {synset: label for label, synset in enumerate(synsets(), start=1)}


def read(source: pathlib.Path) -> dict[str, list[ImageNetPhoto]]:
  """Returns the photos of the splits in `source`, shuffled by a fixed seed."""
  folders = {split: _folder(source, split) for split in SPLITS}
  if source.is_dir():
    _check_other_folders(source, {path.name for path in folders.values()})
  boxes = bounding_boxes.find(source) if source.is_dir() else {}
  splits = {
    split: list(_photos(source, split, folders[split], boxes))
    for split in SPLITS
  }
  if not any(splits.values()):
    raise UserError(
      f'No photos in {source}: expected train/<synset>/*.JPEG or '
      'validation/<synset>/*.JPEG, such as train/n01440764/n01440764_18.JPEG, '
      f'or {" or ".join(ARCHIVES.values())}. {OWN_NAME}'
    )
  for photos in splits.values():
    # Otherwise, a shard or the first batches would contain a single class.
    random.Random(_SEED).shuffle(photos)
  return {split: photos for split, photos in splits.items() if photos}


def _folder(source: pathlib.Path, split: str) -> pathlib.Path:
  """Returns the folder of a split, in the spelling that exists."""
  words = (word for word in shards.SPLITS if shards.split_of(word) == split)
  found = (source / word for word in words if (source / word).is_dir())
  return next(found, source / split)


def _check_other_folders(source: pathlib.Path, read: Collection[str]) -> None:
  """Raises UserError if there are photos in folders that are not read."""
  known = {*read, *bounding_boxes.FOLDERS}
  others = [
    path.name
    for path in sorted(source.iterdir())
    if path.is_dir() and path.name not in known and photo.has_photos(path)
  ]
  if others:
    raise UserError(
      f'{source} has photos in {", ".join(others)}, but the photos of imagenet '
      f'are in {" and ".join(sorted(read))}: move the others away. {OWN_NAME}'
    )


def _photos(
  source: pathlib.Path,
  split: str,
  folder: pathlib.Path,
  boxes: Mapping[str, bounding_boxes.Source],
) -> Iterator[ImageNetPhoto]:
  """Yields the photos of a split, sorted by synset and file name."""
  archive = source / ARCHIVES[split]
  if folder.is_dir():
    files, where = list_files(folder), folder
  elif archive.is_file():
    files, where = dict(members(archive)), archive
  else:
    return
  photos = photo.only_photos(dict(sorted(_unpacked(files))), where)
  listed = _validation_synsets(source, photos)
  synset_of = {path: listed.get(path, path.split('/')[0]) for path in photos}
  found = {*synset_of.values()}
  check_folders('imagenet', where, found, labels(), may_lack=True)
  for path, blob in photos.items():
    synset = synset_of[path]
    yield ImageNetPhoto(
      name=f'{split}/{path}',
      blob=blob,
      label=labels()[synset],
      synset=synset,
      boxes=boxes.get(pathlib.PurePosixPath(path).stem),
    )


def _unpacked(files: Mapping[str, Blob]) -> Iterator[tuple[str, Blob]]:
  """Yields the files, with n01440764.tar replaced by members n01440764/…."""
  for path, blob in files.items():
    if path.endswith('.tar'):
      for name, member in members_of_member(blob):
        yield f'{path.removesuffix(".tar")}/{name.rpartition("/")[2]}', member
    else:
      yield path, blob


def _validation_synsets(
  source: pathlib.Path, photos: Mapping[str, Blob]
) -> dict[str, str]:
  """Returns path -> synset, from VALIDATION_LABELS, of photos in no folder."""
  flat = [path for path in photos if '/' not in path]
  if not flat:
    return {}
  labels_file = source / VALIDATION_LABELS
  if not labels_file.is_file():
    raise UserError(
      f'{flat[0]} in {source} is not in the folder of a synset, and there is no '
      f'{labels_file}, which lists the classes.'
    )
  listed = text_files.read(labels_file).split()
  synset_of = {}
  for path in flat:
    number = re.search(r'_val_(\d{8})\.', path)
    index = int(number[1]) - 1 if number else -1
    if not 0 <= index < len(listed):
      raise UserError(
        f'{path} in {source} is not one of the {len(listed)} photos in '
        f'{labels_file.name}, such as ILSVRC2012_val_00000001.JPEG.'
      )
    synset_of[path] = listed[index]
  return synset_of


def encode(item: ImageNetPhoto) -> ExampleFeatures:
  """Returns the features of a photo; an ordinary JPEG keeps its bytes.

  Raises:
    UnusableError: if the photo does not decode.
  """
  picture = photo.check(item, jpeg_only=True)
  notes = picture.notes
  try:
    boxes = bounding_boxes.read(item.boxes, item.synset)
  except ValueError:
    boxes, notes = (), (*notes, 'unreadable boxes skipped')
  if boxes and photo.TURNED in notes:
    # The boxes may refer to the photo before or after the rotation.
    boxes, notes = (), (*notes, 'boxes of a rotated photo skipped')
  features = image_features(
    picture.data,
    'JPEG',
    item.label,
    picture.height,
    picture.width,
    colorspace='RGB',
    channels=3,
    filename=item.name.rpartition('/')[2],
    class__synset=item.synset,
    class__text=synsets()[item.synset],
    **_box_features(boxes, item.label),
  )
  return ExampleFeatures(features, notes)


def _box_features(
  boxes: tuple[bounding_boxes.Box, ...], label: int
) -> dict[str, Value]:
  """Returns a list for each side of the boxes; nothing without boxes."""
  if not boxes:
    return {}
  sides = {
    f'object__bbox__{side}': [getattr(box, side) for box in boxes]
    for side in ('xmin', 'xmax', 'ymin', 'ymax')
  }
  return {**sides, 'object__bbox__label': [label] * len(boxes)}


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
  first_label=1,
  folders=labels(),
)

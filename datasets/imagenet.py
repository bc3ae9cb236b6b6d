"""ImageNet (ILSVRC 2012), in folders or as the official archives have it.

https://image-net.org/challenges/LSVRC/2012/

Of one --source_dir these are used:
- train/<synset>/*.JPEG, train/<synset>.tar, or ILSVRC2012_img_train.tar
- validation/<synset>/*.JPEG; or validation/*.JPEG or ILSVRC2012_img_val.tar,
  with TF-Slim's imagenet_2012_validation_synset_labels.txt
- annotations/…/*.xml or TF-Slim's imagenet_2012_bounding_boxes.csv: the boxes
"""

import dataclasses
import functools
import pathlib
import random
import re
from collections.abc import Iterator, Mapping

from datasets import bounding_boxes, photo
from datasets.content import Content, Value, image_features
from datasets.spec import DatasetSpec
from datasets.tree import Blob, list_files, members, members_of_member
from errors import UserError

SPLITS = ('train', 'validation')
# As TF-Slim has them; label 0 is the background, which no photo shows.
SHARDS = {'train': 1024, 'validation': 128}
ARCHIVES = {
  'train': 'ILSVRC2012_img_train.tar',
  'validation': 'ILSVRC2012_img_val.tar',
}
# The synset of each validation photo, a line each in the order of their numbers.
VALIDATION_LABELS = 'imagenet_2012_validation_synset_labels.txt'
_SYNSETS_FILE = pathlib.Path(__file__).with_name('imagenet_synsets.txt')
_SEED = 12345


@dataclasses.dataclass(frozen=True)
class ImageNetPhoto(photo.Photo):
  """A photo with its class as WordNet names it, and its boxes if known."""

  synset: str
  boxes: bounding_boxes.Source | None = None


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


def read(source: pathlib.Path) -> dict[str, list[ImageNetPhoto]]:
  """The photos of the splits that are there, mixed by a fixed seed."""
  boxes = bounding_boxes.find(source) if source.is_dir() else {}
  splits = {split: list(_photos(source, split, boxes)) for split in SPLITS}
  if not any(splits.values()):
    raise UserError(
      f'No photos in {source}: expected train/<synset>/*.JPEG or '
      'validation/<synset>/*.JPEG, such as train/n01440764/n01440764_18.JPEG, '
      f'or {" or ".join(ARCHIVES.values())}.'
    )
  for photos in splits.values():
    # Neither a shard nor the first batches may hold one class only.
    random.Random(_SEED).shuffle(photos)
  return {split: photos for split, photos in splits.items() if photos}


def _photos(
  source: pathlib.Path,
  split: str,
  boxes: Mapping[str, bounding_boxes.Source],
) -> Iterator[ImageNetPhoto]:
  """The photos of a split, sorted by synset and file name."""
  folder, archive = source / split, source / ARCHIVES[split]
  if folder.is_dir():
    files, where = list_files(folder), folder
  elif archive.is_file():
    files, where = dict(members(archive)), archive
  else:
    return
  photos = photo.only_photos(dict(sorted(_unpacked(files))), where)
  in_order = _validation_synsets(source, photos)
  for path, blob in photos.items():
    name = path.rpartition('/')[2]
    synset = in_order[path] if path in in_order else path.partition('/')[0]
    if synset not in labels():
      raise UserError(
        f"{where / path.partition('/')[0]} is not named after one of ImageNet's "
        '1000 synsets, such as n01440764. Rename it or move it away.'
      )
    yield ImageNetPhoto(
      name=f'{split}/{path}',
      blob=blob,
      label=labels()[synset],
      synset=synset,
      boxes=boxes.get(pathlib.PurePosixPath(name).stem),
    )


def _unpacked(files: Mapping[str, Blob]) -> Iterator[tuple[str, Blob]]:
  """The files, and of archives the members, n01440764/… of n01440764.tar."""
  for path, blob in files.items():
    if path.endswith('.tar'):
      for name, member in members_of_member(blob):
        yield f'{path.removesuffix(".tar")}/{name.rpartition("/")[2]}', member
    else:
      yield path, blob


def _validation_synsets(
  source: pathlib.Path, photos: Mapping[str, Blob]
) -> dict[str, str]:
  """Path -> synset of the photos in no folder, by the list of labels."""
  flat = [path for path in photos if '/' not in path]
  if not flat:
    return {}
  listed = source / VALIDATION_LABELS
  try:
    synset_of = listed.read_text(encoding='utf-8').split()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(
      f'{flat[0]} in {source} is in no folder of a synset, and {listed}, which '
      f'would tell its class, cannot be read: {error}.'
    ) from error
  found = {}
  for path in flat:
    number = re.search(r'_val_(\d{8})\.', path)
    place = int(number[1]) - 1 if number else -1
    if not 0 <= place < len(synset_of):
      raise UserError(
        f'{path} in {source} is none of the {len(synset_of)} photos that '
        f'{listed.name} is about, such as ILSVRC2012_val_00000001.JPEG.'
      )
    found[path] = synset_of[place]
  return found


def encode(item: ImageNetPhoto) -> Content:
  """The content of a photo, its bytes untouched if they are a usual JPEG.

  Raises:
    UnusableError: if the photo does not decode.
  """
  picture = photo.check(item, jpeg_only=True)
  notes = picture.notes
  try:
    boxes = bounding_boxes.read(item.boxes, item.synset)
  except ValueError:
    boxes, notes = (), (*notes, 'boxes that do not read left out')
  if boxes and photo.TURNED in notes:
    # Nothing says whether they were drawn on it turned, or as it lay.
    boxes, notes = (), (*notes, 'boxes of a photo that was turned left out')
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
  return Content(features, notes)


def _box_features(
  boxes: tuple[bounding_boxes.Box, ...], label: int
) -> dict[str, Value]:
  """A list for each side; nothing where there are no boxes."""
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
)

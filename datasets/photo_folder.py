"""Anybody's photos as a data set: folders of them, an archive, or a CSV file.

One of these, by --source_dir:
- photos/<class>/*.jpg
- photos/{train,validation,test}/<class>/*.jpg
- an archive of either (tar, also compressed)
- a CSV file of path, label and, if wanted, split; paths start at its folder

Classes are numbered in the order of their names. Without a split to evaluate
on, a part of each class is drawn for it.
"""

import csv
import itertools
import os
import pathlib
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from absl import logging

from datasets import photo
from datasets.spec import DatasetSpec
from datasets.tree import Blob, list_files, whole, without_root
from errors import UserError

VALIDATION_FRACTION = 0.1
SPLITS = {
  'train': 'train',
  'training': 'train',
  'validation': 'validation',
  'valid': 'validation',
  'val': 'validation',
  'test': 'test',
  'testing': 'test',
}
MAX_SHARDS = 1024
LISTED = 5  # names in a warning
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*')
_LAYOUTS = (
  'expected <class>/*.jpg, or train/<class>/*.jpg with validation/ or test/ '
  'beside it, or a CSV file of path and label'
)
_HEADER = {
  'path': {'path', 'file', 'filename', 'image'},
  'label': {'label', 'class'},
  'split': {'split'},
}

# A photo that has been found: its path, bytes, class, and split if it has one.
Found = tuple[str, Blob, str, str | None]


def spec(
  name: str, source: pathlib.Path, fraction: float | None, seed: int
) -> DatasetSpec:
  """The data set that is found at `source`.

  Args:
    name: what the set is to be called.
    source: a folder, an archive, or a CSV file.
    fraction: of each class for validation, if the photos are in no splits.
    seed: of that draw, and of the photos' order.

  Raises:
    UserError: if there are no photos, fewer than two classes, or a name cannot
      serve as one.
  """
  if not _NAME.fullmatch(name):
    raise UserError(
      f'--dataset_name={name}: names of files are made of it; use letters, '
      'digits, and _ . - between them.'
    )
  found = _find(source)
  classes = sorted({label for _, _, label, _ in found})
  _check_classes(classes, source)
  splits = _split(found, classes, fraction, seed)
  return DatasetSpec(
    name=name,
    num_classes=len(classes),
    channels=3,
    class_names=tuple(classes),
    splits=tuple(splits),
    evaluation_split='validation' if 'validation' in splits else 'test',
    file_pattern=f'{name}_{{split}}-{{shard}}.tfrecord',
    homepage=str(source.resolve()),
    read=lambda _: splits,
    encode=photo.encode,
    max_shards=dict.fromkeys(splits, MAX_SHARDS),
  )


def photos_in(source: pathlib.Path) -> dict[str, Blob]:
  """Path -> photo, of a folder or an archive."""
  files = list_files(source)
  if not source.is_dir():
    files = without_root(files)
  return photo.only_photos(files, source)


def _find(source: pathlib.Path) -> list[Found]:
  """The photos in one of the layouts, sorted by path."""
  if source.suffix.lower() == '.csv' and source.is_file():
    return _find_by_csv(source)
  photos = photos_in(source)
  tops = {path.partition('/')[0] for path in photos if '/' in path}
  splits = {_split_called(top) for top in tops}
  # Splits without train/ are refused later, and never taken for classes.
  if 'train' in splits or (splits and None not in splits):
    found = [_in_split(source, path, photos[path]) for path in photos]
  else:
    found = [
      (path, photos[path], path.split('/')[0], None)
      for path in photos
      if '/' in path
    ]
  lost = [path for path in photos if '/' not in path]
  if not found:
    stray = f'; {len(lost)} are in no class folder' if lost else ''
    raise UserError(f'No photos of classes in {source}{stray}: {_LAYOUTS}.')
  if lost:
    logging.warning(
      '%s: photos in no class folder ignored: %s', source, _some(lost)
    )
  return found


def _some(names: Collection[object]) -> str:
  """The first of the names, and how many there are besides."""
  more = len(names) - LISTED
  first = ', '.join(map(str, itertools.islice(names, LISTED)))
  return f'{first} and {more} more' if more > 0 else first


def _in_split(source: pathlib.Path, path: str, blob: Blob) -> Found:
  """A photo that lies in a class of a split."""
  top, *below = path.split('/')
  split = _split_called(top)
  if split is None or len(below) < 2:
    raise UserError(
      f'{source} has folders of splits, and {path} is in no class of a split: '
      f'{_LAYOUTS}.'
    )
  return path, blob, below[0], split


def _split_called(name: str) -> str | None:
  """The split that people call so: Train, val, testing."""
  return SPLITS.get(name.lower())


def _find_by_csv(source: pathlib.Path) -> list[Found]:
  """The photos that a CSV file lists; its first line may name the columns."""
  try:
    with source.open(newline='', encoding='utf-8-sig') as file:
      rows = [row for row in csv.reader(file, strict=True) if row]
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(
      f'Cannot read {source} as CSV in UTF-8: {error}.'
    ) from error
  columns = _columns(rows[0]) if rows else None
  if columns:
    rows = rows[1:]
  elif rows:
    _check_first(source, rows[0])
  columns = columns or {'path': 0, 'label': 1, 'split': 2}
  found = [_of_row(source, row, columns) for row in rows]
  if not found:
    raise UserError(f'{source} lists no photos: {_LAYOUTS}.')
  if len({split is None for *_, split in found}) > 1:
    raise UserError(f'{source} names a split for some photos only.')
  _check_listed(source, found)
  return sorted(found, key=lambda one: one[0])


def _check_listed(source: pathlib.Path, found: Collection[Found]) -> None:
  """Refuses a photo of two classes or splits, and paths that lead nowhere."""
  listed: dict[str, Found] = {}
  for one in found:
    other = listed.setdefault(one[0], one)
    if other is not one:
      ways = [', '.join(filter(None, way[2:])) for way in (other, one)]
      raise UserError(
        f'{source} lists {one[0]!r} twice ({" and ".join(ways)}): leave one.'
      )
  if not any(os.path.exists(blob.path) for _, blob, _, _ in found):
    raise UserError(
      f'{source}: none of its {len(found)} photos is there, such as '
      f'{found[0][0]!r}; paths start at {source.parent}.'
    )


def _columns(row: list[str]) -> dict[str, int] | None:
  """Column -> its place, if a row names path and label, in any order."""
  names = [name.strip().lower() for name in row]
  places = {
    column: place
    for place, name in enumerate(names)
    for column, spellings in _HEADER.items()
    if name in spellings
  }
  return places if {'path', 'label'} <= set(places) else None


def _check_first(source: pathlib.Path, row: list[str]) -> None:
  """Refuses names of columns that are not known, for they would be a class."""
  path = source.parent / row[0].strip()
  if path.suffix.lower() not in photo.SUFFIXES and not path.is_file():
    known = ', '.join('/'.join(sorted(_HEADER[name])) for name in _HEADER)
    raise UserError(
      f'{source}: the first line, {",".join(row)!r}, names neither a photo nor '
      f'the columns: {known}.'
    )


def _of_row(
  source: pathlib.Path, row: list[str], columns: dict[str, int]
) -> Found:
  """The photo of one row."""
  values = {
    column: row[place].strip()
    for column, place in columns.items()
    if place < len(row)
  }
  if not values.get('path') or not values.get('label'):
    raise UserError(
      f'{source}: {",".join(row)!r} is not a path and a label, with a comma '
      'between.'
    )
  called = values.get('split')
  split = _split_called(called) if called else None
  if called and not split:
    raise UserError(
      f'{source}: {called!r} in {",".join(row)!r} is no split; known: '
      f'{", ".join(SPLITS)}.'
    )
  path = source.parent / values['path']
  blob = whole(path) if path.is_file() else Blob(str(path))
  return values['path'], blob, values['label'], split


def _check_classes(classes: list[str], source: pathlib.Path) -> None:
  """Refuses what is no classification."""
  if len(classes) < 2:
    raise UserError(
      f'{source} has photos of one class only, {classes[0]!r}: {_LAYOUTS}.'
    )
  for name in classes:
    if not name.isprintable():
      raise UserError(
        f'The class name {name!r} cannot stand in labels.txt: rename it.'
      )
  spellings: dict[str, list[str]] = {}
  for name in classes:
    spellings.setdefault(name.strip().casefold(), []).append(name)
  alike = [' / '.join(names) for names in spellings.values() if len(names) > 1]
  if alike:
    logging.warning('%s: classes that differ by case: %s', source, _some(alike))


def _split(
  found: Iterable[Found], classes: list[str], fraction: float | None, seed: int
) -> dict[str, list[photo.Photo]]:
  """The photos by split, mixed by the seed."""
  labels = {name: label for label, name in enumerate(classes)}
  splits: dict[str, list[photo.Photo]] = {}
  for path, blob, name, split in found:
    one = photo.Photo(path, blob, labels[name])
    splits.setdefault(split or 'train', []).append(one)
  _check_fraction(splits, fraction)
  if len(splits) == 1:
    fraction = VALIDATION_FRACTION if fraction is None else fraction
    splits = _draw(splits['train'], fraction, seed)
  if fraction != 0:
    _tell_of_gaps(splits, classes)
  for split, photos in splits.items():
    # Neither a shard nor the first batches may hold one class only.
    random.Random(f'{seed} {split}').shuffle(photos)
  order = dict.fromkeys(SPLITS.values())
  return {split: splits[split] for split in order if splits.get(split)}


def _tell_of_gaps(
  splits: Mapping[str, Iterable[photo.Photo]], classes: Sequence[str]
) -> None:
  """Warns of classes that cannot be learned, or not be judged."""
  for split, photos in splits.items():
    there = {one.label for one in photos}
    missing = [name for n, name in enumerate(classes) if n not in there]
    if missing:
      logging.warning('Classes without %s photos: %s', split, _some(missing))


def _check_fraction(splits: Iterable[str], fraction: float | None) -> None:
  """Refuses to draw a validation split where there is one, or no photos."""
  if 'train' not in splits:
    raise UserError('There are no photos to train on: no split is train.')
  if fraction is not None and len(list(splits)) > 1:
    raise UserError(
      f'The photos are in splits ({", ".join(splits)}): leave '
      '--validation_fraction out.'
    )


def _draw(
  photos: Iterable[photo.Photo], fraction: float, seed: int
) -> dict[str, list[photo.Photo]]:
  """The same part of each class for validation: a photo or more, never all."""
  classes: dict[int, list[photo.Photo]] = {}
  for one in photos:
    classes.setdefault(one.label, []).append(one)
  splits: dict[str, list[photo.Photo]] = {'train': [], 'validation': []}
  for label, members in classes.items():
    random.Random(f'{seed} {label}').shuffle(members)
    drawn = max(round(len(members) * fraction), 1) if fraction else 0
    drawn = min(drawn, len(members) - 1)
    splits['validation'] += members[:drawn]
    splits['train'] += members[drawn:]
  return splits

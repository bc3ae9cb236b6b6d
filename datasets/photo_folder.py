"""A user's photos as a data set: folders, an archive, or a CSV file.

--source_dir is one of these:
- photos/<class>/*.jpg
- photos/{train,validation,test}/<class>/*.jpg
- an archive of either (tar, also compressed)
- a CSV file of path, label and optionally split; paths are relative to its
  folder

Classes are numbered in the order of their names. If there is only a training
split, a fraction of each class becomes the validation split.
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
from datasets.archive import Blob, file_blob, list_files, without_root
from datasets.spec import DatasetSpec
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
MAX_LISTED = 5  # names in a warning
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*')
_LAYOUTS = (
  'expected <class>/*.jpg, or train/<class>/*.jpg together with validation/ or '
  'test/, or a CSV file of path and label'
)
_HEADER = {
  'path': {'path', 'file', 'filename', 'image'},
  'label': {'label', 'class'},
  'split': {'split'},
}

# A photo's path, bytes, class, and split if it has one.
Entry = tuple[str, Blob, str, str | None]


def spec(
  name: str, source: pathlib.Path, fraction: float | None, seed: int
) -> DatasetSpec:
  """Returns the spec of the photos at `source`.

  Args:
    name: name for the data set.
    source: a folder, an archive, or a CSV file.
    fraction: fraction of each class for validation, if the photos have no
      splits; None for VALIDATION_FRACTION.
    seed: seed of that choice, and of the photos' order.

  Raises:
    UserError: if there are no photos or fewer than two classes, or if a name
      is not valid.
  """
  if not _NAME.fullmatch(name):
    raise UserError(
      f'--dataset_name={name} becomes a part of file names: use letters and '
      'digits, with _ . - between them.'
    )
  entries = _find(source)
  classes = sorted({label for _, _, label, _ in entries})
  _check_classes(classes, source)
  splits = _split(entries, classes, fraction, seed)
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
  """Returns path -> photo of a folder or archive."""
  files = list_files(source)
  if not source.is_dir():
    files = without_root(files)
  return photo.only_photos(files, source)


def _find(source: pathlib.Path) -> list[Entry]:
  """Returns the photos of any of the layouts, sorted by path."""
  if source.suffix.lower() == '.csv' and source.is_file():
    return _read_csv(source)
  photos = photos_in(source)
  tops = {path.partition('/')[0] for path in photos if '/' in path}
  splits = {_split_of(top) for top in tops}
  # Folders such as test/ without train/ are not classes; _split rejects them.
  if 'train' in splits or (splits and None not in splits):
    entries = [_in_split(source, path, photos[path]) for path in photos]
  else:
    entries = [
      (path, photos[path], path.split('/')[0], None)
      for path in photos
      if '/' in path
    ]
  strays = [path for path in photos if '/' not in path]
  if not entries:
    hint = f'; {len(strays)} are not in a class folder' if strays else ''
    raise UserError(f'No photos of classes in {source}{hint}: {_LAYOUTS}.')
  if strays:
    logging.warning(
      '%s: ignored photos that are not in a class folder: %s',
      source,
      _some(strays),
    )
  return entries


def _some(names: Collection[object]) -> str:
  """Returns the first names, and the number of the others."""
  more = len(names) - MAX_LISTED
  first = ', '.join(map(str, itertools.islice(names, MAX_LISTED)))
  return f'{first} and {more} more' if more > 0 else first


def _in_split(source: pathlib.Path, path: str, blob: Blob) -> Entry:
  """Returns the entry of a photo at <split>/<class>/; raises for others."""
  top, *below = path.split('/')
  split = _split_of(top)
  if split is None or len(below) < 2:
    raise UserError(
      f'{source} has folders of splits, but {path} is not in a class of a '
      f'split: {_LAYOUTS}.'
    )
  return path, blob, below[0], split


def _split_of(name: str) -> str | None:
  """Returns the split for a name such as Train, val or testing, or None."""
  return SPLITS.get(name.lower())


def _read_csv(source: pathlib.Path) -> list[Entry]:
  """Returns the photos in a CSV file, whose first line may name the columns."""
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
  entries = [_parse_row(source, row, columns) for row in rows]
  if not entries:
    raise UserError(f'{source} lists no photos: {_LAYOUTS}.')
  if len({split is None for *_, split in entries}) > 1:
    raise UserError(f'{source} names a split for some photos only.')
  _check_entries(source, entries)
  return sorted(entries, key=lambda entry: entry[0])


def _check_entries(source: pathlib.Path, entries: Sequence[Entry]) -> None:
  """Raises UserError for a path listed twice, or if no path exists."""
  first_of: dict[str, Entry] = {}
  for entry in entries:
    first = first_of.setdefault(entry[0], entry)
    if first is not entry:
      uses = [', '.join(filter(None, use[2:])) for use in (first, entry)]
      raise UserError(
        f'{source} lists {entry[0]!r} twice ({" and ".join(uses)}): remove one.'
      )
  if not any(os.path.exists(blob.path) for _, blob, _, _ in entries):
    raise UserError(
      f'{source}: none of its {len(entries)} photos exists, such as '
      f'{entries[0][0]!r}; paths are relative to {source.parent}.'
    )


def _columns(row: list[str]) -> dict[str, int] | None:
  """Returns column -> index if the row names at least path and label."""
  names = [name.strip().lower() for name in row]
  indices = {
    column: index
    for index, name in enumerate(names)
    for column, spellings in _HEADER.items()
    if name in spellings
  }
  return indices if {'path', 'label'} <= set(indices) else None


def _check_first(source: pathlib.Path, row: list[str]) -> None:
  """Raises UserError if the first row seems to name unknown columns."""
  path = source.parent / row[0].strip()
  if path.suffix.lower() not in photo.SUFFIXES and not path.is_file():
    known = ', '.join('/'.join(sorted(_HEADER[name])) for name in _HEADER)
    raise UserError(
      f'{source}: the first line, {",".join(row)!r}, names neither a photo nor '
      f'the columns: {known}.'
    )


def _parse_row(
  source: pathlib.Path, row: list[str], columns: dict[str, int]
) -> Entry:
  """Returns the photo of a row."""
  values = {
    column: row[index].strip()
    for column, index in columns.items()
    if index < len(row)
  }
  if not values.get('path') or not values.get('label'):
    raise UserError(
      f'{source}: {",".join(row)!r} is not a path and a label, separated by a '
      'comma.'
    )
  split_name = values.get('split')
  split = _split_of(split_name) if split_name else None
  if split_name and not split:
    raise UserError(
      f'{source}: {split_name!r} in {",".join(row)!r} is not a split; known: '
      f'{", ".join(SPLITS)}.'
    )
  path = source.parent / values['path']
  blob = file_blob(path) if path.is_file() else Blob(str(path))
  return values['path'], blob, values['label'], split


def _check_classes(classes: list[str], source: pathlib.Path) -> None:
  """Raises UserError for a single class or a name with control characters."""
  if len(classes) < 2:
    raise UserError(
      f'{source} has photos of one class only, {classes[0]!r}: {_LAYOUTS}.'
    )
  for name in classes:
    if not name.isprintable():
      raise UserError(
        f'The class name {name!r} cannot be written to labels.txt: rename it.'
      )
  spellings: dict[str, list[str]] = {}
  for name in classes:
    spellings.setdefault(name.strip().casefold(), []).append(name)
  groups = [' / '.join(names) for names in spellings.values() if len(names) > 1]
  if groups:
    logging.warning(
      '%s: classes that differ only by case: %s', source, _some(groups)
    )


def _split(
  entries: Iterable[Entry],
  classes: list[str],
  fraction: float | None,
  seed: int,
) -> dict[str, list[photo.Photo]]:
  """Returns split -> photos, shuffled by the seed."""
  labels = {name: label for label, name in enumerate(classes)}
  splits: dict[str, list[photo.Photo]] = {}
  for path, blob, name, split in entries:
    splits.setdefault(split or 'train', []).append(
      photo.Photo(path, blob, labels[name])
    )
  _check_fraction(splits, fraction)
  if len(splits) == 1:
    fraction = VALIDATION_FRACTION if fraction is None else fraction
    splits = _draw(splits['train'], fraction, seed)
  if fraction != 0:
    _warn_of_missing_classes(splits, classes)
  for split, photos in splits.items():
    # Otherwise, a shard or the first batches would contain a single class.
    random.Random(f'{seed} {split}').shuffle(photos)
  order = dict.fromkeys(SPLITS.values())
  return {split: splits[split] for split in order if splits.get(split)}


def _warn_of_missing_classes(
  splits: Mapping[str, Iterable[photo.Photo]], classes: Sequence[str]
) -> None:
  """Warns of classes that a split does not contain."""
  for split, photos in splits.items():
    labels = {item.label for item in photos}
    missing = [name for n, name in enumerate(classes) if n not in labels]
    if missing:
      logging.warning('Classes without %s photos: %s', split, _some(missing))


def _check_fraction(splits: Iterable[str], fraction: float | None) -> None:
  """Raises UserError without a training split, or for a needless fraction."""
  if 'train' not in splits:
    raise UserError('There are no photos to train on: no split is train.')
  if fraction is not None and len(list(splits)) > 1:
    raise UserError(
      f'The photos are in splits ({", ".join(splits)}): omit '
      '--validation_fraction.'
    )


def _draw(
  photos: Iterable[photo.Photo], fraction: float, seed: int
) -> dict[str, list[photo.Photo]]:
  """Draws a fraction of each class for validation.

  A fraction above 0 draws one photo or more of each class, but never all.
  """
  classes: dict[int, list[photo.Photo]] = {}
  for item in photos:
    classes.setdefault(item.label, []).append(item)
  splits: dict[str, list[photo.Photo]] = {'train': [], 'validation': []}
  for label, members in classes.items():
    random.Random(f'{seed} {label}').shuffle(members)
    count = max(round(len(members) * fraction), 1) if fraction else 0
    count = min(count, len(members) - 1)
    splits['validation'] += members[:count]
    splits['train'] += members[count:]
  return splits

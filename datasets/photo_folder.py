"""A user's photos as a data set: folders, an archive, or a list.

--source_dir is one of these:
- photos/<class>/*.jpg
- photos/{train,validation,test}/<class>/*.jpg
- an archive of either (zip, or tar, also compressed)
- a list of path, label and optionally split (photo_list)

Classes are numbered in the order of their names. If there is only a training
split, a fraction of each class becomes the validation split.
"""

import dataclasses
import itertools
import pathlib
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from absl import logging

from datasets import photo, photo_list
from datasets.archive import Blob, Tree, list_tree
from datasets.photo_list import Entry
from datasets.shards import SPLITS, split_of
from datasets.spec import DatasetSpec
from errors import UserError

VALIDATION_FRACTION = 0.1
MAX_SHARDS = 1024
MAX_LISTED = 5  # names in a warning
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*')
_NUMBER = re.compile('[0-9]{1,18}')
_LAYOUTS = (
  'expected <class>/*.jpg, or train/<class>/*.jpg together with validation/ or '
  'test/, or a list of path and label'
)
_NO_SPLITS = '--nosplit_folders takes folders with such names as classes'


@dataclasses.dataclass(frozen=True)
class Options:
  """How photos become a data set.

  Attributes:
    validation_fraction: fraction of each class for validation, if the photos
      have no splits; None for VALIDATION_FRACTION.
    seed: seed of that choice, and of the photos' order.
    split_folders: whether folders with the names of splits hold splits.
    keep_empty_classes: whether folders without photos are classes, too.
  """

  validation_fraction: float | None = None
  seed: int = 0
  split_folders: bool = True
  keep_empty_classes: bool = False


def spec(name: str, source: pathlib.Path, options: Options) -> DatasetSpec:
  """Returns the spec of the photos at `source`.

  Args:
    name: name for the data set.
    source: a folder, an archive, or a list.
    options: how they become a data set.

  Raises:
    UserError: if there are no photos or fewer than two classes, or if a name
      is not valid.
  """
  if not _NAME.fullmatch(name):
    raise UserError(
      f'--dataset_name={name} becomes a part of file names: use letters and '
      'digits, with _ . - between them.'
    )
  entries, empty = _find(source, options.split_folders)
  classes = {entry.label for entry in entries}
  if options.keep_empty_classes:
    classes |= {*empty}
  elif empty:
    logging.warning(
      '%s: folders without photos are no classes: %s. --keep_empty_classes '
      'keeps them as classes.',
      source,
      some(sorted(empty)),
    )
  names = _numbered(classes, source)
  _check_classes(names, source)
  splits = _split(entries, names, options)
  return DatasetSpec(
    name=name,
    num_classes=len(names),
    channels=3,
    class_names=tuple(names),
    splits=tuple(splits),
    evaluation_split='validation' if 'validation' in splits else 'test',
    file_pattern=f'{name}_{{split}}-{{shard}}.tfrecord',
    homepage=str(source.resolve()),
    read=lambda _: splits,
    encode=photo.encode,
    max_shards=dict.fromkeys(splits, MAX_SHARDS),
  )


def photos_in(source: pathlib.Path) -> Tree:
  """Returns the photos of a folder or archive, and its folders."""
  tree = list_tree(source)
  if not source.is_dir():
    tree = tree.without_root()
  return Tree(photo.only_photos(tree.files, source), tree.folders)


def check_folders(
  name: str,
  source: pathlib.Path | None,
  found: Collection[str],
  expected: Collection[str],
  may_lack: bool,
) -> None:
  """Checks that a data set of the table has the folders of its classes.

  Args:
    name: the data set's name.
    source: where the folders are.
    found: names of the folders with photos.
    expected: names of the folders of all classes.
    may_lack: whether some of them may be missing.

  Raises:
    UserError: names the folders that are unknown, and those that are missing.
  """
  unknown = sorted({*found} - {*expected})
  missing = sorted({*expected} - {*found})
  if not unknown and (may_lack or not missing):
    return
  parts = {'unknown folders': unknown, 'no photos in': missing}
  problem = '; '.join(f'{k}: {some(v)}' for k, v in parts.items() if v)
  keep = ' --keep_empty_classes converts what there is.' if not unknown else ''
  raise UserError(
    f'{source} does not hold the classes of {name!r}: {problem}.{keep} Another '
    f'name, such as --dataset_name=my_{name}, converts the photos as a data set '
    'of your own.'
  )


def warn_of_strays(source: pathlib.Path, photos: Iterable[str]) -> None:
  """Warns of photos that are not in a class folder."""
  strays = [path for path in photos if '/' not in path]
  if strays:
    logging.warning(
      '%s: ignored photos that are not in a class folder: %s',
      source,
      some(strays),
    )


def _find(
  source: pathlib.Path, split_folders: bool
) -> tuple[list[Entry], set[str]]:
  """Returns the photos of any of the layouts, and class folders without any."""
  if source.suffix.lower() in photo_list.SUFFIXES and source.is_file():
    return photo_list.read(source), set()
  tree = photos_in(source)
  photos = tree.files
  tops = {path.partition('/')[0] for path in photos if '/' in path}
  splits = {split_of(top) for top in tops}
  # Folders such as test/ without train/ are not classes; _split rejects them.
  has_splits = split_folders and (
    'train' in splits or bool(splits and None not in splits)
  )
  if has_splits:
    entries = [_in_split(source, path, photos[path], tops) for path in photos]
  else:
    entries = [
      Entry(path, photos[path], path.split('/')[0], None)
      for path in photos
      if '/' in path
    ]
    _warn_of_split_names(source, tops if split_folders else ())
  if not entries:
    count = len(photos)
    hint = f'; {count} are not in a class folder' if count else ''
    raise UserError(f'No photos of classes in {source}{hint}: {_LAYOUTS}.')
  warn_of_strays(source, photos)
  _warn_of_subfolders(source, entries, has_splits)
  if has_splits:
    _warn_of_empty_splits(source, tree.folders, tops)
  parts = [folder.split('/') for folder in tree.folders]
  depth = 1 if has_splits else 0
  classes = {part[depth] for part in parts if len(part) == depth + 1}
  return entries, classes - {entry.label for entry in entries}


def _warn_of_subfolders(
  source: pathlib.Path, entries: Iterable[Entry], has_splits: bool
) -> None:
  """Warns of a class whose photos are all in subfolders, as those of classes."""
  subfolders: dict[str, set[str]] = {}
  depth = 2 if has_splits else 1
  for entry in entries:
    inner = entry.path.split('/')[depth:-1]
    subfolders.setdefault(entry.label, set()).add(inner[0] if inner else '')
  for label, names in subfolders.items():
    if len(names) > 1 and '' not in names:
      logging.warning(
        '%s: the folders %s in %s are one class, %s.',
        source,
        some(sorted(names)),
        label,
        label,
      )


def _warn_of_split_names(
  source: pathlib.Path, classes: Collection[str]
) -> None:
  """Warns of classes that may be meant as splits."""
  if names := sorted(name for name in classes if split_of(name)):
    logging.warning(
      '%s: without a folder train, %s is taken as a class.', source, some(names)
    )


def _warn_of_empty_splits(
  source: pathlib.Path, folders: Iterable[str], used: Collection[str]
) -> None:
  """Warns of top folders without photos beside those of splits."""
  tops = {folder.partition('/')[0] for folder in folders}
  if empty := sorted(tops - {*used}):
    logging.warning('%s: no photos in %s.', source, some(empty))


def some(names: Collection[object]) -> str:
  """Returns the first names, and the number of the others."""
  more = len(names) - MAX_LISTED
  first = ', '.join(map(str, itertools.islice(names, MAX_LISTED)))
  return f'{first} and {more} more' if more > 0 else first


def _in_split(
  source: pathlib.Path, path: str, blob: Blob, tops: Collection[str]
) -> Entry:
  """Returns the entry of a photo at <split>/<class>/; raises for others."""
  top, *below = path.split('/')
  split = split_of(top)
  if split is None or len(below) < 2:
    taken = ' and '.join(sorted(repr(name) for name in tops if split_of(name)))
    raise UserError(
      f'{source}: {taken} is taken for a split by its name, but {path} is not in '
      f'a class of a split. {_NO_SPLITS}; otherwise {_LAYOUTS}.'
    )
  return Entry(path, blob, below[0], split)


def _numbered(classes: Collection[str], source: pathlib.Path) -> list[str]:
  """Returns the class names in the order of their labels."""
  if not all(_NUMBER.fullmatch(name) for name in classes):
    return sorted(classes)
  names = sorted(classes, key=lambda name: (int(name), name))
  logging.warning(
    '%s: the classes are numbers, and in their order: label 0 is %r, label %d is '
    '%r.',
    source,
    names[0],
    len(names) - 1,
    names[-1],
  )
  return names


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
      '%s: classes that differ only by case: %s', source, some(groups)
    )


def _split(
  entries: Iterable[Entry], classes: Sequence[str], options: Options
) -> dict[str, list[photo.Photo]]:
  """Returns split -> photos, shuffled by the seed."""
  labels = {name: label for label, name in enumerate(classes)}
  splits: dict[str, list[photo.Photo]] = {}
  for entry in entries:
    splits.setdefault(entry.split or 'train', []).append(
      photo.Photo(entry.path, entry.blob, labels[entry.label])
    )
  fraction = options.validation_fraction
  _check_fraction(splits, fraction)
  if len(splits) == 1:
    fraction = VALIDATION_FRACTION if fraction is None else fraction
    splits = _draw(splits['train'], fraction, options.seed)
  if fraction != 0:
    _warn_of_missing_classes(splits, classes)
  for split, photos in splits.items():
    # Otherwise, a shard or the first batches would contain a single class.
    random.Random(f'{options.seed} {split}').shuffle(photos)
  order = dict.fromkeys(SPLITS.values())
  return {split: splits[split] for split in order if splits.get(split)}


def _warn_of_missing_classes(
  splits: Mapping[str, Iterable[photo.Photo]], classes: Sequence[str]
) -> None:
  """Warns of classes that another split contains, and a split does not."""
  labels = {
    split: {item.label for item in photos} for split, photos in splits.items()
  }
  used = set().union(*labels.values())
  for split, own in labels.items():
    missing = [classes[label] for label in sorted(used - own)]
    if missing:
      logging.warning('Classes without %s photos: %s', split, some(missing))


def _check_fraction(splits: Iterable[str], fraction: float | None) -> None:
  """Raises UserError without a training split, or for a needless fraction."""
  if 'train' not in splits:
    raise UserError(
      f'There are no photos to train on, only of {" and ".join(splits)}. '
      f'{_NO_SPLITS}.'
    )
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

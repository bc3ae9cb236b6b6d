"""The table of data sets, and a lookup of their splits on disk."""

import dataclasses
import itertools
import os
import pathlib
import shlex
from collections.abc import Iterable, Mapping, Sequence

from absl import logging

from datasets import manifest as manifests
from datasets import staging
from datasets.cifar import CIFAR10, CIFAR100
from datasets.dataset import Dataset
from datasets.digits import DIGITS
from datasets.flowers import FLOWERS
from datasets.imagenet import IMAGENET
from datasets.manifest import Manifest
from datasets.mnist import FASHION_MNIST, MNIST
from datasets.shards import (
  PATTERNS,
  check_pattern,
  file_stem,
  find_shards,
  spelling,
  suggest_pattern,
  warn_of_missing,
)
from errors import UserError
from registry import Table, unknown

DATASETS = Table(
  'data set',
  [
    DIGITS,
    MNIST,
    FASHION_MNIST,
    CIFAR10,
    CIFAR100,
    FLOWERS,
    IMAGENET,
  ],
)


# More labels than any data set in use has: 21,841 in the whole of ImageNet.
_USUAL_CLASSES = 22_000


@dataclasses.dataclass(frozen=True)
class _Folder:
  """A folder with record files of a data set.

  Attributes:
    path: its path.
    manifest: dataset.json, or what it would say of the classes.
    files: split -> its record files, for at least one split.
  """

  path: pathlib.Path
  manifest: Manifest
  files: Mapping[str, Sequence[pathlib.Path]]


def get_dataset(
  name: str,
  split: str | None,
  dataset_dir: str,
  file_pattern: str | None = None,
) -> Dataset:
  """Returns a split of a data set with the number of its records.

  Args:
    name: a name in the table, or the name of any other data set that
      dataset_dir describes: by dataset.json, or by labels.txt and the names of
      the record files.
    split: 'train', 'test' or 'validation'; None for the evaluation split.
    dataset_dir: folder of the record files.
    file_pattern: their names, with %s for the split; as in dataset.json, or as
      converters name them, if None.

  Raises:
    UserError: if the name is unknown, the folder does not contain the data set,
      or the data set does not have the split.
  """
  folder = _open(name, dataset_dir, file_pattern)
  split = split or _evaluation_split(name, folder)
  split = spelling(split, folder.files)
  if split not in folder.files:
    raise UserError(
      f'No split {split!r} of {name!r} in {folder.path}; there is '
      f'{_quoted(folder.files)}.'
    )
  files = folder.files[split]
  warn_of_missing(split, files)
  _check_readable(files)
  _check_labels(name, folder)
  num_records, truncated = manifests.count(folder.manifest, split, files)
  if not num_records and not truncated:
    raise UserError(
      f'The {split} records of {name!r} in {folder.path} are empty.'
    )
  num_classes = folder.manifest.num_classes
  return Dataset(
    name=name,
    split=split,
    files=tuple(map(str, files)),
    num_records=num_records,
    num_classes=num_classes,
    channels=folder.manifest.channels,
    class_names=class_names(name, folder.path, num_classes),
    truncated=truncated,
  )


def splits(
  name: str, dataset_dir: str, file_pattern: str | None = None
) -> tuple[str, ...]:
  """Returns the splits of a data set that are on disk, 'train' first.

  Raises:
    UserError: if the folder does not contain the data set.
  """
  names = _open(name, dataset_dir, file_pattern).files
  return tuple(sorted(names, key=lambda split: (split != 'train', split)))


def evaluation_split(
  name: str, dataset_dir: str, file_pattern: str | None = None
) -> str:
  """Returns the split to evaluate on.

  Raises:
    UserError: if the folder does not contain the data set, or if it has no
      validation or test split.
  """
  folder = _open(name, dataset_dir, file_pattern)
  return spelling(_evaluation_split(name, folder), folder.files)


def _open(name: str, dataset_dir: str, file_pattern: str | None) -> _Folder:
  """Finds the record files of a data set, and what describes them."""
  path = _path(name, dataset_dir)
  manifest = _read_manifest(name, path)
  if manifest is None:
    _check_finished(name, path)
  pattern = file_pattern or (manifest.file_pattern if manifest else '')
  files = _find(name, path, pattern)
  manifest = manifest or _describe(name, path)
  labels = manifests.read_labels(path) if name not in DATASETS else None
  if labels and not manifest.complete and max(labels) >= manifest.num_classes:
    # dataset.json only caches counts: a class may have been added since.
    manifest = dataclasses.replace(manifest, num_classes=max(labels) + 1)
  if pattern != manifest.file_pattern:
    manifest = _with_pattern(manifest, path, pattern, files)
  return _Folder(path, manifest, files)


def _with_pattern(
  manifest: Manifest,
  folder: pathlib.Path,
  pattern: str,
  files: Mapping[str, Sequence[pathlib.Path]],
) -> Manifest:
  """Returns a manifest that a --file_pattern changes.

  Raises:
    UserError: if a converter wrote it, and the pattern names other files.
  """
  if not manifest.complete:
    return dataclasses.replace(manifest, file_pattern=pattern, splits={})
  known = {name for shards in manifest.splits.values() for name in shards}
  found = {path.name for paths in files.values() for path in paths}
  if others := sorted(found - known):
    raise UserError(
      f'--file_pattern={pattern} names {others[0]}, but {folder} holds the '
      f'data set {manifest.name!r} under other names: omit --file_pattern, or '
      'move the other files to a folder of their own.'
    )
  return manifest


def _evaluation_split(name: str, folder: _Folder) -> str:
  """Returns the table's split, or validation or test of another data set."""
  if name in DATASETS:
    return DATASETS[name].evaluation_split
  for split in ('validation', 'test'):
    if spelling(split, folder.files) in folder.files:
      return split
  raise UserError(
    f'{name!r} in {folder.path} has no validation or test split, only '
    f'{_quoted(folder.files)}. Choose the split to evaluate on with '
    '--dataset_split_name.'
  )


def _path(name: str, dataset_dir: str) -> pathlib.Path:
  """Returns the path of an existing folder; raises UserError otherwise."""
  folder = pathlib.Path(dataset_dir)
  if not folder.is_dir():
    known = name in DATASETS
    remedy = _remedy(name, folder) if known else _unknown(name, folder)
    raise UserError(f'There is no folder {folder}. {remedy}')
  return folder


def _remedy(name: str, folder: pathlib.Path) -> str:
  """Returns the command that converts the data set."""
  quoted = shlex.quote(str(folder))
  return (
    'Convert the data set with: python download_and_convert_data.py '
    f'--dataset_name={name} --dataset_dir={quoted}'
  )


def _check_finished(name: str, folder: pathlib.Path) -> None:
  """Raises UserError if the conversion into the folder is not complete."""
  if staging.is_unfinished(folder):
    raise UserError(
      f'The conversion into {folder} is running or was interrupted: wait for '
      f'it, or repeat its command with --resume to complete {name!r}.'
    )


def _check_readable(files: Iterable[pathlib.Path]) -> None:
  """Raises UserError if a file's permissions forbid reading it."""
  for path in files:
    if not os.access(path, os.R_OK):
      raise UserError(
        f'{path} cannot be read: its permissions forbid it (chmod +r).'
      )


def _read_manifest(name: str, folder: pathlib.Path) -> Manifest | None:
  """Returns dataset.json of this data set, or None; refuses another's."""
  manifest = manifests.read(folder)
  if manifest and manifest.name != name:
    raise UserError(
      f'{folder} contains the data set {manifest.name!r}, not {name!r}: use '
      f'--dataset_name={manifest.name}, or choose another --dataset_dir.'
    )
  return manifest


def _find(
  name: str, folder: pathlib.Path, file_pattern: str
) -> dict[str, list[pathlib.Path]]:
  """Returns split -> record files on disk, for at least one split."""
  if file_pattern:
    check_pattern(file_pattern)
    patterns = [file_pattern]
  else:
    patterns = [p.replace('{name}', file_stem(name)) for p in PATTERNS]
    if name in DATASETS:
      patterns.append(DATASETS[name].file_pattern)
  files = find_shards(folder, patterns)
  if files:
    return files
  if file_pattern:
    raise UserError(
      f'No file in {folder} is named like --file_pattern={file_pattern}, in '
      f'which %s stands for the split.{_hint(folder)}'
    )
  if name in DATASETS:
    raise UserError(
      f'No records of {name!r} in {folder}. {_remedy(name, folder)}'
      f'{_hint(folder)}'
    )
  raise UserError(_unknown(name, folder))


def _hint(folder: pathlib.Path) -> str:
  """Returns a sentence about records with other names, if there are any."""
  found = suggest_pattern(folder) if folder.is_dir() else None
  if found is None:
    return ''
  name, pattern = found
  return (
    f' If its files are named like {name}, set '
    f'--file_pattern={shlex.quote(pattern)}.'
  )


def _describe(name: str, folder: pathlib.Path) -> Manifest:
  """Returns a manifest from the table or labels.txt, without dataset.json."""
  if name in DATASETS:
    spec = DATASETS[name]
    return Manifest(name, spec.num_classes, spec.channels, {})
  labels = manifests.read_labels(folder)
  if not labels:
    raise UserError(_unknown(name, folder))
  # Such records come from TF-Slim's converters of photos, which are in color.
  return Manifest(name, max(labels) + 1, 3, {})


def _unknown(name: str, folder: pathlib.Path) -> str:
  """Returns the message for a name that the table and folder do not know."""
  return (
    f'{unknown("data set", name, DATASETS)} Any other name needs records such '
    f'as {file_stem(name)}_train-00000-of-00001.tfrecord in {folder}, and '
    f'dataset.json or labels.txt in the same folder.{_hint(folder)}'
  )


def _check_labels(name: str, folder: _Folder) -> None:
  """Warns of labels that are far apart.

  Raises:
    UserError: if there are more labels than the records can hold.
  """
  num_classes = folder.manifest.num_classes
  named = manifests.read_labels(folder.path)
  where = f'{folder.path}/labels.txt'
  if named and max(named) >= num_classes:
    logging.warning(
      '%s names label %d, but %r has %d classes.',
      where,
      max(named),
      name,
      num_classes,
    )
  is_sparse = num_classes > 2 * len(named)
  if is_sparse and num_classes > _USUAL_CLASSES:
    _check_held(folder, named, where)
  if is_sparse and named and name not in DATASETS:
    logging.warning(
      '%s names %d of %d labels: labels run from 0 to the number of classes '
      'less 1, and the network gets an output for each.',
      where,
      len(named),
      num_classes,
    )


def _check_held(folder: _Folder, named: Mapping[int, str], where: str) -> None:
  """Raises UserError if the records are fewer than the unnamed classes."""
  num_classes = folder.manifest.num_classes
  files = itertools.chain.from_iterable(folder.files.values())
  records = sum(manifests.count_records(path)[0] for path in files)
  if num_classes <= records + len(named):
    return
  if num_classes - 1 in named:
    stated = f'{where} names label {num_classes - 1}'
  else:
    stated = f'{folder.path}/dataset.json has num_classes {num_classes}'
  raise UserError(
    f'{stated}, more than {records} records and {len(named)} names can hold: '
    'labels run from 0 to the number of classes less 1. Number them so, in the '
    'records too.'
  )


def class_names(
  name: str, folder: pathlib.Path | None, num_classes: int
) -> tuple[str, ...]:
  """Returns each label's name from labels.txt or the table, or its number."""
  names = manifests.read_labels(folder) if folder else {}
  if not names and name in DATASETS:
    names = dict(enumerate(DATASETS[name].class_names))
  return tuple(names.get(label, str(label)) for label in range(num_classes))


def _quoted(splits: Iterable[str]) -> str:
  """Returns the names in quotes: "'train' and 'test'"."""
  return ' and '.join(map(repr, splits))

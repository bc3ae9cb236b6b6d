"""The table of data sets, and a lookup of their splits on disk."""

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from datasets import manifest as manifests
from datasets import staging
from datasets.cifar import CIFAR10, CIFAR100
from datasets.dataset import Dataset
from datasets.digits import DIGITS
from datasets.flowers import FLOWERS
from datasets.imagenet import IMAGENET
from datasets.manifest import Manifest
from datasets.mnist import FASHION_MNIST, MNIST
from datasets.shards import PATTERNS, file_stem, find_shards, warn_of_missing
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


def get_dataset(name: str, split: str | None, dataset_dir: str) -> Dataset:
  """Returns a split of a data set with the number of its records.

  Args:
    name: a name in the table, or the name of any other data set that
      dataset_dir describes: by dataset.json, or by labels.txt and the names of
      the record files.
    split: 'train', 'test' or 'validation'; None for the evaluation split.
    dataset_dir: folder of the record files.

  Raises:
    UserError: if the name is unknown, the folder does not contain the data set,
      or the data set does not have the split.
  """
  folder = _folder(name, dataset_dir)
  manifest = _read_manifest(name, folder)
  if manifest is None:
    _check_finished(name, folder)
  files = _find(name, folder)
  manifest = manifest or _describe(name, folder)
  split = split or _evaluation_split(name, folder, files)
  if split not in files:
    raise UserError(
      f'No split {split!r} of {name!r} in {folder}; there is {_quoted(files)}.'
    )
  warn_of_missing(split, files[split])
  _check_readable(files[split])
  num_records, truncated = manifests.count(manifest, split, files[split])
  if not num_records and not truncated:
    raise UserError(f'The {split} records of {name!r} in {folder} are empty.')
  return Dataset(
    name=name,
    split=split,
    files=tuple(str(path) for path in files[split]),
    num_records=num_records,
    num_classes=manifest.num_classes,
    channels=manifest.channels,
    class_names=class_names(name, folder, manifest.num_classes),
    truncated=truncated,
  )


def splits(name: str, dataset_dir: str) -> tuple[str, ...]:
  """Returns the splits of a data set that are on disk, 'train' first.

  Raises:
    UserError: if the folder does not contain the data set.
  """
  folder = _folder(name, dataset_dir)
  _read_manifest(name, folder)
  files = _find(name, folder)
  return tuple(sorted(files, key=lambda split: (split != 'train', split)))


def evaluation_split(name: str, dataset_dir: str) -> str:
  """Returns the split to evaluate on.

  Raises:
    UserError: if the folder does not contain the data set, or if it has no
      validation or test split.
  """
  folder = _folder(name, dataset_dir)
  _read_manifest(name, folder)
  return _evaluation_split(name, folder, _find(name, folder))


def _evaluation_split(
  name: str, folder: pathlib.Path, files: Mapping[str, Sequence[pathlib.Path]]
) -> str:
  """Returns the table's split, or validation or test of another data set."""
  if name in DATASETS:
    return DATASETS[name].evaluation_split
  for split in ('validation', 'test'):
    if split in files:
      return split
  raise UserError(
    f'{name!r} in {folder} has no validation or test split, only '
    f'{_quoted(files)}. Choose the split to evaluate on with '
    '--dataset_split_name.'
  )


def _folder(name: str, dataset_dir: str) -> pathlib.Path:
  """Returns the path of an existing folder; raises UserError otherwise."""
  folder = pathlib.Path(dataset_dir).expanduser()
  if not folder.is_dir():
    known = name in DATASETS
    remedy = _remedy(name, folder) if known else _unknown(name, folder)
    raise UserError(f'There is no folder {folder}. {remedy}')
  return folder


def _remedy(name: str, folder: pathlib.Path) -> str:
  """Returns the command that converts the data set."""
  return (
    'Convert the data set with: python download_and_convert_data.py '
    f'--dataset_name={name} --dataset_dir={folder}'
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


def _find(name: str, folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Returns split -> record files on disk, for at least one split."""
  patterns = [
    pattern.replace('{name}', file_stem(name)) for pattern in PATTERNS
  ]
  if name in DATASETS:
    patterns.append(DATASETS[name].file_pattern)
  files = find_shards(folder, patterns)
  if not files and name in DATASETS:
    raise UserError(
      f'No records of {name!r} in {folder}. {_remedy(name, folder)}'
    )
  if not files:
    raise UserError(_unknown(name, folder))
  return files


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
    'dataset.json or labels.txt in the same folder.'
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

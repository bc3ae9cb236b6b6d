"""All data sets, and a split of one of them as it lies on disk."""

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
  """One split of a data set, its records counted.

  A name in the table, or one whose dataset_dir says by its dataset.json, or by
  labels.txt and the names of the record files, that it holds that set.

  Args:
    name: the data set's name.
    split: 'train', 'test' or 'validation'; None: the one to evaluate on.
    dataset_dir: the folder of the record files.

  Raises:
    UserError: if the name is unknown, the folder holds no such set, or the set
      no such split.
  """
  folder = _folder(name, dataset_dir)
  manifest = _read_manifest(name, folder)
  if manifest is None:
    _check_finished(name, folder)
  found = _find(name, folder)
  manifest = manifest or _describe(name, folder)
  split = split or _evaluation_split(name, folder, found)
  if split not in found:
    raise UserError(
      f'No split {split!r} of {name!r} in {folder}; there is {_quoted(found)}.'
    )
  warn_of_missing(split, found[split])
  _check_readable(found[split])
  num_records, cut_short = manifests.count(manifest, split, found[split])
  if not num_records and not cut_short:
    raise UserError(f'The {split} records of {name!r} in {folder} are empty.')
  return Dataset(
    name=name,
    split=split,
    files=tuple(str(path) for path in found[split]),
    num_records=num_records,
    num_classes=manifest.num_classes,
    channels=manifest.channels,
    class_names=class_names(name, folder, manifest.num_classes),
    cut_short=cut_short,
  )


def splits(name: str, dataset_dir: str) -> tuple[str, ...]:
  """The splits that are there, train first.

  Raises:
    UserError: if the folder holds no such set.
  """
  folder = _folder(name, dataset_dir)
  _read_manifest(name, folder)
  found = _find(name, folder)
  return tuple(sorted(found, key=lambda split: (split != 'train', split)))


def evaluation_split(name: str, dataset_dir: str) -> str:
  """The split to evaluate on: the set's own, or the one of a folder of photos.

  Raises:
    UserError: if the folder holds no such set, or nothing to evaluate on.
  """
  folder = _folder(name, dataset_dir)
  _read_manifest(name, folder)
  return _evaluation_split(name, folder, _find(name, folder))


def _evaluation_split(
  name: str, folder: pathlib.Path, found: Mapping[str, Sequence[pathlib.Path]]
) -> str:
  """The table's split; of other sets 'validation', or else 'test'."""
  if name in DATASETS:
    return DATASETS[name].evaluation_split
  for split in ('validation', 'test'):
    if split in found:
      return split
  raise UserError(
    f'{name!r} in {folder} has no validation or test split, only '
    f'{_quoted(found)}. Name the split to evaluate on with '
    '--dataset_split_name.'
  )


def _folder(name: str, dataset_dir: str) -> pathlib.Path:
  """The folder, once it is one."""
  folder = pathlib.Path(dataset_dir).expanduser()
  if not folder.is_dir():
    known = name in DATASETS
    remedy = _remedy(name, folder) if known else _unknown(name, folder)
    raise UserError(f'There is no folder {folder}. {remedy}')
  return folder


def _remedy(name: str, folder: pathlib.Path) -> str:
  """How to get the records."""
  return (
    'Make the records with: python download_and_convert_data.py '
    f'--dataset_name={name} --dataset_dir={folder}'
  )


def _check_finished(name: str, folder: pathlib.Path) -> None:
  """Refuses what a stopped conversion has left."""
  if staging.is_unfinished(folder):
    raise UserError(
      f'The conversion into {folder} is under way or was stopped: wait for it, '
      f'or give its command again, with --resume, to have all of {name!r}.'
    )


def _check_readable(files: Iterable[pathlib.Path]) -> None:
  """Refuses files that this user may not read."""
  for path in files:
    if not os.access(path, os.R_OK):
      raise UserError(
        f'{path} cannot be read: its permissions do not let you (chmod +r).'
      )


def _read_manifest(name: str, folder: pathlib.Path) -> Manifest | None:
  """The folder's dataset.json, if any, once it is about this set."""
  manifest = manifests.read(folder)
  if manifest and manifest.name != name:
    raise UserError(
      f'{folder} holds the data set {manifest.name!r}, not {name!r}: say '
      f'--dataset_name={manifest.name}, or name another --dataset_dir.'
    )
  return manifest


def _find(name: str, folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Split -> the record files that are there; at least one split."""
  patterns = [
    pattern.replace('{name}', file_stem(name)) for pattern in PATTERNS
  ]
  if name in DATASETS:
    patterns.append(DATASETS[name].file_pattern)
  found = find_shards(folder, patterns)
  if not found and name in DATASETS:
    raise UserError(
      f'No records of {name!r} in {folder}. {_remedy(name, folder)}'
    )
  if not found:
    raise UserError(_unknown(name, folder))
  return found


def _describe(name: str, folder: pathlib.Path) -> Manifest:
  """What a set without dataset.json is: as in the table, or by labels.txt."""
  if name in DATASETS:
    spec = DATASETS[name]
    return Manifest(name, spec.num_classes, spec.channels, {})
  labels = manifests.read_labels(folder)
  if not labels:
    raise UserError(_unknown(name, folder))
  # TF-Slim's sets of photos, the only ones without an entry, are in color.
  return Manifest(name, max(labels) + 1, 3, {})


def _unknown(name: str, folder: pathlib.Path) -> str:
  """What to say of a name that neither the table nor the folder knows."""
  return (
    f'{unknown("data set", name, DATASETS)} Any other name needs records such '
    f'as {file_stem(name)}_train-00000-of-00001.tfrecord in {folder}, and '
    'dataset.json or labels.txt beside them.'
  )


def class_names(
  name: str, folder: pathlib.Path | None, num_classes: int
) -> tuple[str, ...]:
  """A name for each label: by labels.txt, by the table, or its number."""
  names = manifests.read_labels(folder) if folder else {}
  if not names and name in DATASETS:
    names = dict(enumerate(DATASETS[name].class_names))
  return tuple(names.get(label, str(label)) for label in range(num_classes))


def _quoted(splits: Iterable[str]) -> str:
  """The names in quotes: "'train' and 'test'"."""
  return ' and '.join(map(repr, splits))

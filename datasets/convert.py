"""From originals to TFRecord: shards, labels.txt, and dataset.json last."""

import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import tqdm
from absl import logging

from datasets import manifest as manifests
from datasets.dataset_factory import DATASETS
from datasets.download import fetch
from datasets.manifest import Manifest, Shard
from datasets.records import write_shard
from datasets.shards import find_shards, shard_names
from datasets.spec import DatasetSpec
from errors import UserError
from tf_compat import tf

# Fewer shards than the whole set has when only some of it is there, so that
# none is nearly empty.
RECORDS_PER_SHARD = 128


def convert(
  name: str, dataset_dir: str, source_dir: str | None = None
) -> dict[str, Any]:
  """Makes the record files of a data set; does nothing if they are complete.

  Args:
    name: a name in the table of data sets.
    dataset_dir: the folder for the records, made if need be.
    source_dir: the folder (or CIFAR's tarball) of the originals; None: those
      that come with a package, or else a download.

  Returns:
    A summary: name, dataset_dir, num_classes, channels, splits (split ->
    records) and already_complete.

  Raises:
    UserError: if the name is unknown, the originals are not there or damaged,
      the download fails, or the folder cannot be written or holds another set.
  """
  spec = DATASETS[name]
  _check_source(spec, source_dir)
  folder = _make_folder(dataset_dir)
  manifest = _complete(spec, folder)
  already_complete = manifest is not None
  if manifest is None:
    try:
      manifest = _convert(spec, folder, source_dir)
    except (OSError, tf.errors.OpError) as error:
      raise UserError(f'Cannot convert {name!r} into {folder}: {error}') from (
        error
      )
  return {
    'name': name,
    'dataset_dir': str(folder),
    'num_classes': spec.num_classes,
    'channels': spec.channels,
    'splits': manifest.num_records(),
    'already_complete': already_complete,
  }


def _check_source(spec: DatasetSpec, source_dir: str | None) -> None:
  """Refuses what can be refused before anything is written."""
  if source_dir and spec.embedded:
    raise UserError(
      f'{spec.name!r} comes with an installed package: leave --source_dir out.'
    )
  if source_dir and not pathlib.Path(source_dir).expanduser().exists():
    raise UserError(f'--source_dir={source_dir} does not exist.')
  if not source_dir and not spec.embedded and not spec.downloads:
    raise UserError(
      f'{spec.name!r} cannot be downloaded freely: get it from {spec.homepage} '
      'and name its folder with --source_dir.'
    )


def _make_folder(dataset_dir: str) -> pathlib.Path:
  """The folder for the records."""
  folder = pathlib.Path(dataset_dir).expanduser()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f'Cannot make --dataset_dir={dataset_dir}: {error.strerror}.'
    ) from error
  return folder


def _complete(spec: DatasetSpec, folder: pathlib.Path) -> Manifest | None:
  """The manifest of a set that is here already, whole; None if there is none.

  Raises:
    UserError: if another set is here.
  """
  manifest = manifests.read(folder)
  if manifest is None:
    return None
  if manifest.name != spec.name:
    raise UserError(
      f'{folder} holds the data set {manifest.name!r} already: name another '
      f'--dataset_dir for {spec.name!r}.'
    )
  if not manifest.is_whole(folder):
    return None
  logging.info(
    '%s holds %r complete; delete its dataset.json to convert it again.',
    folder,
    spec.name,
  )
  return manifest


def _convert(
  spec: DatasetSpec, folder: pathlib.Path, source_dir: str | None
) -> Manifest:
  """Originals -> shards, labels.txt and, as the mark that all is there, json."""
  downloads = folder / '.originals'
  source = _originals(spec, source_dir, downloads)
  splits = spec.read(source)
  names = {
    split: shard_names(
      spec.file_pattern, split, num_shards(spec, split, len(items))
    )
    for split, items in splits.items()
  }
  _check_leftovers(spec, folder, names)
  manifests.remove(folder)
  shards = {
    split: _write_split(spec, folder, split, names[split], items)
    for split, items in splits.items()
  }
  manifests.write_labels(spec.class_names, folder)
  manifest = Manifest(
    spec.name,
    spec.num_classes,
    spec.channels,
    shards,
    source=spec.homepage,
    complete=True,
  )
  manifests.write(manifest, folder)
  shutil.rmtree(downloads, ignore_errors=True)
  return manifest


def _originals(
  spec: DatasetSpec, source_dir: str | None, downloads: pathlib.Path
) -> pathlib.Path | None:
  """Where the originals are, fetched if need be; None if a package has them.

  Whole downloads stay until the set is complete, for the next attempt.
  """
  if source_dir:
    return pathlib.Path(source_dir).expanduser()
  if spec.embedded:
    return None
  downloads.mkdir(exist_ok=True)
  try:
    for download in spec.downloads:
      fetch(download, downloads)
  finally:
    if not any(downloads.iterdir()):
      downloads.rmdir()
  return downloads


def num_shards(spec: DatasetSpec, split: str, records: int) -> int:
  """min(the whole set's shards, records // 128), at least 1."""
  most = spec.max_shards.get(split, 1)
  return min(most, max(1, records // RECORDS_PER_SHARD))


def _check_leftovers(
  spec: DatasetSpec, folder: pathlib.Path, names: Mapping[str, Sequence[str]]
) -> None:
  """Refuses to mix with records that this conversion would not replace."""
  for split, files in find_shards(folder, [spec.file_pattern]).items():
    others = [path for path in files if path.name not in names.get(split, ())]
    if others:
      raise UserError(
        f'{folder} holds records of another conversion, such as '
        f'{others[0].name}: move them away, or name another --dataset_dir.'
      )


def _write_split(
  spec: DatasetSpec,
  folder: pathlib.Path,
  split: str,
  names: Sequence[str],
  items: Sequence[Any],
) -> dict[str, Shard]:
  """Writes a split's shards of equal size, give or take a record."""
  shards = {}
  with tqdm.tqdm(
    desc=f'{spec.name} {split}', total=len(items), unit='', disable=None
  ) as progress:
    for place, name in enumerate(names):
      start = place * len(items) // len(names)
      end = (place + 1) * len(items) // len(names)
      path = folder / name
      records = write_shard(path, items[start:end], spec.encode)
      shards[name] = Shard(records, path.stat().st_size)
      progress.update(records)
  return shards

"""dataset.json and labels.txt: what the records beside them hold."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

import files
from datasets.records import count_records
from errors import UserError

FORMAT = 1
_MANIFEST, _LABELS = 'dataset.json', 'labels.txt'


@dataclasses.dataclass(frozen=True)
class Shard:
  """What was counted in one record file; its size tells when it changed."""

  records: int
  bytes: int


_UNKNOWN = Shard(0, -1)


@dataclasses.dataclass(frozen=True)
class Manifest:
  """The contents of dataset.json.

  Attributes:
    name: the data set's name.
    num_classes: how many labels there are, background included.
    channels: 1 or 3.
    splits: split -> file name -> what it holds.
    source: where the originals come from; empty if that is not known.
    complete: True if a converter finished and wrote this last; False if the
      records of a set from elsewhere were counted.
  """

  name: str
  num_classes: int
  channels: int
  splits: Mapping[str, Mapping[str, Shard]]
  source: str = ''
  complete: bool = False

  def is_whole(self, folder: pathlib.Path) -> bool:
    """Whether a converter finished this set and all its files are still so."""
    return self.complete and all(
      has_size(folder / name, shard.bytes)
      for shards in self.splits.values()
      for name, shard in shards.items()
    )

  def num_records(self) -> dict[str, int]:
    """Split -> how many records its files hold together."""
    return {
      split: sum(shard.records for shard in shards.values())
      for split, shards in self.splits.items()
    }


def has_size(path: pathlib.Path, size: int) -> bool:
  """Whether there is such a file of that many bytes."""
  return path.is_file() and path.stat().st_size == size


def write(manifest: Manifest, folder: pathlib.Path) -> None:
  """Writes dataset.json, whole or not at all."""
  content = {'format': FORMAT, **dataclasses.asdict(manifest)}
  counts = manifest.num_records()
  content['splits'] = {
    split: {'records': counts[split], 'files': files}
    for split, files in content['splits'].items()
  }
  files.write_text(folder / _MANIFEST, json.dumps(content, indent=2) + '\n')


def count(
  manifest: Manifest, split: str, files: Sequence[pathlib.Path]
) -> tuple[int, tuple[str, ...]]:
  """How many whole records the files hold, and which files are cut short.

  Files that dataset.json does not know, or that have another size than it says
  or are not older, are counted; of the other splits as well, for where that can
  be written, dataset.json keeps the counts and is the newest again.
  """
  folder = files[0].parent
  splits = {name: dict(shards) for name, shards in manifest.splits.items()}
  own = splits.setdefault(split, {})
  own.update({p.name: _UNKNOWN for p in files if p.name not in own})
  counted, cut_short = False, []
  for shards in splits.values():
    for path in _changed(shards, folder):
      records, whole = count_records(path)
      shard = Shard(records, path.stat().st_size)
      _tell_of_change(manifest, path, shards[path.name], shard)
      shards[path.name], counted = shard, True
      cut_short += [] if whole else [path]
  if counted and not cut_short:
    complete = manifest.complete and splits == manifest.splits
    kept = dataclasses.replace(manifest, splits=splits, complete=complete)
    try:
      write(kept, folder)
    except OSError as error:
      logging.info('The count of records is not kept: %s', error)
  return (
    sum(own[path.name].records for path in files),
    tuple(str(path) for path in cut_short if path in files),
  )


def _changed(
  shards: Mapping[str, Shard], folder: pathlib.Path
) -> list[pathlib.Path]:
  """The files that may hold something else than dataset.json says."""
  mark = folder / _MANIFEST
  written = mark.stat().st_mtime_ns if mark.exists() else 0
  stats = {
    path: path.stat()
    for path in (folder / name for name in shards)
    if path.is_file()
  }
  return [
    path
    for path, stat in stats.items()
    if stat.st_size != shards[path.name].bytes or stat.st_mtime_ns >= written
  ]


def _tell_of_change(
  manifest: Manifest, path: pathlib.Path, known: Shard, found: Shard
) -> None:
  """Warns of a file that is not as its converter left it."""
  if manifest.complete and known not in (_UNKNOWN, found):
    logging.warning(
      '%s has changed since it was converted: %d records now, %d then.',
      path,
      found.records,
      known.records,
    )


def remove(folder: pathlib.Path) -> None:
  """Takes the mark of a complete set away."""
  (folder / _MANIFEST).unlink(missing_ok=True)


def is_manifest(path: pathlib.Path) -> bool:
  """Whether this is the file that marks a set."""
  return path.name == _MANIFEST


def move(source: pathlib.Path, target: pathlib.Path) -> None:
  """Moves the mark of a complete set, on one file system."""
  (source / _MANIFEST).replace(target / _MANIFEST)


def read(folder: pathlib.Path) -> Manifest | None:
  """The manifest in a folder; None where there is none.

  Raises:
    UserError: if there is one that cannot be understood.
  """
  path = folder / _MANIFEST
  if not path.exists():
    return None
  try:
    content = json.loads(path.read_text(encoding='utf-8'))
    return _parse(content)
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise UserError(
      f'Cannot read {path}: {error!r}. Delete it, and the records are counted '
      'anew.'
    ) from error


def _parse(content: dict[str, Any]) -> Manifest:
  """The manifest in parsed JSON, its numbers checked for being numbers."""
  if content['format'] != FORMAT:
    raise ValueError(f'format {content["format"]!r} is not {FORMAT}')
  if content['num_classes'] < 1 or content['channels'] not in (1, 3):
    raise ValueError('num_classes must be 1 or more, and channels 1 or 3')
  splits = {
    split: {
      name: Shard(int(file['records']), int(file['bytes']))
      for name, file in held['files'].items()
    }
    for split, held in content['splits'].items()
  }
  return Manifest(
    name=str(content['name']),
    num_classes=int(content['num_classes']),
    channels=int(content['channels']),
    splits=splits,
    source=str(content['source']),
    complete=bool(content['complete']),
  )


def write_labels(class_names: Sequence[str], folder: pathlib.Path) -> None:
  """Writes labels.txt: a line 'label:name' for each class."""
  lines = [f'{label}:{name}\n' for label, name in enumerate(class_names)]
  files.write_text(folder / _LABELS, ''.join(lines))


def read_labels(folder: pathlib.Path) -> dict[int, str]:
  """Label -> name, from labels.txt; empty where there is none.

  Raises:
    UserError: if a line is not 'label:name'.
  """
  path = folder / _LABELS
  if not path.exists():
    return {}
  names = {}
  lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
  for number, line in enumerate(lines, start=1):
    label, colon, name = line.partition(':')
    if not line.strip():
      continue
    if not colon or not label.strip().isdecimal():
      raise UserError(
        f'{path}, line {number}: {line!r} is not a label, a colon and a name, '
        "such as '0:daisy'."
      )
    names[int(label)] = name
  return names

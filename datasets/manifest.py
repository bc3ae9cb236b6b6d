"""dataset.json and labels.txt, which describe the records in their folder."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

import files
from datasets import text_files
from datasets.records import count_records
from errors import UserError
from registry import abbreviated

FORMAT = 1
_MANIFEST, _LABELS = 'dataset.json', 'labels.txt'
# What dataset.json must hold; see files.read_json.
_KINDS = {
  'format': int,
  'name': str,
  'num_classes': int,
  'channels': int,
  'splits': {str: {'files': {str: {'records': int, 'bytes': int}}}},
  'source': str,
  'complete': bool,
  'file_pattern?': str,
}
_REMEDY = 'Delete it, and the records will be counted again.'
_MAX_LABEL_DIGITS = 18  # those of any label in 64 bits


@dataclasses.dataclass(frozen=True)
class Shard:
  """Number of records in a file, and its size, which reveals changes."""

  records: int
  bytes: int


_UNKNOWN = Shard(0, -1)


@dataclasses.dataclass(frozen=True)
class Manifest:
  """Content of dataset.json.

  Attributes:
    name: the data set's name.
    num_classes: number of labels, background included.
    channels: 1 or 3.
    splits: split -> file name -> number of records and size.
    source: URL or path of the originals; empty if unknown.
    complete: True if a converter wrote this after all records; False if it
      only caches the record counts of another program's files.
    file_pattern: names of the record files by --file_pattern; empty if they are
      named as the converters name them.
  """

  name: str
  num_classes: int
  channels: int
  splits: Mapping[str, Mapping[str, Shard]]
  source: str = ''
  complete: bool = False
  file_pattern: str = ''

  def is_intact(self, folder: pathlib.Path) -> bool:
    """Whether a converter completed this set, and no file changed its size."""
    return self.complete and all(
      has_size(folder / name, shard.bytes)
      for shards in self.splits.values()
      for name, shard in shards.items()
    )

  def num_records(self) -> dict[str, int]:
    """Returns split -> number of records in all its files."""
    return {
      split: sum(shard.records for shard in shards.values())
      for split, shards in self.splits.items()
    }


def has_size(path: pathlib.Path, size: int) -> bool:
  """Whether the file exists and has that many bytes."""
  return path.is_file() and path.stat().st_size == size


def write(manifest: Manifest, folder: pathlib.Path) -> None:
  """Writes dataset.json atomically."""
  content = {'format': FORMAT, **dataclasses.asdict(manifest)}
  if not manifest.file_pattern:
    del content['file_pattern']
  counts = manifest.num_records()
  content['splits'] = {
    split: {'records': counts[split], 'files': shards}
    for split, shards in content['splits'].items()
  }
  files.write_json(folder / _MANIFEST, content)


def count(
  manifest: Manifest, split: str, files: Sequence[pathlib.Path]
) -> tuple[int, tuple[str, ...]]:
  """Counts the records of a split, with dataset.json as a cache.

  Counts files that are not in dataset.json, that have another size than it
  states, or that are not older than it. Does the same for all other splits, so
  that the updated dataset.json is again newer than every file; an unwritable
  folder keeps its old one.

  Args:
    manifest: content of dataset.json, or a description without files.
    split: name of the split.
    files: record files of the split; not empty.

  Returns:
    Number of complete records in `files`, and paths of truncated files.
  """
  folder = files[0].parent
  splits = {name: dict(shards) for name, shards in manifest.splits.items()}
  own = splits.setdefault(split, {})
  own.update({p.name: _UNKNOWN for p in files if p.name not in own})
  is_changed, truncated = False, []
  for shards in splits.values():
    for path in _changed(shards, folder):
      records, ends_well = count_records(path)
      shard = Shard(records, path.stat().st_size)
      if manifest.complete and shards[path.name] not in (_UNKNOWN, shard):
        _warn_of_change(path, shards[path.name], shard)
      shards[path.name], is_changed = shard, True
      truncated += [] if ends_well else [path]
  if is_changed and not truncated:
    complete = manifest.complete and splits == manifest.splits
    updated = dataclasses.replace(manifest, splits=splits, complete=complete)
    try:
      write(updated, folder)
    except OSError as error:
      logging.info('Cannot save the record counts: %s', error)
  return (
    sum(own[path.name].records for path in files),
    tuple(str(path) for path in truncated if path in files),
  )


def _changed(
  shards: Mapping[str, Shard], folder: pathlib.Path
) -> list[pathlib.Path]:
  """Returns the files that may differ from their description."""
  path = folder / _MANIFEST
  written = path.stat().st_mtime_ns if path.exists() else 0
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


@functools.cache
def _warn_of_change(path: pathlib.Path, old: Shard, new: Shard) -> None:
  """Warns, once, of a file that changed since its conversion."""
  logging.warning(
    '%s has changed since it was converted: %d records now, %d then.',
    path,
    new.records,
    old.records,
  )


def remove(folder: pathlib.Path) -> None:
  """Deletes dataset.json, which marks a complete data set."""
  (folder / _MANIFEST).unlink(missing_ok=True)


def is_manifest(path: pathlib.Path) -> bool:
  """Whether this is the path of a dataset.json."""
  return path.name == _MANIFEST


def move(source: pathlib.Path, target: pathlib.Path) -> None:
  """Moves dataset.json to another folder on the same file system."""
  (source / _MANIFEST).replace(target / _MANIFEST)


def read(folder: pathlib.Path) -> Manifest | None:
  """Reads dataset.json in a folder; returns None if there is none.

  Raises:
    UserError: if it cannot be read or parsed.
  """
  path = folder / _MANIFEST
  content = files.read_json(path, _KINDS, _REMEDY)
  if content is None:
    return None
  problem = _problem(content)
  if problem:
    raise UserError(f'{path} {problem}. {_REMEDY}')
  splits = {
    split: {
      name: Shard(file['records'], file['bytes'])
      for name, file in value['files'].items()
    }
    for split, value in content['splits'].items()
  }
  known = {field.name for field in dataclasses.fields(Manifest)}
  values = {key: content[key] for key in content if key in known}
  return Manifest(**{**values, 'splits': splits})


def _problem(content: Mapping[str, Any]) -> str | None:
  """Returns what a converter cannot have written, of the right kinds."""
  if content['format'] != FORMAT:
    return f'has format {content["format"]}, not {FORMAT}'
  if content['num_classes'] < 1:
    return f'has num_classes {content["num_classes"]}, not 1 or more'
  if content['channels'] not in (1, 3):
    return f'has channels {content["channels"]}, not 1 or 3'
  for split in content['splits'].values():
    for name, file in split['files'].items():
      if '/' in name or name in ('', '.', '..') or not files.is_text(name):
        return f'has {name!r}, which is not the name of a file'
      if file['records'] < 0:
        return f'has {file["records"]} records of {name}'
  return None


def write_labels(class_names: Sequence[str], folder: pathlib.Path) -> None:
  """Writes labels.txt atomically, with a line 'label:name' for each class."""
  lines = [f'{label}:{name}\n' for label, name in enumerate(class_names)]
  files.write_text(folder / _LABELS, ''.join(lines))


def read_labels(folder: pathlib.Path) -> dict[int, str]:
  """Reads label -> name from labels.txt; empty if there is none.

  Raises:
    UserError: if a line is not 'label:name', or repeats a label.
  """
  path = folder / _LABELS
  if not path.exists():
    return {}
  names: dict[int, str] = {}
  line_of: dict[int, int] = {}
  for number, line in enumerate(text_files.lines(text_files.read(path)), 1):
    text, colon, name = line.partition(':')
    if not line.strip():
      continue
    text = text.strip()
    if not colon or not text.isdecimal() or len(text) > _MAX_LABEL_DIGITS:
      raise UserError(
        f'{path}, line {number}: {abbreviated(line)} is not a label, a colon '
        "and a name, such as '0:daisy'."
      )
    label = int(text)
    if label in names:
      raise UserError(
        f'{path}, line {number}: {abbreviated(line)} names label {label} '
        f'again, which line {line_of[label]} names {abbreviated(names[label])}.'
      )
    names[label], line_of[label] = name, number
  return names

"""A list of photos and their classes: CSV, or text with another delimiter.

The first line may name the columns. Paths are relative to the list's folder, or
to a folder in it; they may lack the ending of the file, as ids do.
"""

import csv
import io
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from absl import logging

from datasets import photo, text_files
from datasets.archive import Blob, file_blob
from datasets.shards import SPLITS, split_of
from errors import UserError
from registry import abbreviated

SUFFIXES = ('.csv', '.tsv', '.txt')
_DELIMITERS = ',;\t| '
_SNIFFED = 20  # lines that tell the delimiter
_SNIFFED_LENGTH = 4000  # characters; sniffing takes the square of their number
# Column -> what people call it; if a list has several of them, the first.
_SYNONYMS = {
  'path': (
    'path',
    'filepath',
    'file_path',
    'image_path',
    'filename',
    'file_name',
    'image_name',
    'file',
    'image',
    'img',
    'photo',
    'picture',
    'image_id',
    'id',
  ),
  'label': (
    'label',
    'class',
    'class_name',
    'label_name',
    'category',
    'breed',
    'species',
    'target',
  ),
  'split': ('split', 'subset', 'set', 'fold'),
}
_DEFAULT = {'path': 0, 'label': 1, 'split': 2}
_LAYOUT = 'expected a path and a label, and optionally a split, in each line'


class Entry(NamedTuple):
  """A photo: its name, its bytes, its class, and its split if it has one."""

  path: str
  blob: Blob
  label: str
  split: str | None


def read(source: pathlib.Path) -> list[Entry]:
  """Returns the photos in a list, sorted by path.

  Raises:
    UserError: names the line or row that cannot be read.
  """
  text = text_files.read(source)
  delimiter, columns, has_header = _layout(source, text)
  rows = list(_rows(source, text, delimiter))[has_header:]
  values = [_values(source, row, columns, delimiter) for row in rows]
  if not values:
    raise UserError(f'{source} lists no photos: {_LAYOUT}.')
  folder = _folder(source, [row['path'] for row in values])
  entries = [_entry(source, folder, row) for row in values]
  if len({entry.split is None for entry in entries}) > 1:
    raise UserError(f'{source} names a split for some photos only.')
  _check_repeated(source, entries)
  return sorted(entries, key=lambda entry: entry.path)


def _rows(
  source: pathlib.Path, text: str, delimiter: str
) -> Iterator[list[str]]:
  """Yields the rows that are not empty.

  Raises:
    UserError: names the line that is not CSV.
  """
  reader = csv.reader(
    io.StringIO(text, newline=''),
    delimiter=delimiter,
    skipinitialspace=True,
    strict=True,
  )
  try:
    yield from (row for row in reader if any(map(str.strip, row)))
  except csv.Error as error:
    raise UserError(
      f'Cannot read {source} as CSV: line {reader.line_num}: {error}.'
    ) from error


def _first(source: pathlib.Path, text: str, delimiter: str) -> list[str]:
  """Returns the first row, or nothing if the delimiter is another one."""
  try:
    return next(_rows(source, text, delimiter), [])
  except UserError:
    return []


def _layout(
  source: pathlib.Path, text: str
) -> tuple[str, Mapping[str, int], bool]:
  """Returns delimiter, column -> index, and whether the first row has names.

  Raises:
    UserError: if the first row names neither a photo nor the columns.
  """
  start = ''.join(text.splitlines(keepends=True)[:_SNIFFED])
  try:
    sample = start[:_SNIFFED_LENGTH]
    sniffed = csv.Sniffer().sniff(sample, _DELIMITERS).delimiter
  except csv.Error:
    sniffed = ','
  for delimiter in dict.fromkeys(sniffed + _DELIMITERS):
    first = _first(source, start, delimiter)
    if columns := _columns(source, first):
      return delimiter, columns, True
    if len(first) > 1 and _is_photo(source, first[0]):
      return delimiter, _DEFAULT, False
  first = _first(source, start, sniffed)
  if first and not _is_photo(source, first[0]):
    known = '; '.join(f'{c}: {", ".join(_SYNONYMS[c])}' for c in _SYNONYMS)
    raise UserError(
      f'{source}: the first line, {abbreviated(sniffed.join(first))}, names '
      f'neither a photo nor the columns ({known}).'
    )
  return sniffed, _DEFAULT, False


def _columns(source: pathlib.Path, row: list[str]) -> dict[str, int] | None:
  """Returns column -> index if the row names at least path and label."""
  names = [name.strip().lower() for name in row]
  found = {
    column: [name for name in synonyms if name in names]
    for column, synonyms in _SYNONYMS.items()
  }
  if not found['path'] or not found['label']:
    return None
  for column, (chosen, *others) in ((c, n) for c, n in found.items() if n):
    if others:
      logging.warning(
        '%s: the column %r is taken as %s, not %s.',
        source,
        chosen,
        column,
        ' or '.join(map(repr, others)),
      )
  return {c: names.index(found[c][0]) for c in found if found[c]}


def _is_photo(source: pathlib.Path, name: str) -> bool:
  """Whether a text names a photo: by its ending, or because it exists."""
  name = name.strip()
  is_named = pathlib.PurePath(name).suffix.lower() in photo.SUFFIXES
  return is_named or any(_locate(path, name) for path in _folders(source))


def _folders(source: pathlib.Path) -> list[pathlib.Path]:
  """Returns the folder of a list, and the folders in it."""
  inner = (path for path in source.parent.iterdir() if path.is_dir())
  return [source.parent, *sorted(inner)]


def _values(
  source: pathlib.Path,
  row: list[str],
  columns: Mapping[str, int],
  delimiter: str,
) -> dict[str, str]:
  """Returns column -> value of a row; split only if it names one."""
  values = {
    column: row[index].strip()
    for column, index in columns.items()
    if index < len(row)
  }
  shown = abbreviated(delimiter.join(row))
  if not values.get('path') or not values.get('label'):
    raise UserError(f'{source}: {shown} is not a path and a label: {_LAYOUT}.')
  split = values.get('split')
  if split and not split_of(split):
    raise UserError(
      f'{source}: {abbreviated(split)} in {shown} is not a split; known: '
      f'{", ".join(SPLITS)}.'
    )
  return values


def _folder(source: pathlib.Path, names: Sequence[str]) -> pathlib.Path:
  """Returns the folder of the photos: the list's, or one in it.

  Raises:
    UserError: if no photo exists, or several folders have some.
  """
  found = [
    folder
    for folder in _folders(source)
    if any(_locate(folder, name) for name in names[:_SNIFFED])
  ]
  if found and found[0] != source.parent:
    if len(found) > 1:
      raise UserError(
        f'{source}: its photos may be in {found[0].name} or {found[1].name}: '
        'write the folder before each path, or move the list into it.'
      )
    logging.warning('%s: its photos are in %s.', source, found[0])
  if found:
    return found[0]
  if any(_locate(source.parent, name) for name in names):
    return source.parent
  raise UserError(
    f'{source}: none of its {len(names)} photos exists, such as '
    f'{abbreviated(names[0])}; paths are relative to {source.parent}.'
  )


def _entry(
  source: pathlib.Path, folder: pathlib.Path, values: Mapping[str, str]
) -> Entry:
  """Returns the photo of a row, also if there is no such file."""
  name = _locate(folder, values['path']) or values['path']
  path = folder / name
  blob = file_blob(path) if os.path.isfile(path) else Blob(str(path))
  split = values.get('split')
  where = '' if folder == source.parent else f'{folder.name}/'
  return Entry(
    f'{where}{name}', blob, values['label'], split_of(split) if split else None
  )


def _locate(folder: pathlib.Path, name: str) -> str | None:
  """Returns the name of an existing file that a list calls so, or None."""
  return next((n for n in _spellings(name) if os.path.isfile(folder / n)), None)


def _spellings(name: str) -> Iterator[str]:
  """Yields a name, also as a path of Windows, and with each ending."""
  yield name
  name = name.replace('\\', '/')
  yield name
  for suffix in photo.SUFFIXES:
    yield f'{name}{suffix}'
    yield f'{name}{suffix.upper()}'


def _check_repeated(source: pathlib.Path, entries: Sequence[Entry]) -> None:
  """Raises UserError for a photo that is listed twice."""
  first_of: dict[str, Entry] = {}
  for entry in entries:
    first = first_of.setdefault(entry.path, entry)
    if first is not entry:
      uses = [', '.join(filter(None, use[2:])) for use in (first, entry)]
      raise UserError(
        f'{source} lists {abbreviated(entry.path)} twice '
        f'({" and ".join(uses)}): remove one.'
      )

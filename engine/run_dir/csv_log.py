"""CSV files that grow by one row at a time and survive a kill while writing."""

import csv
import datetime
import io
import itertools
import os
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import files
from engine import console

Row = TypeVar('Row')

# More do not fit in 64 bits.
_MAX_DIGITS = 18


def timestamp() -> str:
  """Returns the time in UTC, as ISO 8601: 2026-01-31T09:30:00+00:00."""
  return datetime.datetime.now(datetime.timezone.utc).isoformat(
    timespec='seconds'
  )


def append(
  path: str | os.PathLike,
  row: Mapping[str, Any],
  layouts: Collection[Sequence[str]] = (),
) -> None:
  """Appends one row; None is an empty cell.

  The header is written with the first row. If the row has columns the header
  lacks, the file is rewritten with the union of both.

  Args:
    path: the CSV file.
    row: column -> value.
    layouts: as of read().
  """
  header = _repair(path)
  if not {*row} <= {*header}:
    columns = _columns(_lines(path), layouts)
    missing = [column for column in row if column not in columns]
    write(path, [*columns, *missing], [*read(path, layouts=layouts), row])
    return
  # One small write to a file opened for appending: rows of two processes
  # follow one another and do not mix.
  with open(path, 'ab') as file:
    file.write(_line(row.get(column) for column in header).encode())


def write(
  path: str | os.PathLike,
  header: Sequence[str],
  rows: Iterable[Mapping[str, Any]],
) -> None:
  """Writes all rows, and replaces the file atomically."""
  with (
    files.replacing(path) as temporary,
    open(temporary, 'w', encoding='utf-8') as file,
  ):
    file.write(_line(header))
    for row in rows:
      file.write(_line(row.get(column) for column in header))


def read(
  path: str | os.PathLike,
  parse: Callable[[dict[str, str]], Row] = dict,  # type: ignore[assignment]
  *,
  layouts: Collection[Sequence[str]] = (),
  most: int | None = None,
) -> list[Row]:
  """Reads the complete rows; [] if there is no file.

  A damaged line is left out and reported, once.

  Args:
    path: the CSV file.
    parse: turns column -> text into a row; raises ValueError if it is damaged.
    layouts: the columns that the file may have, each in another number; those
      as many as a row's replace a damaged header.
    most: read about this many rows, evenly spaced, including the last; None
      reads all.
  """
  lines = _lines(path)
  numbers = range(1, len(lines))
  if most is not None and len(numbers) > most:
    stride = -(-len(numbers) // most)
    numbers = numbers[(len(numbers) - 1) % stride :: stride]
  columns = _columns(lines, layouts)
  rows = []
  for number in numbers:
    if line := lines[number].strip(b'\r'):
      try:
        rows.append(parse(_row(columns, line)))
      except (ValueError, csv.Error):
        console.say_once(
          f'{os.fspath(path)}: line {number + 1} is damaged, and left out.'
        )
  return rows


def _lines(path: str | os.PathLike) -> list[bytes]:
  """Returns the complete lines; [] if there is no file."""
  try:
    with open(path, 'rb') as file:
      # What follows the last newline is an incomplete row.
      return file.read().split(b'\n')[:-1]
  except FileNotFoundError:
    return []


def whole_number(text: str) -> int:
  """Parses a cell; raises ValueError unless it is a whole number from 0."""
  if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
    raise ValueError(text)
  return int(text)


def _row(columns: Sequence[str], line: bytes) -> dict[str, str]:
  """Parses a line; raises ValueError or csv.Error if it is damaged."""
  # On its own, as a quote that is damage would join it with those below.
  cells = next(csv.reader([line.decode()], strict=True))
  return dict(zip(columns, cells, strict=True))


def _columns(
  lines: Sequence[bytes], layouts: Collection[Sequence[str]]
) -> Sequence[str]:
  """Returns the header, or the layout as wide as the rows if it is damaged."""
  header = _header(lines[0]) if lines else []
  widths = [width for line in lines[1:] if (width := _width(line))]
  width = statistics.mode(widths or [len(header)])
  if len(header) == width and {*header} <= {*itertools.chain(*layouts)}:
    return header
  return next((each for each in layouts if len(each) == width), header)


def _width(line: bytes) -> int:
  """Returns the number of cells of a line, 0 if it is damaged."""
  if b'"' not in line:
    return line.count(b',') + 1
  try:
    return len(next(csv.reader([line.decode()], strict=True)))
  except (ValueError, csv.Error):
    return 0


def _header(line: bytes) -> list[str]:
  """Parses a header, which may be damaged; no name in it needs quotes."""
  text = line.decode('utf-8', 'replace').strip('\r\n')
  return text.split(',') if text else []


def _repair(path: str | os.PathLike) -> list[str]:
  """Cuts off an incomplete last row; returns the header, [] for no file."""
  if not os.path.exists(path):
    return []
  with open(path, 'r+b') as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    if file.read(1) != b'\n':
      file.seek(0)
      size = file.read().rfind(b'\n') + 1
      file.truncate(size)
    file.seek(0)
    return _header(file.readline())


def _line(cells: Iterable[Any]) -> str:
  """Formats one line; line breaks in cells become spaces."""
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator='\n').writerow(
    ' '.join(cell.split()) if isinstance(cell, str) else cell for cell in cells
  )
  return buffer.getvalue()

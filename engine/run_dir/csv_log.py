"""CSV files that grow by one row at a time and survive a kill while writing."""

import csv
import datetime
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import files


def timestamp() -> str:
  """Returns the time in UTC, as ISO 8601: 2026-01-31T09:30:00+00:00."""
  return datetime.datetime.now(datetime.timezone.utc).isoformat(
    timespec='seconds'
  )


def append(path: str | os.PathLike, row: Mapping[str, Any]) -> None:
  """Appends one row; None is an empty cell.

  The header is written with the first row. If the row has columns the header
  lacks, the file is rewritten with the union of both.
  """
  header = _repair(path)
  missing = [column for column in row if column not in header]
  if missing:
    write(path, [*header, *missing], [*read(path), row])
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
  path: str | os.PathLike, most: int | None = None
) -> list[dict[str, str]]:
  """Reads the complete rows; [] if there is no file.

  Args:
    path: the CSV file.
    most: read about this many rows, evenly spaced, including the last; None
      reads all.

  Returns:
    One dict per row, column -> text; '' for missing cells.
  """
  try:
    with open(path, 'rb') as file:
      lines = file.read().split(b'\n')
  except FileNotFoundError:
    return []
  # What follows the last newline is an incomplete row.
  header, body = lines[0], lines[1:-1]
  if len(lines) < 2:
    return []
  if most is not None and len(body) > most:
    stride = -(-len(body) // most)
    body = body[(len(body) - 1) % stride :: stride]
  columns = next(csv.reader([_text(header)]), [])
  return [
    dict(zip(columns, cells + [''] * (len(columns) - len(cells)), strict=False))
    for cells in csv.reader(map(_text, body))
    if cells
  ]


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
    return next(csv.reader([_text(file.readline())]), [])


def _line(cells: Iterable[Any]) -> str:
  """Formats one line; line breaks in cells become spaces."""
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator='\n').writerow(
    ' '.join(cell.split()) if isinstance(cell, str) else cell for cell in cells
  )
  return buffer.getvalue()


def _text(line: bytes) -> str:
  """Decodes a line in which a crashed file system may have left NULs."""
  return line.replace(b'\0', b'').decode('utf-8', 'replace').strip('\r\n')

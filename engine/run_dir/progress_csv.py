"""train_dir/progress.csv: one row for each step that training logs."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.run_dir import csv_log

FILE = 'progress.csv'
# Files of earlier versions have these.
_OLD_COLUMNS = ('step', 'time', 'loss', 'learning_rate', 'images_per_second')
COLUMNS = (*_OLD_COLUMNS, 'cross_entropy', 'accuracy')
_LAYOUTS = (COLUMNS, _OLD_COLUMNS)


def append(
  path: str | os.PathLike,
  step: int,
  loss: float,
  learning_rate: float,
  images_per_second: float | None,
  cross_entropy: float | None = None,
  accuracy: float | None = None,
) -> None:
  """Appends one row with the current time; None for what is not known."""
  numbers = (loss, learning_rate, images_per_second, cross_entropy, accuracy)
  texts = [None if number is None else f'{number:.9g}' for number in numbers]
  row = dict(
    zip(COLUMNS, (int(step), csv_log.timestamp(), *texts), strict=True)
  )
  csv_log.append(path, row, _LAYOUTS)


def read(
  path: str | os.PathLike, most: int | None = None
) -> dict[str, np.ndarray]:
  """Reads the complete rows; empty arrays if there is no file.

  Args:
    path: the CSV file.
    most: read about this many rows, evenly spaced, including the last; None
      reads all.

  Returns:
    Column -> array: step int64, time text, the others float64, NaN for cells
    that are empty or not a number. Damaged lines are left out.
  """
  rows = csv_log.read(path, _parse, layouts=_LAYOUTS, most=most)
  columns = {
    name: np.array([row[name] for row in rows], np.float64)
    for name in COLUMNS[2:]
  }
  columns['step'] = np.array([row['step'] for row in rows], np.int64)
  columns['time'] = np.array([row['time'] for row in rows], str)
  return columns


def truncate(path: str | os.PathLike, step: int) -> int:
  """Deletes the rows after the step that training resumes from.

  Returns:
    The number of rows deleted; damaged lines, which go as well, do not count.
  """
  if not os.path.exists(path):
    return 0
  rows = csv_log.read(path, _checked, layouts=_LAYOUTS)
  remaining = [row for row in rows if int(row['step']) <= step]
  csv_log.write(path, COLUMNS, remaining)
  return len(rows) - len(remaining)


def _parse(row: Mapping[str, str]) -> dict[str, Any]:
  """Returns step and time of a row, and NaN for cells that are no number."""
  numbers = {name: _number(row.get(name, '')) for name in COLUMNS[2:]}
  return {
    'step': csv_log.whole_number(row.get('step', '')),
    'time': row.get('time', ''),
    **numbers,
  }


def _checked(row: Mapping[str, str]) -> Mapping[str, str]:
  """Returns a row; raises ValueError unless its step is one."""
  csv_log.whole_number(row.get('step', ''))
  return row


def _number(text: str) -> float:
  """Parses a cell; NaN if it is not a number."""
  try:
    return float(text)
  except ValueError:
    return float('nan')

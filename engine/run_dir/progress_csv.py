"""train_dir/progress.csv: one row for each step that training logs."""

import os

import numpy as np

from engine.run_dir import csv_log

FILE = 'progress.csv'
COLUMNS = ('step', 'time', 'loss', 'learning_rate', 'images_per_second')


def append(
  path: str | os.PathLike,
  step: int,
  loss: float,
  learning_rate: float,
  images_per_second: float | None,
) -> None:
  """Appends one row with the current time; None for a speed not known yet."""
  numbers = (loss, learning_rate, images_per_second)
  texts = [None if number is None else f'{number:.9g}' for number in numbers]
  row = dict(
    zip(COLUMNS, (int(step), csv_log.timestamp(), *texts), strict=True)
  )
  csv_log.append(path, row)


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
    that are empty or not a number. Rows without a step are left out.
  """
  rows = [
    row for row in csv_log.read(path, most) if row.get('step', '').isdigit()
  ]
  columns = {
    name: np.array([_number(row.get(name, '')) for row in rows], np.float64)
    for name in COLUMNS[2:]
  }
  columns['step'] = np.array([int(row['step']) for row in rows], np.int64)
  columns['time'] = np.array([row.get('time', '') for row in rows], str)
  return columns


def truncate(path: str | os.PathLike, step: int) -> int:
  """Deletes the rows after the step that training resumes from.

  Returns:
    The number of rows deleted.
  """
  rows = csv_log.read(path)
  remaining = [
    row
    for row in rows
    if row.get('step', '').isdigit() and int(row['step']) <= step
  ]
  if len(remaining) < len(rows):
    csv_log.write(path, COLUMNS, remaining)
  return len(rows) - len(remaining)


def _number(text: str) -> float:
  """Parses a cell; NaN if it is not a number."""
  try:
    return float(text)
  except ValueError:
    return float('nan')

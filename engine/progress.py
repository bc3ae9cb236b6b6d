"""train_dir/progress.csv: a row for each line that training logs."""

import os

import numpy as np

from engine import results, rows

FILE = 'progress.csv'
COLUMNS = ('step', 'time', 'loss', 'learning_rate', 'images_per_second')


def append(
  path: str | os.PathLike,
  step: int,
  loss: float,
  learning_rate: float,
  images_per_second: float | None,
) -> None:
  """Adds one row, stamped now; None where the speed is not known yet."""
  numbers = (loss, learning_rate, images_per_second)
  texts = [None if number is None else f'{number:.9g}' for number in numbers]
  row = dict(zip(COLUMNS, (int(step), results.now(), *texts), strict=True))
  rows.append(path, row)


def read(
  path: str | os.PathLike, most: int | None = None
) -> dict[str, np.ndarray]:
  """Reads the complete rows; empty arrays where there is no file.

  Args:
    path: the CSV file.
    most: if given, about this many rows, evenly spaced, the last included.

  Returns:
    Column -> array: step int64, time text, the others float64 with NaN where
    the cell is empty or no number. Rows without a step are left out.
  """
  kept = [row for row in rows.read(path, most) if row.get('step', '').isdigit()]
  columns = {
    name: np.array([_number(row.get(name, '')) for row in kept], np.float64)
    for name in COLUMNS[2:]
  }
  columns['step'] = np.array([int(row['step']) for row in kept], np.int64)
  columns['time'] = np.array([row.get('time', '') for row in kept], str)
  return columns


def truncate(path: str | os.PathLike, step: int) -> int:
  """Drops the rows after `step`, from which training resumes.

  Returns:
    How many rows were dropped.
  """
  found = rows.read(path)
  kept = [
    row
    for row in found
    if row.get('step', '').isdigit() and int(row['step']) <= step
  ]
  if len(kept) < len(found):
    rows.write(path, COLUMNS, kept)
  return len(found) - len(kept)


def _number(text: str) -> float:
  """The number in a cell, NaN if there is none."""
  try:
    return float(text)
  except ValueError:
    return float('nan')

"""eval_dir/results.csv: one row for each evaluation."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from engine.run_dir import csv_log

FILE = 'results.csv'

_INTEGERS = ('global_step', 'count')
_TEXTS = ('time', 'checkpoint', 'split')


def append(
  path: str | os.PathLike,
  *,
  time: str,
  global_step: int,
  checkpoint: str,
  split: str,
  count: int,
  metrics: Mapping[str, float],
) -> None:
  """Appends one row: these columns, and one for each metric."""
  row = {
    'time': time,
    'global_step': global_step,
    'checkpoint': checkpoint,
    'split': split,
    'count': count,
  }
  csv_log.append(path, row | dict(metrics))


def read(path: str | os.PathLike) -> list[dict[str, Any]]:
  """Reads results.csv; [] if there is none.

  Returns:
    A dict per complete row: time, checkpoint and split as text, global_step
    and count as int, metrics as float. Empty cells are left out, and so are
    rows that are damaged.
  """
  rows = []
  for row in csv_log.read(path):
    with contextlib.suppress(ValueError):
      rows.append(_parse_row(row))
  return rows


def _parse_row(row: Mapping[str, str]) -> dict[str, Any]:
  """Converts cells to numbers; ValueError if the row is damaged."""
  parsed: dict[str, Any] = {}
  for column, text in row.items():
    if column in _TEXTS:
      parsed[column] = text
    elif column in _INTEGERS:
      parsed[column] = int(text)
    elif text:
      parsed[column] = float(text)
  return parsed

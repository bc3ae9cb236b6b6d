"""eval_dir/results.csv: one row for each evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from engine.run_dir import csv_log

FILE = 'results.csv'

_INTEGERS = ('global_step', 'count')
_TEXTS = ('time', 'checkpoint', 'split')
# Recall_5 is left out where it is always 1; earlier versions had fewer metrics.
_LAYOUTS = tuple(
  f'time,global_step,checkpoint,split,count,Accuracy,{recall}loss,'
  f'macro_precision,macro_recall,macro_f1{later}'.split(',')
  for later in (
    ',balanced_accuracy,expected_calibration_error,macro_auroc',
    '',
  )
  for recall in ('Recall_5,', '')
)


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
  csv_log.append(path, row | dict(metrics), _LAYOUTS)


def read(path: str | os.PathLike) -> list[dict[str, Any]]:
  """Reads results.csv; [] if there is none.

  Returns:
    A dict per complete row: time, checkpoint and split as text, global_step
    and count as int, metrics as float. Empty cells are left out, and so are
    damaged lines.
  """
  return csv_log.read(path, _parse_row, layouts=_LAYOUTS)


def _parse_row(row: Mapping[str, str]) -> dict[str, Any]:
  """Converts cells to numbers; ValueError if the row is damaged."""
  parsed: dict[str, Any] = {}
  for column, text in row.items():
    if column in _TEXTS:
      parsed[column] = text
    elif column in _INTEGERS:
      parsed[column] = csv_log.whole_number(text)
    elif text:
      parsed[column] = float(text)
  return parsed

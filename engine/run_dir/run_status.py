"""Status files in train_dir through which training and evaluation communicate.

finished.json: training has finished, with the reason; early_stop.json: an
evaluation requests an early stop; evaluations.json: the folders to which
evaluations of its checkpoints wrote results.
"""

import contextlib
import json
import os
import pathlib
from typing import Any

import files
from engine.run_dir import csv_log, results_csv

_FINISHED = 'finished.json'
_EARLY_STOP = 'early_stop.json'
_EVALUATIONS = 'evaluations.json'


def write_finished(train_dir: str, reason: str, step: int) -> None:
  """Writes finished.json: the reason and step at which training finished."""
  _write(
    train_dir,
    _FINISHED,
    {'reason': reason, 'global_step': step, 'time': csv_log.timestamp()},
  )


def is_finished(train_dir: str | os.PathLike) -> bool:
  """Whether training in train_dir has finished."""
  return pathlib.Path(train_dir, _FINISHED).exists()


def read_finished(train_dir: str | os.PathLike) -> dict[str, Any] | None:
  """Returns the reason and global_step of a finished run, else None."""
  try:
    content = json.loads(pathlib.Path(train_dir, _FINISHED).read_text())
    return {
      'reason': content['reason'],
      'global_step': content['global_step'],
    }
  except (OSError, ValueError, KeyError, TypeError):
    return None


def request_stop(train_dir: str | os.PathLike, why: str) -> None:
  """Requests that the training in train_dir stops early."""
  _write(train_dir, _EARLY_STOP, {'reason': why, 'time': csv_log.timestamp()})


def is_stop_requested(train_dir: str) -> bool:
  """Whether an evaluation has requested an early stop."""
  return pathlib.Path(train_dir, _EARLY_STOP).exists()


def reset(train_dir: str) -> None:
  """Deletes the status of an earlier run before a new one starts."""
  for name in (_FINISHED, _EARLY_STOP):
    pathlib.Path(train_dir, name).unlink(missing_ok=True)


def register_eval_dir(train_dir: str | os.PathLike, eval_dir: str) -> None:
  """Records a folder to which an evaluation wrote its results."""
  folders = _evaluations(train_dir)
  eval_dir = os.path.abspath(eval_dir)
  if eval_dir not in folders:
    # The folder of published checkpoints may be read-only.
    with contextlib.suppress(OSError):
      _write(train_dir, _EVALUATIONS, [*folders, eval_dir])


def results_files(train_dir: str | os.PathLike) -> list[pathlib.Path]:
  """Returns the results.csv of each evaluation of train_dir's checkpoints."""
  return [pathlib.Path(d, results_csv.FILE) for d in _evaluations(train_dir)]


def _evaluations(train_dir: str | os.PathLike) -> list[str]:
  path = pathlib.Path(train_dir, _EVALUATIONS)
  try:
    return list(map(str, json.loads(path.read_text())))
  except (OSError, ValueError, TypeError):
    return []


def _write(train_dir: str | os.PathLike, name: str, content: object) -> None:
  path = pathlib.Path(train_dir, name)
  files.write_text(path, json.dumps(content, indent=2) + '\n')

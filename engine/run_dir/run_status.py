"""Status files in train_dir through which training and evaluation communicate.

finished.json: training has finished, with the reason; early_stop.json: an
evaluation requests an early stop; evaluations.json: the folders to which
evaluations of its checkpoints wrote results.
"""

import contextlib
import os
import pathlib
from typing import Any

import files
from engine import console
from engine.run_dir import csv_log, results_csv
from errors import UserError

_FINISHED = 'finished.json'
_EARLY_STOP = 'early_stop.json'
_EVALUATIONS = 'evaluations.json'


def check_run_folder(train_dir: str) -> None:
  """Raises UserError if train_dir was deleted or moved while training.

  Another process may have made a folder of this name again, without job.json.
  """
  if not os.path.exists(os.path.join(train_dir, 'job.json')):
    raise UserError(
      f'{train_dir} was deleted or moved: job.json is no longer in it. Training '
      'stops; move the folder back, and the same command resumes from its '
      'newest checkpoint.'
    )


def write_finished(train_dir: str, reason: str, step: int) -> None:
  """Writes finished.json: the reason and step at which training finished."""
  files.write_json(
    pathlib.Path(train_dir, _FINISHED),
    {'reason': reason, 'global_step': step, 'time': csv_log.timestamp()},
  )


def is_finished(train_dir: str | os.PathLike) -> bool:
  """Whether training in train_dir has finished."""
  return pathlib.Path(train_dir, _FINISHED).exists()


def read_finished(train_dir: str | os.PathLike) -> dict[str, Any] | None:
  """Returns the reason and global_step of a finished run, else None.

  Raises:
    UserError: if the file is damaged.
  """
  return files.read_json(
    pathlib.Path(train_dir, _FINISHED),
    {'reason': str, 'global_step': int},
    'Delete it: the same command ends the run again.',
  )


def request_stop(train_dir: str | os.PathLike, why: str) -> None:
  """Requests that the training in train_dir stops early."""
  files.write_json(
    pathlib.Path(train_dir, _EARLY_STOP),
    {'reason': why, 'time': csv_log.timestamp()},
  )


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
      files.write_json(
        pathlib.Path(train_dir, _EVALUATIONS), [*folders, eval_dir]
      )


def results_files(train_dir: str | os.PathLike) -> list[pathlib.Path]:
  """Returns the results.csv of each evaluation of train_dir's checkpoints."""
  return [pathlib.Path(d, results_csv.FILE) for d in _evaluations(train_dir)]


def _evaluations(train_dir: str | os.PathLike) -> list[str]:
  """Reads evaluations.json; only the curves of a run depend on it."""
  try:
    return files.read_json(pathlib.Path(train_dir, _EVALUATIONS), [str]) or []
  except UserError as error:
    console.say(f'{error} The next evaluation replaces it.')
    return []

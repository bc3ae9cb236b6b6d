"""Files in train_dir by which training and evaluations tell each other things.

finished.json: training ended by itself; early_stop.json: an evaluation asks
it to end; evaluations.json: where evaluations of its checkpoints wrote results.
"""

import contextlib
import json
import os
import pathlib
from typing import Any

import files
from engine import results

_FINISHED = 'finished.json'
_EARLY_STOP = 'early_stop.json'
_EVALUATIONS = 'evaluations.json'


def write_finished(train_dir: str, reason: str, step: int) -> None:
  """Leaves finished.json: training ended by itself, at this step, for this."""
  _write(
    train_dir,
    _FINISHED,
    {'reason': reason, 'global_step': step, 'time': results.now()},
  )


def is_finished(train_dir: str | os.PathLike) -> bool:
  """Whether training in train_dir ended by itself."""
  return pathlib.Path(train_dir, _FINISHED).exists()


def how_it_finished(train_dir: str | os.PathLike) -> dict[str, Any] | None:
  """The reason and global_step of a run that ended by itself, else None."""
  try:
    found = json.loads(pathlib.Path(train_dir, _FINISHED).read_text())
    return {'reason': found['reason'], 'global_step': found['global_step']}
  except (OSError, ValueError, KeyError, TypeError):
    return None


def ask_to_stop(train_dir: str | os.PathLike, why: str) -> None:
  """Asks the training that runs in train_dir to stop early."""
  _write(train_dir, _EARLY_STOP, {'reason': why, 'time': results.now()})


def is_asked_to_stop(train_dir: str) -> bool:
  """Whether an evaluation asked for an early stop."""
  return pathlib.Path(train_dir, _EARLY_STOP).exists()


def clear(train_dir: str) -> None:
  """Forgets how an earlier run ended: a new one begins."""
  for name in (_FINISHED, _EARLY_STOP):
    pathlib.Path(train_dir, name).unlink(missing_ok=True)


def tell_evaluation(train_dir: str | os.PathLike, eval_dir: str) -> None:
  """Notes where an evaluation of train_dir's checkpoints wrote its results."""
  known = _evaluations(train_dir)
  eval_dir = os.path.abspath(eval_dir)
  if eval_dir not in known:
    # Published checkpoints may lie where nobody may write.
    with contextlib.suppress(OSError):
      _write(train_dir, _EVALUATIONS, [*known, eval_dir])


def results_files(train_dir: str | os.PathLike) -> list[pathlib.Path]:
  """The results.csv of every evaluation of train_dir's checkpoints."""
  return [pathlib.Path(d, results.CSV) for d in _evaluations(train_dir)]


def _evaluations(train_dir: str | os.PathLike) -> list[str]:
  path = pathlib.Path(train_dir, _EVALUATIONS)
  try:
    return list(map(str, json.loads(path.read_text())))
  except (OSError, ValueError, TypeError):
    return []


def _write(train_dir: str | os.PathLike, name: str, content: object) -> None:
  path = pathlib.Path(train_dir, name)
  files.write_text(path, json.dumps(content, indent=2) + '\n')

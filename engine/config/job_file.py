"""job.json: the options and facts a run was trained with."""

from __future__ import annotations

import dataclasses
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import files
from engine.config.jobs import MOST_CLASSES, TrainJob
from errors import UserError
from options import kinds_of
from tf_compat import versions

_REMEDY = (
  'Repair it, or delete it: the network is then recognized by the '
  "checkpoint's variables and flags alone."
)

# Options that summaries of a run tell only if they were set.
_UNUSUAL = (
  'loss',
  'class_weights',
  'balanced_sampling',
  'accumulate_steps',
  'layer_decay',
  'stochastic_depth_rate',
  'teacher_checkpoint',
)


def write(
  job: TrainJob,
  facts: Mapping[str, Any],
  folder: str | pathlib.Path | None = None,
) -> None:
  """Writes job.json: every option, facts, and versions.

  Args:
    job: the resolved job.
    facts: what is not an option, such as the numbers of classes and records.
    folder: folder to write to; the job's train_dir if not given.
  """
  content = {
    'options': dataclasses.asdict(job),
    **facts,
    'versions': {'python': platform.python_version(), **versions()},
  }
  files.write_json(pathlib.Path(folder or job.train_dir, 'job.json'), content)


def read(
  folder: str | pathlib.Path, remedy: str = _REMEDY
) -> dict[str, Any] | None:
  """Reads the job.json of a folder; None if there is none.

  Args:
    folder: the folder.
    remedy: what to do about a damaged one.

  Raises:
    UserError: if the file is not a valid job.
  """
  path = pathlib.Path(folder, 'job.json')
  content = files.read_json(path, _kinds(), remedy)
  if content is None:
    return None
  # Earlier versions had no other padding.
  content['options'].setdefault('padding', 'same')
  for name, valid in (
    ('num_classes', range(2, MOST_CLASSES + 1)),
    ('channels', (1, 3)),
  ):
    if name in content and content[name] not in valid:
      raise UserError(f'{path} has {content[name]} for {name}. {remedy}')
  return content


def unusual(options: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the options of a job that few runs set, as far as they were set."""
  return {
    name: options[name]
    for name in _UNUSUAL
    if name in options and options[name] != getattr(TrainJob, name)
  }


def _kinds() -> dict[str, Any]:
  """Returns what job.json holds; other versions may have other options."""
  return {
    'options': {
      **kinds_of(TrainJob),
      'model_name': str,
      'attention_module': str | None,
      'dataset_name': str,
    },
    'num_classes': int,
    'num_records?': int,
    'channels?': int,
    'class_names?': [str],
  }

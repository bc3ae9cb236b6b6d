"""job.json: the options and facts a run was trained with."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import files
from engine.config.jobs import TrainJob
from errors import UserError
from tf_compat import versions


def write(job: TrainJob, facts: Mapping[str, Any]) -> None:
  """Writes train_dir/job.json: every option, facts, and versions.

  Args:
    job: the resolved job.
    facts: numbers that are not options, such as classes and records.
  """
  content = {
    'options': dataclasses.asdict(job),
    **facts,
    'versions': {'python': platform.python_version(), **versions()},
  }
  path = pathlib.Path(job.train_dir, 'job.json')
  files.write_text(path, json.dumps(content, indent=2) + '\n')


def read(folder: str | pathlib.Path) -> dict[str, Any] | None:
  """Reads the job.json of a folder; None if there is none.

  Raises:
    UserError: if the file is not a valid job.
  """
  path = pathlib.Path(folder, 'job.json')
  try:
    content = json.loads(path.read_text())
    for name in ('model_name', 'attention_module', 'dataset_name'):
      content['options'][name]
    int(content['num_classes'])
  except FileNotFoundError:
    return None
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(
      f'{path} is damaged ({error}): delete it, and the network is recognized '
      "by the checkpoint's variables and flags alone."
    ) from error
  return content

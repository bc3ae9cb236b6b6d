"""Decides which value wins: an explicit flag, job.json, or the default."""

import dataclasses
import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from engine import console
from engine.config import job_file
from engine.config.jobs import ModelOptions, TrainJob
from errors import UserError
from nets.attention import attention_factory
from options import expand_path

JobT = TypeVar('JobT', bound=ModelOptions)

ATTENTION_OPTIONS = ('attention_module', 'attention_placement')
# Options that fine-tuning takes from the job of its checkpoint.
INHERITED_BY_FINE_TUNING = (
  'model_name',
  *ATTENTION_OPTIONS,
  'padding',
  'preprocessing_name',
  'use_grayscale',
  'train_image_size',
)
# Options that evaluation takes from the job that trained.
INHERITED_BY_EVALUATION = (
  *INHERITED_BY_FINE_TUNING,
  'dataset_name',
  'dataset_dir',
  'file_pattern',
  'labels_offset',
  'moving_average_decay',
  'plot_format',
)
# Training's name of an option -> evaluation's.
_EVALUATION_NAMES = {'train_image_size': 'eval_image_size'}
# The addresses and folders of a process.
_PROCESS_ADDRESS = (
  'train_dir',
  'master',
  'worker_hosts',
  'ps_hosts',
  'job_name',
  'task',
  'worker_replicas',
  'num_ps_tasks',
)
# Options that must be set again each time a run is resumed.
NOT_INHERITED_ON_RESUME = (
  *_PROCESS_ADDRESS,
  'sync_replicas',
  'replicas_to_aggregate',
)
# Options that may differ between processes that train together: their address,
# where they find the data, and what their machine can do.
_MAY_DIFFER_BETWEEN_PROCESSES = (
  *_PROCESS_ADDRESS,
  'dataset_dir',
  'clone_on_cpu',
  'num_readers',
  'num_preprocessing_threads',
  'cache',
)
# Files that each machine may have in another place; their names, and those of the
# folders that they are in, must agree.
_FILES = 'checkpoint_path', 'teacher_checkpoint', 'class_weights'


def canonical_attention(options: Mapping[str, Any]) -> dict[str, str | None]:
  """Returns the attention options in one spelling.

  Options at their default are left out, and no attention is None.
  """
  module = attention_factory.get_attention(
    *(options.get(name) for name in ATTENTION_OPTIONS)
  )
  spelling = module.spelling if module else (None, None)
  return dict(zip(ATTENTION_OPTIONS, spelling, strict=True))


def inherit(
  job: JobT,
  explicit: Collection[str],
  recorded: Mapping[str, Any],
  names: Collection[str],
  source: str,
) -> JobT:
  """Takes options that no flag sets from a recorded job, and prints them.

  Args:
    job: the job that the flags describe.
    explicit: the options set by flags.
    recorded: the content of a job.json.
    names: the options to inherit.
    source: what to call that job.json.
  """
  requested = vars(job)
  inherited = {
    name if name in requested else _EVALUATION_NAMES.get(name, ''): value
    for name, value in recorded['options'].items()
    if name in names
  }
  taken = {}
  for field in sorted(dataclasses.fields(job), key=lambda field: field.name):
    name = field.name
    if name not in inherited:
      continue
    if name not in explicit:
      taken[name] = inherited[name]
    elif not field.metadata['structure'] and not _is_same(
      name, requested, inherited
    ):
      console.say(
        f'--{name}={requested[name]} instead of {inherited[name]} of {source}.'
      )
  changed = {n: v for n, v in taken.items() if v != getattr(job, n)}
  if changed:
    console.say(
      f'From {source}: '
      + ' '.join(f'--{n}={v}' for n, v in sorted(changed.items()))
    )
  try:
    return dataclasses.replace(job, **taken)
  except UserError as error:
    raise UserError(f'In {source}: {error}') from error


def _is_same(name: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
  """Whether an option means the same in two jobs.

  'cbam_block(ratio=8)' is the default, and so is a module's own placement.
  """
  if name in ATTENTION_OPTIONS:
    return canonical_attention(one)[name] == canonical_attention(two)[name]
  first, second = one.get(name), two.get(name)
  if name == 'dataset_dir' and first and second:
    # Written by a version that did not expand ~.
    return os.path.abspath(first) == os.path.abspath(expand_path(second))
  return first == second


def refuse_other_structure(job: TrainJob, recorded: Mapping[str, Any]) -> None:
  """Raises UserError if resuming would alter variables."""
  options = recorded['options']
  for field in dataclasses.fields(job):
    name = field.name
    before, requested = options.get(name), getattr(job, name)
    if name == 'moving_average_decay':
      # Another decay alters no variable; having averages or not does.
      differs = bool(requested) != bool(before)
    else:
      differs = field.metadata['structure'] and not _is_same(
        name, vars(job), options
      )
    if differs:
      trained, remedy = f'with --{name}={before}', 'resume with the same value'
      if before is None:
        trained, remedy = f'without --{name}', 'omit the flag'
      raise UserError(
        f'{job.train_dir} was trained {trained}, not --{name}={requested}: '
        f'{remedy}, or start in another --train_dir (there, --checkpoint_path '
        'fine-tunes from this one).'
      )


def refuse_other_model(
  job: ModelOptions,
  recorded: Mapping[str, Any],
  folder: str | pathlib.Path,
  attention: bool = True,
) -> None:
  """Raises UserError if the job's network is not the checkpoint's.

  Args:
    job: the job that the flags describe.
    recorded: the content of the job.json beside the checkpoint.
    folder: the folder of that job.json.
    attention: whether the attention must be the same, too.
  """
  options = recorded['options']
  attention_options = ATTENTION_OPTIONS if attention else ()
  for name in ('model_name', 'padding', *attention_options):
    if not _is_same(name, vars(job), options):
      raise UserError(
        f'--{name}={vars(job)[name]} contradicts the checkpoints in {folder}, '
        f'trained with --{name}={options.get(name)}: set that, or omit the flag.'
      )


def refuse_options_unlike_chief(job: TrainJob) -> None:
  """Raises UserError if a worker's options differ from the chief's job.json."""
  recorded = job_file.read(job.train_dir)
  options = recorded['options'] if recorded else {}
  for name, requested in vars(job).items():
    if name in _MAY_DIFFER_BETWEEN_PROCESSES:
      continue
    theirs, ours = options.get(name, requested), requested
    if name in _FILES and theirs and ours:
      theirs, ours = (pathlib.Path(p).parts[-2:] for p in (theirs, ours))
    if theirs != ours:
      raise UserError(
        f'--{name}={requested}, but worker 0 has {options[name]}: start all '
        'processes with the same options.'
      )

"""Conversion of a data set to TFRecord files: download_and_convert_data.py."""

import contextlib
import dataclasses
import pathlib
import shlex
from collections.abc import Collection, Iterator

from datasets import convert as converters
from datasets import photo_folder, staging
from engine import console, signals
from engine.config.jobs import ConvertJob
from engine.run_dir import lock
from errors import UserError


def convert(
  job: ConvertJob, explicit: Collection[str] = frozenset()
) -> converters.Summary:
  """Converts a data set to TFRecord files, and prints how to train on them.

  Args:
    job: options of download_and_convert_data.py.
    explicit: the options set by flags; unused, as a conversion inherits none.

  Returns:
    Number of records and rejected originals, among others.

  Raises:
    UserError: for wrong input, originals that are missing or damaged, or a
      folder into which another process converts.
  """
  del explicit
  dataset_name = _require('dataset_name', job.dataset_name)
  dataset_dir = _require('dataset_dir', job.dataset_dir)
  names = [field.name for field in dataclasses.fields(converters.Options)]
  options = converters.Options(**{name: getattr(job, name) for name in names})
  with (
    lock.exclusive(dataset_dir, 'converting into', '--dataset_dir'),
    _resume_hint(dataset_dir),
  ):
    summary = converters.convert(
      dataset_name, dataset_dir, job.source_dir, options
    )
  for line in _lines(summary):
    console.say(line)
  return summary


def _require(name: str, value: str | None) -> str:
  """Returns the value of a flag; raises UserError unless it is set."""
  if not value:
    raise UserError(f'--{name} is required; --help lists the flags.')
  return value


@contextlib.contextmanager
def _resume_hint(dataset_dir: str) -> Iterator[None]:
  """Prints how to resume if the body is interrupted after complete shards."""
  try:
    yield
  except (KeyboardInterrupt, signals.Terminated):
    if staging.is_unfinished(pathlib.Path(dataset_dir)):
      console.say('To resume from here, add --resume to the same command.')
    raise


def _lines(summary: converters.Summary) -> Iterator[str]:
  """Yields the lines that describe a conversion."""
  for note, count in summary.notes.items():
    yield f'  {count:,} of the originals: {note}'
  if summary.rejected:
    yield (
      f'  {summary.rejected:,} of the originals cannot be used: see '
      f'{summary.dataset_dir}/{staging.REJECTED}'
    )
  if summary.empty_classes:
    yield (
      f'  classes without records: {len(summary.empty_classes):,} '
      f'({photo_folder.some(summary.empty_classes)})'
    )
  splits = ', '.join(f'{n} {split}' for split, n in summary.splits.items())
  use = 'Train on' if 'train' in summary.splits else 'Evaluate on'
  state = 'is ready'
  if summary.already_complete:
    state = 'is complete already (remove it to convert again)'
  yield (
    f'{summary.name} {state} in {summary.dataset_dir}: {splits} records of '
    f'{summary.num_classes} classes. {use} it with --dataset_name='
    f'{shlex.quote(summary.name)} '
    f'--dataset_dir={shlex.quote(summary.dataset_dir)}'
  )

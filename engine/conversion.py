"""Conversion of a data set: what download_and_convert_data.py does."""

import contextlib
import pathlib
import shlex
from collections.abc import Collection, Iterator

from datasets import convert as converters
from datasets import staging
from engine import console, lock
from engine.job import ConvertJob
from errors import UserError


def convert(
  job: ConvertJob, given: Collection[str] = frozenset()
) -> converters.Summary:
  """Converts a data set to TFRecord and says what to do with it.

  Raises:
    UserError: for wrong input, originals that are missing or damaged, or a
      folder into which another process converts.
  """
  del given  # A conversion has no earlier job to inherit from.
  for name in ('dataset_name', 'dataset_dir'):
    if not getattr(job, name):
      raise UserError(f'--{name} is required; --help lists the flags.')
  options = converters.Options(
    validation_fraction=job.validation_fraction,
    seed=job.seed,
    max_rejected_fraction=job.max_rejected_fraction,
    num_processes=job.num_processes,
    resume=job.resume,
  )
  with _alone(job.dataset_dir), _resuming_told(job.dataset_dir):
    summary = converters.convert(
      job.dataset_name, job.dataset_dir, job.source_dir, options
    )
  for line in _lines(summary):
    console.say(line)
  return summary


@contextlib.contextmanager
def _alone(dataset_dir: str) -> Iterator[None]:
  """Holds the folder, which is made for it and not left behind empty."""
  folder = pathlib.Path(dataset_dir).expanduser()
  is_new = not folder.exists()
  converters.make_folder(folder)
  try:
    with lock.only_one(folder, 'converting into', '--dataset_dir'):
      yield
  finally:
    if is_new:
      with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _resuming_told(dataset_dir: str) -> Iterator[None]:
  """Says how to go on where the body is interrupted with shards done."""
  try:
    yield
  except KeyboardInterrupt:
    if staging.is_unfinished(pathlib.Path(dataset_dir).expanduser()):
      console.say('The same command with --resume goes on from here.')
    raise


def _lines(summary: converters.Summary) -> Iterator[str]:
  """What to tell of a conversion."""
  for note, count in summary.notes.items():
    yield f'  {count:,} of the originals: {note}'
  if summary.rejected:
    yield (
      f'  {summary.rejected:,} of the originals cannot be used: see '
      f'{summary.dataset_dir}/{converters.REJECTED}'
    )
  splits = ', '.join(f'{n} {split}' for split, n in summary.splits.items())
  use = 'Train on' if 'train' in summary.splits else 'Evaluate on'
  done = 'is ready'
  if summary.already_complete:
    done = 'is complete already (remove it to convert again)'
  yield (
    f'{summary.name} {done} in {summary.dataset_dir}: {splits} records of '
    f'{summary.num_classes} classes. {use} it with --dataset_name='
    f'{shlex.quote(summary.name)} '
    f'--dataset_dir={shlex.quote(summary.dataset_dir)}'
  )

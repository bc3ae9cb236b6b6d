"""Conversion of a data set: what download_and_convert_data.py does."""

import shlex
from collections.abc import Collection

from datasets import convert as converters
from engine import console
from engine.job import ConvertJob
from errors import UserError


def convert(job: ConvertJob, given: Collection[str] = frozenset()) -> dict:
  """Converts a data set to TFRecord and says what to do with it.

  Returns:
    The converter's summary: name, dataset_dir, num_classes, splits, …

  Raises:
    UserError: for wrong input, or originals that are missing or damaged.
  """
  del given  # A conversion has no earlier job to inherit from.
  for name in ('dataset_name', 'dataset_dir'):
    if not getattr(job, name):
      raise UserError(f'--{name} is required; --help lists the flags.')
  summary = converters.convert(
    job.dataset_name, job.dataset_dir, job.source_dir
  )
  splits = ', '.join(f'{n} {split}' for split, n in summary['splits'].items())
  use = 'Train on' if 'train' in summary['splits'] else 'Evaluate on'
  done = 'is complete already' if summary['already_complete'] else 'is ready'
  console.say(
    f'{job.dataset_name} {done} in {job.dataset_dir}: {splits} records of '
    f'{summary["num_classes"]} classes. {use} it with --dataset_name='
    f'{job.dataset_name} --dataset_dir={shlex.quote(job.dataset_dir)}'
  )
  return summary

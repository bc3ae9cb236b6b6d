"""Imports weights, and reports what was imported and how to go on."""

from __future__ import annotations

import os
from collections.abc import Collection

from engine import console
from engine.config import imported
from engine.config.imported import Import
from engine.config.jobs import ImportJob
from errors import UserError


def import_weights(job: ImportJob, explicit: Collection[str]) -> None:
  """Imports weights into a folder, and prints a report on stdout.

  Args:
    job: the source and the output folder.
    explicit: the options set by flags.

  Raises:
    UserError: for wrong input.
  """
  del explicit
  for name, meaning in (
    ('weights', 'a file, or a name such as keras:MobileNetV2'),
    ('output_dir', 'the folder for the checkpoint'),
  ):
    if not getattr(job, name):
      raise UserError(f'--{name} is required: {meaning}.')
  result = imported.import_weights(job)
  for note in result.converted.notes:
    console.say(note)
  console.report('\n'.join(_report(result)))


def _report(result: Import) -> list[str]:
  """Returns the lines of the report."""
  converted, job = result.converted, result.job
  count = sum(value.size for value in converted.values.values())
  lines = [
    f'{converted.source} is {converted.origin}: {job.model_name}, '
    f'{converted.num_classes} classes, {job.train_image_size} x '
    f'{job.train_image_size} pixels, {count:,} values.',
  ]
  options = {
    'attention_module': job.attention_module,
    'padding': None if job.padding == 'same' else job.padding,
    'preprocessing_name': job.preprocessing_name,
    'labels_offset': job.labels_offset or None,
  }
  lines += [
    f'--{name}={value}' for name, value in options.items() if value is not None
  ]
  project = converted.origin.partition(':')[0]
  if result.difference is not None:
    lines.append(
      f'Its logits are those of {project}: they differ by '
      f'{result.difference:.1e} of the largest.'
    )
  folder = os.path.dirname(result.checkpoint)
  data = '' if job.dataset_dir else ' --dataset_name=… --dataset_dir=…'
  lines += [
    f'Written: {result.checkpoint} and job.json.',
    f'Evaluate: python eval_image_classifier.py --checkpoint_path={folder}{data}',
    'Fine-tune: python train_image_classifier.py --train_dir=… '
    f'--checkpoint_path={folder} --dataset_name=… --dataset_dir=…',
  ]
  return lines

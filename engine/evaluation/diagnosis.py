"""What the accuracies of a finished run say about its training."""

from __future__ import annotations

import pathlib

import numpy as np

from engine.config import job_file
from engine.evaluation.results import Result
from engine.run_dir import progress_csv

# Training and evaluation usually differ by less.
_GAP = 0.15
# Below this multiple of guessing, a network tells its classes apart hardly.
_NEAR_CHANCE = 1.5


def of_run(result: Result, num_classes: int) -> str | None:
  """Returns a line on what went wrong in the run of a checkpoint, or None.

  Args:
    result: the evaluation of its last checkpoint.
    num_classes: of the network.
  """
  folder = pathlib.Path(result.checkpoint).parent
  recorded = job_file.read(folder)
  options = recorded['options'] if recorded else {}
  last = options.get('max_number_of_steps')
  if not last or result.global_step < last:
    return None
  if result.split == options.get('dataset_split_name'):
    return None
  rows = progress_csv.read(folder / progress_csv.FILE)
  known = rows['accuracy'][np.isfinite(rows['accuracy'])]
  if not known.size:
    return None
  trained = float(known[-max(1, known.size // 10) :].mean())
  return _line(trained, result.metrics['Accuracy'], 1 / num_classes)


def _line(trained: float, evaluated: float, chance: float) -> str | None:
  """Compares the accuracies of training and evaluation."""
  near = _NEAR_CHANCE * chance
  if trained - evaluated < _GAP:
    if trained < near and evaluated < near:
      return (
        f'Accuracy is {trained:.3f} in training, near the {chance:.3f} of '
        'guessing: a lower --learning_rate, more steps, or pretrained weights '
        '(--checkpoint_path) may help.'
      )
    return None
  if evaluated < near:
    return (
      f'Accuracy is {trained:.3f} in training, but at evaluation near the '
      f'{chance:.3f} of guessing: in short runs, the moving averages of batch '
      'norm are often too slow; --batch_norm_decay=0.9 follows faster.'
    )
  return (
    f'Accuracy is {trained:.3f} in training, and {evaluated:.3f} at evaluation: '
    'the network knows its training images by heart. Pretrained weights '
    '(--checkpoint_path), --augment or fewer epochs may help.'
  )

"""What the accuracies of a finished run say about its training."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.config import job_file
from engine.evaluation.results import Result
from engine.run_dir import progress_csv
from nets.nets_factory import NETWORKS

# Training and evaluation usually differ by less.
_GAP = 0.15
# Below this multiple of guessing, a network tells its classes apart hardly.
_NEAR_CHANCE = 1.5
# Share of their first values that moving averages should no longer hold.
_STALE = 0.05
# Rows of progress.csv that are needed to tell jitter from a trend, the loss below
# which jitter does not matter, and the jump between rows that is usual, as a
# share of the loss.
_ROWS, _LOW_LOSS, _JITTER = 10, 0.3, 0.3


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
  return (
    _of_averages(options, result, trained)
    or _of_jitter(rows)
    or _of_accuracies(trained, result.metrics['Accuracy'], 1 / num_classes)
  )


def _of_averages(
  options: Mapping[str, Any], result: Result, trained: float
) -> str | None:
  """Tells whether batch norm's moving averages are too slow for the run.

  After n updates, one for each batch, an average of decay d holds d^n of its
  first value.
  """
  accuracy = result.metrics['Accuracy']
  name = options['model_name']
  if trained - accuracy < _GAP or name not in NETWORKS:
    return None
  if options.get('trainable_scopes') and options.get('freeze_batch_norm'):
    return None
  scope = NETWORKS[name].arg_scope(0.0)
  decays = [each['decay'] for each in scope.values() if 'decay' in each]
  if not decays:
    return None
  decay = options.get('batch_norm_decay')
  if decay is None:
    decay = max(decays)
  updates = result.global_step * (options.get('accumulate_steps') or 1)
  held = decay**updates
  if held < _STALE:
    return None
  return (
    f'Accuracy is {trained:.3f} in training, and {accuracy:.3f} at evaluation: '
    f'after {result.global_step} steps, the moving averages of batch norm still '
    f'hold {held:.0%} of their first values. --batch_norm_decay=0.9 follows faster.'
  )


def _of_jitter(rows: Mapping[str, np.ndarray]) -> str | None:
  """Tells whether the loss jumps so much that the learning rate is too high."""
  losses = rows['cross_entropy'][np.isfinite(rows['cross_entropy'])]
  last = losses[len(losses) // 2 :]
  if len(last) < _ROWS or np.median(last) < _LOW_LOSS:
    return None
  jump = np.median(np.abs(np.diff(last))) / np.median(last)
  if jump < _JITTER:
    return None
  rate = rows['learning_rate'][-1]
  return (
    f'The loss jumps by {jump:.0%} from one line of the log to the next: the '
    f'learning rate, {rate:.3g} at the end, is too high. A tenth of it, or '
    '--learning_rate_decay_type=cosine, may help.'
  )


def _of_accuracies(
  trained: float, evaluated: float, chance: float
) -> str | None:
  """Compares the accuracies of training and evaluation."""
  # Of two classes, 1.5 times the accuracy of guessing is far above it.
  near = min(_NEAR_CHANCE * chance, chance + 0.1 * (1 - chance))
  if trained < near and evaluated < near:
    return (
      f'Accuracy is {trained:.3f} in training, near the {chance:.3f} of '
      'guessing: a lower --learning_rate, more steps, or pretrained weights '
      '(--checkpoint_path) may help.'
    )
  if trained - evaluated < _GAP:
    return None
  if evaluated < near:
    return (
      f'Accuracy is {trained:.3f} in training, but at evaluation near the '
      f'{chance:.3f} of guessing: are both splits of the same classes, in the '
      'same order? inspect_data.py shows them.'
    )
  return (
    f'Accuracy is {trained:.3f} in training, and {evaluated:.3f} at evaluation: '
    'the network knows its training images by heart. Pretrained weights '
    '(--checkpoint_path), --augment or fewer epochs may help.'
  )

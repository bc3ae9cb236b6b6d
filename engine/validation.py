"""Continuous validation: every checkpoint, the best one kept, early stopping.

One rule for both who use it: eval_image_classifier_loop.py beside training,
and --eval_every_n_steps within it.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil
import time
from collections.abc import Collection, Iterator
from typing import Any

import files
from engine import checkpoints, console, messages, resolve
from engine.evaluation import Evaluator, evaluate
from engine.job import EvalJob, EvalLoopJob, ValidationOptions
from engine.metrics import TOP
from engine.resolve import Setup
from engine.results import Result
from errors import UserError

BEST = 'best'
# How often to look whether training has finished, which costs next to nothing.
_TICK_SECONDS = 1.0


class Validation:
  """Evaluates checkpoints, keeps the best and knows when to give up.

  Attributes:
    patience_lost: whether training should stop.
  """

  def __init__(
    self, setup: Setup, options: ValidationOptions, train_dir: str | os.PathLike
  ):
    """Builds the evaluator.

    Args:
      setup: the resolved evaluation.
      options: --best_metric and --early_stop_patience.
      train_dir: where checkpoints come from and best/ goes.

    Raises:
      UserError: if the metric says nothing about the data.
    """
    self._metric, self._patience = (
      options.best_metric,
      options.early_stop_patience,
    )
    if self._metric == 'Recall_5' and setup.num_classes <= TOP:
      raise UserError(
        f'--best_metric=Recall_5 is always 1 with {setup.num_classes} classes: '
        'choose Accuracy or loss.'
      )
    self._train_dir = pathlib.Path(train_dir)
    self._evaluator = Evaluator(setup)
    # What a value must have in common with another to be compared with it.
    self._measure = {
      'metric': self._metric,
      'dataset': setup.dataset.name,
      'split': setup.dataset.split,
    }
    self._best = self._recorded_best()
    self._since_best = 0
    self.patience_lost = False

  @classmethod
  def within(cls, setup: Setup) -> 'Validation':
    """The validation of a training run, with the training job's own options."""
    job = setup.job
    options = {
      field.name: getattr(job, field.name)
      for field in dataclasses.fields(EvalJob)
      if hasattr(job, field.name)
    }
    options |= {
      'checkpoint_path': job.train_dir,
      'dataset_split_name': None,
      'eval_image_size': job.train_image_size,
    }
    evaluation = resolve.evaluation(EvalJob(**options), frozenset(options))
    return cls(evaluation, job, job.train_dir)

  def check(self, checkpoint: str) -> Result:
    """Evaluates a checkpoint; keeps it if it is the best, else counts.

    Raises:
      FileNotFoundError: if it was deleted meanwhile.
    """
    # Training may delete it before it is known to be the best.
    with self._held(checkpoint) as held:
      result = self._evaluator.evaluate(checkpoint)
      value = result.metrics[self._metric]
      if self._is_better(value):
        self._best, self._since_best = self._keep(held, result), 0
      elif not self._best or result.global_step > self._best['global_step']:
        # A loop that starts again sees those before the best once more.
        self._since_best += 1
    if self._patience and self._since_best >= self._patience:
      self._lose_patience()
    return result

  def _lose_patience(self) -> None:
    """Asks training to stop."""
    self.patience_lost = True
    best = f'{self._best["value"]:.5f}' if self._best else 'none'
    why = (
      f'no better {self._metric} than {best} in {self._since_best} evaluations'
    )
    console.say(f'Asking training to stop: {why}.')
    messages.ask_to_stop(self._train_dir, why)

  @contextlib.contextmanager
  def _held(self, checkpoint: str) -> Iterator[str]:
    """The checkpoint under a name of ours, for the time of the body."""
    folder = self._train_dir / BEST / '.candidate'
    shutil.rmtree(folder, ignore_errors=True)
    try:
      yield checkpoints.copy(checkpoint, folder)
    finally:
      shutil.rmtree(folder, ignore_errors=True)

  def _is_better(self, value: float) -> bool:
    """Whether a value beats the best: loss counts downwards."""
    if not math.isfinite(value):
      return False
    if not self._best:
      return True
    best = self._best['value']
    return value < best if self._metric == 'loss' else value > best

  def _recorded_best(self) -> dict[str, Any] | None:
    """What best.json says, if it says it by the same measure."""
    try:
      best = json.loads((self._train_dir / BEST / 'best.json').read_text())
      found = {name: best[name] for name in self._measure}
      best = best | {'value': float(best['value'])}
      int(best['global_step'])
    except (OSError, ValueError, KeyError, TypeError):
      return None
    return best if found == self._measure else None

  def _keep(self, checkpoint: str, result: Result) -> dict[str, Any]:
    """Puts a checkpoint and its job in best/, and what was there out of it."""
    folder = self._train_dir / BEST
    before = checkpoints.in_folder(folder)
    kept = checkpoints.copy(checkpoint, folder)
    job = self._train_dir / 'job.json'
    if job.exists():
      files.write_text(folder / 'job.json', job.read_text())
    best = {
      **self._measure,
      'value': result.metrics[self._metric],
      'global_step': result.global_step,
      'checkpoint': pathlib.Path(kept).name,
    }
    files.write_text(folder / 'best.json', json.dumps(best, indent=2) + '\n')
    for checkpoint in before:
      if checkpoint != kept:
        checkpoints.delete(checkpoint)
    console.say(f'Best so far, {self._metric} {best["value"]:.5f}: {kept}.')
    return best


def loop(
  job: EvalLoopJob, given: Collection[str] = frozenset()
) -> list[Result]:
  """Evaluates every checkpoint in order while training writes them.

  What eval_image_classifier_loop.py does. Ends when training has finished and
  all is evaluated, on --eval_timeout_secs without a new checkpoint, and on
  --early_stop_patience. A checkpoint that is named rather than its folder is
  evaluated alone.
  """
  resolve.check_names(job, given)
  if {'dataset_name', 'dataset_dir'} <= set(given):
    # The first checkpoint may be hours away: wrong folders show now.
    resolve.read_data(job, job.dataset_split_name)
  if not _is_folder(job.checkpoint_path):
    return [evaluate(job, given)]
  outcome: list[Result] = []
  validation = None
  for checkpoint in _arriving(job):
    # Not before the first one comes: only then is there a job.json to go by.
    validation = validation or Validation(
      resolve.evaluation(job, given), job, job.checkpoint_path
    )
    try:
      outcome.append(validation.check(checkpoint))
    except (*checkpoints.READ_ERRORS, FileNotFoundError):
      # Training deletes old checkpoints while they are read.
      problem = checkpoints.fault(checkpoint)
      if problem is None:
        raise
      console.say(f'{checkpoint} is passed over: {problem}')
    if validation.patience_lost:
      break
  if not outcome:
    console.say(
      f'Nothing was evaluated: no checkpoint came in {job.checkpoint_path}; '
      '--checkpoint_path names the folder that training writes to.'
    )
  return outcome


def _is_folder(path: str) -> bool:
  """Whether a path is a folder of checkpoints, perhaps one yet to be made."""
  named = '.ckpt' in os.path.basename(path) or os.path.exists(path + '.index')
  return os.path.isdir(path) or not named


def _arriving(job: EvalLoopJob) -> Iterator[str]:
  """Checkpoints of a folder in order of their steps, as they appear."""
  folder, arrival = job.checkpoint_path, time.monotonic()
  # A run that resumed from an older step writes some of the names anew.
  evaluated: dict[str, int | None] = {}
  waiting = False
  while True:
    # Asked before looking: what is saved last comes before finished.json.
    finished = messages.is_finished(folder)
    fresh = [
      checkpoint
      for checkpoint in checkpoints.in_folder(folder)
      if checkpoints.written_at(checkpoint)
      not in (
        None,
        evaluated.get(checkpoint),
      )
    ]
    if fresh:
      evaluated[fresh[0]] = checkpoints.written_at(fresh[0])
      yield fresh[0]
      arrival = time.monotonic()
    elif finished:
      console.say(f'Training in {folder} has finished; so has its evaluation.')
      return
    elif _is_late(job, arrival):
      console.say(f'No new checkpoint for {job.eval_timeout_secs} s: ending.')
      return
    else:
      if not waiting:
        there = '' if os.path.isdir(folder) else ', which does not exist yet'
        console.say(f'Waiting for new checkpoints in {folder}{there}.')
      _wait(job, arrival)
    waiting = not fresh


def _is_late(job: EvalLoopJob, arrival: float) -> bool:
  waited = time.monotonic() - arrival
  return job.eval_timeout_secs is not None and waited >= job.eval_timeout_secs


def _wait(job: EvalLoopJob, arrival: float) -> None:
  """Until the next look is due, training has finished or time is up."""
  look = time.monotonic() + job.eval_interval_secs
  while True:
    time.sleep(min(_TICK_SECONDS, max(0.1, look - time.monotonic())))
    if (
      time.monotonic() >= look
      or messages.is_finished(job.checkpoint_path)
      or _is_late(job, arrival)
    ):
      return

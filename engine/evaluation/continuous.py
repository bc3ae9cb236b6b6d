"""Continuous evaluation: every checkpoint, the best one saved, early stopping.

eval_image_classifier_loop.py uses it beside training, and
--eval_every_n_steps within training.
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
from engine import console
from engine.checkpoints import store
from engine.config import resolve
from engine.config.jobs import ContinuousEvaluationOptions, EvalJob, EvalLoopJob
from engine.config.resolve import Setup
from engine.evaluation.evaluator import Evaluator, evaluate
from engine.evaluation.metrics import TOP
from engine.evaluation.results import Result
from engine.run_dir import run_status
from errors import UserError

BEST = 'best'
# Seconds between checks whether training has finished, which are cheap.
_TICK_SECONDS = 1.0


class ContinuousEvaluation:
  """Evaluates checkpoints, saves the best and decides on early stopping.

  Attributes:
    patience_exhausted: whether training should stop.
  """

  def __init__(
    self,
    setup: Setup,
    options: ContinuousEvaluationOptions,
    train_dir: str | os.PathLike,
  ):
    """Builds the evaluator.

    Args:
      setup: the resolved evaluation.
      options: --best_metric and --early_stop_patience.
      train_dir: the folder with the checkpoints; best/ is created in it.

    Raises:
      UserError: if the metric is always 1 on this data set.
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
    # Only values of the same metric and records can be compared.
    self._criterion = {
      'metric': self._metric,
      'dataset': setup.dataset.name,
      'split': setup.dataset.split,
    }
    self._best = self._recorded_best()
    self._since_best = 0
    self.patience_exhausted = False

  @classmethod
  def within(cls, setup: Setup) -> 'ContinuousEvaluation':
    """Returns the evaluation of a training run, with the job's own options."""
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
    """Evaluates a checkpoint; saves the best, and counts those that are not.

    Raises:
      FileNotFoundError: if it was deleted meanwhile.
    """
    # Training may delete it before it is known to be the best.
    with self._pinned(checkpoint) as pinned:
      result = self._evaluator.evaluate(checkpoint)
      value = result.metrics[self._metric]
      if self._is_better(value):
        self._best, self._since_best = self._save_best(pinned, result), 0
      elif not self._best or result.global_step > self._best['global_step']:
        # A restarted loop evaluates those before the best again.
        self._since_best += 1
    if self._patience and self._since_best >= self._patience:
      self._request_stop()
    return result

  def _request_stop(self) -> None:
    """Requests that training stops early."""
    self.patience_exhausted = True
    best = f'{self._best["value"]:.5f}' if self._best else 'none'
    why = (
      f'{self._metric} has not improved on {best} in {self._since_best} '
      'evaluations'
    )
    console.say(f'Requesting an early stop: {why}.')
    run_status.request_stop(self._train_dir, why)

  @contextlib.contextmanager
  def _pinned(self, checkpoint: str) -> Iterator[str]:
    """Links the checkpoint, so that it outlives its deletion in the body."""
    folder = self._train_dir / BEST / '.candidate'
    shutil.rmtree(folder, ignore_errors=True)
    try:
      yield store.copy(checkpoint, folder)
    finally:
      shutil.rmtree(folder, ignore_errors=True)

  def _is_better(self, value: float) -> bool:
    """Whether a value is better than the best; a lower loss is better."""
    if not math.isfinite(value):
      return False
    if not self._best:
      return True
    best = self._best['value']
    return value < best if self._metric == 'loss' else value > best

  def _recorded_best(self) -> dict[str, Any] | None:
    """Reads best.json; None without one for the same metric and records."""
    try:
      best = json.loads((self._train_dir / BEST / 'best.json').read_text())
      criterion = {name: best[name] for name in self._criterion}
      best = best | {'value': float(best['value'])}
      int(best['global_step'])
    except (OSError, ValueError, KeyError, TypeError):
      return None
    return best if criterion == self._criterion else None

  def _save_best(self, checkpoint: str, result: Result) -> dict[str, Any]:
    """Copies a checkpoint and job.json to best/; deletes the earlier one."""
    folder = self._train_dir / BEST
    before = store.in_folder(folder)
    saved = store.copy(checkpoint, folder)
    job = self._train_dir / 'job.json'
    if job.exists():
      files.write_text(folder / 'job.json', job.read_text())
    best = {
      **self._criterion,
      'value': result.metrics[self._metric],
      'global_step': result.global_step,
      'checkpoint': pathlib.Path(saved).name,
    }
    files.write_text(folder / 'best.json', json.dumps(best, indent=2) + '\n')
    for checkpoint in before:
      if checkpoint != saved:
        store.delete(checkpoint)
    console.say(f'Best so far, {self._metric} {best["value"]:.5f}: {saved}.')
    return best


def loop(
  job: EvalLoopJob, explicit: Collection[str] = frozenset()
) -> list[Result]:
  """Evaluates every checkpoint in order while training writes them.

  Ends when training has finished and all checkpoints are evaluated, after
  --eval_timeout_secs without a new checkpoint, and after
  --early_stop_patience evaluations without improvement. If
  --checkpoint_path is a checkpoint and not a folder, only that is evaluated.

  Args:
    job: what to evaluate; engine/config/jobs.py documents each option.
    explicit: the options set by flags, which win over the checkpoint's job.
  """
  if {'dataset_name', 'dataset_dir'} <= set(explicit):
    # The first checkpoint may be hours away: refuse wrong folders now.
    resolve.read_data(job, job.dataset_split_name)
  if not _is_folder(job.checkpoint_path):
    return [evaluate(job, explicit)]
  results: list[Result] = []
  evaluation = None
  for checkpoint in _new_checkpoints(job):
    # Only with the first checkpoint is there a job.json to inherit from.
    evaluation = evaluation or ContinuousEvaluation(
      resolve.evaluation(job, explicit), job, job.checkpoint_path
    )
    try:
      results.append(evaluation.check(checkpoint))
    except store.read_errors():
      # Training deletes old checkpoints while they are read.
      problem = store.read_problem(checkpoint)
      if problem is None:
        raise
      console.say(f'Skipping {checkpoint}: {problem}')
    if evaluation.patience_exhausted:
      break
  if not results:
    console.say(
      f'Nothing was evaluated: no checkpoint appeared in {job.checkpoint_path}. '
      'Set --checkpoint_path to the folder that training writes to.'
    )
  return results


def _is_folder(path: str) -> bool:
  """Whether a path is a folder of checkpoints, which may not exist yet."""
  named = '.ckpt' in os.path.basename(path) or os.path.exists(path + '.index')
  return os.path.isdir(path) or not named


def _new_checkpoints(job: EvalLoopJob) -> Iterator[str]:
  """Yields the checkpoints of a folder, lowest step first, as they appear."""
  folder, arrival = job.checkpoint_path, time.monotonic()
  # A run that resumed from an older step writes some names again.
  evaluated: dict[str, int | None] = {}
  waiting = False
  while True:
    # Read before listing: the last checkpoint is saved before finished.json.
    finished = run_status.is_finished(folder)
    new = [
      checkpoint
      for checkpoint in store.in_folder(folder)
      if store.written_at(checkpoint) not in (None, evaluated.get(checkpoint))
    ]
    if new:
      evaluated[new[0]] = store.written_at(new[0])
      yield new[0]
      arrival = time.monotonic()
    elif finished:
      console.say(
        f'Training in {folder} has finished, and all its checkpoints are '
        'evaluated.'
      )
      return
    elif _is_late(job, arrival):
      console.say(f'No new checkpoint for {job.eval_timeout_secs} s: ending.')
      return
    else:
      if not waiting:
        there = '' if os.path.isdir(folder) else ', which does not exist yet'
        console.say(f'Waiting for new checkpoints in {folder}{there}.')
      _wait(job, arrival)
    waiting = not new


def _is_late(job: EvalLoopJob, arrival: float) -> bool:
  waited = time.monotonic() - arrival
  return job.eval_timeout_secs is not None and waited >= job.eval_timeout_secs


def _wait(job: EvalLoopJob, arrival: float) -> None:
  """Waits until the next check is due, training finishes or time is up."""
  next_check = time.monotonic() + job.eval_interval_secs
  while True:
    time.sleep(min(_TICK_SECONDS, max(0.1, next_check - time.monotonic())))
    if (
      time.monotonic() >= next_check
      or run_status.is_finished(job.checkpoint_path)
      or _is_late(job, arrival)
    ):
      return

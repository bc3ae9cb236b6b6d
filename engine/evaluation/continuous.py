"""Continuous evaluation: every checkpoint, the best one saved, early stopping.

eval_image_classifier_loop.py uses it beside training, and
--eval_every_n_steps within training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import pathlib
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import files
from engine import console
from engine.checkpoints import state_file, store
from engine.config import resolve
from engine.config.jobs import (
  LOWER_IS_BETTER,
  ContinuousEvaluationOptions,
  EvalJob,
  EvalLoopJob,
)
from engine.config.resolve import Setup
from engine.evaluation import results
from engine.evaluation.evaluator import Evaluator, evaluate
from engine.evaluation.metrics import TOP
from engine.evaluation.results import Result
from engine.evaluation.roc import MAX_CLASSES
from engine.run_dir import lock, results_csv, run_status
from errors import UserError

BEST, BEST_JSON = 'best', 'best.json'
# Seconds between checks whether training has finished, which are cheap.
_TICK_SECONDS = 1.0


class ContinuousEvaluation:
  """Evaluates checkpoints, saves the best and decides on early stopping.

  It is a context manager: within it, no other process saves the best checkpoint
  of the same train_dir.

  Attributes:
    patience_exhausted: whether training should stop.
  """

  def __init__(
    self,
    setup: Setup,
    options: ContinuousEvaluationOptions,
    train_dir: str | os.PathLike,
    flag: str = '--checkpoint_path',
  ):
    """Builds the evaluator.

    Args:
      setup: the resolved evaluation.
      options: --best_metric and --early_stop_patience.
      train_dir: the folder with the checkpoints; best/ is created in it.
      flag: the flag that names it.

    Raises:
      UserError: if the metric is always 1 on this data set, or not computed, or
        best.json is damaged.
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
    if self._metric == 'macro_auroc' and setup.num_classes > MAX_CLASSES:
      raise UserError(
        f'--best_metric=macro_auroc is computed for up to {MAX_CLASSES:,} '
        f'classes, not for {setup.num_classes:,}: choose balanced_accuracy.'
      )
    self._train_dir, self._flag = pathlib.Path(train_dir), flag
    self._plot_format = setup.job.plot_format
    self._results = pathlib.Path(setup.job.eval_dir, results_csv.FILE)
    # Only values of the same metric and records can be compared.
    self._criterion = {
      'metric': self._metric,
      'dataset': setup.dataset.name,
      'split': setup.dataset.split,
    }
    self._best = self._recorded_best()
    self._since_best = 0
    self._evaluator = Evaluator(setup)
    self._lock = contextlib.ExitStack()
    self._keeps_best = True
    self._leftovers: list[str] = []
    self.patience_exhausted = False

  @classmethod
  def within(cls, setup: Setup) -> ContinuousEvaluation:
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
    resolved = resolve.evaluation(
      EvalJob(**options), frozenset(options), is_recorded=setup.is_resumed
    )
    evaluation = cls(resolved, job, job.train_dir, '--train_dir')
    evaluation._continue_count(setup.start_step)
    return evaluation

  def __enter__(self) -> ContinuousEvaluation:
    try:
      self._lock.enter_context(
        lock.exclusive(
          self._train_dir / BEST,
          'saving the best checkpoint in',
          self._flag,
        )
      )
      # Another process may have saved a better one since.
      self._best = self._readable_best()
      self._leftovers = store.in_folder(self._candidate)
      self._delete_all_but_best()
    except UserError as error:
      self._keeps_best = False
      console.say(f'{error} This one evaluates, and saves no best checkpoint.')
    return self

  def __exit__(self, *error: object) -> None:
    self._lock.close()

  def _continue_count(self, last: int) -> None:
    """Counts the evaluations after the best one, up to the last step so far."""
    if self._best:
      steps = {
        row.get('global_step', 0)
        for row in results_csv.read(self._results)
        if row.get('split') == self._criterion['split']
      }
      best = self._best['global_step']
      self._since_best = sum(best < step <= last for step in steps)

  def is_evaluated(self, step: int) -> bool:
    """Whether a step was evaluated on the split; its best is then saved."""
    return any(
      (row.get('global_step'), row.get('split'))
      == (step, self._criterion['split'])
      for row in results_csv.read(self._results)
    )

  def check(self, checkpoint: str) -> Result:
    """Evaluates a checkpoint, and first one that a kill interrupted."""
    leftovers, self._leftovers = self._leftovers, []
    for leftover in leftovers:
      if not (self._train_dir / f'{os.path.basename(leftover)}.index').exists():
        with _skipping(leftover):
          self._check(leftover)
    return self._check(checkpoint)

  def _check(self, checkpoint: str) -> Result:
    """Evaluates a checkpoint; saves the best, and counts those that are not.

    The best is saved before results.csv records the evaluation, so that a kill
    in between loses neither.

    Raises:
      FileNotFoundError: if it was deleted meanwhile.
    """
    # Training may delete it before it is known to be the best.
    with self._pinned(checkpoint) as pinned:
      result = self._evaluator.evaluate(checkpoint)
      value = result.metrics[self._metric]
      if self._is_better(value):
        self._since_best = 0
        self._best = {
          **self._criterion,
          'value': value,
          'global_step': result.global_step,
          'checkpoint': pathlib.Path(checkpoint).name,
        }
        if self._keeps_best:
          self._save_best(pinned, result, self._best)
      elif not self._best or result.global_step > self._best['global_step']:
        # A restarted loop evaluates those before the best again.
        self._since_best += 1
    self._evaluator.publish(result)
    if self._patience and self._since_best >= self._patience:
      self._request_stop()
    return result

  def _request_stop(self) -> None:
    """Requests that training stops early, once."""
    if self.patience_exhausted:
      return
    self.patience_exhausted = True
    best = f'{self._best["value"]:.5f}' if self._best else 'none'
    why = (
      f'{self._metric} has not improved on {best} in {self._since_best} '
      'evaluations'
    )
    console.say(f'Requesting an early stop: {why}.')
    try:
      run_status.request_stop(self._train_dir, why)
    except OSError as error:
      console.say(f'Training is not stopped: {error}.')

  @contextlib.contextmanager
  def _pinned(self, checkpoint: str) -> Iterator[str]:
    """Links the checkpoint, so that it outlives its deletion in the body."""
    if not self._keeps_best:
      yield checkpoint
      return
    try:
      yield store.copy(checkpoint, self._candidate)
    finally:
      shutil.rmtree(self._candidate, ignore_errors=True)

  @property
  def _candidate(self) -> pathlib.Path:
    """The folder of the checkpoint that is being evaluated."""
    return self._train_dir / BEST / '.candidate'

  def _is_better(self, value: float) -> bool:
    """Whether a value is better than the best one."""
    if not math.isfinite(value):
      return False
    if not self._best:
      return True
    best = self._best['value']
    return value < best if self._metric in LOWER_IS_BETTER else value > best

  def _recorded_best(self) -> dict[str, Any] | None:
    """Reads best.json; None without one for the same metric and records."""
    path = self._train_dir / BEST / BEST_JSON
    best = files.read_json(
      path,
      dict.fromkeys((*self._criterion, 'checkpoint'), str)
      | {'value': float, 'global_step': int},
      f'Restore it, or move {path.parent} away.',
    )
    if best is None:
      return None
    criterion = {name: best[name] for name in self._criterion}
    if criterion == self._criterion:
      return best
    console.say_once(
      f'{path.parent} holds the best checkpoint by {_spell(criterion)}: the best '
      f'by {_spell(self._criterion)} replaces it.'
    )
    return None

  def _readable_best(self) -> dict[str, Any] | None:
    """Reads best.json; None if its checkpoint is damaged or missing."""
    best = self._recorded_best()
    if best is None:
      return None
    checkpoint = str(self._train_dir / BEST / best['checkpoint'])
    problem = store.read_problem(checkpoint)
    if problem is None:
      return best
    console.say(
      f'The best checkpoint, {checkpoint}, is damaged: {problem}. The best of '
      'the next evaluations replaces it.'
    )
    return None

  def _save_best(
    self, checkpoint: str, result: Result, best: Mapping[str, Any]
  ) -> None:
    """Copies a checkpoint, its job.json and report; deletes the earlier one."""
    folder = self._train_dir / BEST
    saved = store.copy(checkpoint, folder)
    job = self._train_dir / 'job.json'
    if job.is_file():
      with files.replacing(folder / 'job.json') as copy:
        shutil.copyfile(job, copy)
    results.write_report(result, folder, self._plot_format)
    files.write_json(folder / BEST_JSON, best)
    self._delete_all_but_best()
    console.say(f'Best so far, {self._metric} {best["value"]:.5f}: {saved}.')

  def _delete_all_but_best(self) -> None:
    """Deletes other checkpoints in best/, also those that a kill has left."""
    folder = self._train_dir / BEST
    saved = store.in_folder(folder)
    best = str(folder / self._best['checkpoint']) if self._best else None
    if best in saved:
      for checkpoint in saved:
        if checkpoint != best:
          store.delete(checkpoint)


def _spell(criterion: Mapping[str, str]) -> str:
  """'Accuracy on digits/test'."""
  return '{metric} on {dataset}/{split}'.format(**criterion)


def loop(
  job: EvalLoopJob, explicit: Collection[str] = frozenset()
) -> list[Result]:
  """Evaluates every checkpoint in order while training writes them.

  Ends when training has finished and all checkpoints are evaluated, and after
  --eval_timeout_secs without a new checkpoint. After --early_stop_patience
  evaluations without improvement, only the last checkpoint is evaluated. If
  --checkpoint_path is a checkpoint and not a folder, only that is evaluated.

  Args:
    job: what to evaluate; engine/config/jobs.py documents each option.
    explicit: the options set by flags, which win over the checkpoint's job.

  Raises:
    UserError: for wrong input, or if no checkpoint appeared.
  """
  os.nice(job.nice)
  if {'dataset_name', 'dataset_dir'} <= set(explicit):
    # The first checkpoint may be hours away: refuse wrong folders now.
    resolve.read_data(job, job.dataset_split_name)
  if not _is_folder(job.checkpoint_path):
    return [evaluate(job, explicit)]
  evaluated: list[Result] = []
  with contextlib.ExitStack() as stack:
    evaluation = None
    checkpoints = _Checkpoints(job)
    for checkpoint in checkpoints:
      # Only with the first checkpoint is there a job.json to inherit from.
      evaluation = evaluation or stack.enter_context(
        ContinuousEvaluation(
          resolve.evaluation(job, explicit), job, checkpoints.folder
        )
      )
      with _skipping(checkpoint):
        evaluated.append(evaluation.check(checkpoint))
      checkpoints.only_last = evaluation.patience_exhausted
  if not evaluated:
    raise UserError(
      f'Nothing was evaluated: no checkpoint appeared in {job.checkpoint_path}. '
      'Set --checkpoint_path to the folder that training writes to.'
    )
  return evaluated


@contextlib.contextmanager
def _skipping(checkpoint: str) -> Iterator[None]:
  """Skips a checkpoint that training deletes while the body reads it."""
  try:
    yield
  except store.read_errors():
    problem = store.read_problem(checkpoint)
    if problem is None:
      raise
    console.say(f'Skipping {checkpoint}: {problem}')


def _is_folder(path: str) -> bool:
  """Whether a path is a folder of checkpoints, which may not exist yet."""
  if state_file.is_state_file(path):
    return True
  named = '.ckpt' in os.path.basename(path) or os.path.exists(path + '.index')
  return os.path.isdir(path) or not named


class _Checkpoints:
  """The checkpoints of a folder, lowest step first, as they appear.

  Attributes:
    folder: the folder.
    only_last: whether to wait for the end of training, for its last checkpoint.
  """

  def __init__(self, job: EvalLoopJob):
    self.folder, self.only_last = job.checkpoint_path, False
    if state_file.is_state_file(self.folder):
      self.folder = str(store.folder_of(self.folder))
    self._job = job
    self._arrival = time.monotonic()
    # A run that resumed from an older step writes some names again.
    self._seen: dict[str, int | None] = {}

  def __iter__(self) -> Iterator[str]:
    waiting = False
    while True:
      # Read before listing: the last checkpoint is saved before the end.
      is_over = self._is_over()
      new = self._new()
      if new and (is_over or not self.only_last):
        checkpoint = new[-1] if self.only_last else new[0]
        for each in new if self.only_last else new[:1]:
          self._seen[each] = store.written_at(each)
        yield checkpoint
        self._arrival = time.monotonic()
        waiting = False
      elif is_over or self._is_late():
        console.say(self._farewell(is_over))
        return
      else:
        if not waiting:
          console.say(self._waiting())
        waiting = True
        self._wait()

  def _is_over(self) -> bool:
    """Whether training has finished, or, asked to stop, does not run."""
    if run_status.is_finished(self.folder):
      return True
    return self.only_last and not lock.is_held(self.folder)

  def _new(self) -> list[str]:
    """Lists the checkpoints that were written since they were evaluated."""
    return [
      checkpoint
      for checkpoint in store.in_folder(self.folder)
      if store.written_at(checkpoint) not in (None, self._seen.get(checkpoint))
    ]

  def _waiting(self) -> str:
    if self.only_last:
      return f'Waiting for the last checkpoint in {self.folder}.'
    there = '' if os.path.isdir(self.folder) else ', which does not exist yet'
    return f'Waiting for new checkpoints in {self.folder}{there}.'

  def _farewell(self, is_over: bool) -> str:
    if not is_over:
      return f'No new checkpoint for {self._job.eval_timeout_secs} s: ending.'
    which = (
      'its last checkpoint is'
      if self.only_last
      else ('all its checkpoints are')
    )
    return f'Training in {self.folder} has finished, and {which} evaluated.'

  def _is_late(self) -> bool:
    """Whether --eval_timeout_secs have passed without a new checkpoint."""
    seconds = self._job.eval_timeout_secs
    return seconds is not None and time.monotonic() - self._arrival >= seconds

  def _wait(self) -> None:
    """Waits until the next check is due, training ends or time is up."""
    next_check = time.monotonic() + self._job.eval_interval_secs
    while True:
      time.sleep(min(_TICK_SECONDS, max(0.1, next_check - time.monotonic())))
      if time.monotonic() >= next_check or self._is_over() or self._is_late():
        return

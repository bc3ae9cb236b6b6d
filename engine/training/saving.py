"""Saves checkpoints during training, and has them evaluated."""

from __future__ import annotations

import pathlib
import time

from engine import error_translation
from engine.checkpoints import store
from engine.config.jobs import TrainJob
from engine.evaluation.continuous import ContinuousEvaluation
from engine.run_dir import run_status
from engine.signals import Signals
from engine.training import hooks, nan_guard
from engine.training.nan_guard import NonFiniteError
from engine.training.step import TrainStep
from errors import UserError
from tf_compat import tf


class SavingHook(tf.train.SessionRunHook):
  """Saves at the start, every --save_interval_secs, and at the end.

  With --save_every_n_steps and --eval_every_n_steps also at these steps. A
  checkpoint with values that are not finite, or that does not fit on the disk, is
  not saved.

  Attributes:
    saver: the tf.train.Saver of all variables.
    saved_path: the newest checkpoint.
  """

  _SECONDS_BETWEEN_CHECKS = 1.0

  def __init__(
    self,
    job: TrainJob,
    step: TrainStep,
    start: int | None,
    validation: ContinuousEvaluation | None,
    signals: Signals,
    peer_lost_errors: tuple[type[Exception], ...] = (),
  ):
    """Creates the saver.

    Args:
      job: the training job.
      step: the training step.
      start: the step resumed from, whose checkpoint exists; None for a new run.
      validation: evaluates the checkpoint of every n-th step and of the last.
      signals: after one was received, the last checkpoint is not evaluated:
        its sender will not wait.
      peer_lost_errors: what saving raises when a server is lost.
    """
    self._peer_lost_errors = peer_lost_errors
    self._job, self._graph = job, step
    self._saved, self._validation, self._signals = start, validation, signals
    self._validated, self._step = start, start or 0
    self._next_check = 0.0
    self._prefix = str(pathlib.Path(job.train_dir, store.PREFIX))
    self._plain_prefix = store.plain_path(self._prefix)
    self.saved_path = f'{self._prefix}-{start}'
    self.saver = store.saver(job.train_dir, job.keep_checkpoint_max, start)
    self._variables = [
      variable
      for variable in tf.global_variables()
      if variable.dtype.base_dtype.is_floating
    ]

  def after_create_session(self, session, coord):
    step = int(session.run(self._graph.global_step))
    self._save(session, step)
    if self._is_evaluation_missing(step):
      self._validated = None
      self._evaluate(step)

  def _is_evaluation_missing(self, step: int) -> bool:
    """Whether a kill interrupted the evaluation of the step resumed from."""
    every = self._job.eval_every_n_steps
    if not (self._validation and every and step) or step % every:
      return False
    return not self._validation.is_evaluated(step)

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._graph.train_op)

  def after_run(self, run_context, run_values):
    if time.monotonic() >= self._next_check:
      self._next_check = time.monotonic() + self._SECONDS_BETWEEN_CHECKS
      run_status.check_run_folder(self._job.train_dir)
    step, every = int(run_values.results), self._job.eval_every_n_steps
    before, self._step = self._step, step
    if every and hooks.is_due(before, step, every):
      self._save(run_context.session, step)
      self._evaluate(step)
    elif time.monotonic() >= self._due or self._is_saving_due(before, step):
      self._save(run_context.session, step)

  def _is_saving_due(self, before: int, step: int) -> bool:
    """Whether --save_every_n_steps has passed."""
    every = self._job.save_every_n_steps
    return every is not None and hooks.is_due(before, step, every)

  def end(self, session):
    run_status.check_run_folder(self._job.train_dir)
    step = int(session.run(self._graph.global_step))
    self._save(session, step)
    if not self._signals.received:
      self._evaluate(step)

  def _evaluate(self, step: int) -> None:
    if self._validation and step != self._validated:
      self._validation.check(self.saved_path)
      self._validated = step

  def _save(self, session: tf.Session, step: int) -> None:
    """Saves a step unless it is saved already, and redraws the curves."""
    if step != self._saved:
      # The initial values of a new network are finite.
      if self._job.stop_on_nan and (step or self._job.checkpoint_path):
        self._check_variables(session, step)
      self._write(session, step)
      self._saved = step
      if step:  # Nothing is logged before the first.
        # It loads matplotlib, for which the first step need not wait.
        from engine.plots import curves

        curves.draw(
          self._job.train_dir,
          run_status.results_files(self._job.train_dir),
          self._job.plot_format,
        )
    self._due = time.monotonic() + self._job.save_interval_secs

  def _check_variables(self, session: tf.Session, step: int) -> None:
    """Raises NonFiniteError if a variable is not finite."""
    name = nan_guard.non_finite_variable(session, self._variables)
    if name:
      raise NonFiniteError(f'{name} is not finite', step, self._job.train_dir)

  def _write(self, session: tf.Session, step: int) -> None:
    try:
      self.saver.save(session, self._plain_prefix, step, write_meta_graph=False)
      self.saved_path = f'{self._prefix}-{step}'
    except self._peer_lost_errors:
      # A lost server is not a full disk.
      raise
    except (tf.errors.OpError, OSError, ValueError) as error:
      store.remove_leftovers(self._job.train_dir)
      good = store.newest_readable(self._job.train_dir)
      why = (
        error_translation.disk_full_reason(error) or str(error).splitlines()[-1]
      )
      remedy = (
        f'The last good checkpoint is {good}: free disk space, and the same '
        'command resumes from it.'
        if good
        else 'There is no checkpoint yet: free disk space and start again.'
      )
      raise UserError(f'Could not save step {step}: {why}. {remedy}') from error

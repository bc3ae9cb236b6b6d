"""Decides when training ends: last step, signal, or early stop."""

from __future__ import annotations

import math
import time

from engine.config.jobs import TrainJob
from engine.run_dir import run_status
from engine.signals import Signals
from engine.training import cluster_watchdog
from engine.training.step import TrainStep
from errors import UserError
from tf_compat import tf


class StoppingHook(tf.train.SessionRunHook):
  """Ends training at the last step, on a signal, or on an early stop.

  Processes that step together agree on it after the same step, since the others
  would wait for one that stopped alone. If workers do not wait for one another,
  the chief decides for all; any other may stop alone.

  Attributes:
    reason: why training finished; None if it did not, or was interrupted.
  """

  _SECONDS_BETWEEN_CHECKS = 1.0

  def __init__(
    self, job: TrainJob, step: TrainStep, start: int, signals: Signals
  ):
    self._graph, self._start, self._signals = step, start, signals
    self._job = job
    self._next_check, self._stop_requested = 0.0, False
    self.reason: str | None = None

  def before_run(self, run_context):
    fetches = {'step': self._graph.train_op}
    if self._graph.agreed_stop is not None:
      fetches['agreed_stop'] = self._graph.agreed_stop
    if self._graph.stop_votes is None:
      return tf.train.SessionRunArgs(fetches)
    votes = [
      self._is_stop_requested(),
      bool(self._signals.received),
      self._start,
    ]
    return tf.train.SessionRunArgs(fetches, {self._graph.stop_votes: votes})

  def after_run(self, run_context, run_values):
    if 'agreed_stop' in run_values.results:
      early, signal, *start = run_values.results['agreed_stop']
      if start:
        self._check_start(start[0])
      if signal:
        self._signals.note_peers()
    else:
      early = self._is_stop_requested()
    if self._graph.stop_votes is None:
      signal = self._signals.received
    self._find_reason(run_values.results['step'], early)
    if self.reason or signal:
      run_context.request_stop()

  def end(self, session):
    if self.reason or self._signals.received:
      return
    # For a worker that waits for the next step, or lags behind, the session was
    # closed by the others.
    if self._graph.stop_on_servers is not None:
      fetches = [self._graph.global_step, self._graph.stop_on_servers]
      step, (early, signal) = session.run(fetches)
      self._find_reason(step, early)
      if signal:
        self._signals.note_peers()
    if not (self.reason or self._signals.received):
      raise cluster_watchdog.peer_lost_error('the run was closed', self._job)

  def _find_reason(self, step: int, early: bool) -> None:
    """Sets the reason if training has finished."""
    last = self._job.max_number_of_steps
    if last is not None and step >= last:
      self.reason = 'max_number_of_steps'
    elif early:
      self.reason = 'early_stop'

  def _check_start(self, start: float) -> None:
    """Raises UserError unless all processes started at the same step."""
    if not math.isclose(start, self._start, rel_tol=1e-5):
      raise UserError(
        f'This process started from step {self._start}, others from another '
        f'step: all of them must see the same --train_dir={self._job.train_dir}.'
      )

  def _is_stop_requested(self) -> bool:
    """Whether an early stop was requested; checked once a second."""
    now = time.monotonic()
    if not self._stop_requested and now >= self._next_check:
      self._next_check = now + self._SECONDS_BETWEEN_CHECKS
      self._stop_requested = run_status.is_stop_requested(self._job.train_dir)
    return self._stop_requested

"""Session hooks of training that log steps and write summaries."""

from __future__ import annotations

import math
import pathlib
import time

import numpy as np

from engine import console
from engine.config.jobs import TrainJob
from engine.run_dir import events, progress_csv
from engine.training.step import TrainStep
from tf_compat import slim, tf


def is_due(before: int, step: int, every: int) -> bool:
  """Whether a multiple of `every` was passed since the step before.

  Other workers may make steps in between.
  """
  return step // every > before // every


class LoggingHook(tf.train.SessionRunHook):
  """Logs every n steps: to stderr, progress.csv and the event file.

  Attributes:
    step: the last step made.
    loss: its loss.
  """

  # A loss so many times that of the start is no result.
  _RISEN = 1000

  def __init__(
    self,
    job: TrainJob,
    step: TrainStep,
    start: int,
    writer: tf.summary.FileWriter,
  ):
    self.step, self.loss = start, math.nan
    self._graph, self._writer, self._start = step, writer, start
    self._every, self._last = job.log_every_n_steps, job.max_number_of_steps
    self._progress = pathlib.Path(job.train_dir, progress_csv.FILE)
    losses = progress_csv.read(self._progress)['loss']
    self._first_loss = float(losses[0]) if len(losses) else math.nan
    self._seconds, self._steps = 0.0, 0
    # Cross-entropy and accuracy of the steps since the last report.
    self._recent: list[tuple[float, float]] = []
    self._bar = console.bar(self._last, start)

  def before_run(self, run_context):
    fetches = {
      'step': self._graph.train_op,
      'loss': self._graph.loss,
      'rate': self._graph.learning_rate,
      'cross_entropy': self._graph.cross_entropy,
      'accuracy': self._graph.accuracy,
    }
    if self._graph.bad_records is not None:
      fetches['bad_records'] = self._graph.bad_records
    self._began = time.perf_counter()
    return tf.train.SessionRunArgs(fetches)

  def after_run(self, run_context, run_values):
    values, before = run_values.results, self.step
    self.step, self.loss = int(values['step']), float(values['loss'])
    if math.isnan(self._first_loss):
      self._first_loss = self.loss
    # The first step also prepares kernels, so it is not timed.
    if before > self._start:
      self._seconds += time.perf_counter() - self._began
      self._steps += self.step - before
    self._bar.update(self.step - before)
    self._recent.append(
      (float(values['cross_entropy']), float(values['accuracy']))
    )
    if is_due(before, self.step, self._every) or self.step >= (
      self._last or math.inf
    ):
      self._report(float(values['rate']), int(values.get('bad_records', 0)))

  def _report(self, rate: float, bad_records: int) -> None:
    """Writes a row, a line, and scalars for TensorBoard."""
    step_time = self._seconds / self._steps if self._steps else None
    speed = self._graph.images_per_step / step_time if step_time else None
    self._seconds, self._steps = 0.0, 0
    cross_entropy, accuracy = np.mean(self._recent, axis=0).tolist()
    self._recent.clear()
    progress_csv.append(
      self._progress,
      step=self.step,
      loss=self.loss,
      learning_rate=rate,
      images_per_second=speed,
      cross_entropy=cross_entropy,
      accuracy=accuracy,
    )
    scalars = {
      'total_loss': self.loss,
      'cross_entropy': cross_entropy,
      'accuracy': accuracy,
      'learning_rate': rate,
    }
    if speed:
      scalars['images_per_second'] = speed
    self._writer.add_summary(events.scalars(**scalars), self.step)
    skipped = f', {bad_records} bad records skipped' if bad_records else ''
    state = (
      f'loss = {self.loss:.4f}, accuracy = {accuracy:.3f}, learning rate = '
      f'{rate:.4g}'
    )
    if not self._bar.disable:
      shown = f', {speed:.1f} images/s' if speed else ''
      self._bar.set_postfix_str(f'{state}{shown}{skipped}')
      return
    total = f'/{self._last}' if self._last else ''
    console.say(
      f'global step {self.step}{total}: {state}'
      f'{self._speed(speed, step_time)}{skipped}'
    )

  def _speed(self, speed: float | None, step_time: float | None) -> str:
    """Formats ', 99.5 images/s, 0:01:30 left', as far as both are known."""
    if speed is None or step_time is None:
      return ''
    if not self._last:
      return f', {speed:.1f} images/s'
    seconds = round((self._last - self.step) * step_time)
    left = f'{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}'
    return f', {speed:.1f} images/s, {left} left'

  @property
  def has_risen(self) -> bool:
    """Whether the loss is not finite, or a thousand times that of the start."""
    if self.step == self._start:
      return False
    limit = self._RISEN * self._first_loss
    return not math.isfinite(self.loss) or self.loss > limit > 0

  def close(self) -> None:
    """Closes the progress bar; also called when training fails."""
    self._bar.close()


class SummaryHook(tf.train.SessionRunHook):
  """Writes the graph and summaries at the second step, then summaries in turn.

  They are due every --save_summaries_secs. Those of large networks take seconds,
  so the first step does not wait for them. Those of a step's batch come from the
  graph; the histograms of the weights are made here, since operations for each
  variable make large networks start slowly.
  TensorFlow's own hook may read the initial value of the global step, which in
  a worker waits for a broadcast that the other workers do not take part in.
  """

  def __init__(
    self, job: TrainJob, step: TrainStep, writer: tf.summary.FileWriter
  ):
    self._graph, self._writer = step, writer
    self._weights = {
      f'weights/{variable.op.name}': variable
      for variable in slim.get_model_variables()
    }
    self._seconds, self._due = max(1, job.save_summaries_secs), 0.0
    self._started = False

  def before_run(self, run_context):
    fetches = {'step': self._graph.train_op}
    if self._started and time.monotonic() >= self._due:
      fetches['summary'] = self._graph.summary
      fetches['weights'] = self._weights
    return tf.train.SessionRunArgs(fetches)

  def after_run(self, run_context, run_values):
    values, step = run_values.results, int(run_values.results['step'])
    if not self._started:
      # TensorBoard drops what a killed run wrote after this step.
      start = tf.SessionLog(status=tf.SessionLog.START)
      self._writer.add_session_log(start, step)
      self._started = True
    if 'summary' in values:
      if not self._due:
        self._writer.add_graph(run_context.session.graph)
      self._writer.add_summary(values['summary'], step)
      self._writer.add_summary(events.histograms(values['weights']), step)
      self._due = time.monotonic() + self._seconds


class LastStepHook(tf.train.SessionRunHook):
  """Records the last step in a process that does not log, unlike the chief.

  Attributes:
    step: the last step made.
    loss: its loss.
    has_risen: False; the chief reports it.
  """

  has_risen = False

  def __init__(self, step: TrainStep, start: int):
    self.step, self.loss = start, math.nan
    self._fetches = [step.train_op, step.loss]

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._fetches)

  def after_run(self, run_context, run_values):
    step, loss = run_values.results
    self.step, self.loss = int(step), float(loss)

  def close(self) -> None:
    """Does nothing: there is no progress bar."""

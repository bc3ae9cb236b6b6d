"""What happens around a training step: guard, log, save, stop."""

import math
import pathlib
import time
from collections.abc import Callable

from engine import (
  checkpoints,
  console,
  curves,
  disk_errors,
  messages,
  peers,
  progress,
  summaries,
)
from engine.job import TrainJob
from engine.signals import Signals
from engine.train_step import TrainStep
from errors import UserError
from tf_compat import tf


class NonFiniteError(UserError):
  """The loss or the weights are ruined."""

  def __init__(self, what: str, step: int, train_dir: str):
    self.step = step
    saved = checkpoints.newest_whole(train_dir, tell=False)
    good = f'{saved} is the last good one' if saved else 'none was saved'
    super().__init__(
      f'{what} at step {step}: training stops; of the checkpoints, {good}. A lower '
      '--learning_rate or a --gradient_clip_norm may help; --nostop_on_nan '
      'goes on regardless.'
    )


def is_due(before: int, step: int, every: int) -> bool:
  """Whether an n-th step was made; other workers may make some in between."""
  return step // every > before // every


class NanGuard(tf.train.SessionRunHook):
  """Stops at the first loss that is not finite."""

  def __init__(self, job: TrainJob, step: TrainStep):
    self._fetches = [step.loss, step.train_op]
    self._train_dir = job.train_dir

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._fetches)

  def after_run(self, run_context, run_values):
    loss, step = run_values.results
    if not math.isfinite(loss):
      raise NonFiniteError(f'The loss is {loss}', int(step), self._train_dir)


class Logging(tf.train.SessionRunHook):
  """Every n steps: a line or the bar, progress.csv and event scalars.

  Attributes:
    step: the last step made.
    loss: its loss.
  """

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
    self._progress = pathlib.Path(job.train_dir, progress.FILE)
    self._seconds, self._steps = 0.0, 0
    self._bar = console.bar(self._last, start)

  def before_run(self, run_context):
    fetches = {
      'step': self._graph.train_op,
      'loss': self._graph.loss,
      'rate': self._graph.learning_rate,
    }
    if self._graph.bad_records is not None:
      fetches['bad_records'] = self._graph.bad_records
    self._began = time.perf_counter()
    return tf.train.SessionRunArgs(fetches)

  def after_run(self, run_context, run_values):
    values, before = run_values.results, self.step
    self.step, self.loss = int(values['step']), float(values['loss'])
    # The first step also prepares kernels: it says nothing of the pace.
    if before > self._start:
      self._seconds += time.perf_counter() - self._began
      self._steps += self.step - before
    self._bar.update(self.step - before)
    if is_due(before, self.step, self._every) or self.step >= (
      self._last or math.inf
    ):
      self._report(float(values['rate']), int(values.get('bad_records', 0)))

  def _report(self, rate: float, bad_records: int) -> None:
    """One row, one line, three scalars."""
    pace = self._seconds / self._steps if self._steps else None
    speed = self._graph.images_per_step / pace if pace else None
    self._seconds, self._steps = 0.0, 0
    progress.append(
      self._progress,
      step=self.step,
      loss=self.loss,
      learning_rate=rate,
      images_per_second=speed,
    )
    shown = {'total_loss': self.loss, 'learning_rate': rate}
    if speed:
      shown['images_per_second'] = speed
    self._writer.add_summary(summaries.scalars(**shown), self.step)
    skipped = f', {bad_records} bad records left out' if bad_records else ''
    if not self._bar.disable:
      self._bar.set_postfix_str(f'loss = {self.loss:.4f}{skipped}')
      return
    of = f'/{self._last}' if self._last else ''
    console.say(
      f'global step {self.step}{of}: loss = {self.loss:.4f}, learning rate = '
      f'{rate:.4g}{self._speed(speed, pace)}{skipped}'
    )

  def _speed(self, speed: float | None, pace: float | None) -> str:
    """', 99.5 images/s, 0:01:30 left', as far as pace and end are known."""
    if speed is None or pace is None:
      return ''
    if not self._last:
      return f', {speed:.1f} images/s'
    seconds = round((self._last - self.step) * pace)
    left = f'{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}'
    return f', {speed:.1f} images/s, {left} left'

  def close(self) -> None:
    """Ends the bar, also when training failed."""
    self._bar.close()


class Summaries(tf.train.SessionRunHook):
  """Writes what TensorBoard shows: of the first step, and then by the clock.

  TensorFlow's own hook reads the global step as its initial value if need be.
  In a worker, that is to wait for a broadcast which others take no part in.
  """

  def __init__(
    self, job: TrainJob, step: TrainStep, writer: tf.summary.FileWriter
  ):
    self._graph, self._writer = step, writer
    self._seconds, self._due = max(1, job.save_summaries_secs), 0.0
    self._started = False

  def before_run(self, run_context):
    fetches = {'step': self._graph.train_op}
    if time.monotonic() >= self._due:
      fetches['summary'] = self._graph.summary
    return tf.train.SessionRunArgs(fetches)

  def after_run(self, run_context, run_values):
    values, step = run_values.results, int(run_values.results['step'])
    if not self._started:
      # TensorBoard drops what a run wrote that was killed after this step.
      start = tf.SessionLog(status=tf.SessionLog.START)
      self._writer.add_session_log(start, step)
      self._started = True
    if 'summary' in values:
      self._writer.add_summary(values['summary'], step)
      self._due = time.monotonic() + self._seconds


class Following(tf.train.SessionRunHook):
  """Knows the last step in a process that is not the chief, which logs it.

  Attributes:
    step: the last step made.
    loss: its loss.
  """

  def __init__(self, step: TrainStep, start: int):
    self.step, self.loss = start, math.nan
    self._fetches = [step.train_op, step.loss]

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._fetches)

  def after_run(self, run_context, run_values):
    step, loss = run_values.results
    self.step, self.loss = int(step), float(loss)

  def close(self) -> None:
    """Has nothing to end."""


class Saving(tf.train.SessionRunHook):
  """Saves at the start, by the clock, at every n-th step if asked, at the end.

  What is saved is whole and finite, or the checkpoint before stays the last.

  Attributes:
    saver: the tf.train.Saver of everything.
    saved_path: the newest checkpoint.
  """

  def __init__(
    self,
    job: TrainJob,
    step: TrainStep,
    start: int | None,
    validate: Callable[[str], object] | None,
    signals: Signals,
  ):
    """Makes the saver.

    Args:
      job: says when and how many.
      step: the training step.
      start: the step resumed at, whose checkpoint exists; None for a new run.
      validate: called with the checkpoint of every n-th step and of the last.
      signals: one of them ends training, and who sent it won't wait for a
        validation.
    """
    self._job, self._graph = job, step
    self._saved, self._validate, self._signals = start, validate, signals
    self._validated, self._step = start, start or 0
    self._prefix = str(pathlib.Path(job.train_dir, checkpoints.PREFIX))
    self.saved_path = f'{self._prefix}-{start}'
    self.saver = tf.train.Saver(
      max_to_keep=job.keep_checkpoint_max, save_relative_paths=True
    )
    if start is not None and job.keep_checkpoint_max:
      self.saver.recover_last_checkpoints(
        [
          path
          for path in checkpoints.in_folder(job.train_dir)
          if checkpoints.step_of(path) <= start
        ]
      )
    self._all_finite = tf.reduce_all(
      [
        tf.reduce_all(tf.is_finite(variable))
        for variable in tf.global_variables()
        if variable.dtype.base_dtype.is_floating
      ]
    )

  def after_create_session(self, session, coord):
    self._save(session, int(session.run(self._graph.global_step)))

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._graph.train_op)

  def after_run(self, run_context, run_values):
    step, every = int(run_values.results), self._job.eval_every_n_steps
    before, self._step = self._step, step
    if every and is_due(before, step, every):
      self._save(run_context.session, step)
      self._evaluate(step)
    elif time.monotonic() >= self._due:
      self._save(run_context.session, step)

  def end(self, session):
    step = int(session.run(self._graph.global_step))
    self._save(session, step)
    if not self._signals.received:
      self._evaluate(step)

  def _evaluate(self, step: int) -> None:
    if self._validate and step != self._validated:
      self._validate(self.saved_path)
      self._validated = step

  def _save(self, session: tf.Session, step: int) -> None:
    """Saves unless this step is saved already, and draws the curves anew."""
    if step != self._saved:
      if self._job.stop_on_nan and not session.run(self._all_finite):
        raise NonFiniteError(
          'A variable is not finite', step, self._job.train_dir
        )
      self._write(session, step)
      self._saved = step
      curves.draw(
        self._job.train_dir, messages.results_files(self._job.train_dir)
      )
    self._due = time.monotonic() + self._job.save_interval_secs

  def _write(self, session: tf.Session, step: int) -> None:
    try:
      self.saved_path = self.saver.save(
        session, self._prefix, step, write_meta_graph=False
      )
    except peers.GONE:
      # A parameter server's loss is none of the disk's.
      raise
    except (tf.errors.OpError, OSError) as error:
      checkpoints.sweep(self._job.train_dir)
      good = checkpoints.newest_whole(self._job.train_dir)
      why = disk_errors.reason(error) or str(error).splitlines()[-1]
      left = (
        f'The last good checkpoint is {good}: free some space, and the same '
        'command goes on from it.'
        if good
        else 'There is no checkpoint yet: free some space and start again.'
      )
      raise UserError(f'Could not save step {step}: {why}. {left}') from error


class Stopping(tf.train.SessionRunHook):
  """Ends training at the last step, on a signal, or when asked to stop early.

  Processes that step together decide it together, after the same step: one that
  left by itself would be waited for. Of workers that do not wait for one another
  the chief decides for all, and any other may leave by itself.

  Attributes:
    reason: why training ended by itself; None if it did not.
  """

  _SECONDS_BETWEEN_LOOKS = 1.0

  def __init__(
    self, job: TrainJob, step: TrainStep, start: int, signals: Signals
  ):
    self._graph, self._start, self._signals = step, start, signals
    self._job = job
    self._next_look, self._asked = 0.0, False
    self.reason: str | None = None

  def before_run(self, run_context):
    fetches = {'step': self._graph.train_op}
    if self._graph.decided is not None:
      fetches['decided'] = self._graph.decided
    if self._graph.votes is None:
      return tf.train.SessionRunArgs(fetches)
    votes = [self._is_asked(), bool(self._signals.received), self._start]
    return tf.train.SessionRunArgs(fetches, {self._graph.votes: votes})

  def after_run(self, run_context, run_values):
    if 'decided' in run_values.results:
      early, signal, *start = run_values.results['decided']
      if start:
        self._agree(start[0])
      if signal:
        self._signals.note_peers()
    else:
      early = self._is_asked()
    if self._graph.votes is None:
      signal = self._signals.received
    self._find_reason(run_values.results['step'], early)
    if self.reason or signal:
      run_context.request_stop()

  def end(self, session):
    if self.reason or self._signals.received:
      return
    # One that waits for the next step, or lags behind, finds the run closed.
    if self._graph.settled is not None:
      fetches = [self._graph.global_step, self._graph.settled]
      step, (early, signal) = session.run(fetches)
      self._find_reason(step, early)
      if signal:
        self._signals.note_peers()
    if not (self.reason or self._signals.received):
      raise peers.lost('the run was closed', self._job)

  def _find_reason(self, step: int, early: bool) -> None:
    """Notes why training ends by itself, if it does."""
    last = self._job.max_number_of_steps
    if last is not None and step >= last:
      self.reason = 'max_number_of_steps'
    elif early:
      self.reason = 'early_stop'

  def _agree(self, start: float) -> None:
    """Raises UserError unless all started where this process did."""
    if not math.isclose(start, self._start, rel_tol=1e-5):
      raise UserError(
        f'This process started from step {self._start}, others from another '
        f'step: all of them must see the same --train_dir={self._job.train_dir}.'
      )

  def _is_asked(self) -> bool:
    """Whether an evaluation asks for the end; looked up now and then."""
    now = time.monotonic()
    if not self._asked and now >= self._next_look:
      self._next_look = now + self._SECONDS_BETWEEN_LOOKS
      self._asked = messages.is_asked_to_stop(self._job.train_dir)
    return self._asked

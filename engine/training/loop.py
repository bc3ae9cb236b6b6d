"""Training: from a job to a finished run, as train_image_classifier.py does it.

engine/training/step.py builds the graph of a step, the hooks in this package do
what happens around each step, and engine/config/resolve.py checks the job
before any of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias

from deployment import deployment_factory, parameter_servers
from deployment.cluster import Cluster
from deployment.deployment import Deployment
from deployment.options import PS
from engine import console, error_translation
from engine.checkpoints import restore as restoring
from engine.checkpoints import store
from engine.config import advice, job_file, resolve
from engine.config.jobs import TrainJob
from engine.config.resolve import Setup
from engine.evaluation.continuous import ContinuousEvaluation
from engine.optimization import class_weights
from engine.run_dir import events, lock, progress_csv, run_status
from engine.signals import Signals
from engine.training import cluster_watchdog, hooks
from engine.training import step as train_step
from engine.training.accumulation import AccumulationHook
from engine.training.nan_guard import NanGuardHook, NonFiniteError
from engine.training.saving import SavingHook
from engine.training.step import TrainStep
from engine.training.stopping import StoppingHook
from tf_compat import tf

# restore(session): fills the variables before the first step.
Restore: TypeAlias = 'Callable[[tf.Session], None]'


@dataclasses.dataclass(frozen=True)
class Summary:
  """How a run ended.

  Attributes:
    step: the last step.
    loss: its loss; NaN if no step was made.
    reason: 'max_number_of_steps', 'early_stop', or the signal's name; 'served'
      for a parameter server.
    checkpoint: the last one.
    exit_code: 0, or 128 + signal.
  """

  step: int
  loss: float
  reason: str
  checkpoint: str | None
  exit_code: int = 0


def train(job: TrainJob, explicit: Collection[str] = frozenset()) -> Summary:
  """Trains a network until its last step, an early stop or a signal.

  Args:
    job: what to train; engine/config/jobs.py documents each option.
    explicit: the options set by flags, which win over a recorded job's.

  Raises:
    UserError: for wrong input, a diverged model, or a full disk; the last good
      checkpoint stays.
  """
  cluster = resolve.find_cluster(job)
  if cluster and cluster.job_name == PS:
    return _serve(job, cluster)
  setup = resolve.training(job, explicit)
  with contextlib.ExitStack() as stack:
    if setup.is_chief:
      stack.enter_context(lock.exclusive(setup.job.train_dir))
    signals = Signals()
    _announce(setup, explicit)
    if _is_finished(setup):
      return _finish_again(setup, signals)
    return _train(setup, signals)


def _serve(job: TrainJob, cluster: Cluster) -> Summary:
  """Runs a parameter server until the workers have trained."""
  with Signals() as signals:
    code = parameter_servers.serve(
      cluster,
      job.worker_timeout_secs,
      lambda: bool(signals.received),
      console.say,
    )
    if code is None:
      console.say(f'Ended by {signals.name}.')
    else:
      console.say('Training is over.')
    code = code or signals.exit_code
  return Summary(0, math.nan, 'served', None, code)


def _train(setup: Setup, signals: Signals) -> Summary:
  """Builds the graph, restores variables, and runs the training loop."""
  validation = _validation(setup)
  deployment = _deploy(setup, signals)
  with tf.Graph().as_default(), deployment.scope():
    with _end_servers_on_error(deployment):
      step = train_step.build(setup, deployment, setup.start_step)
      restore = _restore_function(setup, step)
      if setup.is_chief:
        _start_run_dir(setup)
    with (
      validation or contextlib.nullcontext(),
      error_translation.translate_data_errors(
        setup.dataset, setup.job.labels_offset
      ),
      _record_divergence(setup),
      cluster_watchdog.watch_peers(setup.job, deployment) as watchdog_hooks,
      # Within it: servers that are lost cannot be ended.
      _end_servers_on_error(deployment),
    ):
      return _run(
        setup, deployment, step, restore, validation, watchdog_hooks, signals
      )


def _run(
  setup: Setup,
  deployment: Deployment,
  step: TrainStep,
  restore: Restore,
  validation: ContinuousEvaluation | None,
  watchdog_hooks: list[tf.train.SessionRunHook],
  signals: Signals,
) -> Summary:
  """Makes steps in a monitored session until a hook stops it."""
  job, start = setup.job, setup.start_step
  stopping_hook = StoppingHook(job, step, start, signals)
  saving_hook = SavingHook(
    job,
    step,
    start if setup.is_resumed else None,
    validation,
    signals,
    deployment.peer_lost_errors,
  )
  scaffold = deployment.scaffold(
    restore, not setup.is_resumed, step.local_init, saving_hook.saver
  )
  with contextlib.ExitStack() as stack:
    # The guard comes first: nothing is logged or saved of a diverged model.
    guards = [NanGuardHook(job, step)] if job.stop_on_nan else []
    if setup.is_chief:
      writer = tf.summary.FileWriter(job.train_dir)
      stack.callback(events.close, writer)
      writer.add_summary(events.options(dataclasses.asdict(job)), start)
      last_step = hooks.LoggingHook(job, step, start, writer)
      summary_hook = hooks.SummaryHook(job, step, writer)
      run_hooks = [last_step, saving_hook, stopping_hook, summary_hook]
    else:
      last_step = hooks.LastStepHook(step, start)
      same_options_hook = cluster_watchdog.SameOptionsHook(job)
      run_hooks = [same_options_hook, last_step, stopping_hook]
    stack.callback(last_step.close)
    if step.accumulate_op is not None:
      hook = AccumulationHook(step.accumulate_op, job.accumulate_steps)
      run_hooks.append(hook)
    with signals.at_once():
      session = deployment.session(
        scaffold, [*watchdog_hooks, *guards, *run_hooks]
      )
    with session, signals:
      if not session.should_stop():
        with _before_first_step(setup, signals):
          session.run(step.train_op)
      while not session.should_stop():
        session.run(step.train_op)
    stack.close()
    checkpoint = saving_hook.saved_path if setup.is_chief else None
    summary = _finish(job, last_step, checkpoint, stopping_hook, signals)
    deployment.end(summary.exit_code)
  return summary


def _deploy(setup: Setup, signals: Signals) -> Deployment:
  """Acquires the devices, and connects to the other processes."""
  with signals.at_once():
    return deployment_factory.deploy(setup.job, setup.cluster, console.say)


def _before_first_step(
  setup: Setup, signals: Signals
) -> contextlib.AbstractContextManager[None]:
  """Lets a signal end the first step, which may compile for minutes.

  Processes of a cluster complete it, since they end together.
  """
  return contextlib.nullcontext() if setup.cluster else signals.at_once()


def _announce(setup: Setup, explicit: Collection[str]) -> None:
  """Prints what will be trained, on what, from which checkpoint; and advice."""
  job = setup.job
  attention = f' with {job.attention_module}' if job.attention_module else ''
  workers, number = setup.shard
  role = f', as worker {number} of {workers}' if workers > 1 else ''
  if job.attention_placement:
    attention += f' (placed: {job.attention_placement})'
  recipe = f' by the recipe {job.recipe},' if job.recipe else ''
  console.say(
    f'Training {job.model_name}{attention}{recipe} on '
    f'{setup.dataset.num_records} records of {setup.dataset.name}/'
    f'{setup.dataset.split}, {setup.num_classes} classes, images of '
    f'{setup.image_size} x {setup.image_size} x {setup.channels}, into '
    f'{job.train_dir}{role}.'
  )
  if setup.teacher:
    console.say(
      f'Its teacher is {setup.teacher.network.model_name}, '
      f'{setup.teacher.checkpoint}.'
    )
  if setup.is_resumed:
    console.say(f'Resuming from {setup.checkpoint}.')
    if 'checkpoint_path' in explicit:
      console.say(
        f'Ignoring --checkpoint_path={job.checkpoint_path}: there is a '
        f'checkpoint in {job.train_dir} already.'
      )
  if setup.class_counts:
    per_epoch = sum(setup.class_counts) / setup.num_classes
    for line in class_weights.table(
      setup.class_counts,
      setup.class_names,
      setup.class_weights,
      per_epoch if job.balanced_sampling else None,
    ):
      console.say(line)
  for warning in advice.of_training(setup, explicit):
    console.say(f'Warning: {warning}')


def _is_finished(setup: Setup) -> bool:
  """Whether the checkpoint to resume from is at or past the last step."""
  last = setup.job.max_number_of_steps
  return setup.is_resumed and last is not None and setup.start_step >= last


def _finish_again(setup: Setup, signals: Signals) -> Summary:
  """Reports a run that was finished before, without training.

  Raises:
    UserError: if the checkpoint is of another network.
  """
  job, step = setup.job, setup.start_step
  _check_finished_network(setup)
  finished = run_status.read_finished(job.train_dir)
  reason = finished['reason'] if finished else 'max_number_of_steps'
  longer = f'--max_number_of_steps above {step}'
  if job.num_epochs:
    longer = f'--num_epochs above {job.num_epochs:g}'
  console.say(
    f'Already finished at step {step} ({reason}): set {longer} to continue.'
  )
  _evaluate_if_missing(setup)
  if setup.is_chief:
    if not finished:
      run_status.write_finished(job.train_dir, reason, step)
    if setup.cluster and setup.cluster.servers:
      # The parameter servers would wait for the chief.
      _deploy(setup, signals).end(0)
  return Summary(step, math.nan, reason, setup.checkpoint)


def _evaluate_if_missing(setup: Setup) -> None:
  """Evaluates the last checkpoint, unless that was done before a kill."""
  validation = _validation(setup)
  if validation and not validation.is_evaluated(setup.start_step):
    with validation:
      validation.check(setup.checkpoint or '')


def _check_finished_network(setup: Setup) -> None:
  """Raises UserError unless the checkpoint is of the job's network."""
  side = setup.image_size
  with tf.Graph().as_default():
    images = tf.zeros([1, side, side, setup.channels])
    setup.network_fn(is_training=True)(images)
    tf.train.get_or_create_global_step()
    restoring.check_resumable(setup.job.model_name, setup.checkpoint or '')


def _restore_function(setup: Setup, step: TrainStep) -> Restore:
  """Returns the function that restores variables before the first step."""
  job, source = setup.job, setup.checkpoint
  restore_source: restoring.Restore | None = None
  if source is None:
    pass
  elif setup.is_resumed:
    restore_source = restoring.resuming(job.model_name, source)
  else:
    restore_source = restoring.fine_tuning(
      job, source, setup.is_chief, setup.num_classes
    )

  def restore(session: tf.Session) -> None:
    if step.restore_teacher:
      step.restore_teacher(session)
    if restore_source and source:
      restore_source(session, source)

  return restore


def _start_run_dir(setup: Setup) -> None:
  """Cleans up after an earlier run and writes job.json.

  Called once the job can no longer be refused.
  """
  train_dir = setup.job.train_dir
  run_status.reset(train_dir)
  store.remove_leftovers(train_dir)
  progress_csv.truncate(
    os.path.join(train_dir, progress_csv.FILE), setup.start_step
  )
  facts = {
    'num_classes': setup.num_classes,
    'channels': setup.channels,
    'num_records': setup.dataset.num_records,
    'images_per_step': resolve.images_per_step(setup),
    'trainable_parameters': sum(
      variable.shape.num_elements()
      for variable in train_step.trainable_variables(setup.job)
    ),
  }
  job_file.write(setup.job, facts)


def _validation(setup: Setup) -> ContinuousEvaluation | None:
  """Returns the evaluation of checkpoints within training.

  None without --eval_every_n_steps, and in processes other than the chief.
  """
  if not setup.job.eval_every_n_steps or not setup.is_chief:
    return None
  return ContinuousEvaluation.within(setup)


@contextlib.contextmanager
def _end_servers_on_error(deployment: Deployment) -> Iterator[None]:
  """Ends the parameter servers if the chief fails in the body."""
  try:
    yield
  except deployment.peer_lost_errors:
    # A server may be lost: sending it the exit code would wait for it.
    raise
  except Exception:
    deployment.end(2)
    raise


@contextlib.contextmanager
def _record_divergence(setup: Setup) -> Iterator[None]:
  """Writes finished.json with reason 'non_finite' if the loss diverges."""
  try:
    yield
  except NonFiniteError as error:
    if setup.is_chief:
      run_status.write_finished(setup.job.train_dir, 'non_finite', error.step)
    raise


def _finish(
  job: TrainJob,
  last_step: hooks.LoggingHook | hooks.LastStepHook,
  checkpoint: str | None,
  stopping_hook: StoppingHook,
  signals: Signals,
) -> Summary:
  """Reports how the run ended; writes finished.json unless a signal ended it.

  Args:
    job: the job.
    last_step: knows the last step and its loss.
    checkpoint: the last one; None if this process is not the chief.
    stopping_hook: knows why training ended.
    signals: which signal was received.
  """
  step, loss, reason = last_step.step, last_step.loss, stopping_hook.reason
  saved = f', saved as {checkpoint}' if checkpoint else ''
  if not reason:
    console.say(
      f'Stopped by {signals.name} at step {step}{saved}: the same command '
      'resumes from there.'
    )
    return Summary(step, loss, signals.name, checkpoint, signals.exit_code)
  console.say(f'Finished at step {step} ({reason}), loss {loss:.4f}{saved}.')
  if last_step.has_risen:
    console.say(
      f'Warning: the loss has risen to {loss:.4g}, so this run has learned '
      f'nothing. Start in another --train_dir, with a lower --learning_rate than '
      f'{job.learning_rate:g}, such as {min(0.01, job.learning_rate / 100):g}.'
    )
  if checkpoint:
    run_status.write_finished(job.train_dir, reason, step)
  return Summary(step, loss, reason, checkpoint)

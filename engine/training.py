"""Training, from a job to a finished run: what train_image_classifier.py does.

engine/train_step.py holds the graph of a step, engine/hooks.py what happens
around each one, engine/resolve.py what is checked before any of it.
"""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Collection, Iterator

from deployment import deployment as deployments
from deployment import parameter_servers
from deployment.cluster import PS, Cluster
from deployment.deployment import Deployment
from engine import (
  checkpoints,
  console,
  data_errors,
  hooks,
  lock,
  messages,
  peers,
  progress,
  resolve,
  restoring,
  summaries,
  train_step,
)
from engine import job as jobs
from engine.job import TrainJob
from engine.resolve import Setup
from engine.signals import Signals
from engine.train_step import TrainStep
from engine.validation import Validation
from tf_compat import slim, tf


@dataclasses.dataclass(frozen=True)
class Summary:
  """How a run ended.

  Attributes:
    step: the last step.
    loss: its loss; NaN if no step was made.
    reason: 'max_number_of_steps', 'early_stop', or the signal's name; 'served'
      of a parameter server.
    checkpoint: the last one.
    exit_code: 0, or 128 + signal.
  """

  step: int
  loss: float
  reason: str
  checkpoint: str | None
  exit_code: int = 0


def train(job: TrainJob, given: Collection[str] = frozenset()) -> Summary:
  """Trains a network until it is told or has a reason to stop.

  Args:
    job: what to train; engine/job.py says what each option means.
    given: the options that were given, which win over a recorded job's.

  Raises:
    UserError: for wrong input, a ruined model, or a full disk; the last good
      checkpoint stays.
  """
  cluster = resolve.find_cluster(job)
  if cluster and cluster.job_name == PS:
    return _serve(job, cluster)
  setup, resumed = resolve.training(job, given)
  with contextlib.ExitStack() as held:
    if setup.is_chief:
      held.enter_context(lock.only_one(setup.job.train_dir))
    signals = held.enter_context(Signals())
    return _train(setup, resumed, 'checkpoint_path' in given, signals)


def _serve(job: TrainJob, cluster: Cluster) -> Summary:
  """Keeps variables for workers until they have trained."""
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
    code = code or (128 + signals.received if signals.received else 0)
  return Summary(0, math.nan, 'served', None, code)


def _train(
  setup: Setup, resumed: str | None, told: bool, signals: Signals
) -> Summary:
  """Builds, restores and runs; `told` if --checkpoint_path was given."""
  job = setup.job
  start = checkpoints.step_of(resumed) if resumed else None
  _announce(setup, resumed, told)
  if start is not None and start >= (job.max_number_of_steps or math.inf):
    return _already_there(setup, resumed, signals)
  validate = _validation(setup)
  deployment = _deploy(setup, signals)
  with tf.Graph().as_default(), deployment.scope():
    step = train_step.build(
      setup, start or 0, deployment.strategy, deployment.replica
    )
    restore = _restoring(setup, resumed)
    if setup.is_chief:
      _begin(setup, start or 0)
    with data_errors.named(setup.dataset, job.labels_offset):
      return _run(setup, deployment, step, restore, start, validate, signals)


def _deploy(setup: Setup, signals: Signals) -> Deployment:
  """Takes the devices, and meets the other processes."""
  with _meeting(setup, signals):
    return deployments.deploy(setup.job, setup.cluster, console.say)


def _meeting(
  setup: Setup, signals: Signals
) -> contextlib.AbstractContextManager[None]:
  """A body in which others are waited for, and no step is there to be saved."""
  return signals.at_once() if setup.cluster else contextlib.nullcontext()


def _announce(setup: Setup, resumed: str | None, told: bool) -> None:
  """Says what will be trained, on what, from where."""
  job = setup.job
  attention = f' with {job.attention_module}' if job.attention_module else ''
  workers, number = setup.shard
  place = f', as worker {number} of {workers}' if workers > 1 else ''
  if job.attention_placement:
    attention += f' (placed: {job.attention_placement})'
  console.say(
    f'Training {job.model_name}{attention} on '
    f'{setup.dataset.num_records} records of {setup.dataset.name}/'
    f'{setup.dataset.split}, {setup.num_classes} classes, images of '
    f'{setup.image_size} x {setup.image_size} x {setup.channels}, into '
    f'{job.train_dir}{place}.'
  )
  if resumed:
    console.say(f'Resuming from {resumed}.')
    if told:
      console.say(
        f'Ignoring --checkpoint_path={job.checkpoint_path}: there is a '
        f'checkpoint in {job.train_dir} already.'
      )


def _already_there(setup: Setup, checkpoint: str, signals: Signals) -> Summary:
  """The summary of a run that was finished before it began."""
  job = setup.job
  step = checkpoints.step_of(checkpoint)
  console.say(
    f'Already at step {step}: a --max_number_of_steps above '
    f'{job.max_number_of_steps} goes on.'
  )
  if setup.is_chief:
    messages.write_finished(job.train_dir, 'max_number_of_steps', step)
    if setup.cluster and setup.cluster.servers:
      # They would wait for the chief.
      _tell_servers(setup, _deploy(setup, signals), 0)
  return Summary(step, math.nan, 'max_number_of_steps', checkpoint)


def _restoring(setup: Setup, resumed: str | None) -> Callable:
  """restore(session, saver): what fills the variables before the first step.

  A session that recovers asks again, and must go on from what was saved since.
  """
  job = setup.job
  if resumed:
    start, source = restoring.resuming(job, resumed), resumed
  elif job.checkpoint_path:
    source = checkpoints.find(job.checkpoint_path)
    start = restoring.fine_tuning(job, source, setup.is_chief)
  else:
    start, source = (lambda *_: None), None

  def restore(session: tf.Session, saver: tf.train.Saver) -> None:
    newest = checkpoints.newest_whole(job.train_dir, tell=False)
    if newest in (None, resumed):
      start(session, source)
    else:
      saver.restore(session, newest)

  return restore


def _begin(setup: Setup, start: int) -> None:
  """Forgets an earlier run's end, for nothing is refused from here on."""
  job = setup.job
  messages.clear(job.train_dir)
  checkpoints.sweep(job.train_dir)
  progress.truncate(os.path.join(job.train_dir, progress.FILE), start)
  jobs.write(job, _facts(setup))


def _facts(setup: Setup) -> dict:
  """What job.json says beside the options."""
  variables = slim.get_model_variables()
  trainable = set(tf.trainable_variables())
  return {
    'num_classes': setup.num_classes,
    'channels': setup.channels,
    'num_records': setup.dataset.num_records,
    'trainable_parameters': sum(
      v.shape.num_elements() for v in variables if v in trainable
    ),
  }


def _run(
  setup: Setup,
  deployment: Deployment,
  step: TrainStep,
  restore: Callable,
  start: int | None,
  validate: Callable | None,
  signals: Signals,
) -> Summary:
  """The loop: a monitored session, its hooks, and how it ended."""
  job = setup.job
  stopping = hooks.Stopping(job, step, start or 0, signals)
  saving = hooks.Saving(job, step, start, validate, signals)
  scaffold = _scaffold(deployment, step, restore, start is None, saving.saver)
  # The guard comes first: nothing is logged or saved of a ruined model.
  around = [hooks.NanGuard(job, step)] if job.stop_on_nan else []
  with contextlib.ExitStack() as ends:
    if setup.is_chief:
      writer = tf.summary.FileWriter(job.train_dir, tf.get_default_graph())
      ends.callback(summaries.close, writer)
      following = hooks.Logging(job, step, start or 0, writer)
      around += [
        following,
        saving,
        stopping,
        hooks.Summaries(job, step, writer),
      ]
    else:
      following = hooks.Following(step, start or 0)
      around += [peers.Alike(job), following, stopping]
    ends.callback(following.close)
    with (
      _ruin_noted(setup),
      peers.watched(job, setup.cluster) as watch,
      _failure_told(setup, deployment),
    ):
      with _meeting(setup, signals):
        session = _session(deployment, scaffold, watch, around)
      with session:
        while not session.should_stop():
          session.run(step.train_op)
      ends.close()
      checkpoint = saving.saved_path if setup.is_chief else None
      summary = _ended(job, following, checkpoint, stopping, signals)
      _tell_servers(setup, deployment, summary.exit_code)
  return summary


def _validation(setup: Setup) -> Callable | None:
  """What evaluates a checkpoint within training, where that is asked for."""
  if not setup.job.eval_every_n_steps or not setup.is_chief:
    return None
  return Validation.within(setup).check


def _scaffold(
  deployment: Deployment,
  step: TrainStep,
  restore: Callable,
  anew: bool,
  saver: tf.train.Saver,
) -> tf.train.Scaffold:
  """How a session begins: variables filled, input started."""
  if deployment.replica:
    return deployment.replica.scaffold(
      lambda session: restore(session, saver), anew, step.local_init, saver
    )
  return tf.train.Scaffold(
    init_fn=lambda _, session: restore(session, saver),
    local_init_op=step.local_init,
    saver=saver,
  )


def _session(
  deployment: Deployment,
  scaffold: tf.train.Scaffold,
  watch: list,
  around: list,
) -> tf.train.MonitoredSession:
  """A session with hooks, which recovers from errors unless others wait."""
  target, config = deployment.target, deployment.config
  if replica := deployment.replica:
    return tf.train.MonitoredSession(
      replica.session_creator(scaffold, target, config),
      [*watch, *replica.hooks, *around],
      # A step that waits for gradients is given up at once.
      stop_grace_period_secs=1,
    )
  if deployment.cluster:
    # To recover is to wait for the lost one, while those that are left wait
    # for this one.
    return tf.train.SingularMonitoredSession(
      [*watch, *around], scaffold, target, config
    )
  creator = tf.train.ChiefSessionCreator(scaffold, target, config)
  return tf.train.MonitoredSession(creator, around)


@contextlib.contextmanager
def _failure_told(setup: Setup, deployment: Deployment) -> Iterator[None]:
  """Ends the parameter servers where the chief gives up in the body."""
  try:
    yield
  except peers.GONE:
    # It may be a server that is gone: telling it would be to wait for it.
    raise
  except Exception:
    _tell_servers(setup, deployment, 2)
    raise


def _tell_servers(setup: Setup, deployment: Deployment, code: int) -> None:
  """The chief tells parameter servers, if there are any, that it is over."""
  if deployment.replica and setup.is_chief:
    parameter_servers.end(
      setup.cluster, deployment.target, deployment.config, code
    )


@contextlib.contextmanager
def _ruin_noted(setup: Setup) -> Iterator[None]:
  """Leaves finished.json where the body ends for a ruined model."""
  try:
    yield
  except hooks.NonFiniteError as error:
    if setup.is_chief:
      messages.write_finished(setup.job.train_dir, 'non_finite', error.step)
    raise


def _ended(
  job: TrainJob,
  following: hooks.Logging | hooks.Following,
  checkpoint: str | None,
  stopping: hooks.Stopping,
  signals: Signals,
) -> Summary:
  """Says how the run ended, and leaves finished.json if it ended by itself.

  Only the chief has a checkpoint to name, and files to leave.
  """
  step, loss = following.step, following.loss
  saved = f', saved as {checkpoint}' if checkpoint else ''
  if not stopping.reason:
    console.say(
      f'Stopped by {signals.name} at step {step}{saved}: the same command goes '
      'on from there.'
    )
    return Summary(step, loss, signals.name, checkpoint, 128 + signals.received)
  console.say(
    f'Finished at step {step} ({stopping.reason}), loss {loss:.4f}{saved}.'
  )
  if checkpoint:
    messages.write_finished(job.train_dir, stopping.reason, step)
  return Summary(step, loss, stopping.reason, checkpoint)

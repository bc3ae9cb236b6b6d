"""A replica: a worker whose variables are kept by parameter servers.

Each worker builds the whole graph; tf.train.replica_device_setter puts the
variables on the servers in turn and all else on the worker. A worker moves them
by its own gradients as soon as it has them, or, by
tf.train.SyncReplicasOptimizer, all do by the mean of theirs. The chief fills the
variables, saves them, and says when it is over.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from deployment.cluster import Cluster
from tf_compat import tf

# What all are told: to end early, and to end on a signal.
TOLD = 2
# The collection of what else servers keep, which is in no checkpoint.
_OURS = 'parameter_servers'

Gradients = Iterable[tuple[tf.Tensor | None, tf.Variable]]


class Replica:
  """A worker's part of the graph, and of what all do together.

  Attributes:
    gradients_per_step: how many workers' gradients a step is made of.
    tell: where this worker feeds the TOLD numbers first, 0 for nothing; None
      where it has no say. Of workers that do not wait only the chief has.
    decided: what has been told, the same for all that made a step.
    settled: where that is kept, for those that made none since.
    hooks: what must run around the steps.
  """

  def __init__(self, job: Any, cluster: Cluster, say: Callable[[str], None]):
    """Builds nothing yet.

    Args:
      job: has sync_replicas, replicas_to_aggregate and worker_timeout_secs.
      cluster: with servers, and this worker's place.
      say: says a line to the user.
    """
    self._cluster, self._sync = cluster, job.sync_replicas
    self._seconds, self._say = job.worker_timeout_secs, say
    self.gradients_per_step = 1
    if job.sync_replicas:
      self.gradients_per_step = job.replicas_to_aggregate or len(
        cluster.workers
      )
    self._worker = f'/job:worker/task:{cluster.task}'
    self.tell: tf.Tensor | None = None
    self.decided: tf.Tensor | None = None
    self.settled: tf.Variable | None = None
    self.hooks: list[tf.train.SessionRunHook] = []
    self._live = False

  @property
  def device_filters(self) -> list[str]:
    """What a session shall see: workers may come and go, unseen by others."""
    return ['/job:ps', self._worker]

  @contextlib.contextmanager
  def placed(self) -> Iterator[None]:
    """Puts the variables made in the body on servers, all else here."""
    setter = tf.train.replica_device_setter(
      worker_device=self._worker,
      cluster=tf.train.ClusterSpec(self._cluster.hosts),
    )
    with tf.device(setter), tf.variable_creator_scope(self._local_here):
      yield

  def _local_here(self, next_creator: Callable, **options: Any) -> tf.Variable:
    """A variable creator: the setter would put local ones on servers too."""
    if tf.GraphKeys.LOCAL_VARIABLES not in (options['collections'] or ()):
      return next_creator(**options)
    with tf.device(self._worker):
      return next_creator(**options)

  def update(
    self,
    apply: Callable[[Gradients, tf.Variable], tf.Operation],
    gradients: Gradients,
    updates: list[tf.Operation],
    global_step: tf.Variable,
  ) -> tf.Tensor:
    """One step of this worker, once.

    Args:
      apply: moves the variables by gradients, and the global step by one.
      gradients: this worker's own.
      updates: what else it updates, batch norm's statistics.
      global_step: the steps made so far.

    Returns:
      The number of the last step made.
    """
    with tf.device('/job:ps/task:0'):
      told, self.settled = (
        tf.get_variable(
          name, [TOLD], initializer=tf.zeros_initializer(), trainable=False,
          collections=[_OURS],
        )
        for name in ('told', 'settled')
      )  # fmt: skip
    before = list(updates)
    if self._cluster.is_chief or self._sync:
      self.tell = tf.placeholder(tf.float32, [None])
      # Added, so that nobody takes back what another has told.
      before.append(told.assign_add(self.tell[:TOLD]).op)
    with tf.control_dependencies(before):
      gradients = [
        (value if value is None else tf.identity(value), variable)
        for value, variable in gradients
      ]

    def settle(gradients, global_step=None):
      # With the step: read any later, some would know before others.
      with tf.control_dependencies([apply(gradients, global_step)]):
        return self.settled.assign(told.read_value()).op

    if self._sync:
      moved = self._together(settle, gradients, global_step)
    else:
      moved = settle(gradients, global_step)
    with tf.control_dependencies([moved]):
      self.decided = self.settled.read_value()
      return global_step.read_value()

  def _together(self, apply, gradients, global_step) -> tf.Operation:
    """Applies the mean of the workers' gradients, in a thread of the chief's."""
    workers = len(self._cluster.workers)
    optimizer = tf.train.SyncReplicasOptimizer(
      _Applying(apply), self.gradients_per_step, workers
    )
    moved = optimizer.apply_gradients(gradients, global_step)
    optimizer.ready_for_local_init_op.mark_used()
    if self._cluster.is_chief:
      release = optimizer.get_init_tokens_op(workers - 1)
      self.hooks = [_Leading(optimizer, release, lambda: self._live)]
    else:
      self.hooks = [_Following(optimizer)]
    return moved

  def session_creator(
    self, scaffold: tf.train.Scaffold, target: str, config: tf.ConfigProto
  ) -> tf.train.SessionCreator:
    """Creates a session once: the chief's, or when the chief has."""
    if self._cluster.is_chief:
      return _Once(tf.train.ChiefSessionCreator(scaffold, target, config))
    return _Once(_Joining(scaffold, target, config, self._seconds, self._say))

  def scaffold(
    self,
    fill: Callable[[tf.Session], None],
    anew: bool,
    local_init: tf.Operation,
    saver: tf.train.Saver,
  ) -> tf.train.Scaffold:
    """How sessions begin: the chief fills the variables, others wait for that.

    Args:
      fill: restores, on top of initial values.
      anew: whether variables that hold something are initialised too: not
        where workers go on with them, while a chief that was lost comes back.
      local_init: what every worker does for itself.
      saver: of everything.
    """
    variables = tf.global_variables()
    ours = tf.get_collection(_OURS)
    unknown = tf.report_uninitialized_variables([*variables, *ours])

    def fill_all(_, session: tf.Session) -> None:
      lacking = {name.decode() for name in session.run(unknown)}
      self._live = not anew and not lacking
      session.run(
        [v.initializer for v in variables if anew or v.op.name in lacking]
      )
      fill(session)
      # The sign for the others, so the last.
      session.run([variable.initializer for variable in ours])

    chief = self._cluster.is_chief
    return tf.train.Scaffold(
      init_op=tf.no_op(),
      init_fn=fill_all,
      ready_op=None if chief else unknown,
      ready_for_local_init_op=None if chief else unknown,
      local_init_op=local_init,
      saver=saver,
    )


class _Applying:
  """What SyncReplicasOptimizer takes for an optimizer."""

  def __init__(self, apply: Callable):
    self.apply_gradients = apply


class _Leading(tf.train.SessionRunHook):
  """Starts SyncReplicasOptimizer, as its own hook does, and ends it in peace."""

  def __init__(self, optimizer, release: tf.Operation, is_due: Callable):
    """Takes what lets workers go on that wait for a chief that was lost.

    No worker has a token to begin with: none shall go twice into one step.
    """
    self._start, self._release = optimizer.chief_init_op, release
    self._is_due = is_due
    runner = optimizer.get_chief_queue_runner()
    # The last step, for which no gradients come any more, is cancelled.
    self._runner = tf.train.QueueRunner(
      runner.queue,
      runner.enqueue_ops,
      queue_closed_exception_types=(
        tf.errors.OutOfRangeError,
        tf.errors.CancelledError,
      ),
    )

  def after_create_session(self, session, coord):
    session.run(self._start)
    if self._is_due():
      session.run(self._release)
    self._runner.create_threads(session, coord, daemon=True, start=True)


class _Following(tf.train.SessionRunHook):
  """Tells SyncReplicasOptimizer at which step a worker begins."""

  def __init__(self, optimizer):
    self._start = optimizer.local_step_init_op

  def after_create_session(self, session, coord):
    session.run(self._start)


class _Once(tf.train.SessionCreator):
  """Creates a session once: to do it again is to wait for what is gone."""

  def __init__(self, creator: tf.train.SessionCreator):
    self._creator: tf.train.SessionCreator | None = creator

  def create_session(self):
    if self._creator is None:
      raise tf.errors.CancelledError(None, None, 'a parameter server is gone')
    creator, self._creator = self._creator, None
    return creator.create_session()


class _Joining(tf.train.SessionCreator):
  """tf.train.WorkerSessionCreator, which would look every 30 s for the chief."""

  def __init__(self, scaffold, target, config, seconds, say):
    self._scaffold, self._target, self._config = scaffold, target, config
    self._seconds, self._say = seconds, say

  def create_session(self):
    self._scaffold.finalize()
    session = tf.train.SessionManager(
      local_init_op=self._scaffold.local_init_op,
      ready_op=self._scaffold.ready_op,
      ready_for_local_init_op=self._scaffold.ready_for_local_init_op,
      recovery_wait_secs=1,
    ).wait_for_session(self._target, self._config, self._seconds)
    step = session.run(tf.train.get_global_step(session.graph))
    self._say(f'Joined at step {step}.')
    return session

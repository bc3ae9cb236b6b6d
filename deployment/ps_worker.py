"""A worker of parameter servers, which hold the variables.

Each worker builds the complete graph. tf.train.replica_device_setter places the
variables on the servers in turn, and everything else on the worker. A worker
applies its own gradients as soon as they are computed; with
tf.train.SyncReplicasOptimizer, the mean of all workers' gradients is applied.
The chief initializes the variables, saves them, and ends the servers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from deployment import grpc_server, parameter_servers
from deployment.cluster import Cluster
from deployment.deployment import Apply, Average, Deployment, Gradients
from deployment.options import DeploymentOptions
from tf_compat import tf

# The servers hold two of the votes: to stop early, and to stop on a signal.
_NUM_SERVER_VOTES = 2
# The collection of variables on the servers that no checkpoint holds.
_UNSAVED_VARIABLES = 'parameter_servers'


class PsWorker(Deployment):
  """A worker of parameter servers.

  If workers do not wait for one another, only the chief has a vote.
  """

  def __init__(
    self,
    options: DeploymentOptions,
    cluster: Cluster,
    config: tf.ConfigProto,
    say: Callable[[str], None],
  ) -> None:
    """Stores the arguments; connect() starts the server.

    Args:
      options: the deployment flags.
      cluster: the workers and servers, and which worker this is.
      config: the configuration of sessions.
      say: prints a line for the user.
    """
    super().__init__(tf.distribute.get_strategy(), options.master, config)
    self.cluster: Cluster = cluster
    self.peer_lost_errors = grpc_server.peer_lost_errors()
    self._options, self._say = options, say
    self._sync = options.sync_replicas
    self._worker = f'/job:worker/task:{cluster.task}'
    self._agreed_votes: tf.Tensor | None = None
    self._hooks: list[tf.train.SessionRunHook] = []
    self._is_recovering = False

  def connect(self) -> PsWorker:
    """Starts this worker's server, and waits for the processes it needs.

    Returns:
      This worker.

    Raises:
      UserError: if the port is in use, or a process does not answer in time.
    """
    options, cluster = self._options, self.cluster
    if not options.master:
      self.server = grpc_server.start(cluster, self.config, self._say)
      self.target = self.server.target
    needed = list(cluster.servers)
    if not cluster.is_chief:
      needed.append(cluster.workers[0])
    if options.master:
      needed.append(grpc_server.address_of(options.master))
    grpc_server.wait_for(needed, options.worker_timeout_secs, self._say)
    # Sessions of this worker must not notice other workers come and go.
    self.config.device_filters.extend(['/job:ps', self._worker])
    return self

  @property
  def gradients_per_step(self) -> int:
    if not self._sync:
      return 1
    return self._options.replicas_to_aggregate or len(self.cluster.workers)

  @contextlib.contextmanager
  def scope(self) -> Iterator[None]:
    """Places variables on the servers, and everything else on this worker."""
    setter = tf.train.replica_device_setter(
      worker_device=self._worker,
      cluster=tf.train.ClusterSpec(self.cluster.hosts),
    )
    with (
      super().scope(),
      tf.device(setter),
      tf.variable_creator_scope(self._create_variable),
    ):
      yield

  def _create_variable(
    self, next_creator: Callable[..., tf.Variable], **options: Any
  ) -> tf.Variable:
    """Creates local variables on this worker, and others where the setter does.

    The setter would place local variables on the servers too.
    """
    if tf.GraphKeys.LOCAL_VARIABLES not in (options['collections'] or ()):
      return next_creator(**options)
    with tf.device(self._worker):
      return next_creator(**options)

  def begin_step(self) -> None:
    if self.cluster.is_chief or self._sync:
      self.stop_votes = tf.placeholder(tf.float32, [None])

  def update_clone(
    self,
    apply: Apply,
    average: Average,
    gradients: Gradients,
    update_ops: list[tf.Operation],
    global_step: tf.Variable,
  ) -> tf.Tensor:
    """Makes one step of this worker, and returns the step's number."""
    with tf.device('/job:ps/task:0'):
      votes, agreed_stop = (
        tf.get_variable(
          name, [_NUM_SERVER_VOTES], initializer=tf.zeros_initializer(),
          trainable=False, collections=[_UNSAVED_VARIABLES],
        )
        for name in ('stop_votes', 'agreed_stop')
      )  # fmt: skip
    self.stop_state = agreed_stop
    before = list(update_ops)
    if self.stop_votes is not None:
      # Added, not assigned, so that no worker revokes another's vote.
      before.append(votes.assign_add(self.stop_votes[:_NUM_SERVER_VOTES]).op)
    with tf.control_dependencies(before):
      gradients = [
        (value if value is None else tf.identity(value), variable)
        for value, variable in gradients
      ]

    def apply_and_agree(
      gradients: Gradients, step: tf.Variable
    ) -> tf.Operation:
      train_op = average([apply(gradients, step)], step)
      # Read after the step, the votes could differ between workers.
      with tf.control_dependencies([train_op]):
        return agreed_stop.assign(votes.read_value()).op

    if self._sync:
      train_op = self._apply_mean(apply_and_agree, gradients, global_step)
    else:
      train_op = apply_and_agree(gradients, global_step)
    with tf.control_dependencies([train_op]):
      self._agreed_votes = agreed_stop.read_value()
      return global_step.read_value()

  def finish_step(
    self,
    average: Average,
    train_ops: list[tf.Operation | tf.Tensor],
    global_step: tf.Variable,
  ) -> tf.Tensor:
    """Returns the only clone's step, which updates the moving averages too."""
    return train_ops[0]

  def agreed_votes(self, summed: tf.Tensor | None) -> tf.Tensor | None:
    return self._agreed_votes

  def _apply_mean(
    self,
    apply: Callable[[Gradients, tf.Variable], tf.Operation],
    gradients: Gradients,
    global_step: tf.Variable,
  ) -> tf.Operation:
    """Applies the mean of the workers' gradients, in a thread of the chief."""
    workers = len(self.cluster.workers)
    optimizer = tf.train.SyncReplicasOptimizer(
      _ApplyOnlyOptimizer(apply), self.gradients_per_step, workers
    )
    train_op = optimizer.apply_gradients(gradients, global_step)
    optimizer.ready_for_local_init_op.mark_used()
    if self.cluster.is_chief:
      release_workers = optimizer.get_init_tokens_op(workers - 1)
      self._hooks = [
        _ChiefHook(optimizer, release_workers, lambda: self._is_recovering)
      ]
    else:
      self._hooks = [_WorkerHook(optimizer)]
    return train_op

  def session(
    self, scaffold: tf.train.Scaffold, hooks: list[tf.train.SessionRunHook]
  ) -> tf.train.MonitoredSession:
    """Opens the chief's session, or one that waits for the chief's.

    It is created once and does not recover: to recover, it would wait for a
    lost server.
    """
    if self.cluster.is_chief:
      creator = tf.train.ChiefSessionCreator(scaffold, self.target, self.config)
    else:
      creator = _JoiningSessionCreator(
        scaffold,
        self.target,
        self.config,
        self._options.worker_timeout_secs,
        self._say,
      )
    return tf.train.MonitoredSession(
      _SingleUseSessionCreator(creator),
      [*self._hooks, *hooks],
      # Abandons a step that waits for gradients at once.
      stop_grace_period_secs=1,
    )

  def scaffold(
    self,
    restore: Callable[[tf.Session], None],
    is_new: bool,
    local_init: tf.Operation,
    saver: tf.train.Saver,
  ) -> tf.train.Scaffold:
    """Returns a scaffold in which the chief initializes the variables.

    The other workers wait until it has done so. If workers continued while a
    lost chief was restarted, it initializes only uninitialized variables.
    """
    variables = tf.global_variables()
    unsaved = tf.get_collection(_UNSAVED_VARIABLES)
    uninitialized = tf.report_uninitialized_variables([*variables, *unsaved])

    def initialize(_: tf.train.Scaffold, session: tf.Session) -> None:
      missing = {name.decode() for name in session.run(uninitialized)}
      self._is_recovering = not is_new and not missing
      session.run(
        [v.initializer for v in variables if is_new or v.op.name in missing]
      )
      restore(session)
      # Other workers start when these are initialized, so they come last.
      session.run([variable.initializer for variable in unsaved])

    ready = None if self.cluster.is_chief else uninitialized
    return tf.train.Scaffold(
      init_op=tf.no_op(),
      init_fn=initialize,
      ready_op=ready,
      ready_for_local_init_op=ready,
      local_init_op=local_init,
      saver=saver,
    )

  def end(self, exit_code: int) -> None:
    """Ends the parameter servers if this worker is the chief."""
    if self.cluster.is_chief:
      parameter_servers.end(self.cluster, self.target, self.config, exit_code)


class _ApplyOnlyOptimizer:
  """The part of an optimizer that SyncReplicasOptimizer calls."""

  def __init__(
    self, apply: Callable[[Gradients, tf.Variable], tf.Operation]
  ) -> None:
    self.apply_gradients = apply


class _ChiefHook(tf.train.SessionRunHook):
  """Starts SyncReplicasOptimizer as its own hook does, and ends it silently."""

  def __init__(
    self,
    optimizer: tf.train.SyncReplicasOptimizer,
    release_workers: tf.Operation,
    is_recovering: Callable[[], bool],
  ) -> None:
    """Prepares the optimizer's queue runner.

    Args:
      optimizer: the optimizer, whose apply_gradients was called.
      release_workers: gives tokens to workers that wait for a restarted chief.
        Workers have none at the start, so that none enters a step twice.
      is_recovering: whether the chief was restarted while workers continued.
    """
    self._start = optimizer.chief_init_op
    self._release_workers = release_workers
    self._is_recovering = is_recovering
    runner = optimizer.get_chief_queue_runner()
    # The runner waits for gradients of one step too many, which is cancelled.
    self._runner = tf.train.QueueRunner(
      runner.queue,
      runner.enqueue_ops,
      queue_closed_exception_types=(
        tf.errors.OutOfRangeError,
        tf.errors.CancelledError,
      ),
    )

  def after_create_session(
    self, session: tf.Session, coord: tf.train.Coordinator
  ) -> None:
    session.run(self._start)
    if self._is_recovering():
      session.run(self._release_workers)
    self._runner.create_threads(session, coord, daemon=True, start=True)


class _WorkerHook(tf.train.SessionRunHook):
  """Tells SyncReplicasOptimizer at which step a worker begins."""

  def __init__(self, optimizer: tf.train.SyncReplicasOptimizer) -> None:
    self._start = optimizer.local_step_init_op

  def after_create_session(
    self, session: tf.Session, coord: tf.train.Coordinator
  ) -> None:
    session.run(self._start)


class _SingleUseSessionCreator(tf.train.SessionCreator):
  """Creates a session once: a second one would wait for a lost server."""

  def __init__(self, creator: tf.train.SessionCreator) -> None:
    self._creator: tf.train.SessionCreator | None = creator

  def create_session(self) -> tf.Session:
    if self._creator is None:
      raise tf.errors.CancelledError(None, None, 'a parameter server was lost')
    creator, self._creator = self._creator, None
    return creator.create_session()


class _JoiningSessionCreator(tf.train.SessionCreator):
  """Waits for the chief to initialize the variables, then creates a session.

  tf.train.WorkerSessionCreator does the same, but checks only every 30 s.
  """

  def __init__(
    self,
    scaffold: tf.train.Scaffold,
    target: str,
    config: tf.ConfigProto,
    seconds: float,
    say: Callable[[str], None],
  ) -> None:
    """Stores the arguments.

    Args:
      scaffold: initializes the session.
      target: the TensorFlow server of this worker.
      config: the configuration of sessions.
      seconds: how long to wait for the chief.
      say: prints a line for the user.
    """
    self._scaffold, self._target, self._config = scaffold, target, config
    self._seconds, self._say = seconds, say

  def create_session(self) -> tf.Session:
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

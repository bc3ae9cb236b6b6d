"""Deployment: the devices and processes that a training run uses.

One interface with three forms: Deployment runs in one process, on one or more
devices; multi_worker.MultiWorker is one of several workers that step together;
ps_worker.PsWorker is a worker of parameter servers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from deployment import clones, grpc_server
from deployment.cluster import Cluster
from tf_compat import tf

# Processes that step together vote on three things: whether to stop early,
# whether a signal arrived, and at which step they started.
NUM_STOP_VOTES = 3

# The aliases are strings, so that this module imports without TensorFlow.

# Pairs of a gradient, or None, and its variable.
Gradients: TypeAlias = 'Iterable[tuple[tf.Tensor | None, tf.Variable]]'
# Applies gradients to the variables, and adds one to the global step.
Apply: TypeAlias = (
  'Callable[[Gradients, tf.Variable], tf.Operation | tf.Tensor]'
)
# Updates the moving averages after other operations; returns the step's number.
Average: TypeAlias = (
  'Callable[[Sequence[tf.Operation | tf.Tensor], tf.Variable], tf.Tensor]'
)


class Deployment:
  """A run in one process, on one or more devices.

  Attributes:
    strategy: the tf.distribute strategy of the devices.
    target: the TensorFlow server in which sessions run; '' for this process.
    config: the configuration of sessions.
    cluster: the processes that train together; None for one.
    stop_votes: a placeholder, float32 [NUM_STOP_VOTES], for the votes of this
      process, once a step is built; None if it has no votes or no peers.
    stop_state: a variable that holds the agreed votes, for processes that have
      made no step since; None without parameter servers.
    peer_lost_errors: exceptions of a session that mean a lost process.
  """

  cluster: Cluster | None = None
  stop_votes: tf.Tensor | None = None
  stop_state: tf.Variable | None = None

  def __init__(
    self, strategy: tf.distribute.Strategy, target: str, config: tf.ConfigProto
  ) -> None:
    self.strategy, self.target, self.config = strategy, target, config
    self.peer_lost_errors = grpc_server.peer_lost_errors() if target else ()

  @property
  def gradients_per_step(self) -> int:
    """Number of batches whose gradients are combined in one step."""
    return self.strategy.num_replicas_in_sync

  @property
  def local_clones(self) -> int:
    """Number of clones in this process."""
    return clones.local_count(self.strategy)

  @contextlib.contextmanager
  def scope(self) -> Iterator[None]:
    """Opens the scope in which the graph must be built."""
    with self.strategy.scope():
      yield

  def begin_step(self) -> None:
    """Builds the placeholder of the votes, before the clones of a step."""

  def update_clone(
    self,
    apply: Apply,
    average: Average,
    gradients: Gradients,
    update_ops: list[tf.Operation],
    global_step: tf.Variable,
  ) -> tf.Tensor | tf.Operation:
    """Applies the gradients of one clone; called within each clone.

    Args:
      apply: applies gradients.
      average: updates the moving averages.
      gradients: the gradients of this clone.
      update_ops: operations to run before, such as the updates of batch norm's
        moving averages.
      global_step: the number of steps made.
    """
    del average  # finish_step calls it, once for all clones.
    with tf.control_dependencies(update_ops):
      return apply(gradients, global_step)

  def finish_step(
    self,
    average: Average,
    train_ops: list[tf.Operation | tf.Tensor],
    global_step: tf.Variable,
  ) -> tf.Tensor:
    """Joins the clones' updates into one tensor, the step's number."""
    return average(train_ops, global_step)

  def agreed_votes(self, summed: tf.Tensor | None) -> tf.Tensor | None:
    """Returns the mean of all processes' votes; None without peers.

    Args:
      summed: the sum of all clones' votes, float32 [NUM_STOP_VOTES].
    """
    if summed is None:
      return None
    return summed / self.strategy.num_replicas_in_sync

  def scaffold(
    self,
    restore: Callable[[tf.Session], None],
    is_new: bool,
    local_init: tf.Operation,
    saver: tf.train.Saver,
  ) -> tf.train.Scaffold:
    """Returns the scaffold that initializes a session.

    Args:
      restore: restores a checkpoint on top of the initial values.
      is_new: whether the run starts at step 0 rather than being resumed.
      local_init: starts the input of this process. It may run before the
        variables are initialized.
      saver: the saver of all variables.
    """
    del is_new
    # No other process initializes this one's variables, so the session does
    # not look for uninitialized ones. TensorFlow takes a second to prepare each
    # operation that runs in a large graph, so one replaces all of these.
    nothing = tf.constant([], tf.string)
    return tf.train.Scaffold(
      init_op=tf.group(tf.global_variables_initializer(), local_init),
      init_fn=lambda _, session: restore(session),
      ready_op=nothing,
      ready_for_local_init_op=nothing,
      local_init_op=nothing,
      saver=saver,
    )

  def session(
    self, scaffold: tf.train.Scaffold, hooks: list[tf.train.SessionRunHook]
  ) -> tf.train.MonitoredSession | tf.train.SingularMonitoredSession:
    """Opens a session that runs hooks, and does not recover from errors.

    If it did, the input would start from its beginning, and a worker would wait
    for a lost process while the remaining ones wait for it.
    """
    return tf.train.SingularMonitoredSession(
      hooks, scaffold, self.target, self.config
    )

  def end(self, exit_code: int) -> None:
    """Tells the processes that only serve this run that it has ended.

    Args:
      exit_code: the exit code of this process, which they exit with too.
    """

"""Ends training with one message when a process of the cluster is lost."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterator

from deployment import grpc_server
from deployment.deployment import Deployment
from engine import console, error_translation
from engine.checkpoints import store
from engine.config import precedence
from engine.config.jobs import TrainJob
from errors import UserError
from tf_compat import tf


@contextlib.contextmanager
def watch_peers(
  job: TrainJob, deployment: Deployment
) -> Iterator[list[tf.train.SessionRunHook]]:
  """Yields the hooks that watch for lost processes, to run before all others.

  Raises:
    UserError: if an error in the body means that another process is lost.
  """
  cluster = deployment.cluster
  if cluster is None:
    with error_translation.translate_lost_server(job.master):
      yield []
    return
  deadline = StepTimeoutHook(job, bool(cluster.servers))
  try:
    yield [deadline]
  except deployment.peer_lost_errors as error:
    raise peer_lost_error(grpc_server.reason(error), job) from error
  except tf.errors.InternalError as error:
    # NCCL raises it for a lost process, and for a fault of this one's GPU.
    if all(map(grpc_server.answers, cluster.others)):
      raise
    raise peer_lost_error(grpc_server.reason(error), job) from error
  except tf.errors.InvalidArgumentError as error:
    if 'Shape mismatch in the collective' not in error.message:
      raise
    # The processes train different networks: the initial values do not fit.
    if not cluster.is_chief:
      precedence.refuse_options_unlike_chief(job)
    raise UserError(
      'The processes of the cluster train different networks: start all with '
      'the same options.'
    ) from error
  finally:
    deadline.close()


def peer_lost_error(why: str, job: TrainJob) -> UserError:
  """Returns the error for a process that no longer answers."""
  saved = store.newest_readable(job.train_dir, verbose=False)
  outcome = (
    f'resume from {saved}' if saved else 'start again, as none was saved'
  )
  return UserError(
    f'Another process of the cluster was lost ({why}), or failed with a message '
    f'of its own. The same commands, run again for all processes, {outcome}.'
  )


class SameOptionsHook(tf.train.SessionRunHook):
  """Refuses a worker whose options differ from the chief's.

  The chief writes job.json before it initializes the variables; a worker's
  session starts after that.
  """

  def __init__(self, job: TrainJob):
    self._job = job

  def after_create_session(self, session, coord):
    precedence.refuse_options_unlike_chief(self._job)


class StepTimeoutHook(tf.train.SessionRunHook):
  """Ends the process when a step takes too long, as others may be lost.

  TensorFlow waits forever for a machine that vanished, and nothing interrupts
  that wait.
  """

  _SECONDS_BETWEEN_CHECKS = 0.5

  def __init__(self, job: TrainJob, has_servers: bool):
    self._job, self._seconds = job, job.worker_timeout_secs
    self._has_servers = has_servers
    self._due: float | None = math.inf

  def begin(self):
    self._extend()
    threading.Thread(target=self._watch, daemon=True).start()

  def after_create_session(self, session, coord):
    self._pause()

  def before_run(self, run_context):
    self._extend()

  def after_run(self, run_context, run_values):
    self._pause()

  def _extend(self) -> None:
    """Restarts the clock."""
    self._due = time.monotonic() + self._seconds

  def _pause(self) -> None:
    """Stops the clock between steps, unless saving depends on servers."""
    self._due = math.inf
    if self._has_servers:
      self._extend()

  def close(self) -> None:
    """Ends the watch."""
    self._due = None

  def _watch(self) -> None:
    while (due := self._due) is not None and time.monotonic() < due:
      time.sleep(self._SECONDS_BETWEEN_CHECKS)
    if due is not None:
      why = f'no step was made in {self._seconds} s'
      console.say(f'error: {peer_lost_error(why, self._job)}')
      os._exit(2)

"""What becomes of a process when others that it trains with are lost."""

import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Iterator

from deployment import servers
from deployment.cluster import Cluster
from engine import checkpoints, console, resolve
from engine.job import TrainJob
from errors import UserError
from tf_compat import tf

# What a session raises when another process of its cluster is gone.
GONE = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
)


@contextlib.contextmanager
def watched(job: TrainJob, cluster: Cluster | None) -> Iterator[list]:
  """Gives the hooks to run around each step, before all others.

  Raises:
    UserError: where an error in the body says that another process is gone.
  """
  if cluster is None:
    yield []
    return
  deadline = Deadline(job, bool(cluster.servers))
  try:
    yield [deadline]
  except GONE as error:
    raise lost(_reason(error), job) from error
  except tf.errors.InternalError as error:
    # NCCL's where another is gone, and that of a fault of one's own GPU.
    if all(map(servers.answers, cluster.others)):
      raise
    raise lost(_reason(error), job) from error
  except tf.errors.InvalidArgumentError as error:
    if 'Shape mismatch in the collective' not in error.message:
      raise
    # Other networks, which meet in the variables' initial values already.
    if not cluster.is_chief:
      resolve.refuse_unlike_chief(job)
    raise UserError(
      'The processes of the cluster train different networks: start all with '
      'the same options.'
    ) from error
  finally:
    deadline.close()


def lost(why: str, job: TrainJob) -> UserError:
  """The error for other processes that do not answer any more."""
  saved = checkpoints.newest_whole(job.train_dir, tell=False)
  again = f'go on from {saved}' if saved else 'begin anew, for none was saved'
  return UserError(
    f'Another process of the cluster was lost ({why}), or failed and said why: '
    f'the same commands, all of them again, {again}.'
  )


def _reason(error: tf.errors.OpError) -> str:
  """What happened, without TensorFlow's account of where in the graph it did."""
  what = re.split(r'(?m)^Node: .*\n', error.message)[-1]
  lines = [line for line in what.splitlines() if line.strip()]
  told = [line for line in lines if not line.startswith('From /job:')]
  return told[0] if told else type(error).__name__


class Alike(tf.train.SessionRunHook):
  """Refuses a worker whose options would make other steps than the chief's.

  Sessions begin when the chief has filled the variables, and before that it has
  written what it trains.
  """

  def __init__(self, job: TrainJob):
    self._job = job

  def after_create_session(self, session, coord):
    resolve.refuse_unlike_chief(self._job)


class Deadline(tf.train.SessionRunHook):
  """Ends the process when a step takes too long: others may be gone.

  TensorFlow waits for ever for a machine that has vanished without a word, and
  nothing interrupts that wait.
  """

  _SECONDS_BETWEEN_LOOKS = 0.5

  def __init__(self, job: TrainJob, servers: bool):
    self._job, self._seconds = job, job.worker_timeout_secs
    self._servers = servers
    self._due: float | None = math.inf

  def begin(self):
    self._extend()
    threading.Thread(target=self._watch, daemon=True).start()

  def after_create_session(self, session, coord):
    self._rest()

  def before_run(self, run_context):
    self._extend()

  def after_run(self, run_context, run_values):
    self._rest()

  def _extend(self) -> None:
    self._due = time.monotonic() + self._seconds

  def _rest(self) -> None:
    """Between steps one waits for others only if they keep what is saved."""
    self._due = math.inf
    if self._servers:
      self._extend()

  def close(self) -> None:
    """Watches no longer."""
    self._due = None

  def _watch(self) -> None:
    while (due := self._due) is not None and time.monotonic() < due:
      time.sleep(self._SECONDS_BETWEEN_LOOKS)
    if due is not None:
      why = f'no step was made in {self._seconds} s'
      console.say(f'error: {lost(why, self._job)}')
      os._exit(2)

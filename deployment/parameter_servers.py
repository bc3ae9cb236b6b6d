"""Parameter servers: processes that keep the variables for all workers.

What a worker does with them is in replica.py. They only serve, until the chief
says that training is over.
"""

import time
from collections.abc import Callable
from typing import Any

from deployment import devices, servers
from deployment.cluster import Cluster
from errors import UserError
from tf_compat import tf

_SECONDS_BETWEEN_LOOKS = 0.5
# How long a server outlives the chief's end, which others have yet to notice, or
# a signal of its own, after which the chief may have a large network to save.
_SECONDS_TO_END = 60.0


def check(job: Any, cluster: Cluster | None) -> None:
  """Raises UserError for options that are at odds with the cluster.

  Args:
    job: has sync_replicas, replicas_to_aggregate, num_clones,
      sync_batch_norm and mixed_precision.
    cluster: the processes that train together; None for one.
  """
  workers = len(cluster.workers) if cluster else 1
  aggregate = job.replicas_to_aggregate
  if not (cluster and cluster.servers):
    if job.sync_replicas or aggregate not in (None, workers):
      raise UserError(
        '--sync_replicas and --replicas_to_aggregate are for parameter servers '
        '(--ps_hosts); without them workers always step together: leave them '
        'out.'
      )
    return
  if aggregate and not job.sync_replicas and aggregate > 1:
    raise UserError(
      f'--replicas_to_aggregate={aggregate} without --sync_replicas, by which '
      'workers wait for one another: give both or neither.'
    )
  if aggregate and aggregate > workers:
    raise UserError(
      f'--replicas_to_aggregate={aggregate}, but there are {workers} workers: '
      f'wait for {workers} or fewer.'
    )
  _check_combinations(job)


def _check_combinations(job: Any) -> None:
  """Raises UserError for options that parameter servers cannot have."""
  if job.num_clones > 1:
    raise UserError(
      f'--num_clones={job.num_clones}: a worker of parameter servers has one '
      'device; start one for each GPU (CUDA_VISIBLE_DEVICES).'
    )
  if job.sync_batch_norm:
    raise UserError(
      '--sync_batch_norm: workers of parameter servers cannot share statistics; '
      'leave out the flag or --ps_hosts.'
    )
  if job.sync_replicas and job.mixed_precision == 'float16':
    # A step that is skipped for its overflow would leave all waiting.
    raise UserError(
      '--mixed_precision=float16 does not combine with --sync_replicas: take '
      'bfloat16, or leave out one of them.'
    )


def end(
  cluster: Cluster, target: str, config: tf.ConfigProto, code: int
) -> None:
  """Tells the servers that training is over, and the exit code of all."""
  with (
    tf.Graph().as_default(),
    tf.Session(target, config=config) as session,
  ):
    session.run(
      [_ended(task).enqueue(code) for task in range(len(cluster.servers))]
    )


def _ended(task: int) -> tf.FIFOQueue:
  """Where a server is told that training is over."""
  with tf.device(f'/job:ps/task:{task}'):
    return tf.FIFOQueue(8, tf.int32, [()], shared_name='ended')


def serve(
  cluster: Cluster,
  seconds: float,
  is_told: Callable[[], bool],
  tell: Callable[[str], None],
) -> int | None:
  """Keeps variables until training is over.

  Args:
    cluster: with this server's place.
    seconds: how long the chief may be away.
    is_told: whether a signal asks to end; the chief, if it was told as well,
      is given the time to save first.
    tell: says a line to the user.

  Returns:
    The exit code that the chief left; None if a signal came and it left none.

  Raises:
    UserError: if the port is taken, or the chief is gone.
  """
  config = devices.session_config(cpu_only=True)
  server = servers.start(cluster, config)
  config.device_filters.append(f'/job:ps/task:{cluster.task}')
  tell(f'Keeping variables at {cluster.address}.')
  with tf.Graph().as_default():
    queue = _ended(cluster.task)
    size, code = queue.size(), queue.dequeue()
    with tf.Session(server.target, config=config) as session:
      if not _over(lambda: session.run(size), cluster, seconds, is_told):
        return None
      code = int(session.run(code))
  # Until the others have left, who would take an early end for a loss.
  _wait_until(lambda: not any(map(servers.answers, cluster.workers)))
  return code


def _over(
  said: Callable[[], bool],
  cluster: Cluster,
  seconds: float,
  is_told: Callable[[], bool],
) -> bool:
  """Waits for the end; False if a signal brings it and not the chief."""
  chief = cluster.workers[0]
  seen = time.monotonic()
  while not said():
    now, answers = time.monotonic(), servers.answers(chief)
    if is_told():
      _wait_until(lambda: said() or not servers.answers(chief))
      return bool(said())
    seen = now if answers else seen
    if now - seen > seconds:
      raise servers.no_answer(f'{chief}, the chief,', seconds)
    time.sleep(_SECONDS_BETWEEN_LOOKS)
  return True


def _wait_until(condition: Callable[[], bool]) -> None:
  """Waits for a condition, but not for ever."""
  end = time.monotonic() + _SECONDS_TO_END
  while not condition() and time.monotonic() < end:
    time.sleep(_SECONDS_BETWEEN_LOOKS)

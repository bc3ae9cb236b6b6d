"""Parameter servers: processes that hold the variables for all workers.

They serve until the chief tells them that training has ended. What a worker
does with them is in ps_worker.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from deployment import devices, grpc_server
from deployment.cluster import Cluster
from deployment.options import DeploymentOptions
from errors import UserError
from tf_compat import tf

_SECONDS_BETWEEN_CHECKS = 0.5
# How long a server waits after the end of training, until the other workers
# have exited, or after a signal, until the chief has saved a large network.
_SECONDS_TO_END = 60.0


def check(options: DeploymentOptions, cluster: Cluster | None) -> None:
  """Raises UserError for options that contradict the cluster.

  Args:
    options: the deployment flags.
    cluster: the processes that train together; None for one.
  """
  workers = len(cluster.workers) if cluster else 1
  aggregate = options.replicas_to_aggregate
  if not (cluster and cluster.servers):
    if options.sync_replicas or aggregate not in (None, workers):
      raise UserError(
        '--sync_replicas and --replicas_to_aggregate are for parameter servers '
        '(--ps_hosts); without servers, workers always step together: omit '
        'these flags.'
      )
    return
  if aggregate and not options.sync_replicas and aggregate > 1:
    raise UserError(
      f'--replicas_to_aggregate={aggregate} requires --sync_replicas, which '
      'makes workers wait for one another: set both or neither.'
    )
  if aggregate and aggregate > workers:
    raise UserError(
      f'--replicas_to_aggregate={aggregate}, but there are {workers} workers: '
      f'set it to {workers} or less.'
    )
  _check_combinations(options)


def _check_combinations(options: DeploymentOptions) -> None:
  """Raises UserError for options that parameter servers do not support."""
  if options.num_clones > 1:
    raise UserError(
      f'--num_clones={options.num_clones}: a worker of parameter servers has '
      'one device; start one worker for each GPU (CUDA_VISIBLE_DEVICES).'
    )
  if options.sync_batch_norm:
    raise UserError(
      '--sync_batch_norm: workers of parameter servers cannot share '
      'statistics; omit this flag or --ps_hosts.'
    )
  if options.sync_replicas and options.mixed_precision == 'float16':
    # A worker that skips a step because of overflow would block the others.
    raise UserError(
      '--mixed_precision=float16 cannot be combined with --sync_replicas: use '
      'bfloat16, or omit one of the flags.'
    )


def end(
  cluster: Cluster, target: str, config: tf.ConfigProto, code: int
) -> None:
  """Tells the servers that training has ended.

  Args:
    cluster: the processes of the run.
    target: the TensorFlow server of the chief.
    config: the configuration of sessions.
    code: the exit code for the servers.
  """
  with (
    tf.Graph().as_default(),
    tf.Session(target, config=config) as session,
  ):
    session.run(
      [
        _exit_code_queue(task).enqueue(code)
        for task in range(len(cluster.servers))
      ]
    )


def _exit_code_queue(task: int) -> tf.FIFOQueue:
  """Returns the queue on a server by which the chief ends it."""
  with tf.device(f'/job:ps/task:{task}'):
    return tf.FIFOQueue(8, tf.int32, [()], shared_name='ended')


def serve(
  cluster: Cluster,
  seconds: float,
  is_signaled: Callable[[], bool],
  say: Callable[[str], None],
) -> int | None:
  """Holds variables until training ends.

  Args:
    cluster: the processes of the run, and which server this is.
    seconds: how long the chief may be unreachable.
    is_signaled: whether a signal asks to end. The server then waits for the
      chief, which saves first if it received the signal too.
    say: prints a line for the user.

  Returns:
    The exit code that the chief sent; None if a signal ended the server and
    the chief sent none.

  Raises:
    UserError: if the port is in use, or the chief is lost.
  """
  config = devices.session_config(cpu_only=True)
  server = grpc_server.start(cluster, config, say)
  config.device_filters.append(f'/job:ps/task:{cluster.task}')
  say(f'Serving variables at {cluster.address}.')
  with tf.Graph().as_default():
    queue = _exit_code_queue(cluster.task)
    size, code = queue.size(), queue.dequeue()
    with tf.Session(server.target, config=config) as session:
      if not _wait_for_end(
        lambda: session.run(size), cluster, seconds, is_signaled
      ):
        return None
      code = int(session.run(code))
  # A worker that is still running would take an earlier exit for a lost server.
  _wait_until(lambda: not any(map(grpc_server.answers, cluster.workers)))
  return code


def _wait_for_end(
  has_ended: Callable[[], bool],
  cluster: Cluster,
  seconds: float,
  is_signaled: Callable[[], bool],
) -> bool:
  """Waits until training ends; returns False if only a signal ended it."""
  chief = cluster.workers[0]
  last_answer = time.monotonic()
  while not has_ended():
    now, is_up = time.monotonic(), grpc_server.answers(chief)
    if is_signaled():
      _wait_until(lambda: has_ended() or not grpc_server.answers(chief))
      return bool(has_ended())
    last_answer = now if is_up else last_answer
    if now - last_answer > seconds:
      raise grpc_server.no_answer(f'{chief}, the chief,', seconds)
    time.sleep(_SECONDS_BETWEEN_CHECKS)
  return True


def _wait_until(condition: Callable[[], bool]) -> None:
  """Waits until a condition holds, for _SECONDS_TO_END at most."""
  end = time.monotonic() + _SECONDS_TO_END
  while not condition() and time.monotonic() < end:
    time.sleep(_SECONDS_BETWEEN_CHECKS)

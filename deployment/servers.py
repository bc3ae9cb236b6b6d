"""TensorFlow's servers: how the processes of a cluster meet."""

import socket
import time
from collections.abc import Callable, Collection

from deployment.cluster import ADDRESS, Cluster
from errors import UserError
from tf_compat import tf

_SECONDS_BETWEEN_CALLS = 0.2
_SCHEME = 'grpc://'


def start(cluster: Cluster, config: tf.ConfigProto) -> tf.train.Server:
  """Starts this process's server, which lives as long as something holds it.

  Raises:
    UserError: if its port is taken.
  """
  port = int(cluster.address.rpartition(':')[2])
  try:
    # TensorFlow's own error would not say which port.
    with socket.socket() as probe:
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      probe.bind(('', port))
    return tf.train.Server(
      tf.train.ClusterSpec(cluster.hosts),
      job_name=cluster.job_name,
      task_index=cluster.task,
      config=config,
    )
  except (OSError, tf.errors.UnknownError) as error:
    raise UserError(
      f'Port {port} of {cluster.address} is taken, by another program or '
      f'another {cluster.job_name} {cluster.task}: end that, or name another '
      'port in all processes.'
    ) from error


def address_of(master: str) -> str:
  """host:port of --master.

  Raises:
    UserError: if it is no server's.
  """
  address = master.removeprefix(_SCHEME)
  if address == master or not ADDRESS.fullmatch(address):
    raise UserError(
      f'--master={master} is no server: name one as {_SCHEME}host:port, or leave '
      'it out, to run here.'
    )
  return address


def check_master(master: str) -> None:
  """Raises UserError unless a server is there, if --master names one.

  TensorFlow would wait for it for ever, deaf to signals.
  """
  if master and not answers(address_of(master)):
    raise UserError(
      f'--master={master} does not answer: start a server there first, or leave '
      'it out, to run here.'
    )


def wait_for(
  addresses: Collection[str], seconds: float, tell: Callable[[str], None]
) -> None:
  """Until these other processes answer.

  Raises:
    UserError: if one does not within so many seconds.
  """
  deadline = time.monotonic() + seconds
  missing = [address for address in addresses if not answers(address)]
  if missing:
    tell(f'Waiting for {", ".join(missing)}.')
  while missing:
    if time.monotonic() > deadline:
      raise no_answer(', '.join(missing), seconds)
    time.sleep(_SECONDS_BETWEEN_CALLS)
    missing = [address for address in missing if not answers(address)]


def no_answer(who: str, seconds: float) -> UserError:
  """The error for processes that did not come, or are gone."""
  return UserError(
    f'No answer from {who} in {seconds:g} s: start all processes of the cluster, '
    'with the same addresses; --worker_timeout_secs waits longer.'
  )


def answers(address: str) -> bool:
  """Whether a process listens there."""
  host, _, port = address.rpartition(':')
  try:
    with socket.create_connection((host.strip('[]'), int(port)), timeout=2):
      return True
  except OSError:
    return False

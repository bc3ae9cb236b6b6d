"""TensorFlow servers, through which the processes of a cluster communicate."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Collection

from deployment.cluster import Cluster, is_address
from errors import UserError
from tf_compat import tf

_SECONDS_BETWEEN_CALLS = 0.2
_SCHEME = 'grpc://'


def start(
  cluster: Cluster, config: tf.ConfigProto, say: Callable[[str], None]
) -> tf.train.Server:
  """Starts the server of this process, which runs while it is referenced.

  Args:
    cluster: the processes of the run, and which of them this is.
    config: the configuration of sessions.
    say: prints a line for the user.

  Raises:
    UserError: if its port is in use, or not allowed.
  """
  port = int(cluster.address.rpartition(':')[2])
  try:
    # TensorFlow's own error does not name the port.
    with socket.socket() as probe:
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      probe.bind(('', port))
    server = tf.train.Server(
      tf.train.ClusterSpec(cluster.hosts),
      job_name=cluster.job_name,
      task_index=cluster.task,
      config=config,
    )
  except PermissionError as error:
    raise UserError(
      f'Port {port} of {cluster.address} is only for administrators: use one from '
      '1024 in all processes.'
    ) from error
  except (OSError, tf.errors.UnknownError) as error:
    raise UserError(
      f'Port {port} of {cluster.address} is in use, by another program or '
      f'another {cluster.job_name} {cluster.task}: stop it, or use another '
      'port in all processes.'
    ) from error
  # TensorFlow ignores the host of the address that it serves at.
  say(
    f'Port {port} is open on all network interfaces, without authentication: '
    'train in a network that you trust, or block the port in a firewall.'
  )
  return server


def address_of(master: str) -> str:
  """Returns host:port of --master.

  Raises:
    UserError: if it is not the address of a server.
  """
  address = master.removeprefix(_SCHEME)
  if address == master or not is_address(address):
    raise UserError(
      f'--master={master} is not the address of a server: use '
      f'{_SCHEME}host:port, or omit --master to run in this process.'
    )
  return address


def check_master(master: str) -> None:
  """Raises UserError if --master names a server that does not answer.

  TensorFlow would wait for it forever, and ignore signals.
  """
  if master and not answers(address_of(master)):
    raise UserError(
      f'--master={master} does not answer: start a server there first, or omit '
      '--master to run in this process.'
    )


def wait_for(
  addresses: Collection[str], seconds: float, say: Callable[[str], None]
) -> None:
  """Waits until other processes answer.

  Args:
    addresses: their addresses, host:port.
    seconds: how long to wait.
    say: prints a line for the user.

  Raises:
    UserError: if one does not answer in time.
  """
  deadline = time.monotonic() + seconds
  missing = [address for address in addresses if not answers(address)]
  if missing:
    say(f'Waiting for {", ".join(missing)}.')
  while missing:
    if time.monotonic() > deadline:
      raise no_answer(', '.join(missing), seconds)
    time.sleep(_SECONDS_BETWEEN_CALLS)
    missing = [address for address in missing if not answers(address)]


def no_answer(peers: str, seconds: float) -> UserError:
  """Returns the error for processes that did not start, or were lost."""
  return UserError(
    f'No answer from {peers} in {seconds:g} s: start all processes of the '
    'cluster with the same addresses, or increase --worker_timeout_secs.'
  )


def peer_lost_errors() -> tuple[type[Exception], ...]:
  """Returns the exceptions of a session that mean a lost process."""
  return (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
  )


def reason(error: tf.errors.OpError) -> str:
  """Extracts the cause from an error, without the location in the graph."""
  text = re.split(r'(?m)^Node: .*\n', error.message)[-1]
  lines = [line for line in text.splitlines() if line.strip()]
  causes = [line for line in lines if not line.startswith('From /job:')]
  return causes[0] if causes else type(error).__name__


def refuses(address: str) -> bool:
  """Returns whether host:port refuses connections, as nothing listens there.

  A server that is busy, or a network that is down, does not refuse.
  """
  return isinstance(_connection_error(address), ConnectionRefusedError)


def answers(address: str) -> bool:
  """Returns whether a process listens at host:port."""
  return _connection_error(address) is None


def _connection_error(address: str) -> OSError | None:
  """Connects to host:port; returns the error, or None if that succeeds."""
  host, _, port = address.rpartition(':')
  try:
    socket.create_connection((host.strip('[]'), int(port)), timeout=2).close()
  except OSError as error:
    return error
  return None

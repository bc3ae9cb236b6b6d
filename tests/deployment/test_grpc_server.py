"""Servers of a cluster: ports in use, hosts that do not answer."""

import errno
import socket

import pytest

from deployment import grpc_server
from deployment.cluster import Cluster
from errors import UserError
from tf_compat import tf


@pytest.fixture
def listening():
  """Yields the address of a program that listens."""
  with socket.socket() as program:
    program.bind(('127.0.0.1', 0))
    program.listen()
    yield f'127.0.0.1:{program.getsockname()[1]}'


@pytest.fixture
def silent():
  """Yields an address that does not answer, and that no other program takes."""
  with socket.socket() as program:
    program.bind(('127.0.0.1', 0))
    yield f'127.0.0.1:{program.getsockname()[1]}'


def test_a_port_in_use_is_named(listening, silent):
  cluster = Cluster((silent, listening), task=1)
  port = listening.rpartition(':')[2]
  with pytest.raises(UserError, match=f'Port {port} of .* is in use.*worker 1'):
    grpc_server.start(cluster, tf.ConfigProto(), print)


def test_a_port_of_the_system_is_named(silent, monkeypatch):
  def refuse(self, address):
    raise PermissionError(errno.EACCES, 'Permission denied')

  monkeypatch.setattr(
    grpc_server.socket, 'socket', type('_', (socket.socket,), {'bind': refuse})
  )
  with pytest.raises(UserError, match='is only for administrators: use one'):
    grpc_server.start(Cluster((silent,)), tf.ConfigProto(), print)


def test_a_server_says_that_anybody_may_connect(capsys):
  with socket.socket() as program:
    program.bind(('127.0.0.1', 0))
    port = program.getsockname()[1]
  cluster = Cluster((f'127.0.0.1:{port}',))
  assert grpc_server.start(cluster, tf.ConfigProto(), print).target
  assert f'Port {port} is open on all' in capsys.readouterr().out


def test_hosts_that_do_not_answer_are_named(listening, silent):
  messages = []
  cluster = Cluster(('127.0.0.1:1', listening, silent))
  with pytest.raises(UserError, match=f'No answer from {silent} in 0.3 s'):
    grpc_server.wait_for(cluster.others, 0.3, messages.append)
  assert messages == [f'Waiting for {silent}.']


def test_a_master_must_be_a_server_that_answers(listening, silent):
  grpc_server.check_master('')
  grpc_server.check_master(f'grpc://{listening}')
  with pytest.raises(UserError, match=f'grpc://{silent} does not answer'):
    grpc_server.check_master(f'grpc://{silent}')
  for wrong in (
    'local',
    listening,
    'grpc://host',
    'grpc://a:1/b',
    'grpc://.svc:1',
  ):
    with pytest.raises(
      UserError, match=f'{wrong} is not the address of a server: .*host:port'
    ):
      grpc_server.check_master(wrong)


def test_no_message_is_printed_if_all_answer(listening):
  messages = []
  grpc_server.wait_for([listening], 5, messages.append)
  assert not messages

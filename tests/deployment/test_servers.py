"""How processes meet: ports that are taken, hosts that do not answer."""

import socket

import pytest

from deployment import servers
from deployment.cluster import Cluster
from errors import UserError
from tf_compat import tf


@pytest.fixture
def listening():
  """The address of a program that listens."""
  with socket.socket() as program:
    program.bind(('127.0.0.1', 0))
    program.listen()
    yield f'127.0.0.1:{program.getsockname()[1]}'


@pytest.fixture
def silent():
  """An address at which nobody answers, kept from all others."""
  with socket.socket() as program:
    program.bind(('127.0.0.1', 0))
    yield f'127.0.0.1:{program.getsockname()[1]}'


def test_a_port_that_is_taken_is_named(listening, silent):
  cluster = Cluster((silent, listening), task=1)
  port = listening.rpartition(':')[2]
  with pytest.raises(UserError, match=f'Port {port} of .* is taken.*worker 1'):
    servers.start(cluster, tf.ConfigProto())


def test_hosts_that_do_not_answer_are_named(listening, silent):
  told = []
  cluster = Cluster(('127.0.0.1:1', listening, silent))
  with pytest.raises(UserError, match=f'No answer from {silent} in 0.3 s'):
    servers.wait_for(cluster.others, 0.3, told.append)
  assert told == [f'Waiting for {silent}.']


def test_a_master_is_a_server_that_answers(listening, silent):
  servers.check_master('')
  servers.check_master(f'grpc://{listening}')
  with pytest.raises(UserError, match=f'grpc://{silent} does not answer'):
    servers.check_master(f'grpc://{silent}')
  for wrong in ('local', listening, 'grpc://host', 'grpc://a:1/b'):
    with pytest.raises(UserError, match=f'{wrong} is no server: .*host:port'):
      servers.check_master(wrong)


def test_nothing_is_said_where_all_answer(listening):
  told = []
  servers.wait_for([listening], 5, told.append)
  assert not told

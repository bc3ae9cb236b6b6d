"""What is said of other processes and to them, and what is one's own fault."""

import os
import signal
import socket
import types

import pytest

from deployment import grpc_server, parameter_servers
from deployment.cluster import Cluster
from deployment.ps_worker import PsWorker
from engine.signals import Signals
from engine.training import cluster_watchdog, loop
from errors import UserError
from tf_compat import tf

# As TensorFlow words the loss of a worker in the midst of a sum.
MESSAGE = """Graph execution error:

Detected at node 'CollectiveReduceV2_2' defined at (most recent call last):
    File "train_image_classifier.py", line 7, in <module>
Node: 'CollectiveReduceV2_2'
From /job:worker/replica:0/task:1:
Collective ops is aborted by: recvmsg:Connection reset by peer
Additional GRPC error information from remote target ..."""


@pytest.fixture
def other():
  """A socket that nobody listens at yet, of the cluster's other process."""
  with socket.socket() as other:
    other.bind(('127.0.0.1', 0))
    yield other


@pytest.fixture
def fail(train_job, other):
  """fail(error) raises it where the cluster is watched."""
  deployment = types.SimpleNamespace(
    cluster=Cluster(('127.0.0.1:1', f'127.0.0.1:{other.getsockname()[1]}')),
    peer_lost_errors=grpc_server.peer_lost_errors(),
  )

  def fail(error, message=MESSAGE):
    with cluster_watchdog.watch_peers(train_job(), deployment):
      raise error(None, None, message)

  return fail


@pytest.mark.parametrize(
  'error', [tf.errors.UnavailableError, tf.errors.InternalError]
)
def test_a_loss_is_told_in_a_line(fail, error):
  with pytest.raises(UserError) as told:
    fail(error)
  assert str(told.value) == (
    'Another process of the cluster was lost (Collective ops is aborted by: '
    'recvmsg:Connection reset by peer), or failed with a message of '
    'its own. The same commands, run again for all processes, start again, as '
    'none was saved.'
  )


def test_a_fault_of_one_s_own_is_no_loss(fail, other):
  other.listen()
  with pytest.raises(tf.errors.InternalError):
    fail(tf.errors.InternalError)


@pytest.mark.parametrize(
  ('error', 'codes'),
  [
    (UserError('no room'), [2]),
    (OSError('no room, met while logging'), [2]),
    # To tell a server that is gone would be to wait for it.
    (tf.errors.UnavailableError(None, None, 'no answer'), []),
  ],
)
def test_servers_are_told_that_the_chief_failed(
  monkeypatch, train_job, error, codes
):
  told = []
  monkeypatch.setattr(parameter_servers, 'end', lambda *args: told.append(args))
  chief = PsWorker(
    train_job(), Cluster(('a:1',), ('b:1',)), tf.ConfigProto(), print
  )
  with pytest.raises(type(error)), loop._end_servers_on_error(chief):
    raise error
  assert [code for *_, code in told] == codes


def test_servers_are_told_of_an_error_before_the_first_step(
  monkeypatch, train_job
):
  told = []
  monkeypatch.setattr(parameter_servers, 'end', lambda *args: told.append(args))
  chief = PsWorker(
    train_job(), Cluster(('a:1',), ('b:1',)), tf.ConfigProto(), print
  )

  def build(*_):
    raise UserError('no variable is in scope')

  monkeypatch.setattr(loop, '_validation', lambda _: None)
  monkeypatch.setattr(loop, '_deploy', lambda *_: chief)
  monkeypatch.setattr(loop.train_step, 'build', build)
  setup = types.SimpleNamespace(start_step=0)
  with pytest.raises(UserError, match='no variable'):
    loop._train(setup, Signals())
  assert [code for *_, code in told] == [2]


def test_other_networks_are_told_from_bad_records(fail):
  mismatch = 'Collective ops is aborted by: Shape mismatch in the collective'
  with pytest.raises(UserError, match='train different networks'):
    fail(tf.errors.InvalidArgumentError, mismatch)
  with pytest.raises(tf.errors.InvalidArgumentError):
    fail(tf.errors.InvalidArgumentError, 'Expected image')


@pytest.mark.parametrize(
  ('left', 'said', 'exit_code'),
  [(None, 'Ended by SIGTERM.', 143), (0, 'Training is over.', 143)],
)
def test_a_server_says_what_ended_it(
  monkeypatch, capsys, train_job, left, said, exit_code
):
  def serve(cluster, seconds, is_told, tell):
    os.kill(os.getpid(), signal.SIGTERM)
    return left

  monkeypatch.setattr(loop.parameter_servers, 'serve', serve)
  assert loop._serve(train_job(), None).exit_code == exit_code
  assert said in capsys.readouterr().err

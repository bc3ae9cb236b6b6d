"""What is said of other processes and to them, and what is one's own fault."""

import os
import signal
import socket
import types

import pytest

from deployment import parameter_servers
from deployment.cluster import Cluster
from engine import peers, training
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
  cluster = Cluster(('127.0.0.1:1', f'127.0.0.1:{other.getsockname()[1]}'))

  def fail(error, message=MESSAGE):
    with peers.watched(train_job(), cluster):
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
    'recvmsg:Connection reset by peer), or failed and said why: the same '
    'commands, all of them again, begin anew, for none was saved.'
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
def test_servers_are_told_that_the_chief_failed(monkeypatch, error, codes):
  told = []
  monkeypatch.setattr(parameter_servers, 'end', lambda *args: told.append(args))
  setup = types.SimpleNamespace(is_chief=True, cluster=None)
  deployment = types.SimpleNamespace(replica='some', target='', config=None)
  with pytest.raises(type(error)), training._failure_told(setup, deployment):
    raise error
  assert [code for *_, code in told] == codes


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

  monkeypatch.setattr(training.parameter_servers, 'serve', serve)
  assert training._serve(train_job(), None).exit_code == exit_code
  assert said in capsys.readouterr().err

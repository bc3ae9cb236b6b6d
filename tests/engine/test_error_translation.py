"""Errors of the system become messages, those of this project stay."""

import errno
import os
import socket
import threading
import types

import pytest

from datasets import reader
from datasets.dataset import Dataset
from engine import error_translation
from errors import UserError
from tf_compat import tf


@pytest.mark.parametrize(
  ('error', 'message'),
  [
    (
      OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'run/a'),
      'The disk is full: .*run/a.*same command resumes',
    ),
    (
      IsADirectoryError(21, 'Is a directory', '.a.tmp', None, 'run/job.json'),
      r'^Cannot use run/job\.json: Is a directory\.$',
    ),
    (
      PermissionError(13, 'Permission denied', 'run/a'),
      r'^Cannot use run/a: Permission denied\.$',
    ),
    (UserError('as it is'), '^as it is$'),
  ],
)
def test_errors_of_files_become_messages(error, message):
  with (
    pytest.raises(UserError, match=message),
    error_translation.translate_file_errors(),
  ):
    raise error


@pytest.mark.parametrize('error', [KeyError('x'), OSError('without a file')])
def test_a_defect_keeps_its_trace(error):
  with (
    pytest.raises(type(error)) as raised,
    error_translation.translate_file_errors(),
  ):
    raise error
  assert raised.value is error


@pytest.mark.parametrize(
  ('text', 'remedy'),
  [
    ('Bad record', r'or skip such records with --skip_bad_records\.$'),
    (
      reader.NONE_USABLE,
      r'none of the records .* can be used: convert the data',
    ),
  ],
)
def test_skipping_is_not_offered_if_every_record_is_bad(tmp_path, text, remedy):
  path = str(tmp_path / 'made_test.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(b'')
  dataset = Dataset(
    name='made', split='test', files=(path,), num_records=1, num_classes=2,
    channels=1, class_names=('a', 'b'),
  )  # fmt: skip
  with (
    pytest.raises(UserError, match=rf'{path}: record 0 .*{remedy}'),
    error_translation.translate_data_errors(dataset, 0),
  ):
    raise tf.errors.InvalidArgumentError(None, None, text)


def test_a_lost_server_is_a_mistake_of_the_user(server):
  message = (
    r'--master=grpc://\S+ was lost \(refused\): start it again, .* or omit'
  )
  with (
    pytest.raises(UserError, match=message),
    error_translation.translate_lost_server(server.master),
  ):
    raise tf.errors.UnavailableError(None, None, 'refused')


def test_another_error_beside_a_server_keeps_its_trace(server):
  with (
    pytest.raises(KeyError),
    error_translation.translate_lost_server(server.master),
  ):
    raise KeyError('x')


def test_without_a_server_none_is_lost():
  with (
    pytest.raises(tf.errors.UnavailableError),
    error_translation.translate_lost_server(''),
  ):
    raise tf.errors.UnavailableError(None, None, 'refused')


def test_a_server_that_ends_ends_the_process(server, capsys):
  with error_translation.translate_lost_server(server.master):
    assert not server.exited.wait(0.5)
    server.socket.close()
    assert server.exited.wait(20)
  assert server.codes == [2]
  assert 'was lost (it does not answer)' in capsys.readouterr().err


def test_a_server_may_end_after_the_program(server):
  with error_translation.translate_lost_server(server.master):
    pass
  server.socket.close()
  assert not server.exited.wait(0.5)


@pytest.fixture
def server(monkeypatch):
  """A server that listens, probed often, and the exits of the process."""
  monkeypatch.setattr(error_translation, 'SECONDS_BETWEEN_PROBES', 0.05)
  codes, exited = [], threading.Event()

  def leave(code):
    codes.append(code)
    exited.set()

  monkeypatch.setattr(os, '_exit', leave)
  with socket.create_server(('127.0.0.1', 0)) as listening:
    master = f'grpc://127.0.0.1:{listening.getsockname()[1]}'
    yield types.SimpleNamespace(
      master=master, socket=listening, codes=codes, exited=exited
    )

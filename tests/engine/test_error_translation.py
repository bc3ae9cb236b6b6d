"""Errors of the system become messages, those of this project stay."""

import errno
import os
import socket
import threading

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
    (reader.NONE_USABLE, r'no other record can be used.*: convert the data'),
  ],
)
def test_bad_records_are_not_to_be_skipped_where_all_are(
  tmp_path, text, remedy
):
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


@pytest.mark.parametrize('error', [KeyError('x'), None])
def test_the_loss_of_a_server_is_told_in_a_line(error):
  master = 'grpc://127.0.0.1:1'
  lost = tf.errors.UnavailableError(None, None, 'Connection refused')
  message = (
    r'The server at --master=grpc://\S+ was lost \(Connection refused\): '
  )
  raised = KeyError if error else UserError
  with (
    pytest.raises(raised, match='x' if error else message),
    error_translation.translate_lost_server(master),
  ):
    raise error or lost
  with (
    pytest.raises(tf.errors.UnavailableError),
    error_translation.translate_lost_server(''),
  ):
    raise lost


def test_a_server_that_answers_no_more_ends_the_process(monkeypatch, capsys):
  codes, is_over = [], threading.Event()
  monkeypatch.setattr(error_translation, 'SECONDS_BETWEEN_CHECKS', 0.05)
  monkeypatch.setattr(
    os, '_exit', lambda code: (codes.append(code), is_over.set())
  )
  with socket.create_server(('127.0.0.1', 0)) as server:
    master = f'grpc://127.0.0.1:{server.getsockname()[1]}'
    with error_translation.translate_lost_server(master):
      assert not is_over.wait(0.5)
      server.close()
      assert is_over.wait(20)
  assert codes[0] == 2
  assert f'{master} was lost (it does not answer)' in capsys.readouterr().err

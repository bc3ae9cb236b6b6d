"""Errors of the system become messages, those of this project stay."""

import errno
import os

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

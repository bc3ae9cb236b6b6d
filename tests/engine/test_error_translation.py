"""Errors of the system become messages, those of this project stay."""

import errno
import os

import pytest

from engine import error_translation
from errors import UserError


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

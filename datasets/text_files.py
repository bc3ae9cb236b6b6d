"""Text files that people write: lists of photos, labels.txt and others."""

import codecs
import os

from errors import UserError

# Editors of Windows start a file with one of these byte-order marks.
_MARKS = {
  codecs.BOM_UTF8: 'utf-8',
  codecs.BOM_UTF16_LE: 'utf-16-le',
  codecs.BOM_UTF16_BE: 'utf-16-be',
}
_MAX_BYTES = 1 << 30


def read(path: str | os.PathLike) -> str:
  """Returns the content of a text file without its byte-order mark.

  Raises:
    UserError: names the first line that is not text in UTF-8; also if the file
      cannot be read.
  """
  try:
    if not os.path.isfile(path) and os.path.exists(path):
      raise OSError('it is not a file')
    with open(path, 'rb') as file:
      data = file.read(_MAX_BYTES + 1)
  except OSError as error:
    raise UserError(
      f'Cannot read {path}: {error.strerror or error}.'
    ) from error
  if len(data) > _MAX_BYTES:
    raise UserError(f'{path} has more than {_MAX_BYTES >> 30} GB: not a list.')
  mark = next((mark for mark in _MARKS if data.startswith(mark)), b'')
  data = data[len(mark) :]
  try:
    text = data.decode(_MARKS.get(mark, 'utf-8'))
  except UnicodeDecodeError as error:
    raise _refusal(path, data[: error.start], 'is not text in UTF-8') from error
  if '\0' in text:
    before = text.partition('\0')[0]
    raise _refusal(path, before.encode(), 'contains a zero byte')
  return text


def lines(text: str) -> list[str]:
  """Splits at line ends only, not at the other separators of Unicode."""
  return text.replace('\r\n', '\n').replace('\r', '\n').split('\n')


def _refusal(path: str | os.PathLike, before: bytes, problem: str) -> UserError:
  """Returns the error for the line that follows the bytes `before`."""
  line = before.count(b'\n') + 1
  return UserError(
    f'{os.fspath(path)}, line {line} {problem}: save the file as UTF-8.'
  )

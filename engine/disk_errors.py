"""Turns a full disk into an error that says so, whoever met it."""

import contextlib
import errno
import os
from collections.abc import Iterator

from errors import UserError

# As the system words them: TensorFlow passes on the words, not the numbers.
_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))


def reason(error: BaseException) -> str | None:
  """The line of an error that tells of a full disk; None if none does."""
  lines = (line.strip() for line in str(error).splitlines())
  return next((line for line in lines if any(f in line for f in _FULL)), None)


@contextlib.contextmanager
def named() -> Iterator[None]:
  """Raises UserError where the body fails for want of room."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    line = reason(error)
    if line is None:
      raise
    raise UserError(
      f'No room: {line}. What was complete stays; free some space, and the '
      'same command goes on.'
    ) from error

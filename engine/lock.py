"""One process at a time that works in a folder."""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator
from typing import IO

from errors import UserError


@contextlib.contextmanager
def only_one(
  folder: str | pathlib.Path,
  work: str = 'training in',
  flag: str = '--train_dir',
) -> Iterator[None]:
  """Holds a folder while the body runs; a kill lets go of it too.

  Args:
    folder: it must be there.
    work: what is done with it, in words that a message can have before it.
    flag: the option that names it.

  Raises:
    UserError: if another process holds it, or nothing can be written into it.
  """
  path = pathlib.Path(folder, '.lock')
  with _opened(path, flag) as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise UserError(
        f'Another process is {work} {folder}: wait for it, stop it, or name '
        f'another {flag}.'
      ) from error
    except OSError:
      # Some network file systems have no locks; the work can do without.
      yield
      return
    try:
      yield
    finally:
      path.unlink(missing_ok=True)


def _opened(path: pathlib.Path, flag: str) -> IO[str]:
  """The file that is locked, made if need be."""
  try:
    return path.open('a')
  except OSError as error:
    raise UserError(
      f'Cannot write into {flag}={path.parent}: {error.strerror}.'
    ) from error

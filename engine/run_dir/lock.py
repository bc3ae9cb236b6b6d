"""Locks a folder, so that one process at a time works in it."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import filelock

from errors import UserError

# The file stays after release: another process may have opened it already, and
# would then lock a deleted file.
_FILE = '.lock'


@contextlib.contextmanager
def exclusive(
  folder: str | pathlib.Path,
  work: str = 'training in',
  flag: str = '--train_dir',
) -> Iterator[None]:
  """Locks a folder while the body runs; the system unlocks it after a kill.

  Args:
    folder: the folder, which is created if it does not exist, and deleted
      again if the body leaves it empty.
    work: what the process does with it, for the message: 'training in'.
    flag: the flag that names it.

  Raises:
    UserError: if another process has locked it, or it is not writable.
  """
  lock = filelock.FileLock(pathlib.Path(folder, _FILE), timeout=0)
  is_new = not os.path.exists(folder)
  try:
    os.makedirs(folder, exist_ok=True)
    lock.acquire()
  except filelock.Timeout as error:
    raise UserError(
      f'Another process is {work} {folder}: wait for it, stop it, or name '
      f'another {flag}.'
    ) from error
  except NotImplementedError:
    # Some network file systems have no locks: continue without one.
    pass
  except OSError as error:
    raise UserError(
      f'Cannot write into {flag}={folder}: {error.strerror}.'
    ) from error
  try:
    yield
  finally:
    with contextlib.suppress(OSError):  # The folder may be deleted.
      if os.listdir(folder) == [_FILE]:
        # A refused command leaves nothing behind.
        os.unlink(os.path.join(folder, _FILE))
        if is_new:
          os.rmdir(folder)
    lock.release()


def is_held(folder: str | pathlib.Path) -> bool:
  """Whether a process works in a folder; True if that cannot be known."""
  path = pathlib.Path(folder, _FILE)
  if not path.exists():
    return False
  try:
    with filelock.FileLock(path, timeout=0):
      return False
  except (filelock.Timeout, NotImplementedError, OSError):
    return True

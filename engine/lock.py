"""One training at a time in a train_dir."""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator

from errors import UserError


@contextlib.contextmanager
def only_one(train_dir: str) -> Iterator[None]:
  """Holds train_dir while the body runs; a kill lets go of it too.

  Raises:
    UserError: if another process trains there.
  """
  path = pathlib.Path(train_dir, '.lock')
  with path.open('a') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise UserError(
        f'Another process is training in {train_dir}: wait for it, stop it, or '
        'name another --train_dir.'
      ) from error
    except OSError:
      # Some network file systems have no locks; training can do without.
      yield
      return
    try:
      yield
    finally:
      path.unlink(missing_ok=True)

"""Atomic file writes, and temporary folders."""

import atexit
import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary path that replaces `path` if the body succeeds."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, name = tempfile.mkstemp(
    prefix=f'.{path.stem}.', suffix=path.suffix, dir=path.parent
  )
  os.close(handle)
  temporary = pathlib.Path(name)
  try:
    yield temporary
    # mkstemp's 0600 would hide results from the rest of the team.
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_text(path: str | os.PathLike) -> Iterator[IO[str]]:
  """Yields a text file that replaces `path` if the body succeeds."""
  with (
    replacing(path) as temporary,
    open(temporary, 'w', encoding='utf-8', newline='') as file,
  ):
    yield file


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file atomically; names of files in it keep their bytes."""
  with replacing(path) as temporary:
    temporary.write_text(text, encoding='utf-8', errors='surrogateescape')


def temporary_folder(prefix: str) -> pathlib.Path:
  """Creates a folder in $TMPDIR; deletes it at exit, unless killed."""
  folder = tempfile.mkdtemp(prefix=prefix)
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  return pathlib.Path(folder)

"""Files that appear whole or not at all, and folders that go again."""

import atexit
import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
  """A temporary path beside `path` that takes its place when all went well."""
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


def write_text(path: str | pathlib.Path, text: str) -> None:
  """Writes a text file atomically; names of files in it keep their bytes."""
  with replacing(path) as temporary:
    temporary.write_text(text, encoding='utf-8', errors='surrogateescape')


def temporary_folder(prefix: str) -> pathlib.Path:
  """A new folder in $TMPDIR, deleted when the program ends but by a kill."""
  folder = tempfile.mkdtemp(prefix=prefix)
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  return pathlib.Path(folder)

"""The output folder: complete or not there."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

from engine.run_dir import lock
from errors import UserError

# The file by which a folder is known to hold an exported model.
MARK = 'export.json'
_EXPORTED = re.compile(
  rf'{re.escape(MARK)}|README\.md|saved_model|model(_int8|_float16)?\.(tflite|onnx)'
)
# In the temporary folder: the model that is replaced, and other files.
_OLD, _WORK = 'old', 'work'


def check(output_dir: str | None, overwrite: bool) -> pathlib.Path:
  """Returns the folder to create, without links; mends it after a kill.

  Args:
    output_dir: value of --output_dir.
    overwrite: whether another exported model may be there.

  Raises:
    UserError: if it is not set, or holds something else.
  """
  if not output_dir:
    raise UserError('--output_dir is required: the folder for the model.')
  # A link or '.' cannot be replaced, what it stands for can.
  target = pathlib.Path(os.path.realpath(output_dir))
  _recover(target)
  if target.exists() and not target.is_dir():
    raise UserError(f'{output_dir} is a file: choose another --output_dir.')
  if not target.is_dir() or not any(target.iterdir()):
    return target
  if not (target / MARK).is_file():
    raise UserError(
      f'{output_dir} holds files of something else: choose another '
      '--output_dir.'
    )
  if not overwrite:
    raise UserError(
      f'{output_dir} holds a model already: choose another --output_dir, or set '
      '--overwrite to replace it.'
    )
  if others := _others(target):
    raise UserError(
      f'{output_dir} also holds {", ".join(others[:3])}, which --overwrite would '
      'delete: move that away, or choose another --output_dir.'
    )
  return target


def _others(target: pathlib.Path) -> list[str]:
  """Returns what a folder holds beside a single exported model."""
  names = {path.name for path in target.iterdir()}
  versions = [path.name for path in target.glob('saved_model/*')]
  return [
    *sorted(name for name in names if not _EXPORTED.fullmatch(name)),
    *(f'saved_model/{name}' for name in sorted(versions)[1:]),
  ]


@contextlib.contextmanager
def replacing(
  target: pathlib.Path, overwrite: bool
) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
  """Yields a folder that replaces the target if the body succeeds.

  Args:
    target: the folder to create.
    overwrite: whether another exported model may be there.

  Yields:
    The folder to fill, and one for temporary files, on the same disk.
  """
  target.parent.mkdir(parents=True, exist_ok=True)
  with (
    tempfile.TemporaryDirectory(
      prefix=f'.{target.name}.', dir=target.parent
    ) as name,
    lock.exclusive(name, 'exporting to', '--output_dir'),
  ):
    folder, work = pathlib.Path(name, 'new'), pathlib.Path(name, _WORK)
    folder.mkdir()
    work.mkdir()
    yield folder, work
    # Another process may have written there meanwhile.
    check(str(target), overwrite)
    if target.is_dir():
      target.rename(pathlib.Path(name, _OLD))
    folder.rename(target)


def _recover(target: pathlib.Path) -> None:
  """Deletes what a killed export left, but for a model that it moved away."""
  for folder in target.parent.glob(f'.{glob.escape(target.name)}.*'):
    if (folder / _WORK).is_dir() and not lock.is_held(folder):
      old = folder / _OLD
      if old.is_dir() and not target.exists():
        old.rename(target)
      shutil.rmtree(folder, ignore_errors=True)

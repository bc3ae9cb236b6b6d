"""Atomic file writes, JSON that is checked when read, temporary folders."""

import atexit
import contextlib
import json
import math
import os
import pathlib
import shutil
import stat
import tempfile
import types
import typing
from collections.abc import Iterator
from typing import IO, Any

from errors import UserError

# The largest JSON file that is read; those of this project are far smaller.
_MAX_JSON_BYTES = 64 << 20
_MAX_INT_DIGITS = 18


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
  """Yields a text file that replaces `path` if the body succeeds.

  Names of files in it keep their bytes.
  """
  with (
    replacing(path) as temporary,
    open(
      temporary,
      'w',
      encoding='utf-8',
      errors='surrogateescape',
      newline='',
    ) as file,
  ):
    yield file


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file atomically; names of files in it keep their bytes."""
  with replacing(path) as temporary:
    temporary.write_text(text, encoding='utf-8', errors='surrogateescape')


def write_json(path: str | os.PathLike, content: object) -> None:
  """Writes a JSON file atomically; raises ValueError for NaN or infinity."""
  write_text(path, json.dumps(content, indent=2, allow_nan=False) + '\n')


def read_json(path: str | os.PathLike, kinds: Any, remedy: str = '') -> Any:
  """Reads a JSON file, and checks what it holds.

  Args:
    path: the file.
    kinds: what it must hold: str, int, float or bool; a union, `str | None`;
      `object` for any value; `[kind]` for a list, `{str: kind}` for any keys,
      and `{'key': kind, 'other?': kind}` for these keys, of which those with ?
      may be missing. Keys that are not named are not checked.
    remedy: a sentence for the error that says what to do with the file.

  Returns:
    The content; None if there is no file.

  Raises:
    UserError: names the file, the key and the value, if there is no regular
      file at the path, or its content is not JSON or of another kind.
  """
  try:
    # Opening a pipe would wait for its writer.
    if not stat.S_ISREG(os.stat(path).st_mode):
      kind = 'a folder' if os.path.isdir(path) else 'not a file'
      raise _unusable(path, f'is {kind}', remedy)
    with open(path, 'rb') as file:
      data = file.read(_MAX_JSON_BYTES + 1)
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise _unusable(
      path, f'cannot be read: {error.strerror}', remedy
    ) from error
  if len(data) > _MAX_JSON_BYTES:
    raise _unusable(path, f'has more than {_MAX_JSON_BYTES >> 20} MB', remedy)
  try:
    # Editors of Windows write a byte-order mark.
    text = data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    raise _unusable(
      path, f'is not UTF-8 (byte {error.start})', remedy
    ) from error
  return parse_json(text, kinds, path, remedy)


def parse_json(
  text: str, kinds: Any, source: str | os.PathLike, remedy: str = ''
) -> Any:
  """Parses JSON and checks what it holds, like read_json.

  Args:
    text: the JSON.
    kinds: what it must hold.
    source: what to call it in the error.
    remedy: a sentence for the error.
  """
  try:
    content = json.loads(
      text,
      parse_int=_parse_int,
      parse_float=_parse_float,
      parse_constant=_NotANumber,
    )
  except json.JSONDecodeError as error:
    where = f'{error.msg}, line {error.lineno} column {error.colno}'
    raise _unusable(source, f'is not JSON ({where})', remedy) from error
  except RecursionError as error:
    raise _unusable(source, 'is nested too deep', remedy) from error
  _check_kind(content, kinds, '', source, remedy)
  return content


def _unusable(
  source: str | os.PathLike, problem: str, remedy: str
) -> UserError:
  return UserError(
    f'{os.fspath(source)} {problem}.{" " * bool(remedy)}{remedy}'
  )


class _NotANumber:
  """A number in JSON that no kind accepts: too large, NaN or infinite."""

  def __init__(self, text: str):
    self._text = text

  def __repr__(self) -> str:
    return self._text


def _parse_int(text: str) -> int | _NotANumber:
  too_long = len(text.lstrip('-')) > _MAX_INT_DIGITS
  return _NotANumber(text) if too_long else int(text)


def _parse_float(text: str) -> float | _NotANumber:
  value = float(text)
  return value if math.isfinite(value) else _NotANumber(text)


def _check_kind(
  value: Any, kind: Any, key: str, source: str | os.PathLike, remedy: str
) -> None:
  """Raises UserError unless a value is of a kind; `key` says where it is."""
  if not _is_kind(value, kind):
    shown = _shown(value)
    raise _unusable(
      source,
      f'has {shown} for {key or "its content"}, not {_name(kind)}',
      remedy,
    )
  for name, (item, item_kind) in _items(value, kind).items():
    inner = f'{key}.{name}'.strip('.')
    if item is _MISSING:
      raise _unusable(source, f'lacks {inner}', remedy)
    _check_kind(item, item_kind, inner, source, remedy)


def _shown(value: Any) -> str:
  """Returns a value as JSON has it, shortened."""
  is_number = isinstance(value, _NotANumber)
  text = repr(value) if is_number else json.dumps(value, default=repr)
  return text if len(text) <= 60 else f'{text[:57]}...'


_MISSING = object()
_NAMES = {
  str: 'valid text',
  int: 'a whole number',
  float: 'a number',
  bool: 'true or false',
  dict: 'an object',
  list: 'a list',
  types.NoneType: 'null',
  object: 'a value',
}


def _container(kind: Any) -> Any:
  """Returns the type of a kind: dict for `{'key': kind}`, list for `[kind]`."""
  return type(kind) if isinstance(kind, dict | list) else kind


def _name(kind: Any) -> str:
  """Returns a kind in words: 'a whole number or null'."""
  kinds = typing.get_args(kind) or (_container(kind),)
  return ' or '.join(_NAMES[each] for each in kinds)


def _is_kind(value: Any, kind: Any) -> bool:
  """Whether a value is of a kind, apart from what it contains."""
  if isinstance(kind, types.UnionType):
    return any(_is_kind(value, each) for each in typing.get_args(kind))
  kind = _container(kind)
  if isinstance(value, bool | _NotANumber):
    return isinstance(value, bool) and kind in (bool, object)
  if isinstance(value, str):
    return kind in (str, object) and is_text(value)
  return isinstance(value, int | float if kind is float else kind)


def is_text(value: str) -> bool:
  """Whether the system accepts a text as a path: no NUL, no half characters."""
  try:
    return b'\0' not in os.fsencode(value)
  except UnicodeEncodeError:
    return False


def _items(value: Any, kind: Any) -> dict[Any, tuple[Any, Any]]:
  """Returns key -> value and kind of everything that a value must contain."""
  if isinstance(kind, list):
    return {number: (item, kind[0]) for number, item in enumerate(value)}
  if not isinstance(kind, dict):
    return {}
  if str in kind:
    return {name: (item, kind[str]) for name, item in value.items()}
  found: dict[Any, tuple[Any, Any]] = {}
  for name, item_kind in kind.items():
    item = value.get(name.removesuffix('?'), _MISSING)
    if item is not _MISSING or not name.endswith('?'):
      found[name.removesuffix('?')] = item, item_kind
  return found


def temporary_folder(prefix: str) -> pathlib.Path:
  """Creates a folder in $TMPDIR; deletes it at exit, unless killed."""
  folder = tempfile.mkdtemp(prefix=prefix)
  _temporary_folders.append(folder)
  return pathlib.Path(folder)


@atexit.register
def delete_temporary_folders() -> None:
  """Deletes what `temporary_folder` has created."""
  while _temporary_folders:
    shutil.rmtree(_temporary_folders.pop(), ignore_errors=True)


_temporary_folders: list[str] = []

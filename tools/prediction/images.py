"""The encoded images that are classified, read in parallel and in order."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from datasets import photo
from datasets.archive import Blob
from datasets.example_features import UnusableError

# Images that are read at once, while others are classified.
_PART = 64


class Images:
  """Image files, of which those that cannot be read are omitted.

  An ordinary JPEG is not decoded to check it: its decoding for the network does
  so. If that fails, `check_next` omits it.

  Args:
    paths: the files.
  """

  def __init__(self, paths: Sequence[pathlib.Path]):
    self._paths = paths
    self._next = 0
    self._to_check = 0

  def __call__(self) -> Iterator[tuple[list[int], list[bytes]]]:
    """Yields numbers and bytes, as converted, of the images not classified."""
    to_check = self._to_check
    with ThreadPoolExecutor() as pool:
      for start in range(self._next, len(self._paths), _PART):
        read = _read_checked if to_check > 0 else _read
        contents = pool.map(read, self._paths[start : start + _PART])
        good = {n: data for n, data in enumerate(contents, start) if data}
        to_check -= len(good)
        yield [*good], [*good.values()]

  def classified(self, numbers: Sequence[int]) -> None:
    """Notes that images up to the last of these are classified."""
    self._next = int(numbers[-1]) + 1
    self._to_check = 0

  def check_next(self, count: int) -> bool:
    """Lets the next call check at least that many images by decoding them.

    Returns:
      False if they were checked already.
    """
    is_new = not self._to_check
    self._to_check = count
    return is_new


def find_problem(path: pathlib.Path) -> str:
  """Returns why an image cannot be read."""
  try:
    _checked(_content(path), path)
  except (UnusableError, OSError) as error:
    return getattr(error, 'strerror', None) or str(error)
  return 'it changed meanwhile'


def _read(path: pathlib.Path) -> bytes | None:
  """Returns an image's bytes, as converted, or None if it cannot be read."""
  with contextlib.suppress(UnusableError, OSError):
    data = _content(path)
    return data if photo.is_ordinary(data) else _checked(data, path)
  return None


def _read_checked(path: pathlib.Path) -> bytes | None:
  """Returns what _read does, but decodes ordinary images as well."""
  with contextlib.suppress(UnusableError, OSError):
    return _checked(_content(path), path)
  return None


def _content(path: pathlib.Path) -> bytes:
  return photo.read(Blob(str(path)))


def _checked(data: bytes, path: pathlib.Path) -> bytes:
  return photo.check_bytes(data, path.name).data

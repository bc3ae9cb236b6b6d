"""Original files in a folder, or in a tar archive that stays packed.

Members of an archive are read in place. Nothing is extracted, so no name in an
archive can lead outside.
"""

import bz2
import dataclasses
import gzip
import lzma
import os
import pathlib
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from errors import UserError
from files import temporary_folder

# Photos are compressed already: a file that shrinks a hundredfold is an attack.
MOST_EXPANSION = 100
_ALWAYS_ALLOWED = 1 << 28  # bytes
_CHUNK = 1 << 22  # bytes
_IGNORED = ('__MACOSX', 'Thumbs.db')
_MAGIC: dict[bytes, Callable[..., Any]] = {
  b'\x1f\x8b': gzip.open,
  b'BZh': bz2.open,
  b'\xfd7zXZ': lzma.open,
}


@dataclasses.dataclass(frozen=True)
class Blob:
  """A file, or a range of bytes in one.

  Attributes:
    path: path of the file.
    offset: position of the first byte.
    size: length in bytes; -1 reads to the end of the file.
    modified: modification time of the file, or of the archive that contains
      it, in nanoseconds.
  """

  path: str
  offset: int = 0
  size: int = -1
  modified: int = 0

  def read(self) -> bytes:
    with open(self.path, 'rb') as file:
      file.seek(self.offset)
      return file.read(self.size)


def file_blob(path: str | os.PathLike) -> Blob:
  """Returns the blob of an existing file."""
  stat = os.stat(path)
  return Blob(os.fspath(path), 0, stat.st_size, stat.st_mtime_ns)


def list_files(source: pathlib.Path) -> dict[str, Blob]:
  """Returns relative path -> blob, sorted by path, of a folder or tar archive.

  Skips hidden files, and symbolic links in archives.

  Raises:
    UserError: if the source is neither, or the archive is damaged.
  """
  if source.is_dir():
    files = dict(_walk(source, '', ()))
  else:
    files = {name: blob for name, blob in members(source) if _visible(name)}
  return dict(sorted(files.items()))


def members(archive: pathlib.Path) -> Iterator[tuple[str, Blob]]:
  """Yields (name, blob) of the regular files in a tar archive, in its order.

  Raises:
    UserError: if it is not a tar archive, or damaged.
  """
  yield from _members(file_blob(_decompressed(archive)))


def members_of_member(archive: Blob) -> Iterator[tuple[str, Blob]]:
  """Yields what `members` does for an archive within another archive."""
  yield from _members(archive)


def without_root(files: dict[str, Blob]) -> dict[str, Blob]:
  """Removes the top folder from all paths if it is the only one."""
  roots = {path.partition('/')[0] for path in files}
  if len(roots) != 1 or roots & set(files):
    return files
  return {path.partition('/')[2]: files[path] for path in files}


def _walk(
  folder: pathlib.Path, prefix: str, ancestors: tuple[str, ...]
) -> Iterator[tuple[str, Blob]]:
  """Yields the visible files below a folder; follows links, but no cycles."""
  real = os.path.realpath(folder)
  if real in ancestors:
    return
  with os.scandir(folder) as entries:
    for entry in entries:
      name = prefix + entry.name
      if not _visible(entry.name):
        continue
      if entry.is_dir():
        yield from _walk(folder / entry.name, f'{name}/', (*ancestors, real))
      elif entry.is_file():
        yield name, file_blob(entry.path)
      elif entry.is_symlink():
        # A broken link: reading it reports an error; skipping it would not.
        yield name, Blob(entry.path)


def _visible(name: str) -> bool:
  """Whether no part of a path is hidden or created by an operating system."""
  return not any(
    part.startswith('.') or part in _IGNORED
    for part in pathlib.PurePosixPath(name).parts
  )


def _members(archive: Blob) -> Iterator[tuple[str, Blob]]:
  """Yields the members of an uncompressed archive, read from their headers."""
  try:
    with open(archive.path, 'rb') as file:
      file.seek(archive.offset)
      with tarfile.open(fileobj=file, mode='r:') as tar:
        previous: dict[str, Blob] = {}
        for member in tar:
          # A hard link is another name of an earlier member.
          blob = previous.get(member.linkname) if member.islnk() else None
          if member.isreg() and not member.issparse():
            blob = dataclasses.replace(
              archive, offset=member.offset_data, size=member.size
            )
            _check_inside(archive, member.name, blob)
          if blob:
            previous[member.name] = blob
            yield member.name.removeprefix('./').lstrip('/'), blob
  # A damaged header makes tarfile raise almost anything.
  except (OSError, EOFError, ValueError, tarfile.TarError) as error:
    if isinstance(error, UserError):
      raise
    raise UserError(
      f'Cannot read {archive.path} as a tar archive: {error}. The originals '
      'must be in a folder or a tar archive.'
    ) from error


def _check_inside(archive: Blob, name: str, blob: Blob) -> None:
  """Raises ValueError unless a member lies within its archive."""
  end = archive.offset + archive.size
  if not archive.offset <= blob.offset <= blob.offset + blob.size <= end:
    raise ValueError(f'{name!r} is truncated')


def _decompressed(archive: pathlib.Path) -> pathlib.Path:
  """Returns the archive, or a temporary copy without its compression.

  The copy has the archive's modification time.
  """
  with archive.open('rb') as file:
    start = file.read(6)
  opener = next((o for m, o in _MAGIC.items() if start.startswith(m)), None)
  if opener is None:
    return archive
  target = temporary_folder('unpacked_') / f'{archive.name}.tar'
  limit = max(_ALWAYS_ALLOWED, MOST_EXPANSION * archive.stat().st_size)
  try:
    with opener(archive) as packed, target.open('wb') as plain:
      while chunk := packed.read(_CHUNK):
        plain.write(chunk)
        if plain.tell() > limit:
          raise OSError(f'it grows beyond {limit:,} bytes')
    shutil.copystat(archive, target)
  except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
    raise UserError(f'Cannot unpack {archive}: {error}.') from error
  return target

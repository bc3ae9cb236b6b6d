"""A tree of original files: a folder, or a tar archive that stays packed.

An archive's members are read where they lie in it. None is ever written, so no
name in an archive can lead outside.
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
from collections.abc import Iterator

from errors import UserError
from files import temporary_folder

# Photos are compressed already: what shrinks a hundredfold is meant to harm.
MOST_EXPANSION = 100
_ALWAYS_ALLOWED = 1 << 28  # bytes
_CHUNK = 1 << 22  # bytes
_IGNORED = ('__MACOSX', 'Thumbs.db')
_MAGIC = {b'\x1f\x8b': gzip.open, b'BZh': bz2.open, b'\xfd7zXZ': lzma.open}


@dataclasses.dataclass(frozen=True)
class Blob:
  """Where some bytes lie: a file, or a part of one.

  Attributes:
    path: of the file.
    offset: of the first byte.
    size: in bytes; -1: all there are.
    modified: when the file, or the archive it is of, was written last, in
      nanoseconds.
  """

  path: str
  offset: int = 0
  size: int = -1
  modified: int = 0

  def read(self) -> bytes:
    with open(self.path, 'rb') as file:
      file.seek(self.offset)
      return file.read(self.size)


def whole(path: str | os.PathLike) -> Blob:
  """A file that is there."""
  stat = os.stat(path)
  return Blob(os.fspath(path), 0, stat.st_size, stat.st_mtime_ns)


def list_files(source: pathlib.Path) -> dict[str, Blob]:
  """Relative path -> file, sorted by path, of a folder or a tar archive.

  Hidden files are left out, and symbolic links in archives.

  Raises:
    UserError: if the source is neither, or the archive is damaged.
  """
  if source.is_dir():
    files = dict(_walk(source, '', ()))
  else:
    files = {name: blob for name, blob in members(source) if _visible(name)}
  return dict(sorted(files.items()))


def members(archive: pathlib.Path) -> Iterator[tuple[str, Blob]]:
  """(Name, bytes) of the regular files in a tar archive, in its order.

  Raises:
    UserError: if it is no tar archive, or damaged.
  """
  yield from _members(whole(_decompressed(archive)))


def members_of_member(archive: Blob) -> Iterator[tuple[str, Blob]]:
  """As `members`, of an archive that is a member of another."""
  yield from _members(archive)


def without_root(files: dict[str, Blob]) -> dict[str, Blob]:
  """Paths without the one folder that all are in, as archives have it."""
  roots = {path.partition('/')[0] for path in files}
  if len(roots) != 1 or roots & set(files):
    return files
  return {path.partition('/')[2]: files[path] for path in files}


def _walk(
  folder: pathlib.Path, prefix: str, above: tuple[str, ...]
) -> Iterator[tuple[str, Blob]]:
  """The visible files below a folder, links followed, but never in circles."""
  real = os.path.realpath(folder)
  if real in above:
    return
  with os.scandir(folder) as entries:
    for entry in entries:
      name = prefix + entry.name
      if not _visible(entry.name):
        continue
      if entry.is_dir():
        yield from _walk(folder / entry.name, f'{name}/', (*above, real))
      elif entry.is_file():
        yield name, whole(entry.path)
      elif entry.is_symlink():
        # It leads nowhere: who reads it is told, rather than has it missing.
        yield name, Blob(entry.path)


def _visible(name: str) -> bool:
  """Whether no part of a path is hidden or an operating system's own."""
  return not any(
    part.startswith('.') or part in _IGNORED
    for part in pathlib.PurePosixPath(name).parts
  )


def _members(archive: Blob) -> Iterator[tuple[str, Blob]]:
  """Members by their headers, within the bytes of a plain archive."""
  try:
    with open(archive.path, 'rb') as file:
      file.seek(archive.offset)
      with tarfile.open(fileobj=file, mode='r:') as tar:
        seen: dict[str, Blob] = {}
        for member in tar:
          # A hard link is a further name of a member before it.
          blob = seen.get(member.linkname) if member.islnk() else None
          if member.isreg() and not member.issparse():
            blob = dataclasses.replace(
              archive, offset=member.offset_data, size=member.size
            )
            _check_inside(archive, member.name, blob)
          if blob:
            seen[member.name] = blob
            yield member.name.removeprefix('./').lstrip('/'), blob
  # A damaged header makes tarfile raise almost anything.
  except (OSError, EOFError, ValueError, tarfile.TarError) as error:
    if isinstance(error, UserError):
      raise
    raise UserError(
      f'Cannot read {archive.path} as a tar archive: {error}. Originals are to '
      'be a folder or a tar archive.'
    ) from error


def _check_inside(archive: Blob, name: str, blob: Blob) -> None:
  """Refuses a member that begins or ends outside its archive."""
  end = archive.offset + archive.size
  if not archive.offset <= blob.offset <= blob.offset + blob.size <= end:
    raise ValueError(f'{name!r} is cut short')


def _decompressed(archive: pathlib.Path) -> pathlib.Path:
  """The archive itself, or a copy without its compression.

  The copy is as old as the archive.
  """
  with archive.open('rb') as file:
    start = file.read(6)
  opener = next((o for m, o in _MAGIC.items() if start.startswith(m)), None)
  if opener is None:
    return archive
  target = temporary_folder('unpacked_') / f'{archive.name}.tar'
  most = max(_ALWAYS_ALLOWED, MOST_EXPANSION * archive.stat().st_size)
  try:
    with opener(archive) as packed, target.open('wb') as plain:
      while chunk := packed.read(_CHUNK):
        plain.write(chunk)
        if plain.tell() > most:
          raise OSError(f'it grows beyond {most:,} bytes')
    shutil.copystat(archive, target)
  except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
    raise UserError(f'Cannot unpack {archive}: {error}.') from error
  return target

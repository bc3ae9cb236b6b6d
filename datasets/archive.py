"""Original files in a folder, or in a tar or zip archive that stays packed.

Members of a tar archive are read in place, those of a compressed archive from
one temporary file. No name in an archive becomes that of a file, so none can
lead outside.
"""

import bz2
import contextlib
import dataclasses
import gzip
import lzma
import os
import pathlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

from errors import UserError
from files import temporary_folder

# Photos are compressed already: a file that shrinks a hundredfold is an attack.
MOST_EXPANSION = 100
_ALWAYS_ALLOWED = 1 << 28  # bytes
_CHUNK = 1 << 22  # bytes
_IGNORED = ('__MACOSX', 'Thumbs.db')
_ZIP = b'PK\x03\x04', b'PK\x05\x06'  # the second is of an empty archive
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

  def read(self, most: int | None = None) -> bytes:
    """Returns the bytes.

    Args:
      most: the largest accepted number of bytes.

    Raises:
      OSError: if there are more, or if the path is not that of a file: reading
        a device or a pipe may never end.
    """
    with open(self.path, 'rb', opener=_open_file) as file:
      size = os.fstat(file.fileno()).st_size if self.size < 0 else self.size
      if most is not None and size > most:
        raise OSError(f'it has {size:,} bytes, more than {most:,}')
      file.seek(self.offset)
      return file.read(size)


def _open_file(path: str, flags: int) -> int:
  """Opens a file; neither reads anything else nor waits for it."""
  handle = os.open(path, flags | os.O_NONBLOCK)
  mode = os.fstat(handle).st_mode
  if not stat.S_ISREG(mode):
    os.close(handle)
    kind = 'a folder' if stat.S_ISDIR(mode) else 'a device or pipe'
    raise OSError(f'it is {kind}, not a file')
  return handle


@dataclasses.dataclass(frozen=True)
class Tree:
  """The content of a folder or an archive; paths are relative to it.

  Attributes:
    files: path -> blob, sorted by path.
    folders: paths of all folders, also of empty ones.
  """

  files: dict[str, Blob]
  folders: frozenset[str]

  def without_root(self) -> 'Tree':
    """Removes the top folder from all paths if nothing is beside it."""
    roots = {path.partition('/')[0] for path in (*self.files, *self.folders)}
    if len(roots) != 1 or roots & {*self.files}:
      return self
    inner = (path.partition('/')[2] for path in self.folders)
    return Tree(
      {path.partition('/')[2]: blob for path, blob in self.files.items()},
      frozenset(filter(None, inner)),
    )


def file_blob(path: str | os.PathLike) -> Blob:
  """Returns the blob of an existing file."""
  status = os.stat(path)
  return Blob(os.fspath(path), 0, status.st_size, status.st_mtime_ns)


def list_tree(source: pathlib.Path) -> Tree:
  """Lists a folder or archive, without hidden files and links in archives.

  Raises:
    UserError: if the source is neither, or the archive is damaged.
  """
  files: dict[str, Blob] = {}
  folders: set[str] = set()
  outside: list[str] = []
  for path, blob in (
    _walk(source, '', ()) if source.is_dir() else _entries(source)
  ):
    if not _visible(path):
      outside += [path] if '..' in path.split('/') else []
    elif blob is None:
      folders.add(path)
    else:
      files[path] = blob
      folders.update(_parents(path))
  _warn_of_ignored(source, outside, 'members whose names lead out of it')
  return Tree(dict(sorted(files.items())), frozenset(folders))


def list_files(source: pathlib.Path) -> dict[str, Blob]:
  """Returns the files of `list_tree`."""
  return list_tree(source).files


def members(archive: pathlib.Path) -> Iterator[tuple[str, Blob]]:
  """Yields (name, blob) of the regular files in an archive, in its order.

  Raises:
    UserError: if it is not an archive, or damaged.
  """
  yield from _only_files(_entries(archive))


def members_of_member(archive: Blob) -> Iterator[tuple[str, Blob]]:
  """Yields what `members` does for a tar archive within another archive."""
  yield from _only_files(_tar_entries(archive))


def _only_files(
  entries: Iterable[tuple[str, Blob | None]],
) -> Iterator[tuple[str, Blob]]:
  return ((name, blob) for name, blob in entries if blob is not None)


def _parents(path: str) -> Iterator[str]:
  """Yields the folders above a path: 'a/b/c' -> 'a/b', 'a'."""
  while path := path.rpartition('/')[0]:
    yield path


def _walk(
  folder: pathlib.Path, prefix: str, ancestors: tuple[str, ...]
) -> Iterator[tuple[str, Blob | None]]:
  """Yields the visible files below a folder, and None for each folder.

  Follows links, but no cycles. What cannot be read, such as a broken link or a
  pipe, is yielded too: reading it reports an error; skipping it would not.
  """
  real = os.path.realpath(folder)
  if real in ancestors:
    return
  with os.scandir(folder) as entries:
    for entry in entries:
      name = prefix + entry.name
      if not _visible(entry.name):
        continue
      if entry.is_dir():
        yield name, None
        yield from _walk(folder / entry.name, f'{name}/', (*ancestors, real))
      elif entry.is_file():
        yield name, file_blob(entry.path)
      else:
        yield name, Blob(entry.path)


def _visible(name: str) -> bool:
  """Whether no part of a path is hidden or created by an operating system."""
  parts = pathlib.PurePosixPath(name).parts
  return bool(parts) and not any(
    part.startswith('.') or part in _IGNORED for part in parts
  )


def _entries(archive: pathlib.Path) -> Iterable[tuple[str, Blob | None]]:
  """Returns the files in an archive, and None for each folder."""
  with open(archive, 'rb', opener=_open_file) as file:
    start = file.read(6)
  if start.startswith(_ZIP):
    return _zip_entries(archive)
  opener = next((o for m, o in _MAGIC.items() if start.startswith(m)), None)
  plain = _decompressed(archive, opener) if opener else archive
  return _tar_entries(file_blob(plain))


def _relative(name: str) -> str:
  """Returns an archive's name for a member, as a relative path."""
  return name.removeprefix('./').strip('/')


def _tar_entries(archive: Blob) -> Iterator[tuple[str, Blob | None]]:
  """Yields the entries of an uncompressed archive, read from their headers."""
  others: list[str] = []
  try:
    with open(archive.path, 'rb', opener=_open_file) as file:
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
          if blob or member.isdir():
            yield _relative(member.name), blob
          else:
            others.append(member.name)
        _check_end(archive, file, tar.offset)
  # A damaged header makes tarfile raise almost anything.
  except (OSError, EOFError, ValueError, tarfile.TarError) as error:
    if isinstance(error, UserError):
      raise
    raise UserError(
      f'Cannot read {archive.path} as a tar archive: {error}. The originals '
      'must be in a folder or in a tar or zip archive.'
    ) from error
  _warn_of_others(archive.path, others)


def _zip_entries(archive: pathlib.Path) -> list[tuple[str, Blob | None]]:
  """Unpacks a zip archive into one temporary file; returns its entries."""
  entries: list[tuple[str, Blob | None]] = []
  links: list[str] = []
  modified = archive.stat().st_mtime_ns
  with _unpacking(archive) as plain, zipfile.ZipFile(archive) as packed:
    _check_directory(archive, len(packed.infolist()))
    for member in packed.infolist():
      name = _relative(member.filename.replace('\\', '/'))
      if member.is_dir():
        entries.append((name, None))
      elif stat.S_ISLNK(member.external_attr >> 16):
        links.append(name)
      else:
        start = plain.tell()
        with packed.open(member) as file:
          _copy(file, plain, archive)
        blob = Blob(plain.name, start, plain.tell() - start, modified)
        entries.append((name, blob))
  _warn_of_others(archive, links)
  return entries


def _check_directory(archive: pathlib.Path, found: int) -> None:
  """Checks that as many members were found as the archive says it has.

  A damaged length hides the members after it, and zipfile does not tell.

  Raises:
    zipfile.BadZipFile: if there are fewer or more.
  """
  with open(archive, 'rb', opener=_open_file) as file:
    size = file.seek(0, os.SEEK_END)
    # The last record, with a comment of up to 64 KiB.
    file.seek(max(0, size - 22 - 0xFFFF))
    data = file.read()
  start = data.rfind(b'PK\x05\x06')
  total = int.from_bytes(data[start + 10 : start + 12], 'little')
  # Archives of more members have the number elsewhere, or count modulo 2^16.
  if total != 0xFFFF and total != found % 0x10000:
    raise zipfile.BadZipFile(f'its directory lists {found} of {total} members')


def _warn_of_others(archive: str | os.PathLike, names: Iterable[str]) -> None:
  """Warns of what an archive holds beside files and folders."""
  others = [name for name in names if _visible(name)]
  _warn_of_ignored(archive, others, 'links or other members that are not files')


def _warn_of_ignored(
  archive: str | os.PathLike, names: Sequence[str], what: str
) -> None:
  """Warns of the members of an archive that are ignored, if there are any."""
  from absl import logging  # Worker processes start faster without it.

  if names:
    logging.warning(
      '%s: ignored %d %s, such as %s', archive, len(names), what, names[0]
    )


def _check_end(archive: Blob, file: IO[bytes], offset: int) -> None:
  """Checks that the members end where the archive does.

  A damaged header ends them as well, also one of zeros, and tarfile does not
  tell.

  Raises:
    ValueError: if there is something else than zeros.
  """
  from absl import logging  # Worker processes start faster without it.

  file.seek(offset)
  end = archive.offset + archive.size
  if offset >= end:
    logging.warning(
      '%s has no mark at its end: it may be truncated.', archive.path
    )
  while chunk := file.read(min(1 << 20, end - file.tell())):
    if any(chunk):
      raise ValueError(
        f'the header at byte {offset:,} is damaged, or another archive follows'
      )


def _check_inside(archive: Blob, name: str, blob: Blob) -> None:
  """Raises ValueError unless a member lies within its archive."""
  end = archive.offset + archive.size
  if not archive.offset <= blob.offset <= blob.offset + blob.size <= end:
    raise ValueError(f'{name!r} is truncated')


def _decompressed(
  archive: pathlib.Path, opener: Callable[..., Any]
) -> pathlib.Path:
  """Returns a temporary copy of an archive without its compression.

  The copy has the archive's modification time.
  """
  with _unpacking(archive) as plain, opener(archive) as packed:
    _copy(packed, plain, archive)
  shutil.copystat(archive, plain.name)
  return pathlib.Path(plain.name)


@contextlib.contextmanager
def _unpacking(archive: pathlib.Path) -> Iterator[IO[bytes]]:
  """Yields a temporary file for an archive's content.

  Raises:
    UserError: names the archive, instead of any error in the body.
  """
  target = temporary_folder('unpacked_') / f'{archive.name}.tar'
  try:
    with target.open('wb') as plain:
      yield plain
  # Damaged archives make the modules that read them raise almost anything.
  except Exception as error:
    raise UserError(f'Cannot unpack {archive}: {error}.') from error


def _copy(packed: IO[bytes], plain: IO[bytes], archive: pathlib.Path) -> None:
  """Appends a stream to a file; raises OSError if the archive is a bomb."""
  limit = max(_ALWAYS_ALLOWED, MOST_EXPANSION * archive.stat().st_size)
  while chunk := packed.read(_CHUNK):
    plain.write(chunk)
    if plain.tell() > limit:
      raise OSError(f'it grows beyond {limit:,} bytes')

"""Downloads of originals, verified against their published checksums."""

import dataclasses
import hashlib
import http
import http.client
import pathlib
import urllib.error
import urllib.request

import tqdm

from errors import UserError

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30  # seconds without a byte


@dataclasses.dataclass(frozen=True)
class Download:
  """A file to download: its URL, and the MD5 that its authors publish or None."""

  url: str
  md5: str | None

  @property
  def name(self) -> str:
    return self.url.rpartition('/')[2]


def fetch(
  download: Download,
  folder: pathlib.Path,
  remedy: str = 'pass its folder with --source_dir',
) -> pathlib.Path:
  """Downloads a file into a folder, unless it is there, and verifies it.

  The file appears complete or not at all. If the connection is interrupted, a
  hidden file keeps the received bytes, and the next call requests the rest.

  Args:
    download: the file.
    folder: the folder.
    remedy: what to do with a file that was downloaded by other means.

  Returns:
    The file's path.

  Raises:
    UserError: if the host cannot be reached, the connection is interrupted, or
      the checksum is wrong.
  """
  path = folder / download.name
  part = folder / f'.{download.name}.part'
  if path.exists() and download.md5 in (None, _md5(path)):
    return path
  try:
    _stream(download, part)
    digest = _md5(part)
    if download.md5 not in (None, digest):
      part.unlink()
      raise OSError(f'its MD5 is {digest}, not {download.md5}')
    part.replace(path)
  except (OSError, http.client.HTTPException) as error:
    if isinstance(error, urllib.error.HTTPError):
      error.close()  # It is also the response, which owns the connection.
    reason = getattr(error, 'reason', None) or error
    raise UserError(
      f'Cannot download {download.url}: {reason}. Try again, or download it by '
      f'other means and {remedy}.'
    ) from error
  return path


def _stream(download: Download, part: pathlib.Path) -> None:
  """Downloads the rest of a file, with a progress bar on a terminal."""
  with _open(download.url, _size(part)) as response:
    # A host without support for ranges sends the file from its start.
    start = (
      _size(part) if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
    )
    length = response.headers.get('Content-Length')
    total = start + int(length) if length else None
    with (
      part.open('ab' if start else 'wb') as file,
      tqdm.tqdm(
        desc=download.name,
        total=total,
        initial=start,
        unit='B',
        unit_scale=True,
        disable=None,
      ) as progress,
    ):
      while chunk := response.read(_CHUNK):
        file.write(chunk)
        progress.update(len(chunk))
  if total not in (None, _size(part)):
    raise OSError(
      f'the connection was interrupted at byte {_size(part)} of {total}'
    )


def _open(url: str, start: int) -> http.client.HTTPResponse:
  """Returns the host's response to a request for the bytes from `start` on."""
  request = urllib.request.Request(url)
  if start:
    request.add_header('Range', f'bytes={start}-')
  try:
    return urllib.request.urlopen(request, timeout=_TIMEOUT)
  except urllib.error.HTTPError as error:
    if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
      raise
    # `part` is complete, or part of another file: start from the beginning.
    error.close()
    return urllib.request.urlopen(url, timeout=_TIMEOUT)


def _size(path: pathlib.Path) -> int:
  """Returns the size of a file in bytes; 0 if it does not exist."""
  return path.stat().st_size if path.exists() else 0


def _md5(path: pathlib.Path) -> str:
  """Returns the file's MD5 in hexadecimal: it detects damage, not malice."""
  digest = hashlib.md5(usedforsecurity=False)
  with path.open('rb') as file:
    while chunk := file.read(_CHUNK):
      digest.update(chunk)
  return digest.hexdigest()

"""Files from the authors' hosts, each checked against its published sum."""

import dataclasses
import hashlib
import http.client
import pathlib
import urllib.error
import urllib.request

import tqdm

from errors import UserError
from files import replacing

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30  # seconds without a byte


@dataclasses.dataclass(frozen=True)
class Download:
  """One file to fetch: its address and the MD5 its authors publish."""

  url: str
  md5: str

  @property
  def name(self) -> str:
    return self.url.rpartition('/')[2]


def fetch(download: Download, folder: pathlib.Path) -> pathlib.Path:
  """Fetches a file, unless folder has it; it appears whole and checked.

  Raises:
    UserError: if the host cannot be reached, the connection is cut, or the
      checksum is wrong. Nothing is left of the file then.
  """
  path = folder / download.name
  if path.exists() and _md5(path) == download.md5:
    return path
  try:
    with replacing(path) as partial:
      _stream(download, partial)
      digest = _md5(partial)
      if digest != download.md5:
        raise OSError(f'its MD5 is {digest}, not {download.md5}')
  except (OSError, http.client.HTTPException) as error:
    if isinstance(error, urllib.error.HTTPError):
      error.close()  # It is the host's answer too, and holds the connection.
    reason = getattr(error, 'reason', None) or error
    raise UserError(
      f'Cannot download {download.url}: {reason}. Try again, or fetch it by '
      'other means and name its folder with --source_dir.'
    ) from error
  return path


def _stream(download: Download, partial: pathlib.Path) -> None:
  """Copies the address to a file, chunk by chunk, with a bar on a terminal."""
  with (
    urllib.request.urlopen(download.url, timeout=_TIMEOUT) as response,
    partial.open('wb') as file,
    tqdm.tqdm(
      desc=download.name,
      total=int(response.headers.get('Content-Length', 0)) or None,
      unit='B',
      unit_scale=True,
      disable=None,
    ) as progress,
  ):
    while chunk := response.read(_CHUNK):
      file.write(chunk)
      progress.update(len(chunk))


def _md5(path: pathlib.Path) -> str:
  """The file's MD5 in hexadecimal: it guards against damage, not malice."""
  digest = hashlib.md5(usedforsecurity=False)
  with path.open('rb') as file:
    while chunk := file.read(_CHUNK):
      digest.update(chunk)
  return digest.hexdigest()

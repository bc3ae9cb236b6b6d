"""The bytes of record files: plain, or compressed by gzip or zlib.

TensorFlow must be told the compression of a file. It is recognized by the first
bytes, so the files of a split may differ.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Protocol

import google_crc32c

from tf_compat import tf

# A record is its length (8 bytes), the length's checksum (4), the data, and
# the data's checksum (4).
HEADER, FOOTER = 12, 4
_PIECE = 1 << 12  # bytes of a compressed file; an error loses what one holds
_CHUNK = 1 << 20  # bytes that are inflated at once
# tf.data's name of a compression -> the parameter of zlib that selects it.
_WINDOW_BITS = {'GZIP': 16 + zlib.MAX_WBITS, 'ZLIB': zlib.MAX_WBITS}
_GZIP_START = b'\x1f\x8b\x08'


class RecordBytes(Protocol):
  """The uncompressed bytes of a record file, from its start to its end.

  Attributes:
    damage: why no more bytes can be read before the end of the file, as the end
      of a sentence, or None.
  """

  damage: str | None

  def missing(self, size: int) -> int:
    """Returns by how many bytes the file ends before the next `size`."""

  def read(self, size: int) -> bytes:
    """Returns the next bytes: fewer than `size` only at the end."""

  def skip(self, size: int) -> bool:
    """Skips the next bytes; returns whether the file has so many."""


@contextlib.contextmanager
def open_bytes(path: str | os.PathLike) -> Iterator[RecordBytes]:
  """Opens a record file; nothing allocates more than the file contains."""
  kind = compression(path)
  with open(path, 'rb') as file:
    yield _Compressed(file, _WINDOW_BITS[kind]) if kind else _Plain(file)


def compression(path: str | os.PathLike) -> str:
  """Returns tf.data's name for the compression of a file; '' for none."""
  try:
    with open(path, 'rb') as file:
      start = file.read(_PIECE)
  except OSError:
    return ''  # TensorFlow reports that the file cannot be read.
  if has_intact_length(start):
    return ''
  if start.startswith(_GZIP_START):
    return 'GZIP'
  with contextlib.suppress(zlib.error):
    if has_intact_length(zlib.decompressobj().decompress(start, HEADER)):
      return 'ZLIB'
  return ''


def sources(files: Sequence[str]) -> tf.data.Dataset:
  """Returns the arguments of tf.data.TFRecordDataset for each file."""
  return tf.data.Dataset.from_tensor_slices(
    (list(files), [compression(file) for file in files])
  )


def uncompressed_size(path: str | os.PathLike) -> int:
  """Returns the size in bytes; of a compressed file, judged by its start."""
  size = os.path.getsize(path)
  kind = compression(path)
  if not kind:
    return size
  with open(path, 'rb') as file:
    start = file.read(_CHUNK)
  stream = zlib.decompressobj(_WINDOW_BITS[kind])
  with contextlib.suppress(zlib.error):
    content = len(stream.decompress(start, _CHUNK))
    return size * content // (len(start) - len(stream.unconsumed_tail))
  return size


def has_intact_length(header: bytes) -> bool:
  """Whether the bytes start with a record's length and its checksum."""
  return len(header) >= HEADER and checksum(header[:8]) == header[8:HEADER]


def checksum(data: bytes) -> bytes:
  """Returns the masked CRC-32C of lengths and data in TFRecord files."""
  crc = google_crc32c.value(data)
  masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
  return struct.pack('<I', masked)


class _Plain:
  """The bytes of a file that is not compressed."""

  damage: str | None = None

  def __init__(self, file: IO[bytes]):
    self._file = file
    self._size = os.fstat(file.fileno()).st_size

  def missing(self, size: int) -> int:
    return max(0, self._file.tell() + size - self._size)

  def read(self, size: int) -> bytes:
    return self._file.read(size)

  def skip(self, size: int) -> bool:
    if self.missing(size):
      return False
    self._file.seek(size, os.SEEK_CUR)
    return True


class _Compressed:
  """The bytes of a compressed file, inflated as they are read."""

  def __init__(self, file: IO[bytes], window_bits: int):
    self.damage: str | None = None
    self._pieces = iter(lambda: file.read(_PIECE), b'')
    self._window_bits = window_bits
    self._inflated = self._inflate()
    self._ahead = bytearray()

  def missing(self, size: int) -> int:
    while (
      len(self._ahead) < size
      and (more := next(self._inflated, None)) is not None
    ):
      self._ahead += more
    return max(0, size - len(self._ahead))

  def read(self, size: int) -> bytes:
    self.missing(size)
    data = bytes(self._ahead[:size])
    del self._ahead[:size]
    return data

  def skip(self, size: int) -> bool:
    while size > 0 and (data := self.read(min(size, _CHUNK))):
      size -= len(data)
    return size == 0

  def _inflate(self) -> Iterator[bytes]:
    """Yields the content; at damage, sets `damage` and ends."""
    stream = zlib.decompressobj(self._window_bits)
    try:
      for piece in self._pieces:
        while True:
          if stream.eof:  # gzip files may be joined.
            stream = zlib.decompressobj(self._window_bits)
          data = stream.decompress(piece, _CHUNK)
          yield data
          piece = stream.unused_data or stream.unconsumed_tail
          if not piece and (stream.eof or len(data) < _CHUNK):
            break
      if not stream.eof:
        self.damage = 'cannot be read: the compressed file is truncated'
    except zlib.error as error:
      self.damage = f'cannot be read: its compression is damaged ({error})'

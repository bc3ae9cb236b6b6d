"""What TensorFlow's decoders insist on in a file, and Pillow does without."""

import struct
import zlib

# JPEG's markers of where the pixels begin and of the end; a phone's film may
# follow, and there may be a smaller picture before.
_SCAN, _END = b'\xff\xda', b'\xff\xd9'
# https://www.w3.org/TR/png-3/#5DataRep
_SIGNATURE = 8  # bytes
_DEPTH = 24  # where the header says it
_ANCILLARY = 0x20  # the bit of a chunk's name that decoders may do without it


def check(data: bytes, kind: str) -> None:
  """Refuses a JPEG or PNG that Pillow reads and TensorFlow does not.

  Raises:
    ValueError: if its end is missing, or a checksum is wrong.
  """
  if kind in ('JPEG', 'MPO'):
    if not data.endswith(_END) and data.find(_END, _first_scan(data)) < 0:
      raise ValueError('JPEG without an end')
  elif kind == 'PNG':
    _check_chunks(data)


def png_depth(data: bytes) -> int:
  """The bits of a channel, of which Pillow makes 8 without a word."""
  return data[_DEPTH]


def _first_scan(data: bytes) -> int:
  """Goes from segment to segment of a JPEG, up to its pixels."""
  place = 2
  while place < len(data) and data[place : place + 2] != _SCAN:
    if data[place + 1 : place + 2] == b'\xff':
      place += 1  # Markers may have more of these before them.
    else:
      place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
  return place


def _check_chunks(data: bytes) -> None:
  """Goes from chunk to chunk of a PNG."""
  place, name = _SIGNATURE, b''
  while name != b'IEND':
    if place + 12 > len(data):
      raise ValueError('PNG without an end')
    (length,) = struct.unpack_from('>I', data, place)
    end = place + 8 + length
    name = data[place + 4 : place + 8]
    checksum = zlib.crc32(data[place + 4 : end]).to_bytes(4, 'big')
    if not name[0] & _ANCILLARY and data[end : end + 4] != checksum:
      raise ValueError(f'wrong checksum of {name.decode("latin1")} in PNG')
    place = end + 4

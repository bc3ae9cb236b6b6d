"""Checks of image files that TensorFlow's decoders make and Pillow does not."""

import re
import struct
import zlib

# JPEG's markers for the start of the pixels and the end of the image. A
# thumbnail may precede them, and a phone's video may follow.
_SCAN, _END = b'\xff\xda', b'\xff\xd9'
_PROGRESSIVE = b'\xff\xc2'
_FRAMES = b'\xff\xc0', b'\xff\xc1', _PROGRESSIVE
# Of tables (C4, DB, DD), comments, and what applications add (APP0 to APP15).
_CODES = 0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)
_KNOWN = {_SCAN, *_FRAMES, *(bytes([0xFF, code]) for code in _CODES)}
# In the data of a scan, 00 follows each FF that begins no marker. The markers D0
# to D7 are within the data.
_AFTER_SCAN = re.compile(rb'\xff[^\x00\xd0-\xd7]')
# https://www.w3.org/TR/png-3/#5DataRep
_SIGNATURE = 8  # bytes
_DEPTH = 24  # offset in the header
_ANCILLARY = 0x20  # bit of a chunk's name: decoders may ignore the chunk
# TensorFlow decodes JPEGs of fewer bytes, and PNGs of fewer pixels.
_TOO_LARGE = 1 << 29


def check(data: bytes, kind: str) -> None:
  """Checks that TensorFlow decodes a JPEG or PNG that Pillow has decoded.

  Raises:
    ValueError: if its end is missing, or a checksum is wrong.
  """
  if kind in ('JPEG', 'MPO'):
    if not data.endswith(_END) and data.find(_END, _first_scan(data)) < 0:
      raise ValueError('JPEG without an end')
  elif kind == 'PNG':
    _check_chunks(data)


def is_complete_jpeg(data: bytes) -> bool:
  """Whether a JPEG has an intact sequence of segments and scans, and an end.

  If so, Pillow and TensorFlow either both decode it or both refuse it: they
  differ only in JPEGs whose end is missing. Returns False for odd ones, too: a
  sequential JPEG with several scans, of which TensorFlow may skip the last ones,
  or arithmetic coding.
  """
  position, frame, channels = 2, b'', b''
  while (marker := data[position : position + 2]) != _END:
    length = int.from_bytes(data[position + 2 : position + 4], 'big')
    end = position + 2 + length
    if marker not in _KNOWN or length < 2 or end > len(data):
      return False
    if marker in _FRAMES:
      frame, channels = marker, data[position + 9 : position + 10]
    if marker == _SCAN:
      after = _AFTER_SCAN.search(data, end)
      if frame == _PROGRESSIVE and after:
        end = after.start()
      else:
        has_all = data[position + 4 : position + 5] == channels
        return has_all and after is not None and after[0] == _END
    position = end
  return frame == _PROGRESSIVE


def is_too_large(kind: str, width: int, height: int, channels: int) -> bool:
  """Whether TensorFlow refuses a JPEG or PNG for its size."""
  values = channels if kind in ('JPEG', 'MPO') else 1
  return width * height * values >= _TOO_LARGE


def png_depth(data: bytes) -> int:
  """Returns a PNG's bits per channel, which Pillow reduces to 8 silently."""
  return data[_DEPTH]


def _first_scan(data: bytes) -> int:
  """Returns the offset of a JPEG's pixels, by walking its segments."""
  position = 2
  while position < len(data) and data[position : position + 2] != _SCAN:
    if data[position + 1 : position + 2] == b'\xff':
      position += 1  # Fill bytes may precede a marker.
    else:
      position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
  return position


def _check_chunks(data: bytes) -> None:
  """Raises ValueError if a PNG's chunks are truncated or damaged."""
  position, name = _SIGNATURE, b''
  while name != b'IEND':
    if position + 12 > len(data):
      raise ValueError('PNG without an end')
    (length,) = struct.unpack_from('>I', data, position)
    end = position + 8 + length
    name = data[position + 4 : position + 8]
    checksum = zlib.crc32(data[position + 4 : end]).to_bytes(4, 'big')
    if not name[0] & _ANCILLARY and data[end : end + 4] != checksum:
      raise ValueError(f'wrong checksum of {name.decode("latin1")} in PNG')
    position = end + 4

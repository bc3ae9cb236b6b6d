"""Inspection of a record's image, without TensorFlow, in worker processes."""

import dataclasses
import hashlib

from datasets import photo, strict_image_check
from datasets.example_features import UnusableError

# Formats that the reader decodes; converters recognize more.
DECODED = ('JPEG', 'MPO', 'PNG', 'GIF', 'BMP')

Boxes = tuple[tuple[float, float, float, float], ...]


@dataclasses.dataclass(frozen=True)
class Look:
  """Properties of a decoded image.

  Attributes:
    kind: format and color mode, such as 'JPEG RGB'.
    width: width in pixels.
    height: height in pixels.
    digest: digest of the pixels, whatever their encoding.
  """

  kind: str
  width: int
  height: int
  digest: bytes


@dataclasses.dataclass(frozen=True)
class RecordInfo:
  """Position, content and inspected image of a record.

  Attributes:
    file: path of the record file.
    number: its index in the file, from 0.
    offset: position of its first byte in the file.
    label: its class; None if the record cannot be parsed.
    encoded: the encoded image.
    boxes: (ymin, xmin, ymax, xmax) of each box, as fractions of the sides.
    look: properties of the image; None if the record cannot be used.
    problem: why the record cannot be used, or None.
  """

  file: str
  number: int
  offset: int
  label: int | None = None
  encoded: bytes = b''
  boxes: Boxes = ()
  look: Look | None = None
  problem: str | None = None

  @property
  def name(self) -> str:
    return f'{self.file}: record {self.number} (from 0) at byte {self.offset}'


def inspect_record(info: RecordInfo) -> Look:
  """Decodes a record's image; runs in worker processes.

  Raises:
    UnusableError: if it does not decode, or the record already has a problem.
  """
  if info.problem:
    raise UnusableError(info.problem)
  try:
    with photo.open_image(info.encoded) as image:
      image_format, size = image.format, image.size
      _check_decoded(image_format, size, len(image.getbands()))
      image.load()
      strict_image_check.check(info.encoded, image_format)
      content = f'{image.mode} {size} '.encode() + image.tobytes()
      kind = f'{image_format} {image.mode}'
  except UnusableError as error:
    raise UnusableError(f'has an image that {error}') from error
  return Look(
    kind,
    size[0],
    size[1],
    hashlib.sha256(content).digest()[:16],
  )


def _check_decoded(kind: str, size: tuple[int, int], channels: int) -> None:
  """Raises UnusableError for an image that TensorFlow does not decode."""
  if kind not in DECODED:
    raise UnusableError(f'is {kind}, which TensorFlow cannot decode')
  if strict_image_check.is_too_large(kind, *size, channels):
    width, height = size
    raise UnusableError(
      f'has {width} x {height} pixels, too many for TensorFlow'
    )
